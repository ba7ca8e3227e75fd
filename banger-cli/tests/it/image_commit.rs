//! Disks that become container images, as users commit them.

use std::fs;

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, Registry, require};
use serde_json::json;

use crate::support::{Home, text};

/// Pulls a small image under the name `base`, exports its disk, and changes that.
fn changed_disk(home: &Home) {
    let layer = LayerBuilder::new().dir("etc").file("etc/hostname", "vm\n").file("etc/gone", "").finish();
    let layout = home.path("image");
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&layout);
    home.run(["image", "pull", &format!("oci:{}", layout.display()), "--name", "base", "--size", "64M"]);
    home.run(["image", "export", "base", "disk.ext4"]);
    fs::write(home.path("out/greeting"), "hello\n").unwrap();
    home.run(["rootfs", "put", "disk.ext4", "out/greeting", "/etc/greeting"]);
    home.run(["rootfs", "rm", "disk.ext4", "/etc/gone"]);
    fs::remove_file(home.path("out/greeting")).unwrap();
}

#[test]
fn a_disk_becomes_an_image_that_is_pulled_again() {
    let home = Home::new();
    changed_disk(&home);
    let arguments =
        ["image", "commit", "./disk.ext4", "--base", "base", "oci:out/layout:1", "-m", "why", "-a", "me"];
    let committed = home.json(&arguments);
    assert_eq!(
        (&committed["base"], &committed["base_layers"], &committed["sent_blobs"], &committed["target"]),
        (&json!("base"), &json!(1), &json!(3), &json!("oci:out/layout:1")),
        "{committed}"
    );
    // The directory and the file.
    let layer = &committed["layer"];
    assert_eq!((&layer["entries"], &layer["whiteouts"]), (&json!(2), &json!(1)), "{committed}");
    let archived =
        home.run(["image", "commit", "disk.ext4", "--base", "base", "oci-archive:out/a.tar:1", "--squash"]);
    let notes = text(&archived.stderr);
    assert!(
        notes.contains("committed disk.ext4 to oci-archive:out/a.tar:1") && !notes.contains(" on "),
        "{notes}"
    );
    for (source, name) in [("oci:out/layout:1", "again"), ("oci-archive:out/a.tar:1", "whole")] {
        let pulled = home.json(&["image", "pull", source, "--name", name]);
        let path = pulled["path"].as_str().unwrap();
        assert_eq!(text(&home.run(["rootfs", "cat", path, "/etc/greeting"]).stdout), "hello\n");
        let listed = text(&home.run(["rootfs", "ls", path, "/etc"]).stdout);
        assert!(!listed.contains("gone"), "{listed}");
    }
}

#[test]
fn a_commit_to_a_registry_takes_the_layers_of_the_base_from_there() {
    let registry = require!(Registry::start());
    let home = Home::new();
    changed_disk(&home);
    let layout = home.path("image");
    registry.push(&layout, banger_testkit::TAG, "bases/small", "1").unwrap();
    home.run([
        "image",
        "pull",
        &registry.reference("bases/small", "1"),
        "--name",
        "base",
        "--size",
        "64M",
        "--force",
    ]);
    let commit = |target: &str| home.json(&["image", "commit", "disk.ext4", "--base", "base", target]);
    let (first, second) = (registry.reference("apps/one", "1"), registry.reference("apps/two", "1"));
    let pushed = commit(&first);
    assert_eq!((&pushed["mounted_blobs"], &pushed["sent_blobs"]), (&json!(1), &json!(2)), "{pushed}");
    let arguments = ["image", "commit", "disk.ext4", "--base", "base", &second, "--mount-from", &first];
    let summary = text(&home.run(arguments).stderr);
    assert!(summary.contains("came from the other repository"), "{summary}");
    let other = Home::new();
    let pulled = other.json(&["image", "pull", &second, "--name", "app"]);
    let greeting = other.run(["rootfs", "cat", pulled["path"].as_str().unwrap(), "/etc/greeting"]);
    assert_eq!(text(&greeting.stdout), "hello\n");
}

#[test]
fn what_cannot_be_committed_says_what_to_do() {
    let home = Home::new();
    changed_disk(&home);
    let fails = |arguments: &[&str], words: &[&str]| {
        let output = home.banger(arguments).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        words.iter().for_each(|word| assert!(error.contains(word), "{arguments:?}: no {word:?} in {error}"));
    };
    fails(
        &["image", "commit", "disk.ext4", "--base", "nobody", "oci:out/l"],
        &["nobody", "banger image list"],
    );
    fails(&["image", "commit", "nothing.ext4", "--base", "base", "oci:out/l"], &["nothing.ext4"]);
    fails(&["image", "commit", "disk.ext4", "--base", "base", "docker-daemon:a"], &["a push goes to"]);
    fails(
        &["image", "commit", "disk.ext4", "--base", "base", "oci:out/l", "--mount-from", "oci:x"],
        &["--mount-from", "not a repository"],
    );
    home.run(["image", "register", "--rootfs", "disk.ext4", "--name", "plain"]);
    fails(
        &["image", "commit", "disk.ext4", "--base", "plain", "oci:out/l"],
        &["plain has no layers", "with --squash"],
    );
    fs::remove_dir_all(home.path("image")).unwrap();
    fails(
        &["image", "commit", "disk.ext4", "--base", "base", "oci:out/l"],
        &["the cache does not have", "cannot give it", "--squash"],
    );
    home.run(["image", "rm", "plain", "base"]);
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn a_disk_that_may_be_in_use_by_another_user_is_not_read() {
    let home = Home::new();
    changed_disk(&home);
    let mut nobody = require!(home.banger_as_nobody());
    // The state of a mounted file system.
    banger_testkit::tools::run(
        banger_testkit::tools::command("debugfs")
            .unwrap()
            .args(["-w", "-R", "feature +needs_recovery"])
            .arg(home.path("disk.ext4")),
    );
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(home.path("disk.ext4"), readable).unwrap();
    let mut chown = banger_testkit::tools::command("chown").unwrap();
    banger_testkit::tools::run(
        chown.args(["-R", "65534:65534"]).arg(home.path("state")).arg(home.path("cache")),
    );
    nobody.args(["image", "commit", "disk.ext4", "--base", "base", "oci:out/l:1", "--squash"]);
    let output = nobody.output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("disk.ext4 was not unmounted, and cannot be locked"), "{error}");
}
