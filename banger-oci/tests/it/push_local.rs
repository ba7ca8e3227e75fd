//! Pushes to layouts and archives.

use std::os::unix::fs::PermissionsExt as _;

use banger_oci::PushError;
use banger_testkit::{Skip, require, tools};
use banger_tree::{ErrorKind, Failure as _};
use camino::Utf8Path;
use serde_json::Value;

use crate::pull_support::*;
use crate::push_support::*;
use crate::source_support::write_two_layers;

fn index(dir: &Utf8Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("index.json")).unwrap()).unwrap()
}

#[test]
fn a_layout_is_made_and_grows() {
    let bench = Bench::new();
    let dir = bench.path().join("layout");
    let content = blobs(1, 5, 10_000);
    let first = Artifact::new(&content);
    let pushed = bench.push(&format!("oci:{dir}:1"), &first).unwrap();
    assert_eq!((counts(&pushed), bench.uploads()), ([6, 0, 0], 6));
    bench.assert_pulls(&format!("oci:{dir}:1"), &first);
    bench.assert_pulls(&format!("oci:{dir}"), &first);
    bench.assert_pulls(&format!("oci:{dir}@{}", pushed.digest), &first);
    let mode = std::fs::metadata(dir.join("index.json")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & 0o600, 0o600);

    let mut changed = content.clone();
    changed[0] = noise(77, 10_000);
    let second = Artifact::of_oci_1_0(&changed);
    assert_eq!(counts(&bench.push(&format!("oci:{dir}:2"), &second).unwrap()), [1, 5, 0]);
    bench.assert_pulls(&format!("oci:{dir}:1"), &first);
    bench.assert_pulls(&format!("oci:{dir}:2"), &second);
    assert_eq!(counts(&bench.push(&format!("oci:{dir}:1"), &second).unwrap()), [0, 6, 0]);
    bench.assert_pulls(&format!("oci:{dir}:1"), &second);
    assert_eq!(index(&dir)["manifests"].as_array().unwrap().len(), 2);

    // A blob that is damaged does not count.
    let path = dir.join("blobs/sha256").join(first.manifest.layers[2].digest.hex());
    std::fs::write(&path, noise(5, 10_000)).unwrap();
    assert_eq!(counts(&bench.push(&format!("oci:{dir}:1"), &second).unwrap()), [1, 5, 0]);
    bench.assert_pulls(&format!("oci:{dir}:1"), &second);
}

#[test]
fn images_of_a_layout_stay() {
    let bench = Bench::new();
    let dir = bench.path().join("layout");
    write_two_layers(&dir);
    let before = index(&dir)["manifests"][0].clone();
    let image = bench.read(&format!("oci:{dir}:2")).unwrap();
    let artifact = Artifact::new(&blobs(1, 2, 100));
    bench.push(&format!("oci:{dir}"), &artifact).unwrap();
    assert_eq!(index(&dir)["manifests"][0], before);
    assert_eq!(bench.read(&format!("oci:{dir}:2")).unwrap(), image);
    bench.assert_pulls(&format!("oci:{dir}:latest"), &artifact);
}

#[test]
fn other_directories_are_left_alone() {
    let bench = Bench::new();
    let artifact = Artifact::new(&blobs(1, 2, 100));
    let dir = bench.path().join("full");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("letter"), "dear").unwrap();
    let file = bench.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let fifo = bench.path().join("fifo");
    tools::run(std::process::Command::new("mkfifo").arg(&fifo));
    for (target, code) in
        [(dir.clone(), 116), (file, 116), (fifo, 116), (bench.path().join("no/layout"), 117)]
    {
        let error = bench.push(&format!("oci:{target}"), &artifact).unwrap_err();
        assert_eq!(error.code(), code, "{target}: {error}");
    }
    assert_eq!(dir.read_dir_utf8().unwrap().count(), 1);
    let broken = bench.path().join("broken");
    write_two_layers(&broken);
    std::fs::write(broken.join("index.json"), "{").unwrap();
    let error = bench.push(&format!("oci:{broken}"), &artifact).unwrap_err();
    assert_eq!((error.code(), error.kind()), (111, ErrorKind::Damaged), "{error}");
    assert_eq!(std::fs::read(broken.join("index.json")).unwrap(), b"{");
}

#[test]
fn parallel_pushes_to_one_layout_lose_nothing() {
    let bench = Bench::new();
    let dir = bench.path().join("layout");
    let artifacts: Vec<Artifact> = (0..8).map(|at| Artifact::new(&blobs(at % 4, 3, 20_000))).collect();
    std::thread::scope(|scope| {
        for (at, artifact) in artifacts.iter().enumerate() {
            let target = format!("oci:{dir}:{at}");
            scope.spawn(|| Bench::new().push(&{ target }, artifact).unwrap());
        }
    });
    for (at, artifact) in artifacts.iter().enumerate() {
        bench.assert_pulls(&format!("oci:{dir}:{at}"), artifact);
    }
    let left: Vec<_> =
        dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn a_push_that_waits_for_another_one_can_be_cancelled() {
    let bench = Bench::new();
    let dir = bench.path().join("layout");
    std::fs::create_dir(&dir).unwrap();
    let directory = std::fs::File::open(&dir).unwrap();
    directory.lock().unwrap();
    let artifact = Artifact::new(&blobs(1, 2, 100));
    std::thread::scope(|scope| {
        let push = scope.spawn(|| bench.push(&format!("oci:{dir}"), &artifact));
        while bench.events().is_empty() {
            std::thread::yield_now();
        }
        bench.cancel.cancel();
        assert!(matches!(push.join().unwrap(), Err(PushError::Cancelled)));
    });
    assert_eq!(dir.read_dir_utf8().unwrap().count(), 0);
}

#[test]
fn an_archive_is_a_new_file_with_the_same_bytes() {
    let bench = Bench::new();
    let artifact = Artifact::new(&blobs(1, 9, 10_001));
    let path = bench.path().join("a.tar");
    let pushed = bench.push(&format!("oci-archive:{path}:1"), &artifact).unwrap();
    assert_eq!((counts(&pushed), bench.uploads()), ([10, 0, 0], 10));
    for selector in ["", ":1", &format!("@{}", pushed.digest)] {
        bench.assert_pulls(&format!("oci-archive:{path}{selector}"), &artifact);
    }
    let error = bench.push(&format!("oci-archive:{path}"), &artifact).unwrap_err();
    assert_eq!((error.code(), error.kind()), (1268, ErrorKind::Exists), "{error}");
    let again = bench.path().join("b.tar");
    bench.push(&format!("oci-archive:{again}:1"), &artifact).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
    assert_eq!(bench.path().read_dir_utf8().unwrap().count(), 3, "the cache and two archives");
}

#[test]
fn skopeo_reads_what_was_written() {
    fn raw(reference: &str) -> Result<Vec<u8>, Skip> {
        let mut skopeo = tools::command("skopeo")?;
        Ok(tools::run(skopeo.args(["--insecure-policy", "inspect", "--raw", reference])).stdout)
    }
    let bench = Bench::new();
    let artifact = Artifact::new(&blobs(1, 3, 10_000));
    let targets = [
        format!("oci:{}:1", bench.path().join("layout")),
        format!("oci-archive:{}:1", bench.path().join("a.tar")),
    ];
    for target in targets {
        let pushed = bench.push(&target, &artifact).unwrap();
        assert!(pushed.digest.matches(&require!(raw(&target))), "{target}");
        // A copy by skopeo is the same artifact.
        let copy = format!("oci:{}:1", bench.path().join("copy"));
        let mut skopeo = require!(tools::command("skopeo"));
        tools::run(skopeo.args(["--insecure-policy", "copy", "--quiet", &target, &copy]));
        bench.assert_pulls(&copy, &artifact);
        std::fs::remove_dir_all(bench.path().join("copy")).unwrap();
    }
}
