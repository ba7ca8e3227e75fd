//! Ownership is put into every implementation of `Rootfs`.

use banger_ext4::{MismatchReason, apply_ownership};
use banger_tree::{
    Attributes, GuestPath, Inode, Metadata, MetadataEntry, MetadataKind, NodeKind, Timestamp, Tree, Xattrs,
};

use crate::support::fixture::mode;
use crate::support::{Fixture, cases, with_each};

/// Returns what an unprivileged copy of `fixture` leaves: nobody's owner, the umask's modes, now,
/// no xattrs, and an empty file for every special one.
fn unprivileged(fixture: &Fixture) -> Fixture {
    let mut copy = Fixture::default();
    let plain = Attributes { uid: 1000, gid: 1000, mtime: Timestamp::from_seconds(5), ..mode(0o755) };
    *copy.tree.attributes_mut(copy.tree.root()) = plain.clone();
    copy.tree = fixture.transplanted(&mut copy.store);
    let ids: Vec<_> = copy.tree.walk().collect();
    let mut placeholders = std::collections::HashMap::new();
    for (path, id) in ids {
        let kind = &copy.tree.inode(id).kind;
        if matches!(kind, NodeKind::Regular { .. } | NodeKind::Directory { .. } | NodeKind::Symlink { .. }) {
            *copy.tree.attributes_mut(id) = plain.clone();
            continue;
        }
        let parent = copy.tree.resolve(&path.parent().unwrap(), false).unwrap().node.unwrap();
        copy.tree.remove(parent, path.file_name().unwrap());
        // A number of a removed inode is used again, so the first name's inode stands for it.
        let first = fixture.tree.resolve(&path, false).unwrap().node.unwrap();
        match placeholders.get(&first) {
            Some(known) => copy.tree.link(parent, path.file_name().unwrap(), *known).unwrap(),
            None => {
                let empty = Inode::new(NodeKind::Regular { size_bytes: 0, content: None }, plain.clone());
                placeholders
                    .insert(first, copy.tree.insert(parent, path.file_name().unwrap(), empty).unwrap());
            }
        }
    }
    copy
}

#[test]
fn what_an_unprivileged_copy_lost_comes_back() {
    for (name, original) in cases::cases() {
        // Directories that the host cannot go through by path are no matter of ownership.
        if name == "a long and deep path" {
            continue;
        }
        eprintln!("{name}");
        let metadata = Metadata::of(&original.tree);
        let report = with_each(&|| unprivileged(&original), |rootfs| {
            let report = apply_ownership(rootfs, &metadata).unwrap();
            let again = apply_ownership(rootfs, &metadata).unwrap();
            assert_eq!((again.changed, again.remade, again.mismatches), (0, 0, 0), "{name}");
            report
        });
        assert_eq!(report.mismatches, 0, "{name}: {report:?}");
        assert_eq!(report.entries, report.changed + report.unchanged + report.further_names, "{name}");
        let special = |kind: &MetadataKind| {
            !matches!(kind, MetadataKind::File | MetadataKind::Directory | MetadataKind::Symlink)
        };
        let want = metadata.entries.iter().filter(|entry| special(&entry.kind)).count();
        assert_eq!(report.remade, want as u64, "{name}");
        // The tree itself is the original again.
        let mut copy = unprivileged(&original);
        let mut rootfs = banger_tree::TreeRootfs::new(&mut copy.tree, &mut copy.store);
        apply_ownership(&mut rootfs, &metadata).unwrap();
        assert_eq!(Metadata::of(&copy.tree), metadata, "{name}");
        let names = |tree: &Tree| tree.walk().map(|(_, id)| tree.inode(id).names()).collect::<Vec<_>>();
        assert_eq!(names(&copy.tree), names(&original.tree), "{name}: links");
    }
}

fn entry(path: &str, kind: MetadataKind, bits: u16) -> MetadataEntry {
    let attributes = Attributes { uid: 7, gid: 8, ..mode(bits) };
    MetadataEntry::new(GuestPath::parse(path).unwrap(), kind, attributes)
}

fn odd() -> Fixture {
    let mut fixture = Fixture::default();
    fixture.dir("/usr");
    fixture.dir("/usr/lib");
    fixture.symlink("/lib", b"usr/lib");
    fixture.file("/usr/lib/a", b"bytes");
    fixture.file("/file", b"bytes");
    fixture.file("/empty", b"");
    let shared = fixture.file("/one", b"shared");
    fixture.link("/two", shared);
    fixture.add("/null", NodeKind::CharDevice { major: 1, minor: 5 }, mode(0o666));
    fixture.add("/fifo", NodeKind::Socket, mode(0o666));
    fixture.dir("/dir");
    fixture.symlink("/loop", b"loop");
    fixture
}

#[test]
fn what_does_not_fit_is_reported_and_left_alone() {
    let null = MetadataKind::CharDevice { major: 1, minor: 3 };
    let sda = MetadataKind::BlockDevice { major: 8, minor: 0 };
    let metadata = Metadata::new(vec![
        entry("/", MetadataKind::Directory, 0o750),
        entry("/lib", MetadataKind::Directory, 0o700),
        entry("/lib/a", MetadataKind::File, 0o600),
        entry("/gone", MetadataKind::File, 0o600),
        entry("/gone/below", MetadataKind::File, 0o600),
        entry("/file/below", MetadataKind::File, 0o600),
        entry("/loop/below", MetadataKind::File, 0o600),
        entry("/file", null.clone(), 0o600),
        entry("/dir", sda.clone(), 0o600),
        entry("/loop", MetadataKind::Fifo, 0o600),
        entry("/empty", sda, 0o640),
        entry("/null", null, 0o620),
        entry("/fifo", MetadataKind::Fifo, 0o600),
        entry("/one", MetadataKind::File, 0o600),
        entry("/two", MetadataKind::File, 0o644),
        entry("/usr/lib/a", MetadataKind::File, 0o604),
    ]);
    let report = with_each(&odd, |rootfs| {
        let report = apply_ownership(rootfs, &metadata).unwrap();
        let stat = |path: &str| rootfs.stat(&GuestPath::parse(path).unwrap()).unwrap().unwrap();
        assert_eq!(stat("/null").device, Some((1, 3)));
        assert_eq!(stat("/empty").device, Some((8, 0)));
        assert_eq!((stat("/two").attributes.mode, stat("/two").nlink), (0o600, 2));
        assert_eq!(stat("/usr/lib/a").attributes.mode, 0o604);
        assert_eq!(stat("/lib").attributes, mode(0o777));
        assert_eq!(stat("/file").attributes, mode(0o644));
        report
    });
    let found: Vec<(String, MismatchReason)> =
        report.first_mismatches.iter().map(|entry| (entry.path.to_string(), entry.reason)).collect();
    let want = [
        ("/lib", MismatchReason::OtherType),
        ("/lib/a", MismatchReason::Missing),
        ("/gone", MismatchReason::Missing),
        ("/gone/below", MismatchReason::Missing),
        ("/file/below", MismatchReason::Missing),
        ("/loop/below", MismatchReason::Missing),
        ("/file", MismatchReason::OtherType),
        ("/dir", MismatchReason::OtherType),
        ("/loop", MismatchReason::OtherType),
        ("/two", MismatchReason::SharedInode),
    ]
    .map(|(path, reason)| (path.to_owned(), reason));
    assert_eq!(found, want);
    assert_eq!((report.entries, report.mismatches, report.remade), (16, 10, 3));
}

#[test]
fn mismatches_are_counted_and_the_first_named() {
    let entries = (0..250).map(|at| entry(&format!("/missing-{at}"), MetadataKind::File, 0o600)).collect();
    let report = with_each(&Fixture::default, |rootfs| {
        apply_ownership(rootfs, &Metadata::new(Vec::clone(&entries))).unwrap()
    });
    assert_eq!((report.mismatches, report.first_mismatches.len()), (250, 100));
}

#[test]
fn xattrs_are_the_whole_set() {
    let mut old = mode(0o644);
    old.xattrs = Xattrs::from_iter([("user.old", "1"), ("user.kept", "1")]);
    let mut wanted = entry("/file", MetadataKind::File, 0o755);
    wanted.attributes.xattrs = Xattrs::from_iter([("user.kept", "2"), ("security.capability", "cap")]);
    let want = wanted.attributes.clone();
    let metadata = Metadata::new(vec![wanted]);
    with_each(
        &|| {
            let mut fixture = Fixture::default();
            fixture.file_with("/file", b"x", old.clone());
            fixture
        },
        |rootfs| {
            assert_eq!(apply_ownership(rootfs, &metadata).unwrap().changed, 1);
            assert_eq!(rootfs.stat(&GuestPath::parse("/file").unwrap()).unwrap().unwrap().attributes, want);
        },
    );
}
