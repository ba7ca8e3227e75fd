//! What the layer builder writes is what GNU tar reads.

use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use banger_testkit::{
    Entry, Format, LayerBuilder, SparseFile, SparseFormat, pax_record, pax_record_of_length, require,
    snapshot, tools,
};
use banger_tree::FileType;

/// GNU tar's listing of `tar`, names escaped, or its complaint.
fn list(tar: &[u8]) -> Result<Vec<String>, String> {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(tar).unwrap();
    std::io::Seek::rewind(&mut input).unwrap();
    let output = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--full-time"])
        .args(["--quoting-style=escape", "--file=-"])
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(input)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !stderr.is_empty() {
        return Err(stderr.into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect())
}

fn extract(tar: &[u8], into: &Path) {
    let mut child = Command::new("tar")
        .args(["--extract", "--file=-", "--xattrs", "--xattrs-include=*"])
        .arg("--directory")
        .arg(into)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(tar).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn gnu_tar_lists_each_kind_of_entry() {
    let long = "d/".repeat(60) + &"n".repeat(150);
    let target = "t".repeat(300);
    let cases: Vec<(Entry, String)> = vec![
        (Entry::file("a", "12345").mode(0o4711).owner(7, 8), "-rws--x--x 7/8 5 1970-01-01 00:00:00 a".into()),
        (Entry::dir("d/").mtime(1_000_000_000), "drwxr-xr-x 0/0 0 2001-09-09 01:46:40 d/".into()),
        (Entry::symlink("s", &target), format!("lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 s -> {target}")),
        (
            Entry::symlink("s", &target).format(Format::Gnu),
            format!("lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 s -> {target}"),
        ),
        (Entry::hardlink("h", "a"), "hrw-r--r-- 0/0 0 1970-01-01 00:00:00 h link to a".into()),
        (Entry::char_device("c", 1, 3), "crw-r--r-- 0/0 1,3 1970-01-01 00:00:00 c".into()),
        (Entry::block_device("b", 300, 70000), "brw-r--r-- 0/0 300,70000 1970-01-01 00:00:00 b".into()),
        (Entry::fifo("p"), "prw-r--r-- 0/0 0 1970-01-01 00:00:00 p".into()),
        (Entry::file(&long, ""), format!("-rw-r--r-- 0/0 0 1970-01-01 00:00:00 {long}")),
        (Entry::file(&long, "").format(Format::Gnu), format!("-rw-r--r-- 0/0 0 1970-01-01 00:00:00 {long}")),
        (
            Entry::file("p/".repeat(70) + "name", "").format(Format::Ustar),
            format!("-rw-r--r-- 0/0 0 1970-01-01 00:00:00 {}name", "p/".repeat(70)),
        ),
        (
            Entry::file("o", "").owner(4_294_967_294, 2_097_152),
            "-rw-r--r-- 4294967294/2097152 0 1970-01-01 00:00:00 o".into(),
        ),
        (
            Entry::file("o", "").owner(4_294_967_294, 1).format(Format::Gnu),
            "-rw-r--r-- 4294967294/1 0 1970-01-01 00:00:00 o".into(),
        ),
        (Entry::file("t", "").mtime_exact(1, 500_000_000), "-rw-r--r-- 0/0 0 1970-01-01 00:00:01.5 t".into()),
        (
            Entry::file("t", "").mtime(-86_400).format(Format::Gnu),
            "-rw-r--r-- 0/0 0 1969-12-31 00:00:00 t".into(),
        ),
        (Entry::file("t", "").mtime(-86_400), "-rw-r--r-- 0/0 0 1969-12-31 00:00:00 t".into()),
        (Entry::file("t", "").mtime(9_000_000_000), "-rw-r--r-- 0/0 0 2255-03-14 16:00:00 t".into()),
        (Entry::file(b"caf\xe9", ""), "-rw-r--r-- 0/0 0 1970-01-01 00:00:00 caf\\351".into()),
        (Entry::whiteout("x/y"), "-rw-r--r-- 0/0 0 1970-01-01 00:00:00 x/.wh.y".into()),
        (Entry::whiteout("y"), "-rw-r--r-- 0/0 0 1970-01-01 00:00:00 .wh.y".into()),
        (Entry::opaque("x"), "-rw-r--r-- 0/0 0 1970-01-01 00:00:00 x/.wh..wh..opq".into()),
        (Entry::opaque(""), "-rw-r--r-- 0/0 0 1970-01-01 00:00:00 .wh..wh..opq".into()),
    ];
    for (entry, expected) in cases {
        let tar = LayerBuilder::new().entry(entry.clone()).finish();
        assert_eq!(list(&tar), Ok(vec![expected]), "{entry:?}");
    }
}

#[test]
fn raw_extension_headers_apply_to_the_entry_behind_them() {
    let name = "n".repeat(120);
    let tar = LayerBuilder::new()
        .global_pax_header(pax_record("comment", "for all"))
        .gnu_long_name(&name)
        .file("short", "1")
        .pax_header([pax_record("path", "renamed"), pax_record("uid", "77")].concat())
        .file("original", "2")
        .gnu_long_link("target")
        .symlink("link", "ignored")
        .finish();
    let names: Vec<String> = list(&tar)
        .unwrap()
        .iter()
        .map(|line| line.split(' ').skip(1).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        names,
        [
            format!("0/0 1 1970-01-01 00:00:00 {name}"),
            "77/0 1 1970-01-01 00:00:00 renamed".into(),
            "0/0 0 1970-01-01 00:00:00 link -> target".into(),
        ]
    );
}

#[test]
fn pax_records_count_their_own_length() {
    // The length's digits grow at 10, 100 and 1000 bytes.
    for length in (0..20).chain(85..110).chain(985..1010) {
        let record = pax_record("k", "v".repeat(length));
        let space = record.iter().position(|&byte| byte == b' ').unwrap();
        let said: usize = std::str::from_utf8(&record[..space]).unwrap().parse().unwrap();
        assert_eq!(said, record.len());
    }
    assert_eq!(pax_record_of_length("99", "k", "v"), b"99 k=v\n");
}

#[test]
fn what_the_test_breaks_is_broken() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("checksum", LayerBuilder::new().entry(Entry::file("a", "").checksum(1)).finish()),
        ("patched mode", LayerBuilder::new().entry(Entry::file("a", "").patch(100, "zzzzzzz")).finish()),
        ("truncated", LayerBuilder::new().file("a", "x".repeat(2000)).unfinished()[..1024].to_vec()),
        (
            "malformed record",
            LayerBuilder::new()
                .pax_header(pax_record_of_length("5", "path", "renamed"))
                .file("a", "")
                .finish(),
        ),
        ("size beyond the end", LayerBuilder::new().entry(Entry::file("a", "1").size(100_000)).finish()),
    ];
    for (what, tar) in cases {
        assert!(list(&tar).is_err(), "{what} went unnoticed");
    }
    let trailed = LayerBuilder::new().file("a", "").finish_with("garbage");
    assert!(trailed.ends_with(b"\0garbage"));
}

#[test]
fn gnu_tar_expands_every_sparse_format() {
    let many = SparseFile {
        size_bytes: 4_000_000,
        // More segments than the old format's header and one block hold.
        segments: (0..40_u64)
            .map(|n| (n * 65_536, vec![b'a' + u8::try_from(n % 26).unwrap(); 1024]))
            .collect(),
    };
    let cases = [
        ("empty", SparseFile::default()),
        ("all hole", SparseFile { size_bytes: 100_000, segments: vec![] }),
        (
            "data at the end",
            SparseFile { size_bytes: 8195, segments: vec![(0, vec![b'b'; 512]), (8192, b"end".to_vec())] },
        ),
        ("many", many),
    ];
    for (what, file) in &cases {
        for format in SparseFormat::ALL {
            let dir = tempfile::tempdir().unwrap();
            let tar = LayerBuilder::new().sparse("dir/sparse", format, file).file("after", "behind").finish();
            extract(&tar, dir.path());
            let read = std::fs::read(dir.path().join("dir/sparse")).unwrap();
            assert!(read == file.expanded(), "{what} in {format:?}");
            assert_eq!(std::fs::read(dir.path().join("after")).unwrap(), b"behind");
        }
    }
}

#[test]
fn gnu_tar_extracts_what_was_meant() {
    require!(tools::root("extracting owners and devices"));
    let dir = tempfile::tempdir().unwrap();
    let value = b"with\0nul\nand newline=";
    let tar = LayerBuilder::new()
        .entry(Entry::dir("d").mode(0o1770).owner(3, 4))
        .entry(
            Entry::file("d/f", "content")
                .xattr("user.binary", value)
                .owner(70_000, 80_000)
                .mtime_exact(-1, 250_000_000),
        )
        .hardlink("d/h", "d/f")
        .entry(Entry::char_device("null", 1, 3).mode(0o666))
        .fifo("fifo")
        .symlink("s", "/d/f")
        .finish();
    extract(&tar, dir.path());
    let tree = snapshot(dir.path());
    let file = &tree[&b"d/f"[..]];
    assert_eq!(file.kind, FileType::Regular);
    assert_eq!((file.uid, file.gid), (70_000, 80_000));
    assert_eq!(file.mtime, (-1, 250_000_000));
    assert_eq!(file.xattrs[&b"user.binary"[..]], value);
    assert_eq!(file.links, 2);
    assert_eq!(tree[&b"d/h"[..]].first_name.as_deref(), Some(&b"d/f"[..]));
    assert_eq!(tree[&b"null"[..]].device, Some((1, 3)));
    assert_eq!(tree[&b"fifo"[..]].kind, FileType::Fifo);
    assert_eq!(tree[&b"s"[..]].target.as_deref(), Some(&b"/d/f"[..]));
    assert_eq!(tree[&b"d"[..]].mode, 0o1770);
}

#[test]
fn gnu_tar_writes_negative_times_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let time = std::time::UNIX_EPOCH - std::time::Duration::new(310_478_399, 876_543_211);
    File::create(&path).unwrap().set_modified(time).unwrap();
    let theirs = tools::run(
        Command::new("tar")
            .args(["--create", "--format=posix", "--file=-", "--directory"])
            .arg(dir.path())
            .arg("f"),
    )
    .stdout;
    let record = pax_record("mtime", "-310478399.876543211");
    let has = |tar: &[u8]| tar.windows(record.len()).any(|window| window == record);
    assert!(has(&theirs));
    let ours = LayerBuilder::new()
        .entry(Entry::file(path.as_os_str().as_bytes(), "").mtime_exact(-310_478_400, 123_456_789))
        .finish();
    assert!(has(&ours));
}
