//! `banger rootfs tar`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use banger_testkit::LayerBuilder;
use serde_json::json;

use crate::support::{Home, text};

/// Builds an ext4 file with a large file of bytes that are not zeros.
fn disk(home: &Home) {
    let layer = LayerBuilder::new()
        .dir("etc")
        .file("etc/hostname", "vm\n")
        .hardlink("etc/alias", "etc/hostname")
        .symlink("link", "etc")
        .dir("srv")
        .file("srv/large", vec![b'x'; 8 << 20])
        .finish();
    fs::write(home.path("tree.tar"), layer).unwrap();
    home.run(["rootfs", "build", "tree.tar", "disk.ext4", "--size", "64M"]);
}

fn names(tar: &[u8]) -> Vec<String> {
    let mut list =
        Command::new("tar").arg("-t").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    list.stdin.take().unwrap().write_all(tar).unwrap();
    text(&list.wait_with_output().unwrap().stdout).lines().map(str::to_owned).collect()
}

#[test]
fn paths_go_to_standard_output_and_to_files() {
    let home = Home::new();
    disk(&home);
    let whole = home.run(["rootfs", "tar", "disk.ext4"]).stdout;
    let all = ["./", "etc/", "etc/alias", "etc/hostname", "link", "lost+found/", "srv/", "srv/large"];
    assert_eq!(names(&whole), all);
    // It builds again.
    fs::write(home.path("again.tar"), &whole).unwrap();
    home.run(["rootfs", "build", "again.tar", "again.ext4", "--size", "64M"]);
    let below = ["./", "alias", "hostname"];
    assert_eq!(names(&home.run(["rootfs", "tar", "disk.ext4", "/etc"]).stdout), below);
    assert_eq!(names(&home.run(["rootfs", "tar", "disk.ext4", "/link"]).stdout), below);
    assert_eq!(names(&home.run(["rootfs", "tar", "disk.ext4", "/etc/hostname"]).stdout), ["hostname"]);
    let report = home.json(&["rootfs", "tar", "disk.ext4", "/etc", "-o", "out/etc.tar"]);
    assert_eq!(
        report,
        json!({
            "version": 1, "file": "disk.ext4", "path": "/etc", "entries": 3, "content_bytes": 3, "warnings": [],
            "warning_count": 0,
        })
    );
    assert_eq!(names(&fs::read(home.path("out/etc.tar")).unwrap()), below);
}

#[test]
fn errors_leave_outputs_as_they_are() {
    let home = Home::new();
    disk(&home);
    fs::write(home.path("out/mine.tar"), "mine").unwrap();
    let fails = |arguments: &[&str], word: &str| {
        let output = home.banger(arguments).output().unwrap();
        let error = text(&output.stderr) + &text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains(word), "{arguments:?}: {error}");
    };
    fails(&["rootfs", "tar", "disk.ext4", "-o", "out/mine.tar"], "--force");
    fails(&["rootfs", "tar", "disk.ext4", "-o", "disk.ext4", "--force"], "disk.ext4");
    fails(&["rootfs", "tar", "disk.ext4", "/nowhere", "-o", "out/new.tar"], "/nowhere");
    fails(&["rootfs", "tar", "disk.ext4", "--json"], "--output");
    assert_eq!(fs::read_to_string(home.path("out/mine.tar")).unwrap(), "mine");
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 1);
    home.run(["rootfs", "tar", "disk.ext4", "-o", "out/mine.tar", "--force"]);
    assert_eq!(names(&fs::read(home.path("out/mine.tar")).unwrap()).len(), 8);
}

#[test]
fn a_reader_that_goes_ends_it_quietly() {
    let home = Home::new();
    disk(&home);
    let mut command = home.banger(["rootfs", "tar", "disk.ext4"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 512]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
}
