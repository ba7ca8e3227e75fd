//! Images that are made to boot: what a pull changes of them, and what it says about it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use banger::{Entrypoint, InjectRequest, inject_file};
use banger_testkit::{
    Access, Entry, Ignore, Image, ImageBuilder, LayerBuilder, LayoutBuilder, Mounted, Skip, Snapshot,
    assert_clean, assert_same_tree, require, snapshot, third_party,
};
use camino::Utf8Path;
use serde_json::{Value, json};

use crate::support::{BACKENDS, Home, text};

fn mounted(image: &Path) -> Result<Snapshot, Skip> {
    assert_clean(image)?;
    let mounted = Mounted::new(image, Access::ReadOnly)?;
    Ok(snapshot(mounted.path()))
}

/// Returns the paths that are not the same in both.
fn changed_paths(before: &Snapshot, after: &Snapshot) -> BTreeSet<String> {
    let paths = before.keys().chain(after.keys());
    let changed = paths.filter(|path| before.get(*path) != after.get(*path));
    changed.map(|path| format!("/{}", String::from_utf8_lossy(path))).collect()
}

/// Returns the paths that a document says were changed.
fn listed_paths(document: &Value) -> BTreeSet<String> {
    let paths = |field: &str| document[field].as_array().cloned().unwrap_or_default();
    let injected = paths("injected").into_iter().map(|path| path.as_str().unwrap().to_owned());
    let fixed = paths("fixups").into_iter().map(|fixup| fixup["path"].as_str().unwrap().to_owned());
    injected.chain(fixed).collect()
}

struct Pulled {
    document: Value,
    file: PathBuf,
}

fn pull(home: &Home, source: &str, name: &str, options: &[&str]) -> Pulled {
    let file = home.path("out").join(name);
    let mut arguments = vec!["image", "pull", source, "--output", file.to_str().unwrap()];
    arguments.extend(options);
    Pulled { document: home.json(&arguments), file: file.clone() }
}

/// Pulls `source` with and without injection; what differs is what the record lists.
fn differs_by_what_is_listed(source: &str, contract: &str, fixups: &[&str]) -> Result<(), Skip> {
    let mut trees = Vec::new();
    for backend in BACKENDS {
        let home = Home::new();
        let plain = pull(&home, source, "plain.ext4", &["--no-inject", "--backend", backend]);
        let booting = pull(&home, source, "booting.ext4", &["--backend", backend]);
        assert_eq!(plain.document.get("boot_contract"), None, "{backend}");
        assert_eq!(plain.document["build"].get("guest"), None, "{backend}");
        let document = booting.document;
        assert_eq!(document["boot_contract"], contract, "{backend}");
        let (before, after) = (mounted(&plain.file)?, mounted(&booting.file)?);
        assert_eq!(changed_paths(&before, &after), listed_paths(&document), "{backend}");
        for (path, entry) in &after {
            if before.get(path) != Some(entry) && entry.kind == banger_tree::FileType::Regular {
                let (uid, gid) = (entry.uid, entry.gid);
                assert_eq!((uid, gid), (0, 0), "{backend}: {}", String::from_utf8_lossy(path));
            }
        }
        let kinds: BTreeSet<&str> = document["fixups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fixup| fixup["kind"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, fixups.iter().copied().collect(), "{backend}");
        trees.push(after);
    }
    assert_same_tree(&trees[0], &trees[1], Ignore::MKFS);
    Ok(())
}

#[test]
fn debian_without_init() {
    let layout = require!(Image::DebianMinbase.layout());
    let source = format!("oci:{}:latest", layout.display());
    require!(differs_by_what_is_listed(&source, "banger", &["machine-id", "hosts", "init"]));
}

#[test]
fn debian_with_systemd() {
    let layout = require!(Image::DebianSystemd.layout());
    let source = format!("oci:{}:latest", layout.display());
    let fixups = ["machine-id", "hosts", "serial-getty", "ssh-host-key", "ssh-keys-at-boot"];
    require!(differs_by_what_is_listed(&source, "systemd", &fixups));
}

#[test]
fn third_party_archives() {
    let alpine = ["inittab-line", "machine-id", "serial-getty", "shutdown"];
    for (file, transport, contract, fixups) in [
        (
            "busybox.oci.tar",
            "oci-archive",
            "banger",
            &["hostname", "hosts", "init", "machine-id", "mount-point"][..],
        ),
        ("alpine-3.20.oci.tar", "oci-archive", "busybox", &alpine),
        ("alpine-3.11.docker.tar.gz", "docker-archive", "busybox", &alpine),
    ] {
        let archive = require!(third_party(file));
        eprintln!("{file}");
        let tag = match file {
            "busybox.oci.tar" => ":1.38",
            "alpine-3.20.oci.tar" => ":3.20",
            _ => "",
        };
        let source = format!("{transport}:{}{tag}", archive.display());
        require!(differs_by_what_is_listed(&source, contract, fixups));
    }
}

/// An image that is nothing but a program, with a configuration that says how to run it.
fn scratch(home: &Home) -> String {
    let layout = home.path("layout");
    let layer = LayerBuilder::new().entry(Entry::file("app", "#!/bin/none\n").mode(0o755)).finish();
    let config = json!({"Entrypoint": ["/app"], "Cmd": ["--serve"], "Env": ["A=1"], "User": "7", "WorkingDir": "/srv"});
    LayoutBuilder::of(&ImageBuilder::new().config("config", config).layer(layer)).write(&layout);
    format!("oci:{}:latest", layout.display())
}

#[test]
fn a_finished_file_gets_what_a_pull_gives() {
    let home = Home::new();
    let source = scratch(&home);
    let booting = pull(&home, &source, "booting.ext4", &["--size", "64M"]);
    let plain = pull(&home, &source, "plain.ext4", &["--size", "64M", "--no-inject"]);
    let file = Utf8Path::from_path(&plain.file).unwrap();
    let request = InjectRequest::default()
        .with_entrypoint(
            Entrypoint::default()
                .with_argv(vec!["/app".to_owned(), "--serve".to_owned()])
                .with_env(vec!["A=1".to_owned()])
                .with_user(Some("7".to_owned()))
                .with_working_dir(Some("/srv".to_owned())),
        )
        .with_timestamp_seconds(booting.document["build"]["timestamp_seconds"].as_i64());
    let running = banger::Cancellation::default();
    let report = inject_file(file, &request, &running).unwrap();
    assert_eq!(report.contract.name(), "banger");
    assert!(inject_file(file, &request, &running).unwrap().is_unchanged());
    let (want, found) = (require!(mounted(&booting.file)), require!(mounted(&plain.file)));
    assert_same_tree(&want, &found, Ignore::default());
    let listed: BTreeSet<String> = report
        .injected
        .iter()
        .chain(report.fixups.iter().map(|fixup| &fixup.path))
        .map(ToString::to_string)
        .collect();
    assert_eq!(listed, listed_paths(&booting.document));
}

#[test]
fn what_decides_the_bytes_decides_what_is_there_already() {
    let home = Home::new();
    let source = scratch(&home);
    let unchanged = |options: &[&str]| {
        let mut arguments = vec!["image", "pull", &source, "--name", "app"];
        arguments.extend(options);
        home.json(&arguments)["unchanged"] == true
    };
    assert!(!unchanged(&[]));
    assert!(unchanged(&[]));
    assert!(!unchanged(&["--init", "banger"]));
    assert!(unchanged(&["--init", "banger"]));
    assert!(!unchanged(&["--no-inject"]));
    assert!(unchanged(&["--no-inject"]));
    // The same binary out of a directory is the same binary.
    assert!(!unchanged(&[]));
    let guests = home.path("guests");
    std::fs::create_dir(&guests).unwrap();
    let binary = guests.join("banger-guest-amd64");
    std::fs::write(&binary, agent(&home)).unwrap();
    let dir = guests.to_str().unwrap();
    assert!(unchanged(&["--guest-dir", dir]));
    let mut other = std::fs::read(&binary).unwrap();
    other.push(0);
    std::fs::write(&binary, other).unwrap();
    assert!(!unchanged(&["--guest-dir", dir]));
}

/// Returns the binary that is in the managed image `app`.
fn agent(home: &Home) -> Vec<u8> {
    use banger_ext4::Ext4Editor;
    use banger_tree::{GuestPath, Rootfs as _};

    let path = home.json(&["image", "show", "app"])["path"].as_str().unwrap().to_owned();
    let editor = Ext4Editor::open(Utf8Path::new(&path)).unwrap();
    editor.read(&GuestPath::parse("/usr/local/bin/banger-vsock-agent").unwrap()).unwrap()
}

#[test]
fn show_tells_how_an_image_boots() {
    let home = Home::new();
    let source = scratch(&home);
    let output = home.run(["image", "pull", &source, "--name", "app", "--size", "64M"]);
    assert!(text(&output.stderr).contains("; boots with banger"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("no shell in the image"), "{}", text(&output.stderr));
    let show = text(&home.run(["image", "show", "app"]).stdout);
    for line in [
        "boots with   banger",
        "first boot   nothing to do",
        "injected     /usr/local/bin/banger-vsock-agent",
        "fixed        created /sbin/init: the kernel starts this one",
        "warning      no shell in the image",
    ] {
        assert!(show.contains(line), "{line:?} is not in\n{show}");
    }
    let document = home.json(&["image", "show", "app"]);
    assert_eq!(
        (&document["boot_contract"], &document["first_boot_pending"]),
        (&json!("banger"), &json!(false))
    );
    assert_eq!(document["build"]["guest"]["init"], "auto");
}

#[test]
fn what_cannot_be_injected_is_refused_and_nothing_is_left() {
    let home = Home::new();
    let source = scratch(&home);
    let foreign = home.path("foreign");
    let layer = LayerBuilder::new().file("app", "x").finish();
    let image = ImageBuilder::new().platform("linux", "arm64", None).layer(layer);
    LayoutBuilder::of(&image).write(&foreign);
    let foreign = format!("oci:{}:latest", foreign.display());
    let out = home.path("out/x.ext4");
    let missing = home.path("guests");
    std::fs::create_dir(&missing).unwrap();
    std::fs::write(missing.join("banger-guest-arm64"), b"#!/bin/sh\n").unwrap();
    let guests = missing.to_str().unwrap();
    let arm = ["--platform", "linux/arm64"];
    for (source, options, words) in [
        (&source, &["--init", "image"][..], &["as --init", "has no /sbin/init"][..]),
        (&source, &["--init", "upstart"], &["upstart", "auto, image, banger, install"]),
        (&source, &["--guest-dir", guests], &["banger-guest-amd64"]),
        (
            &foreign,
            &arm[..],
            &["no guest binary for arm64", "--guest-dir", "banger-guest-arm64", "--no-inject"],
        ),
        (&foreign, &[arm[0], arm[1], "--guest-dir", guests], &["banger-guest-arm64", "not an ELF file"]),
    ] {
        let mut arguments = vec!["image", "pull", source, "--output", out.to_str().unwrap()];
        arguments.extend(options);
        let output = home.banger(&arguments).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word:?} is not in\n{stderr}");
        }
        assert_eq!(home.leftovers(), [""; 0], "{options:?}");
    }
    let arguments = ["image", "pull", &foreign, "--no-inject", arm[0], arm[1], "--size", "64M"];
    assert_eq!(home.json(&arguments)["platform"], "linux/arm64");
    let both =
        home.banger(["image", "pull", &source, "--no-inject", "--guest-dir", guests]).output().unwrap();
    assert!(!both.status.success());
}
