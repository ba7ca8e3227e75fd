//! What goes wrong for users: one line that says what to do, exit status 1, nothing left behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, Registry, require, skip, tools};

use crate::support::{Home, text};

#[track_caller]
fn assert_refused(output: &Output, words: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(output.stdout, b"", "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert_eq!(stderr.lines().last(), errors.first().copied(), "{stderr}");
    for word in words {
        assert!(errors[0].contains(word), "{word:?} is not in: {stderr}");
    }
}

fn layout_in(home: &Home) -> String {
    let dir = home.path("layout");
    let noise: Vec<u8> =
        (0..8_000_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    let layer = LayerBuilder::new().dir("etc").file("etc/noise", noise).finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&dir);
    format!("oci:{}:latest", dir.display())
}

#[test]
fn wrong_arguments() {
    let home = Home::new();
    let layout = layout_in(&home);
    for (arguments, words) in [
        (&["image", "pull", "Debian:bookworm"][..], &["Debian"][..]),
        (&["image", "pull", "oci:/nonexistent:x"], &["/nonexistent"]),
        (&["image", "pull", "./layout"], &["./layout", "oci:DIR"]),
        (&["image", "pull", "oci-archive:layout"], &["layout", "oci:"]),
        (&["image", "pull", "oci:layout/index.json"], &["index.json", "oci-archive:"]),
        (&["image", "pull", "https://docker.io/library/debian"], &["docker.io/library/debian"]),
        (&["image", "pull", &layout, "--platform", "plan9"], &["plan9"]),
        (&["image", "pull", &layout, "--platform", "linux/s390x"], &["linux/s390x", "linux/amd64"]),
        (&["image", "pull", &layout, "--name", "a/b"], &["a/b"]),
        (&["image", "pull", &layout, "--size", "8M"], &["--size"]),
        (&["image", "pull", &layout, "--max-content", "1M"], &["max-content", "etc/noise"]),
        (&["image", "pull", &layout, "--max-entries", "1"], &["max-entries"]),
        (&["image", "pull", &layout, "--max-manifest", "10"], &["--max-manifest"]),
        (&["image", "pull", &layout, "--max-config", "10"], &["--max-config"]),
        (&["image", "pull", &layout, "--max-download", "10"], &["--max-download"]),
        (&["image", "pull", &layout, "--output", "/nonexistent/x.ext4"], &["/nonexistent"]),
        (&["image", "pull", &layout, "--output", "out"], &["out"]),
        (&["image", "show", "nothing"], &["nothing", "banger image list"]),
        (&["guest", "health", "--socket", "nothing"], &["nothing", "--wait"]),
        (&["image", "cache", "prune"], &["--all"]),
        (&["rootfs", "build", "nothing", "out/x.ext4"], &["nothing"]),
        (&["rootfs", "build", "layout", "layout/x.ext4"], &["somewhere else"]),
    ] {
        let output = home.banger(arguments).output().unwrap();
        assert_refused(&output, words);
        assert_eq!(home.leftovers(), [""; 0], "{arguments:?}");
    }
    let wrong_size = home.banger(["image", "pull", &layout, "--size", "much"]).output().unwrap();
    assert_eq!(wrong_size.status.code(), Some(1));
    assert!(text(&wrong_size.stderr).contains("not a size"));
}

#[test]
fn registries_that_do_not_have_it() {
    let home = Home::new();
    let registry = require!(Registry::start());
    let layout = layout_in(&home);
    let dir = layout.strip_prefix("oci:").unwrap().strip_suffix(":latest").unwrap();
    require!(registry.push(Path::new(dir), "latest", "app", "1"));
    let host = registry.host();
    for (reference, words) in [
        (format!("{host}/app:2"), ["app:2", "tag"]),
        (format!("{host}/other:1"), ["other:1", "name"]),
        (format!("{host}/app@sha256:{}", "0".repeat(64)), ["sha256:0000", "name"]),
    ] {
        let output = home.banger(["image", "pull", &reference]).output().unwrap();
        assert_refused(&output, &words);
    }
    drop(registry);
    let output = home.banger(["image", "pull", &format!("{host}/app:1")]).output().unwrap();
    assert_refused(&output, &[&host, "check"]);
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn damaged_blobs() {
    let home = Home::new();
    let layout = layout_in(&home);
    let dir = home.path("layout/blobs/sha256");
    let largest = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .max_by_key(|entry| entry.metadata().unwrap().len())
        .unwrap()
        .path();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    let output = home.banger(["image", "pull", &layout]).output().unwrap();
    let digest = largest.file_name().unwrap().to_str().unwrap();
    assert_refused(&output, &[digest]);
    assert_eq!(home.leftovers(), [""; 0]);
}

/// A file system of its own that fills up; root only.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(dir: &Path, size: &str) -> Result<Self, banger_testkit::Skip> {
        tools::root("mounting a tmpfs")?;
        let options = format!("size={size}");
        tools::run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir));
        Ok(Self(dir.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn full_disks() {
    for full in ["state", "cache", "tmp", "out"] {
        let home = Home::new();
        let registry = require!(Registry::start());
        let layout = layout_in(&home);
        let dir = layout.strip_prefix("oci:").unwrap().strip_suffix(":latest").unwrap();
        require!(registry.push(Path::new(dir), "latest", "app", "1"));
        let _tmpfs = require!(Tmpfs::mount(&home.path(full), "4M"));
        let reference = registry.reference("app", "1");
        let out = home.path("out/x.ext4");
        for backend in crate::support::BACKENDS {
            let mut arguments = vec!["image", "pull", &reference, "--backend", backend];
            if full == "out" {
                arguments.extend(["--output", out.to_str().unwrap()]);
            }
            if full == "tmp" && backend == "native" {
                // It writes nothing there.
                home.run(&arguments);
                home.run(["image", "rm", "app-1"]);
                continue;
            }
            let output = home.banger(&arguments).output().unwrap();
            let place = if full == "out" { "out/" } else { full };
            assert_refused(&output, &["space", "free some", place]);
            assert_eq!(home.leftovers(), [""; 0], "{full} {backend}");
        }
    }
}

#[test]
fn directories_that_cannot_be_written() {
    // Root writes anywhere, so somebody else has to try.
    let home = Home::new();
    let layout = layout_in(&home);
    if let Err(skip) = tools::root("becoming another user") {
        return skip.report();
    }
    if tools::tool("setpriv").is_err() {
        skip!("setpriv is not installed");
    }
    let open = std::fs::Permissions::from_mode(0o777);
    for name in ["", "cache", "tmp", "out"] {
        std::fs::set_permissions(home.path(name), open.clone()).unwrap();
    }
    std::fs::set_permissions(home.path("state"), std::fs::Permissions::from_mode(0o555)).unwrap();
    let binary = home.path("banger");
    std::fs::copy(env!("CARGO_BIN_EXE_banger"), &binary).unwrap();
    let mut command = Command::new("setpriv");
    home.environment(&mut command);
    let output = command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args(["image", "pull", &layout])
        .output()
        .unwrap();
    assert_refused(&output, &["state", "--state-dir"]);
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn tools_that_are_missing() {
    let home = Home::new();
    let layout = layout_in(&home);
    // A PATH without tools does not hide those of the system directories, a fake one does.
    let fake = home.path("bin");
    std::fs::create_dir(&fake).unwrap();
    for tool in ["mke2fs", "mkfs.ext4", "debugfs"] {
        let path = fake.join(tool);
        std::fs::write(
            &path,
            "#!/bin/sh\necho 'mke2fs 1.47.3 (8-Jul-2025)' >&2\necho 'debugfs 1.47.3' >&2\n",
        )
        .unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = home
        .banger(["image", "pull", &layout, "--backend", "e2fsprogs"])
        .env("PATH", format!("{}:/usr/bin:/bin", fake.display()))
        .output()
        .unwrap();
    assert_refused(&output, &["1.47.3"]);
    assert_eq!(home.leftovers(), [""; 0]);
}
