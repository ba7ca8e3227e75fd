//! Archives: names in them, what they cost, and what they are if they are none.

use std::sync::Arc;

use banger_oci::{Digest, PullError};
use banger_tree::{Budget, Cost};
use serde_json::json;

use crate::pull_local::compressed;
use crate::pull_support::*;
use crate::tarball::{Head, Tar};

/// A configuration for these layers.
fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": diff_ids } })
        .to_string()
        .into_bytes()
}

fn manifest(layers: &[&str]) -> String {
    json!([{ "Config": "c.json", "RepoTags": ["x:1"], "Layers": layers }]).to_string()
}

/// A layout in a tar, with these blobs beside those of the image.
fn layout_tar(layer: &[u8], others: impl Fn(Tar) -> Tar) -> Tar {
    let name = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let config = config(&[layer]);
    let of = |bytes: &[u8], kind: &str| json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
    let manifest = json!({ "schemaVersion": 2, "config": of(&config, CONFIG), "layers": [of(layer, LAYER)] });
    let manifest = manifest.to_string().into_bytes();
    let index = json!({ "manifests": [of(&manifest, MANIFEST)] });
    let mut tar = others(Tar::new()).file("oci-layout", "{}");
    for bytes in [layer, &config, &manifest] {
        tar = tar.file(name(bytes), bytes);
    }
    tar.file("index.json", index.to_string())
}

#[test]
fn names_in_docker_archives_may_start_with_a_slash() {
    let layers: [&[u8]; 3] = [&noise(1, 600), &noise(2, 600), &noise(3, 600)];
    let tar = Tar::new()
        .file("/c.json", config(&layers))
        .file("/a.tar", layers[0])
        .file("b.tar", layers[1])
        .file("./d/c.tar", layers[2])
        .symlink("/l.tar", "/d/c.tar")
        .file("/manifest.json", manifest(&["/a.tar", "/b.tar", "l.tar"]))
        .end();
    let bench = Bench::new();
    let file = bench.path().join("abs.tar");
    for (name, bytes) in compressed(&tar) {
        std::fs::write(&file, bytes).unwrap();
        let found = bench.read(&format!("docker-archive:{file}:x:1")).unwrap();
        assert_eq!(found, layers, "{name}");
    }
}

#[test]
fn what_is_no_image_archive_is_named() {
    let bench = Bench::new();
    let file = bench.path().join("f.tar");
    let layer = noise(1, 600);
    let export = Tar::new().file("etc/marker", "x").end();
    let other = Tar::new().file("README", "x").end();
    let save = Tar::new().file("a.tar", &layer).file("manifest.json", "[]").end();
    let old = Tar::new().file("a/layer.tar", &layer).file("repositories", "{}").end();
    let layout = layout_tar(&layer, |tar| tar).end();
    for (kind, tar, says) in [
        ("docker-archive", &export, "looks like a root file system"),
        ("oci-archive", &export, "build an image of it instead"),
        ("docker-archive", &other, "build an image of it instead"),
        ("oci-archive", &save, "write docker-archive:"),
        ("oci-archive", &old, "write docker-archive:"),
        ("docker-archive", &layout, "write oci-archive:"),
        ("docker-archive", &Vec::new(), "not a tar archive"),
        ("oci-archive", &vec![0; 4096], "not a tar archive"),
        ("oci-archive", &vec![7; 4096], "no tar header"),
    ] {
        for (name, bytes) in compressed(tar) {
            std::fs::write(&file, bytes).unwrap();
            let error = bench.pull(&format!("{kind}:{file}")).unwrap_err();
            assert!(matches!(&error, PullError::Layout { .. }), "{kind} {name}: {error}");
            assert!(told(&error).contains(says), "{kind} {name}: no {says} in {error}");
        }
    }
    let root = bench.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let error = told(&bench.pull(&format!("oci:{root}")).unwrap_err());
    assert!(error.contains("build an image of it instead"), "{error}");
}

#[test]
fn sparse_files_in_archives_are_read_as_they_were() {
    let layer: Vec<u8> = [vec![0; 4096], noise(5, 512), vec![0; 4096]].concat();
    let sparse = Tar::new()
        .pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"a.tar"),
            ("GNU.sparse.realsize", layer.len().to_string().as_bytes()),
        ])
        .with_data(
            Head::new(b'0', "GNUSparseFile.0/a.tar"),
            [&b"1\n4096\n512\n"[..], &[0; 501], &layer[4096..4608]].concat(),
        )
        .file("c.json", config(&[&layer]))
        .file("manifest.json", manifest(&["a.tar"]))
        .end();
    let bench = Bench::new();
    let file = bench.path().join("sparse.tar");
    for (name, bytes) in compressed(&sparse) {
        std::fs::write(&file, bytes).unwrap();
        let found = bench.read(&format!("docker-archive:{file}")).unwrap();
        assert_eq!(found, std::slice::from_ref(&layer), "{name}");
    }
}

#[test]
fn b29_a_layer_listed_often_is_opened_and_hashed_once() {
    let layer = banger_testkit::gzip(&noise(6, 200_000));
    let plain = noise(6, 200_000);
    let count = 500;
    let config = config(&vec![&plain[..]; count]);
    let tar = Tar::new()
        .file("a.tar", &layer)
        .symlink("b.tar", "a.tar")
        .file("c.json", config)
        .file("manifest.json", manifest(&[["a.tar", "b.tar"]; 250].concat()))
        .end();
    let mut bench = Bench::new();
    let file = bench.path().join("often.tar");
    std::fs::write(&file, &tar).unwrap();
    let read = || {
        let io = std::fs::read_to_string("/proc/thread-self/io").unwrap_or_default();
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.map_or(0, |value| value.parse::<u64>().unwrap())
    };
    let before = read();
    let image = bench.pull(&format!("docker-archive:{file}")).unwrap();
    let bytes = read() - before;
    assert_eq!(image.layers.len(), count);
    assert!(bytes < 4 * tar.len() as u64, "{bytes} bytes read of {}", tar.len());
    bench.options.budget = Budget::default().with_limit(Cost::Layers, 499);
    let error = bench.pull(&format!("docker-archive:{file}")).unwrap_err();
    assert!(matches!(error, PullError::OverBudget { .. }), "{error}");
}

#[test]
fn b29_what_an_archive_inflates_to_is_counted() {
    let layer = noise(8, 600);
    let tar = layout_tar(&layer, |tar| tar.file("blobs/sha256/junk", vec![1; 40 << 20]));
    let packed = zstd::encode_all(&tar.end()[..], 1).unwrap();
    assert!(packed.len() < 50_000, "{}", packed.len());
    let mut bench = Bench::new();
    let file = bench.path().join("bomb.tar.zst");
    std::fs::write(&file, packed).unwrap();
    let reference = format!("oci-archive:{file}");
    // The bomb is nobody's layer, so it is passed over.
    assert_eq!(bench.read(&reference).unwrap(), [layer]);
    bench.options.budget = Budget::default().with_limit(Cost::InflatedBytes, 30 << 20);
    let error = bench.pull(&reference).unwrap_err();
    assert!(matches!(&error, PullError::OverBudget { .. }), "{error}");
    bench.options.budget = Budget::default().with_limit(Cost::Entries, 3);
    let error = bench.pull(&reference).unwrap_err();
    assert!(error.to_string().contains("3 entries"), "{error}");
    bench.options.budget = Budget::default();
    bench.cancel.cancel();
    assert!(matches!(bench.pull(&reference).unwrap_err(), PullError::Cancelled));
}

#[test]
fn b29_large_layers_of_packed_archives_are_unpacked_when_they_are_asked_for() {
    // More than what is unpacked at once.
    let layer: Vec<u8> = [noise(9, 512).repeat(70_000), vec![0; 1 << 20]].concat();
    let tar = layout_tar(&layer, |tar| tar).end();
    let bench = Bench::new();
    let file = bench.path().join("large.tar.zst");
    std::fs::write(&file, zstd::encode_all(&tar[..], 1).unwrap()).unwrap();
    let image = bench.pull(&format!("oci-archive:{file}")).unwrap();
    let layers = read_layers(&image).unwrap();
    assert!(layers == [layer], "the layer is read as it is");
    let _same = Arc::new(image);
}

#[test]
fn b29_an_archive_of_very_many_names_keeps_few() {
    // A name that can be a blob's, and one that cannot.
    for (stem, refused) in [("blobs/sha256/", true), ("x/", false)] {
        let layer = noise(8, 600);
        let tar = layout_tar(&layer, |mut tar| {
            for number in 0..100_001_u32 {
                tar = tar.head(Head::new(b'0', format!("{stem}{number:064}")));
            }
            tar
        });
        let bench = Bench::new();
        let file = bench.path().join("many.tar");
        std::fs::write(&file, tar.end()).unwrap();
        match bench.read(&format!("oci-archive:{file}")) {
            Ok(layers) => assert!(!refused && layers == [layer]),
            Err(error) => {
                assert!(refused && matches!(error, PullError::Layout { .. }), "{error}");
                assert!(error.to_string().contains("100002 names"), "{error}");
            }
        }
    }
}

#[test]
fn b29_images_of_an_archive_that_are_looked_into_are_counted() {
    let layer = noise(1, 600);
    let config = config(&[&layer]);
    let item = |name: String| json!({ "Config": name, "RepoTags": [], "Layers": ["a.tar"] });
    let bench = Bench::new();
    let file = bench.path().join("images.tar");
    for (items, taken) in [
        // One image very often is one image.
        (vec![item("c.json".to_owned()); 20_000], true),
        ((0..129).map(|number| item(format!("{}c.json", "/".repeat(number)))).collect(), false),
    ] {
        let tar = Tar::new().file("a.tar", &layer).file("c.json", &config);
        let tar = tar.file("manifest.json", serde_json::Value::from(items).to_string()).end();
        std::fs::write(&file, tar).unwrap();
        match bench.read(&format!("docker-archive:{file}")) {
            Ok(layers) => assert!(taken && layers == [layer.clone()]),
            Err(error) => assert!(!taken && error.to_string().contains("128 of its images"), "{error}"),
        }
    }
}
