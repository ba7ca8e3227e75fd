//! Programs that are missing, unfit, lie, hang; and builds without privilege.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use banger_e2fsprogs::E2fsprogsBackend;
use banger_ext4::{Ext4Backend, Ext4Error};
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};

use crate::e2fsprogs::{Workplace, build, has_tools, options};
use crate::support::cases::cases;
use crate::support::{Fixture, check_image, is_root};

/// Writes a shell script that tells `version` when asked, and else runs `body`.
fn fake(place: &Workplace, name: &str, version: &str, body: &str) -> Utf8PathBuf {
    let path = place.root.join(name);
    let text = format!("#!/bin/sh\nif [ \"$1\" = -V ]; then echo '{version}' >&2; exit 0; fi\n{body}\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn missing_and_unfit_tools_are_refused_by_name() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    let image = place.image("image");
    let missing = place.backend().with_mke2fs("/nonexistent/mke2fs").create(&image, &options());
    assert!(matches!(missing, Err(Ext4Error::ToolMissing { tool }) if tool == "/nonexistent/mke2fs"));
    for (banner, want) in [
        ("mke2fs 1.42.13 (17-May-2015)", Some("1.42.13")),
        ("mke2fs 1.47.3 (8-Jul-2025)", Some("1.47.3")),
        ("BusyBox v1.36.1", Some("of unknown version")),
        ("mke2fs 1.43 (17-May-2016)", None),
        ("mke2fs 1.47.4 (1-Jan-2026)", None),
        ("mke2fs 2.0 (1-Jan-2030)", None),
    ] {
        for tool in ["mke2fs", "debugfs"] {
            let path = fake(&place, tool, &banner.replace("mke2fs", tool), "exit 9");
            let backend = match tool {
                "mke2fs" => place.backend().with_mke2fs(&path),
                _ => place.backend().with_debugfs(&path),
            };
            match (backend.create(&image, &options()), want) {
                (Ok(_), None) => {}
                (Err(Ext4Error::ToolUnfit { tool, version, .. }), Some(want)) => {
                    assert_eq!((tool.as_str(), version.as_str()), (path.as_str(), want));
                }
                (outcome, _) => panic!("{banner}: {:?}", outcome.map(drop)),
            }
            std::fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn a_debugfs_that_fails_with_exit_status_0_is_caught() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    for (body, want) in [
        // Does nothing, says nothing.
        ("exit 0", "/: atime_lo of inode 2"),
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "signal 9"),
        ("echo 'debugfs 1.47.0 (5-Feb-2023)' >&2; echo 'sif: bad field' >&2", "sif: bad field"),
        // Does all of its work but for the owners.
        ("grep -v ' uid ' script > less; exec debugfs -w -f less image", "uid of inode"),
        // Does all of its work, and complains.
        ("echo 'out of memory' >&2; exec debugfs \"$@\"", "out of memory"),
    ] {
        let debugfs = fake(
            &place,
            "debugfs",
            "debugfs 1.47.0 (5-Feb-2023)",
            &format!("PATH=$PATH:/sbin:/usr/sbin\n{body}"),
        );
        let backend = place.backend().with_debugfs(&debugfs);
        let mut fixture = Fixture::default();
        let attributes = banger_tree::Attributes { uid: 4321, ..crate::support::fixture::mode(0o640) };
        fixture.file_with("/etc-passwd", b"root", attributes);
        let error = build(&backend, &place.image("image"), &options(), &fixture).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Ext4Error::ToolFailed { .. }), "{body}: {text}");
        assert!(text.contains(want) && text.contains(debugfs.as_str()), "{body}: {text}");
        assert!(!text.contains('\n'), "{text}");
        assert_eq!(place.leftovers(), [""; 0], "{body}");
    }
}

#[test]
fn a_mke2fs_that_fails_is_named_and_leaves_nothing() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    for (body, want) in [
        ("echo 'mke2fs: it is broken' >&2; exit 1", "it is broken"),
        ("exit 0", "superblock"),
        ("PATH=$PATH:/sbin:/usr/sbin; rm -f staging/0/file; exec mke2fs \"$@\"", "/file is missing"),
        ("PATH=$PATH:/sbin:/usr/sbin; : > staging/0/file; exec mke2fs \"$@\"", "has 0 bytes instead of 4"),
        ("PATH=$PATH:/sbin:/usr/sbin; : > staging/0/other; exec mke2fs \"$@\"", "/other is not of the tree"),
    ] {
        let mke2fs = fake(&place, "mke2fs", "mke2fs 1.47.0 (5-Feb-2023)", body);
        let mut fixture = Fixture::default();
        fixture.file("/file", b"four");
        let backend = place.backend().with_mke2fs(&mke2fs);
        let text = build(&backend, &place.image("image"), &options(), &fixture).unwrap_err().to_string();
        assert!(text.contains(want), "{body}: {text}");
        assert_eq!(place.leftovers(), [""; 0], "{body}");
    }
}

#[test]
fn cancelling_kills_the_tool_at_once() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    let mke2fs = fake(&place, "mke2fs", "mke2fs 1.47.0 (5-Feb-2023)", "exec sleep 60");
    let cancellation = Cancellation::default();
    let with = options().with_cancellation(cancellation.clone());
    let started = Instant::now();
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        cancellation.cancel();
    });
    let outcome =
        build(&place.backend().with_mke2fs(&mke2fs), &place.image("image"), &with, &Fixture::default());
    assert!(matches!(outcome, Err(Ext4Error::Cancelled)), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(place.leftovers(), [""; 0]);
    later.join().unwrap();
    let again = build(&place.backend(), &place.image("image"), &with, &Fixture::default());
    assert!(matches!(again, Err(Ext4Error::Cancelled)), "{again:?}");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn what_is_begun_and_dropped_leaves_nothing() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    for (_, fixture) in cases() {
        let mut builder = place.backend().create(&place.image("image"), &options()).unwrap();
        fixture.transplanted(&mut *builder);
        assert_eq!(place.leftovers().len(), 2);
        drop(builder);
        assert_eq!(place.leftovers(), [""; 0]);
    }
    let taken = place.image("taken");
    std::fs::write(&taken, "keep me").unwrap();
    assert!(matches!(place.backend().create(&taken, &options()), Err(Ext4Error::Io { .. })));
    assert_eq!(std::fs::read(&taken).unwrap(), b"keep me");
}

/// Names the directory that the unprivileged process puts its images into.
const UNPRIVILEGED: &str = "BANGER_TEST_UNPRIVILEGED";

/// As root, every case is built by a copy of this program that has no privilege, and judged here.
/// Else all the tests have none anyway.
#[test]
fn every_case_builds_without_privilege() {
    if !has_tools() {
        return;
    }
    if let Ok(directory) = std::env::var(UNPRIVILEGED) {
        assert!(!is_root());
        let directory = Utf8Path::new(&directory);
        let backend = E2fsprogsBackend::new().with_scratch_directory(directory);
        for (number, (name, fixture)) in cases().into_iter().enumerate() {
            build(&backend, &directory.join(number.to_string()), &options(), &fixture)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        return;
    }
    if !is_root() {
        return;
    }
    let place = Workplace::new();
    let mut permissions = place.root.metadata().unwrap().permissions();
    permissions.set_mode(0o755);
    std::fs::set_permissions(&place.root, permissions).unwrap();
    let program = place.root.join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let directory = place.root.join("unprivileged");
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::chown(&directory, Some(65_534), Some(65_534)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", program.as_str()])
        .args(["--exact", "tools::every_case_builds_without_privilege"])
        .env(UNPRIVILEGED, &directory)
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let cases = cases();
    assert_eq!(directory.read_dir_utf8().unwrap().count(), cases.len(), "images and nothing else");
    for (number, (name, fixture)) in cases.into_iter().enumerate() {
        eprintln!("case: {name}");
        check_image(&directory.join(number.to_string()), &fixture.tree, &fixture.store);
    }
}
