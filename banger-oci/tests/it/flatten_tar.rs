//! Behaviours 23 to 27: what tar headers mean, and 29: what they may ask for.

use banger_oci::flatten::{FlattenOptions, Limits, WarningKind};
use banger_oci::tar::{Data, TarEntry, TarEntryKind, TarLimits, TarReader};
use banger_tree::{Timestamp, Xattrs};

use crate::images::refused_by_images;
use crate::layers::{apply_with, error_of, tree_of};
use crate::tarball::{GNU, Head, Tar, V7, base256, octal, put, record, seal};

#[test]
fn b23_pax_size_wins_for_file_data_only() {
    // The header says 0 or something else, the record says 5.
    for size in [0, 600, 5] {
        let tar = Tar::new()
            .pax(&[("size", b"5")])
            .head(Head::new(b'0', "a").size(size))
            .data("12345")
            .file("b", "2");
        assert_eq!(tree_of(&[tar.end()]).listing(), ["/a=12345", "/b=2"], "{size}");
    }
    // Between the record and its file stands an `L` with a size of its own.
    let inner = Tar::new().file("hidden", "x").end();
    let name = "n".repeat(120);
    let tar = Tar::new()
        .pax(&[("size", inner.len().to_string().as_bytes())])
        .long(b'L', &name)
        .head(Head::new(b'0', "n").magic(GNU))
        .data(&inner)
        .file("b", "2");
    let outcome = tree_of(&[tar.end()]);
    assert_eq!(outcome.flattened.tree.inode_count(), 3);
    assert_eq!(outcome.bytes(&name), inner);
    // No data behind what has none.
    let tar =
        Tar::new().pax(&[("size", b"512")]).dir("d").pax(&[("size", b"9")]).symlink("l", "d").file("b", "2");
    assert_eq!(tree_of(&[tar.end()]).listing(), ["/b=2", "/d/", "/l->d"]);
    let tar = Tar::new().head(Head::new(b'1', "l").link("b").size(700)).file("b", "2");
    assert_eq!(tree_of(&[tar.end()]).names("/b"), 2);
}

#[test]
fn b23_names_of_every_format() {
    let long = "d/".repeat(70) + "x";
    let prefixed = Head { prefix: "p".repeat(155).into_bytes(), ..Head::new(b'0', "n".repeat(100)) };
    let mut star = Head { prefix: vec![b'p'; 131], ..Head::new(b'0', "x") }.block();
    put(&mut star, 476, b"00000000001\x0000000000001\0");
    put(&mut star, 508, b"tar\0");
    seal(&mut star);
    let mut gnu = Head::new(b'0', "x").magic(GNU).block();
    put(&mut gnu, 345, b"00000000001\x0000000000001\0");
    seal(&mut gnu);
    let cases = [
        (Tar::new().head(prefixed), format!("/{}/{}", "p".repeat(155), "n".repeat(100))),
        (Tar::new().raw(star), format!("/{}/x", "p".repeat(131))),
        (Tar::new().raw(gnu), "/x".to_owned()),
        (Tar::new().head(Head::new(0, "v7").magic(V7)), "/v7".to_owned()),
        (Tar::new().long(b'L', &long).head(Head::new(b'0', "x").magic(GNU)), format!("/{long}")),
        (Tar::new().pax(&[("path", long.as_bytes())]).file("x", ""), format!("/{long}")),
        (Tar::new().pax(&[("path", long.as_bytes())]).long(b'L', &long).file("x", ""), format!("/{long}")),
        (Tar::new().pax(&[("path", b"")]).file("x", ""), "/x".to_owned()),
    ];
    for (tar, path) in cases {
        let outcome = tree_of(&[tar.end()]);
        assert_eq!(outcome.listing().last().unwrap(), &format!("{path}="));
    }
    let tar = Tar::new()
        .pax(&[("linkpath", long.as_bytes())])
        .symlink("a", "x")
        .long(b'K', &long)
        .symlink("b", "x");
    assert_eq!(tree_of(&[tar.end()]).listing(), [format!("/a->{long}"), format!("/b->{long}")]);
}

#[test]
fn b24_malformed_records_are_errors() {
    let file = |tar: Tar| tar.file("x", "").end();
    let with_records = |records: &[u8]| file(Tar::new().with_data(Head::new(b'x', "p"), records));
    let long = |tar: Tar, flag, data: &[u8]| tar.with_data(Head::new(flag, "l").magic(GNU), data);
    let cases = [
        with_records(b"6 a=b"),
        with_records(b"999 a=b\n"),
        with_records(b"x a=b\n"),
        with_records(b"5 ab\n"),
        with_records(b"6 a=b\n\0\0\0\0"),
        with_records(&record("size", "12x")),
        with_records(&record("size", "-1")),
        with_records(&record("mtime", "now")),
        file(Tar::new().pax(&[("path", b"a")]).pax(&[("path", b"a")])),
        file(long(long(Tar::new(), b'L', b"a\0"), b'L', b"a\0")),
        file(long(long(Tar::new(), b'K', b"a\0"), b'K', b"a\0")),
        file(long(Tar::new(), b'L', b"")),
        file(long(Tar::new(), b'L', b"\0")),
        file(long(Tar::new(), b'L', b"a\0b\0")),
        file(Tar::new().pax(&[("path", b"a")]).long(b'L', "b")),
        // Records that no file follows.
        Tar::new().pax(&[("path", b"a")]).end(),
        Tar::new().long(b'L', "a").end(),
        Tar::new().long(b'K', "a").bytes,
    ];
    for (index, tar) in cases.into_iter().enumerate() {
        let error = error_of(&[tar], 0);
        assert!(error.contains("bad "), "{index}: {error}");
    }
}

#[test]
fn b24_the_last_of_repeated_records_holds_with_a_warning() {
    let records = [
        record("path", "a"),
        record("mtime", "1"),
        record("path", "b"),
        record("path", ""),
        record("path", "c"),
        record("mtime", "2"),
    ];
    let tar = Tar::new().with_data(Head::new(b'x', "p"), records.concat()).file("x", "1").end();
    let outcome = tree_of(&[tar]);
    assert_eq!(outcome.listing(), ["/c=1"]);
    let warnings: Vec<_> = outcome.flattened.warnings.iter().map(|warning| warning.kind.clone()).collect();
    assert_eq!(warnings, [WarningKind::RepeatedRecord { key: "path".to_owned() }]);
    // A header without records says nothing.
    let tar = Tar::new().with_data(Head::new(b'x', "p"), "").file("x", "1").end();
    assert_eq!(tree_of(&[tar]).listing(), ["/x=1"]);
}

#[test]
fn b24_global_headers_are_ignored() {
    let global = record("path", "evil");
    let tar = Tar::new()
        .with_data(Head::new(b'g', "g"), &global)
        .file("a", "1")
        .pax(&[("path", b"b")])
        .with_data(Head::new(b'g', "g"), "not even records")
        .file("x", "2");
    assert_eq!(tree_of(&[tar.end()]).listing(), ["/a=1", "/b=2"]);
}

#[test]
fn b24_headers_that_do_not_parse_are_errors() {
    let broken = |change: &dyn Fn(&mut [u8; 512])| {
        let mut block = Head::new(b'0', "x").block();
        change(&mut block);
        seal(&mut block);
        Tar::new().raw(block).end()
    };
    let cases = [
        (broken(&|block| put(block, 100, b"rw-r--r-")), "bad mode"),
        (broken(&|block| put(block, 108, b"-1\0\0\0\0\0\0")), "bad uid"),
        (broken(&|block| put(block, 116, &base256(-1, 8))), "bad gid"),
        (broken(&|block| put(block, 124, &base256(-512, 12))), "bad size"),
        (broken(&|block| put(block, 124, &[0xbf; 12])), "bad size"),
        (broken(&|block| put(block, 136, b"tomorrow\0\0\0\0")), "bad mtime"),
        (broken(&|block| block[156] = b'M'), "type flag 'M'"),
        (broken(&|block| block[156] = b'N'), "type flag 'N'"),
        (broken(&|block| block[156] = b'?'), "type flag '?'"),
        (Tar::new().raw([b'x'; 512]).end(), "wrong checksum"),
        (Tar::new().file("a", "").raw([0; 512]).file("b", "").end(), "lone block of zeros"),
    ];
    for (tar, want) in cases {
        let error = error_of(&[tar], 0);
        assert!(error.contains(want), "{want}: {error}");
    }
}

#[test]
fn b24_checksums_of_signed_bytes_are_accepted() {
    let mut block = Head::new(b'0', b"\xff\xfe").block();
    block[148..156].fill(b' ');
    let sum: i64 = block.iter().map(|byte| i64::from(byte.cast_signed())).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(tree_of(&[Tar::new().raw(block).end()]).listing(), ["/\\xff\\xfe="]);
}

/// The file that every sparse format below describes: 1000 zeros, `abc`, zeros up to 5000, `de`,
/// zeros up to 6000.
fn sparse_bytes() -> Vec<u8> {
    let mut bytes = vec![0; 6000];
    bytes[1000..1003].copy_from_slice(b"abc");
    bytes[5000..5002].copy_from_slice(b"de");
    bytes
}

fn old_sparse(slots: &[(u64, u64)], real_size: u64, data: &str) -> Tar {
    let mut block = Head::new(b'S', "s").magic(GNU).size(data.len() as u64).block();
    let slot = |(offset, length): &(u64, u64)| [octal(*offset, 12), octal(*length, 12)].concat();
    let (first, more) = slots.split_at(slots.len().min(4));
    put(&mut block, 386, &first.iter().flat_map(slot).collect::<Vec<u8>>());
    block[482] = u8::from(!more.is_empty());
    put(&mut block, 483, &octal(real_size, 12));
    seal(&mut block);
    let mut tar = Tar::new().raw(block);
    let mut chunks = more.chunks(21).peekable();
    while let Some(chunk) = chunks.next() {
        let mut block = [0; 512];
        put(&mut block, 0, &chunk.iter().flat_map(slot).collect::<Vec<u8>>());
        block[504] = u8::from(chunks.peek().is_some());
        tar = tar.raw(block);
    }
    tar.data(data)
}

const MAP: [(u64, u64); 3] = [(1000, 3), (5000, 2), (6000, 0)];

#[test]
fn b25_sparse_files_of_all_formats_are_expanded() {
    let map_1_0 = "3\n1000\n3\n5000\n2\n6000\n0\n";
    let mut data_1_0 = map_1_0.as_bytes().to_vec();
    data_1_0.resize(512, 0);
    data_1_0.extend(b"abcde");
    let pairs = [
        record("GNU.sparse.size", "6000"),
        record("GNU.sparse.numblocks", "3"),
        record("GNU.sparse.offset", "1000"),
        record("GNU.sparse.numbytes", "3"),
        record("GNU.sparse.offset", "5000"),
        record("GNU.sparse.numbytes", "2"),
        record("GNU.sparse.offset", "6000"),
        record("GNU.sparse.numbytes", "0"),
    ];
    let formats = [
        ("old", old_sparse(&MAP, 6000, "abcde")),
        ("0.0", Tar::new().with_data(Head::new(b'x', "p"), pairs.concat()).file("s", "abcde")),
        (
            "0.1",
            Tar::new()
                .pax(&[
                    ("GNU.sparse.size", b"6000"),
                    ("GNU.sparse.numblocks", b"3"),
                    ("GNU.sparse.name", b"s"),
                    ("GNU.sparse.map", b"1000,3,5000,2,6000,0"),
                ])
                .file("GNUSparseFile.1/s", "abcde"),
        ),
        (
            "1.0",
            Tar::new()
                .pax(&[
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.name", b"s"),
                    ("GNU.sparse.realsize", b"6000"),
                ])
                .file("GNUSparseFile.1/s", &data_1_0),
        ),
    ];
    for (name, tar) in formats {
        let tar = tar.file("next", "1").end();
        let outcome = tree_of(std::slice::from_ref(&tar));
        assert_eq!(outcome.flattened.tree.inode_count(), 3, "{name}");
        assert!(outcome.bytes("/s") == sparse_bytes(), "{name}");
        assert_eq!(outcome.flattened.layers[0].content_bytes, 6, "{name}");
        // The holes are not bytes.
        let mut reader = TarReader::new(&tar[..], TarLimits::default());
        let mut entry = TarEntry::default();
        assert!(reader.next_entry(&mut entry).unwrap());
        assert_eq!((entry.size_bytes, entry.data_bytes), (6000, 5), "{name}");
        let pieces =
            [Data::Hole(1000), Data::Bytes(b"abc"), Data::Hole(3997), Data::Bytes(b"de"), Data::Hole(998)];
        for piece in pieces {
            assert_eq!(reader.next_data().unwrap(), Some(piece), "{name}");
        }
        assert_eq!(reader.next_data().unwrap(), None);
    }
}

#[test]
fn b25_long_maps_and_empty_ones() {
    let count = 90;
    let slots: Vec<(u64, u64)> = (0..count).map(|index| (index * 10, 1)).collect();
    let data = "x".repeat(90);
    let tar = old_sparse(&slots, 900, &data).file("next", "1").end();
    let outcome = tree_of(&[tar]);
    let want: Vec<u8> = (0..900).map(|at| if at % 10 == 0 { b'x' } else { 0 }).collect();
    assert!(outcome.bytes("/s") == want && outcome.bytes("/next") == b"1");
    let lines: String = slots.iter().map(|(offset, length)| format!("{offset}\n{length}\n")).collect();
    let mut map = format!("{count}\n{lines}").into_bytes();
    assert!(map.len() > 512 && !map.len().is_multiple_of(512));
    map.resize(map.len().next_multiple_of(512), 0);
    let records: [(&str, &[u8]); 3] =
        [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"900")];
    let tar = Tar::new().pax(&records).file("s", [&map, data.as_bytes()].concat()).file("next", "1").end();
    let outcome = tree_of(&[tar]);
    assert!(outcome.bytes("/s") == want && outcome.bytes("/next") == b"1");
    // Nothing but a hole.
    for tar in [old_sparse(&[], 3000, ""), old_sparse(&[(3000, 0)], 3000, "")] {
        assert!(tree_of(&[tar.end()]).bytes("/s") == vec![0; 3000]);
    }
}

#[test]
fn b25_maps_that_do_not_add_up_are_errors() {
    let pax = |records: &[(&str, &[u8])], data: &str| Tar::new().pax(records).file("s", data);
    let v1 = |data: &str| {
        let records: [(&str, &[u8]); 3] =
            [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"99")];
        pax(&records, data)
    };
    let padded = |map: &str, data: &str| {
        let mut bytes = map.to_owned();
        bytes.extend(std::iter::repeat_n('\0', 512 - map.len()));
        v1(&(bytes + data))
    };
    let cases = [
        old_sparse(&[(0, 3)], 6000, "abcde"),
        old_sparse(&[(0, 5)], 4, "abcde"),
        old_sparse(&[(10, 2), (11, 3)], 99, "abcde"),
        old_sparse(&[(10, 2), (0, 3)], 99, "abcde"),
        pax(&[("GNU.sparse.size", b"99")], "abc"),
        pax(&[("GNU.sparse.map", b"0,3")], "abc"),
        pax(&[("GNU.sparse.size", b"99"), ("GNU.sparse.map", b"0,3"), ("GNU.sparse.numblocks", b"2")], "abc"),
        pax(&[("GNU.sparse.size", b"99"), ("GNU.sparse.map", b"0,4")], "abc"),
        pax(&[("GNU.sparse.major", b"2"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"3")], "abc"),
        v1("1\n0\n3\n"),
        padded("1\n0\n4\n", "abc"),
        padded("1\n0\nx\n", "abc"),
        padded("1\n0\n3\n7", "abc"),
        padded("999999999999999999999\n", "abc"),
        Tar::new().with_data(Head::new(b'S', "s"), "abc"),
    ];
    for (index, tar) in cases.into_iter().enumerate() {
        let error = error_of(&[tar.end()], 0);
        assert!(error.contains("sparse file"), "{index}: {error}");
    }
    let tar = padded("2000000\n", "abc").end();
    assert!(error_of(&[tar], 0).contains("a sparse map of 2000000"));
}

#[test]
fn b26_xattrs_are_kept_byte_exact() {
    let acl = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff";
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let tar = Tar::new()
        .pax(&[
            ("SCHILY.xattr.security.capability", capability),
            ("SCHILY.xattr.security.selinux", b"system_u:object_r:bin_t:s0\0"),
            ("RHT.security.selinux", b"system_u:object_r:bin_t:s0\0"),
            ("SCHILY.xattr.system.posix_acl_access", acl),
            ("SCHILY.xattr.trusted.x", b"=\n\0"),
            ("SCHILY.xattr.user.a=b", b"key cut at the first sign"),
            ("SCHILY.xattr.user.empty", b""),
            ("LIBARCHIVE.xattr.user.only%20here", b"/+8"),
            ("LIBARCHIVE.xattr.security.capability", b"AAAA"),
        ])
        .file("f", "1")
        .file("plain", "")
        .end();
    let outcome = tree_of(&[tar]);
    let want: [(&str, &[u8]); 6] = [
        ("security.capability", capability),
        ("system.posix_acl_access", acl),
        ("trusted.x", b"=\n\0"),
        ("user.a", b"b=key cut at the first sign"),
        ("user.empty", b""),
        ("user.only here", &[0xff, 0xef]),
    ];
    assert_eq!(outcome.attributes("/f").xattrs, Xattrs::from_iter(want));
    assert!(outcome.attributes("/plain").xattrs.is_empty());
    assert_eq!(outcome.warnings(), []);
}

#[test]
fn b26_xattrs_that_cannot_be_stored() {
    let with = |name: &str, value: &[u8]| {
        Tar::new().pax(&[(&format!("SCHILY.xattr.{name}"), value)]).file("f", "").end()
    };
    for name in ["system.data", "com.apple.quarantine", "user.", "trusted", "system.posix_acl_other"] {
        let outcome = tree_of(&[with(name, b"1")]);
        assert!(outcome.attributes("/f").xattrs.is_empty(), "{name}");
        assert_eq!(outcome.warnings(), [("f", &WarningKind::XattrDropped { name: name.to_owned() })]);
    }
    // In ext4's 88 bytes of the inode and 4060 of a block, an entry of 16 bytes and the name without
    // its namespace, both rounded up to 4, are filled by these two.
    let two = |more: usize| {
        let (inode, block) = (vec![1; 88 - 20], vec![2; 4060 - 20 + more]);
        Tar::new()
            .pax(&[("SCHILY.xattr.user.x", &inode), ("SCHILY.xattr.user.y", &block)])
            .file("f", "")
            .end()
    };
    let limits = Limits::default().with_max_xattr_bytes(1 << 20);
    let options = FlattenOptions::default().with_limits(limits);
    assert_eq!(apply_with(&[two(0)], &options).unwrap().attributes("/f").xattrs.len(), 2);
    let error = error_of(&[with("user.x", &vec![1; 4144 - 16 - 5])], 0);
    assert!(error.contains("f: extended attributes of 4145 bytes"), "{error}");
    // What does not fit though the sum would is refused where the layer is known, by each backend.
    for xattrs in [&[("user.x", 4100)][..], &[("user.x", 2100), ("user.y", 1950)]] {
        let values: Vec<(String, Vec<u8>)> =
            xattrs.iter().map(|(name, len)| (format!("SCHILY.xattr.{name}"), vec![1; *len])).collect();
        let records: Vec<(&str, &[u8])> =
            values.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        refused_by_images(Tar::new().pax(&records).file("f", "").end(), "f");
    }
    refused_by_images(with("system.posix_acl_access", b"x"), "f");
    assert!(error_of(&[with(&format!("user.{}", "n".repeat(251)), b"")], 0).contains("255"));
    let acl = Tar::new().pax(&[("SCHILY.acl.access", b"user::rw-")]).file("f", "").end();
    assert_eq!(tree_of(&[acl]).warnings(), [("f", &WarningKind::AclText)]);
}

#[test]
fn b27_times_are_kept_to_the_nanosecond() {
    let at = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
    let cases = [
        ("1700000000.123456789", at(1_700_000_000, 123_456_789), false),
        ("-1.5", at(-2, 500_000_000), false),
        ("-2147483648", at(-2_147_483_648, 0), false),
        ("4294967296.5", at(4_294_967_296, 500_000_000), false),
        ("15032385535.999999999", at(15_032_385_535, 999_999_999), false),
        ("15032385536", at(15_032_385_535, 999_999_999), true),
        ("-2147483648.5", at(-2_147_483_648, 0), true),
        ("1000000000000000000000000", at(15_032_385_535, 999_999_999), true),
    ];
    for (text, want, clamped) in cases {
        let outcome = tree_of(&[Tar::new().pax(&[("mtime", text.as_bytes())]).file("f", "").end()]);
        assert_eq!(outcome.attributes("/f").mtime, want, "{text}");
        let warnings = if clamped { vec![("f", &WarningKind::TimeClamped)] } else { vec![] };
        assert_eq!(outcome.warnings(), warnings, "{text}");
    }
    let fields =
        [(base256(-5, 12), -5), (base256(1 << 33, 12), 1 << 33), (b"17777777777 ".to_vec(), 0o17777777777)];
    for (mtime, want) in fields {
        let outcome = tree_of(&[Tar::new().head(Head { mtime, ..Head::new(b'0', "f") }).end()]);
        assert_eq!(outcome.attributes("/f").mtime, Timestamp::from_seconds(want));
    }
}

#[test]
fn b27_owners_and_modes() {
    let big = u64::from(u32::MAX);
    let tar = Tar::new()
        .head(Head::new(b'0', "a").owner(big, 1 << 31).mode(0o100_4755))
        .pax(&[("uid", b"4294967295"), ("gid", b"70000")])
        .head(Head::new(b'5', "b").mode(0o41_777))
        .end();
    let outcome = tree_of(&[tar]);
    let (a, b) = (outcome.attributes("/a"), outcome.attributes("/b"));
    assert_eq!((a.mode, a.uid, a.gid), (0o4755, u32::MAX, 1 << 31));
    assert_eq!((b.mode, b.uid, b.gid), (0o1777, u32::MAX, 70000));
    for head in [Head::new(b'0', "d/f").owner(big + 1, 0), Head::new(b'0', "d/f").owner(0, big + 1)] {
        let error = error_of(&[Tar::new().head(head).end()], 0);
        assert!(error.contains("bad ") && error.contains("d/f"), "{error}");
    }
    assert!(
        error_of(&[Tar::new().pax(&[("gid", b"4294967296")]).file("f", "").end()], 0).contains("bad gid")
    );
}

#[test]
fn old_and_odd_type_flags() {
    let read = |tar: Vec<u8>| {
        let mut entry = TarEntry::default();
        assert!(TarReader::new(&tar[..], TarLimits::default()).next_entry(&mut entry).unwrap());
        entry.kind
    };
    let gnu = |flag, name| Tar::new().head(Head::new(flag, name).magic(GNU)).end();
    for (tar, kind) in [
        (Tar::new().head(Head::new(0, "d/").magic(V7)).end(), TarEntryKind::Directory),
        (Tar::new().file("d/", "").end(), TarEntryKind::Directory),
        (Tar::new().file("d/", "x").end(), TarEntryKind::Regular),
        (Tar::new().head(Head::new(b'7', "f")).end(), TarEntryKind::Regular),
        (gnu(b'V', "label"), TarEntryKind::VolumeLabel),
        (gnu(b'D', "d"), TarEntryKind::Directory),
    ] {
        assert_eq!(read(tar), kind);
    }
    let dump = Tar::new().with_data(Head::new(b'D', "d").magic(GNU), "Yname\0\0").file("f", "1").end();
    assert_eq!(tree_of(&[dump]).listing(), ["/d/", "/f=1"]);
    let label = tree_of(&[gnu(b'V', "label")]);
    assert!(label.listing().is_empty() && label.warnings().len() == 1);
}

#[test]
fn b29_every_cap_is_an_option() {
    let defaults = Limits::default();
    let deep = "d/".repeat(20);
    let metadata = defaults.clone().with_max_metadata_bytes(100);
    let cases: [(Limits, Tar, &str); 11] = [
        (
            defaults.clone().with_max_content_bytes(8000),
            Tar::new().file("a", vec![1; 600]).file("b", vec![1; 401]),
            "more than 8000 bytes of file content",
        ),
        (
            defaults.clone().with_max_tar_bytes(4096),
            Tar::new().raw([0; 1024]).raw([0; 8192]),
            "more than 4096 bytes of tar",
        ),
        (
            defaults.clone().with_max_entries(3),
            Tar::new().file("a", "").file("b", "").file("c", "").file("d", ""),
            "d: the image has more than 3 entries",
        ),
        (defaults.clone().with_max_entries(3), Tar::new().file("a/b/c/d", ""), "more than 3 entries"),
        (defaults.clone().with_max_depth(10), Tar::new().dir(&deep), "more than 10 directories"),
        (defaults.clone().with_max_file_bytes(99), Tar::new().file("a", vec![1; 100]), "more than 99"),
        (
            defaults.clone().with_max_extended_bytes(512),
            Tar::new().pax(&[("comment", &[b'x'; 600])]).file("a", ""),
            "more than the 512",
        ),
        (
            metadata.clone(),
            Tar::new().pax(&[("linkpath", &[b't'; 400])]).symlink("a", "t"),
            "more than 100 bytes of names",
        ),
        (
            metadata.clone(),
            Tar::new().long(b'L', "d".repeat(200) + "/" + &"f".repeat(201)).file("x", ""),
            "of names",
        ),
        (metadata, Tar::new().pax(&[("SCHILY.xattr.user.a", &[0; 300])]).file("f", ""), "of names"),
        (defaults.clone().with_max_sparse_extents(2), old_sparse(&MAP, 6000, "abcde"), "more than the 2"),
    ];
    for (limits, tar, want) in cases {
        let tar = tar.end();
        let options = FlattenOptions::default().with_limits(limits);
        let error = apply_with(&[tar], &options).expect_err(want).to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn b29_links_that_wait_for_their_targets_have_a_cap() {
    let dir = format!("{}/", "d".repeat(250)).repeat(4);
    let options = || {
        let limits = Limits::default().with_max_metadata_bytes(3000);
        FlattenOptions::default().with_limits(limits)
    };
    let links = |tar: Tar| {
        let link = |tar: Tar, name: u32| tar.long(b'L', format!("{dir}{name}")).hard_link("l", "f");
        (0..5).fold(tar, link)
    };
    // Their paths are kept until the end of the layer, for errors.
    let outcome = apply_with(&[links(Tar::new().file("f", "1")).end()], &options()).unwrap();
    assert_eq!(outcome.names("/f"), 6);
    let error = apply_with(&[links(Tar::new()).file("f", "1").end()], &options()).unwrap_err();
    assert!(error.to_string().contains("more than 3000 bytes of names"), "{error}");
}

#[test]
fn b29_claims_are_refused_before_their_bytes_come() {
    // Nothing follows these headers: reading on would be another error.
    for (head, want) in [
        (Head::new(b'0', "f").size(1 << 41), "bytes in one file"),
        (Head::new(b'0', "f").size(100 << 30), "bytes of file content"),
        (Head::new(b'x', "f").size(1 << 40), "an extended header"),
    ] {
        let error = error_of(&[Tar::new().head(head).bytes], 0);
        assert!(error.contains(want), "{error}");
    }
    // Errors and warnings do not repeat a megabyte of name.
    let tar = Tar::new().long(b'L', "n".repeat(1 << 19)).file("x", "").end();
    assert!(error_of(&[tar], 0).len() < 5000);
    let hole = old_sparse(&[], 1 << 41, "").end();
    assert!(error_of(&[hole], 0).contains("bytes in one file"));
}

#[test]
fn b29_deep_trees_do_not_recurse() {
    let limits = Limits::default().with_max_depth(4096);
    let options = FlattenOptions::default().with_limits(limits);
    // An odd length each: mke2fs cannot take a path of 2040 bytes, see the backend's limits.
    let path = format!("dd/{}", "d/".repeat(1999));
    let dir = |prefix: &str| Tar::new().long(b'L', format!("{path}{prefix}")).file("x", "1");
    let outcome = apply_with(&[dir("x").end(), dir("y").end()], &options).unwrap();
    assert_eq!(outcome.flattened.tree.inode_count(), 2003);
    let outcome = apply_with(&[dir("x").end(), Tar::new().file(".wh.dd", "").end()], &options).unwrap();
    assert_eq!(outcome.flattened.tree.inode_count(), 1);
}
