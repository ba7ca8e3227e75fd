//! The judges must be able to condemn.

use banger_e2fsprogs::E2fsprogsBackend;
use banger_ext4::Ext4Backend as _;
use banger_tree::{Attributes, LayerIndex, NodeKind, Timestamp, Tree, Xattrs};

use crate::e2fsprogs::{Workplace, build, has_tools, options};
use crate::support::Fixture;
use crate::support::compare::compare_root;
use crate::support::fixture::mode;
use crate::support::judge::{e2fsck, with_mounted};

fn fixture() -> Fixture {
    let mut fixture = Fixture::default();
    fixture.dir("/d");
    let a = fixture.file("/d/a", b"aaaa");
    fixture.link("/d/b", a);
    fixture.symlink("/l", b"target");
    fixture.add("/n", NodeKind::CharDevice { major: 1, minor: 3 }, mode(0o600));
    fixture
}

#[test]
fn every_kind_of_difference_is_seen() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    let image = place.image("image");
    build(&place.backend(), &image, &options(), &fixture()).unwrap();
    type Change = fn(&mut Fixture);
    fn attributes(fixture: &mut Fixture, path: &str, change: fn(&mut Attributes)) {
        let path = banger_tree::GuestPath::parse(path).unwrap();
        let id = fixture.tree.resolve(&path, false).unwrap().node.unwrap();
        change(fixture.tree.attributes_mut(id));
    }
    fn replace(fixture: &mut Fixture, name: &str, kind: NodeKind) {
        let root = fixture.tree.root();
        fixture.tree.remove(root, name.as_bytes());
        fixture.add(format!("/{name}"), kind, mode(0o600));
    }
    let changes: [(&str, Change); 14] = [
        ("", |_| {}),
        ("mode", |fixture| attributes(fixture, "/d", |attributes| attributes.mode = 0o700)),
        ("uid", |fixture| attributes(fixture, "/l", |attributes| attributes.uid = 1)),
        ("gid", |fixture| attributes(fixture, "/", |attributes| attributes.gid = 1)),
        ("mtime", |fixture| {
            attributes(fixture, "/n", |attributes| attributes.mtime = Timestamp::from_seconds(1))
        }),
        ("nanoseconds", |fixture| attributes(fixture, "/d/a", |attributes| attributes.mtime.nanoseconds = 1)),
        ("xattrs", |fixture| {
            attributes(fixture, "/d", |attributes| attributes.xattrs = Xattrs::from_iter([("user.a", "b")]));
        }),
        ("set of names", |fixture| {
            fixture.dir("/d/more");
        }),
        ("set of names", |fixture| drop(fixture.tree.remove(fixture.tree.root(), b"l"))),
        ("target", |fixture| replace(fixture, "l", NodeKind::Symlink { target: (&b"tarGet"[..]).into() })),
        ("device", |fixture| replace(fixture, "n", NodeKind::CharDevice { major: 1, minor: 5 })),
        ("mode", |fixture| replace(fixture, "n", NodeKind::BlockDevice { major: 1, minor: 3 })),
        ("link count", |fixture| {
            let d = fixture.tree.child(fixture.tree.root(), b"d").unwrap();
            fixture.tree.remove(d, b"b");
            fixture.file("/d/b", b"aaaa");
        }),
        ("content", |fixture| {
            let other = fixture.content(&[(0, b"aaab")], 4);
            let d = fixture.tree.child(fixture.tree.root(), b"d").unwrap();
            fixture.tree.remove(d, b"a");
            fixture.tree.remove(d, b"b");
            let kind = NodeKind::Regular { size_bytes: 4, content: other };
            let id = fixture.add("/d/a", kind, mode(0o644));
            fixture.link("/d/b", id);
        }),
    ];
    with_mounted(&image, |root| {
        for (want, change) in changes {
            let mut changed = fixture();
            change(&mut changed);
            let found = compare_root(root, &changed.tree, &changed.store);
            if want.is_empty() {
                assert!(found.is_empty(), "{found:?}");
            } else {
                assert!(found.iter().any(|line| line.contains(want)), "no {want} in {found:?}");
            }
        }
    });
}

#[test]
fn e2fsck_complains_of_damage() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    let image = place.image("image");
    let mut builder = E2fsprogsBackend::new().create(&image, &options()).unwrap();
    let id = builder.begin(LayerIndex(0), 1).unwrap();
    builder.append(id, b"x").unwrap();
    builder.finish(id).unwrap();
    builder.build_ext4(&Tree::new()).unwrap();
    e2fsck(&image);
    let mut bytes = std::fs::read(&image).unwrap();
    // A mount count in the superblock, without the checksum that goes with it.
    bytes[1024 + 0x34] ^= 1;
    std::fs::write(&image, bytes).unwrap();
    assert!(std::panic::catch_unwind(|| e2fsck(&image)).is_err());
}
