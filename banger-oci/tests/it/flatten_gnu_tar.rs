//! What GNU tar writes reads back as the files it was given: an independent writer of every format.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use banger_tree::NodeKind;

use crate::layers::tree_of;

/// Makes a directory of all that tar has a notion of and an ordinary user can make.
fn make_files(root: &Path) {
    let long = root.join("long-directory-name/".repeat(8)).join("n".repeat(150));
    fs::create_dir_all(long.parent().unwrap()).unwrap();
    fs::write(&long, "at the end of a long path").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("block"), [7; 512]).unwrap();
    fs::write(root.join("more"), vec![8; 100_001]).unwrap();
    fs::hard_link(root.join("more"), root.join("same")).unwrap();
    symlink("more", root.join("link")).unwrap();
    symlink("t/".repeat(90), root.join("long-link")).unwrap();
    fs::hard_link(&long, root.join("long-same")).unwrap();
    fs::write(root.join("caf\u{e9} \u{4e16}"), "name").unwrap();
    fs::create_dir(root.join("sticky")).unwrap();
    fs::set_permissions(root.join("sticky"), Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(root.join("empty"), Permissions::from_mode(0o4711)).unwrap();
    // 40 pieces need more than one block of map in every format.
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(40 * 200_000 + 5).unwrap();
    for index in 0..40 {
        sparse.write_all_at(&[index + 1; 5000], u64::from(index) * 200_000 + 65_536).unwrap();
    }
}

/// Compares every path below `dir` with the tree; returns how many there are.
fn compare(root: &Path, dir: &Path, outcome: &crate::layers::Outcome, keeps_nanoseconds: bool) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let guest = path.strip_prefix(root).unwrap().to_str().unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let attributes = outcome.attributes(guest);
        let mode = if metadata.is_symlink() { 0o777 } else { metadata.mode() & 0o7777 };
        assert_eq!(u32::from(attributes.mode), mode, "{guest}");
        assert_eq!((attributes.uid, attributes.gid), (metadata.uid(), metadata.gid()), "{guest}");
        let nanoseconds = if keeps_nanoseconds { metadata.mtime_nsec() } else { 0 };
        let mtime = (attributes.mtime.seconds, i64::from(attributes.mtime.nanoseconds));
        assert_eq!(mtime, (metadata.mtime(), nanoseconds), "{guest}");
        count += 1;
        if metadata.is_dir() {
            count += compare(root, &path, outcome, keeps_nanoseconds);
            continue;
        }
        assert_eq!(u64::from(outcome.names(guest)), metadata.nlink(), "{guest}");
        match outcome.kind(guest) {
            NodeKind::Symlink { target } => {
                assert_eq!(target[..], *fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes());
            }
            kind => assert!(outcome.content(kind) == fs::read(&path).unwrap(), "{guest}"),
        }
    }
    count
}

#[test]
fn b25_archives_of_gnu_tar_read_back_as_their_files() {
    if Command::new("tar").arg("--version").output().is_err() {
        assert!(std::env::var("CI").is_err(), "GNU tar is missing");
        println!("skipped: no GNU tar here");
        return;
    }
    let files = tempfile::tempdir().unwrap();
    make_files(files.path());
    let sparse = |version| vec!["--sparse", "--format=pax", version];
    let formats = [
        vec!["--format=gnu"],
        vec!["--format=pax"],
        vec!["--format=oldgnu", "--sparse"],
        vec!["--format=gnu", "--sparse"],
        sparse("--sparse-version=0.0"),
        sparse("--sparse-version=0.1"),
        sparse("--sparse-version=1.0"),
    ];
    for options in formats {
        let output =
            Command::new("tar").args(&options).arg("-cC").arg(files.path()).arg(".").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let is_sparse = options.contains(&"--sparse");
        assert!(!is_sparse || output.stdout.len() < 2_000_000, "{options:?} makes a sparse archive");
        let outcome = tree_of(&[output.stdout]);
        let keeps_nanoseconds = options.contains(&"--format=pax");
        let count = compare(files.path(), files.path(), &outcome, keeps_nanoseconds);
        assert_eq!(outcome.listing().len(), count, "{options:?}");
        assert_eq!(outcome.warnings(), [], "{options:?}");
    }
}
