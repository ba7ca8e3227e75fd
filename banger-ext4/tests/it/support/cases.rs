//! Trees that writers of ext4 get wrong: every backend has to build all of them.

use banger_testkit::{ACL_NO_ID, posix_acl};
use banger_tree::{Attributes, NodeKind, Timestamp, Xattrs};

use super::fixture::{Fixture, mode};

/// Returns every case with its name.
pub(crate) fn cases() -> Vec<(&'static str, Fixture)> {
    vec![
        ("an empty tree", Fixture::default()),
        ("every kind of inode", every_kind()),
        ("names of every sort", names()),
        ("t05 symlinks of every length", symlinks()),
        ("hard links", hard_links()),
        ("t07 times", times()),
        ("t08 posix acls", posix_acls()),
        ("t09 xattrs", xattrs()),
        ("t11 the root has attributes", root_attributes()),
        ("t11 lost+found is shipped", lost_and_found()),
        ("t13 devices", devices()),
        ("t16 holes", holes()),
        ("modes and owners", modes_and_owners()),
        ("a long and deep path", deep()),
        ("t03 a large directory", large_directory()),
    ]
}

fn every_kind() -> Fixture {
    let mut fixture = Fixture::default();
    fixture.dir("/dir");
    fixture.dir("/dir/empty");
    fixture.file("/dir/file", b"some bytes\n");
    fixture.file("/empty", b"");
    fixture.file("/large", &(0..3_000_000_u32).map(|at| (at / 7 + 1) as u8 | 1).collect::<Vec<_>>());
    fixture.symlink("/dir/up", b"../dir/file");
    fixture.symlink("/absolute", b"/etc/passwd");
    fixture.add("/dir/fifo", NodeKind::Fifo, mode(0o640));
    fixture.add("/dir/socket", NodeKind::Socket, mode(0o755));
    fixture.add("/dir/null", NodeKind::CharDevice { major: 1, minor: 3 }, mode(0o666));
    fixture.add("/dir/sda", NodeKind::BlockDevice { major: 8, minor: 0 }, mode(0o660));
    fixture
}

fn names() -> Fixture {
    let mut fixture = Fixture::default();
    let names: [&[u8]; 24] = [
        &[b'n'; 255],
        b" leading",
        b"trailing ",
        b"two words",
        b"tab\there",
        b"new\nline",
        b"carriage\rreturn",
        b"quo\"te",
        b"\"",
        b"'single'",
        b"back\\slash",
        b"<12>",
        b"-rf",
        b"#hash",
        b"*",
        b"$HOME",
        b"~",
        b"latin\xe9",
        b"\xff\xfe",
        "ünï→".as_bytes(),
        b"...",
        b"removed-0",
        b";semi|pipe&",
        b"0",
    ];
    for (number, name) in names.iter().enumerate() {
        let dir = [&b"/"[..], name].concat();
        fixture.dir(&dir);
        let below = |kind: &str| [&dir[..], b"/", kind.as_bytes(), name].concat();
        // The longest name has no room for one more byte.
        let below = |kind| if name.len() == 255 { [&dir[..], b"/", name].concat() } else { below(kind) };
        let attributes = mode(0o600);
        match number % 4 {
            _ if name.len() < 255 => {
                fixture.file(below("f"), name);
                fixture.symlink(below("s"), name);
                fixture.add(below("d"), NodeKind::CharDevice { major: 5, minor: 1 }, attributes.clone());
                fixture.add(below("p"), NodeKind::Fifo, attributes);
            }
            _ => {
                fixture.add(below(""), NodeKind::BlockDevice { major: 7, minor: 300 }, attributes);
            }
        }
    }
    fixture
}

fn symlinks() -> Fixture {
    let mut fixture = Fixture::default();
    for length in [1, 58, 59, 60, 61, 63, 64, 255, 1023, 1024, 4094, 4095] {
        fixture.symlink(format!("/one-{length}"), &vec![b'a'; length]);
        let linked = fixture.symlink(format!("/linked-{length}"), &vec![b'b'; length]);
        fixture.link(format!("/zz-other-{length}"), linked);
    }
    fixture.symlink("/host", b"/../../../../etc");
    fixture.symlink("/odd", b"new\nline \xff\"");
    fixture
}

fn hard_links() -> Fixture {
    let mut fixture = Fixture::default();
    fixture.dir("/a");
    fixture.dir("/b");
    let file = fixture.file("/b/first", b"shared");
    for number in 0..100 {
        fixture.link(format!("/a/{number}"), file);
    }
    let empty = fixture.file("/empty", b"");
    fixture.link("/b/empty", empty);
    let device = fixture.add("/a/tty", NodeKind::CharDevice { major: 5, minor: 0 }, mode(0o620));
    fixture.link("/b/tty", device);
    fixture.link("/b/tty\n", device);
    let fifo = fixture.add("/a/fifo", NodeKind::Fifo, mode(0o600));
    fixture.link("/b/fifo", fifo);
    let socket = fixture.add("/a/socket", NodeKind::Socket, mode(0o600));
    fixture.link("/b/socket", socket);
    let link = fixture.symlink("/a/link", b"first");
    fixture.link("/b/li\nnk", link);
    fixture
}

fn times() -> Fixture {
    let mut fixture = Fixture::default();
    for (number, (seconds, nanoseconds)) in [
        (0, 0),
        (-1, 0),
        (-1, 999_999_999),
        (-(1 << 31), 0),
        (1, 1),
        ((1 << 31) - 1, 999_999_999),
        (1 << 31, 0),
        ((1 << 32) - 1, 123_456_789),
        (1 << 32, 0),
        (1 << 33, 7),
        // The last ones that e2fsck believes: it takes times after 2310 for times before 1970.
        (10_737_418_239, 999_999_999),
    ]
    .into_iter()
    .enumerate()
    {
        let attributes = Attributes { mtime: Timestamp { seconds, nanoseconds }, ..mode(0o644) };
        fixture.file_with(format!("/file-{number}"), b"x", attributes.clone());
        fixture.add(format!("/dir-{number}"), NodeKind::empty_directory(), attributes.clone());
        let target = NodeKind::Symlink { target: (&b"x"[..]).into() };
        fixture.add(format!("/link-{number}"), target, attributes);
    }
    fixture
}

fn posix_acls() -> Fixture {
    let long: Vec<(u16, u16, u32)> = [(1, 7, ACL_NO_ID)]
        .into_iter()
        .chain((0..60).map(|id| (2, 5, 100_000 + id)))
        .chain([(4, 5, ACL_NO_ID), (8, 6, 12), (16, 7, ACL_NO_ID), (32, 0, ACL_NO_ID)])
        .collect();
    let short = [(1, 6, ACL_NO_ID), (2, 7, 1000), (4, 4, ACL_NO_ID), (16, 7, ACL_NO_ID), (32, 4, ACL_NO_ID)];
    let mut fixture = Fixture::default();
    let with = |bits, xattrs| Attributes { xattrs, ..mode(bits) };
    let access = Xattrs::from_iter([("system.posix_acl_access", posix_acl(&short))]);
    fixture.file_with("/file", b"open me", with(0o674, access));
    let both = Xattrs::from_iter([
        ("system.posix_acl_access", posix_acl(&short)),
        ("system.posix_acl_default", posix_acl(&long)),
    ]);
    fixture.add("/dir", NodeKind::empty_directory(), with(0o674, both));
    fixture.file("/dir/file", b"in a directory with a default ACL");
    fixture
}

fn xattrs() -> Fixture {
    let mut fixture = Fixture::default();
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let with = |xattrs: Xattrs| Attributes { xattrs, ..mode(0o755) };
    let all_bytes: Vec<u8> = (0..=255).collect();
    let several = || {
        Xattrs::from_iter([
            ("security.capability", capability.to_vec()),
            ("trusted.overlay.origin", vec![0]),
            ("user.empty", vec![]),
            ("user.two words \"quoted\"", all_bytes.clone()),
            ("user.ünï", b"new\nline\0".to_vec()),
        ])
    };
    fixture.file_with("/ping", b"\x7fELF", with(Xattrs::from_iter([("security.capability", capability)])));
    fixture.file_with("/several", b"", with(several()));
    fixture.add("/dir", NodeKind::empty_directory(), with(several()));
    let only_trusted = || Xattrs::from_iter([("trusted.x", "1"), ("security.y", "2")]);
    fixture.add("/link", NodeKind::Symlink { target: (&b"ping"[..]).into() }, with(only_trusted()));
    let long = NodeKind::Symlink { target: vec![b't'; 200].into() };
    let many = Xattrs::from_iter((0..40).map(|number| (format!("trusted.{number}"), vec![number; 50])));
    fixture.add("/long-link", long, with(many.clone()));
    fixture.add("/fifo", NodeKind::Fifo, with(many.clone()));
    fixture.add("/null", NodeKind::CharDevice { major: 1, minor: 3 }, with(only_trusted()));
    fixture.file_with("/many", b"many", with(many));
    let largest = Xattrs::from_iter([("user.a", vec![0xa5; 4040])]);
    fixture.file_with("/largest", b"x", with(largest));
    let exact = Xattrs::from_iter([("user.a", vec![0x5a; 68])]);
    fixture.file_with("/exactly-in-the-inode", b"x", with(exact));
    let long_name = Xattrs::from_iter([(format!("user.{}", "n".repeat(250)), "v")]);
    fixture.file_with("/long-name", b"x", with(long_name));
    fixture
}

fn root_attributes() -> Fixture {
    let mut fixture = Fixture::default();
    let root = fixture.tree.root();
    let xattrs = Xattrs::from_iter([("user.root", "yes")]);
    let mtime = Timestamp { seconds: 1_234_567_890, nanoseconds: 42 };
    *fixture.tree.attributes_mut(root) = Attributes { mode: 0o1751, uid: 12, gid: 70_000, mtime, xattrs };
    fixture.dir("/etc");
    fixture
}

fn lost_and_found() -> Fixture {
    let mut fixture = Fixture::default();
    fixture.add("/lost+found", NodeKind::empty_directory(), Attributes { uid: 7, ..mode(0o1755) });
    fixture.file("/lost+found/#12", b"found");
    fixture.dir("/lost+found/dir");
    fixture
}

fn devices() -> Fixture {
    let mut fixture = Fixture::default();
    for (major, minor) in
        [(0, 0), (1, 3), (255, 255), (256, 0), (0, 256), (8, 300), (259, 65_536), (4095, 1_048_575)]
    {
        fixture.add(format!("/c{major}-{minor}"), NodeKind::CharDevice { major, minor }, mode(0o600));
        fixture.add(format!("/b{major}-{minor}"), NodeKind::BlockDevice { major, minor }, mode(0o640));
    }
    fixture
}

fn holes() -> Fixture {
    let mut fixture = Fixture::default();
    type Case = (&'static str, &'static [(u64, &'static [u8])], u64);
    let cases: [Case; 6] = [
        ("only-a-hole", &[], 50_000_000),
        ("data-at-the-end", &[(30_000_000, b"end")], 30_000_003),
        ("data-at-the-start", &[(0, b"start")], 1 << 20),
        ("not-on-block-bounds", &[(5000, b"one"), (9000, b"two"), (100_000, b"three")], 123_457),
        ("zeros-that-were-written", &[(0, &[0; 20_000]), (40_000, &[0; 5]), (50_000, b"x")], 60_000),
        ("one-hole-byte", &[], 1),
    ];
    for (name, pieces, size_bytes) in cases {
        let content = fixture.content(pieces, size_bytes);
        fixture.add(format!("/{name}"), NodeKind::Regular { size_bytes, content }, mode(0o644));
    }
    // More extents than the inode holds, and than one block of them holds.
    for runs in [5, 400] {
        let pieces: Vec<(u64, &[u8])> = (0..runs).map(|run| (run * 8192, &b"data"[..])).collect();
        let content = fixture.content(&pieces, runs * 8192);
        fixture.add(
            format!("/runs-{runs}"),
            NodeKind::Regular { size_bytes: runs * 8192, content },
            mode(0o644),
        );
    }
    fixture
}

fn modes_and_owners() -> Fixture {
    let mut fixture = Fixture::default();
    for bits in [0o0, 0o1, 0o200, 0o444, 0o644, 0o4755, 0o2755, 0o1777, 0o6711, 0o7777] {
        fixture.file_with(format!("/file-{bits:o}"), b"readable to the builder", mode(bits));
        let dir = format!("/dir-{bits:o}");
        fixture.add(&dir, NodeKind::empty_directory(), mode(bits));
        fixture.file_with(format!("{dir}/file"), b"below", mode(bits));
        fixture.add(format!("/fifo-{bits:o}"), NodeKind::Fifo, mode(bits));
    }
    for (number, (uid, gid)) in
        [(0, 1), (65_534, 65_535), (65_536, 65_537), (1 << 31, u32::MAX - 1)].into_iter().enumerate()
    {
        let attributes = Attributes { uid, gid, ..mode(0o640) };
        fixture.file_with(format!("/owned-{number}"), b"x", attributes.clone());
        fixture.add(format!("/owned-dir-{number}"), NodeKind::empty_directory(), attributes.clone());
        let target = NodeKind::Symlink { target: (&b"x"[..]).into() };
        fixture.add(format!("/owned-link-{number}"), target, Attributes { mode: 0o777, ..attributes });
    }
    fixture
}

fn deep() -> Fixture {
    let mut fixture = Fixture::default();
    let mut path = String::new();
    while path.len() + 256 < 4000 {
        path = format!("{path}/{}", "d".repeat(255));
        fixture.dir(&path);
    }
    fixture.file(format!("{path}/file"), b"far down");
    // Of odd lengths: mke2fs fails on a path of 2040 bytes.
    let mut path = "/xx".to_owned();
    fixture.dir(&path);
    for _ in 0..2045 {
        path.push_str("/x");
        fixture.dir(&path);
    }
    fixture.file(format!("{path}/f"), b"deep down");
    fixture
}

fn large_directory() -> Fixture {
    let mut fixture = Fixture::default();
    fixture.dir("/many");
    for number in 0..5000 {
        fixture.file_with(format!("/many/a-name-of-some-length-{number}"), b"", mode(0o644));
    }
    for number in 0..300 {
        fixture.dir(format!("/many/directory-{number}"));
    }
    fixture
}
