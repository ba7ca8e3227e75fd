//! Random layer stacks against the model, random buffers, and damaged tars.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use banger_oci::tar::{Data, TarEntry, TarLimits, TarReader};
use banger_testkit::property_config;
use banger_tree::{InodeId, NodeKind};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::layers::{Outcome, apply, apply_in_memory};
use crate::model::{Kind, Model, Op, Path, Refusal};
use crate::tarball::{Head, Tar};

/// How many cases a property is tried with: `BANGER_CASES`, or `default`.
/// Few names, so that paths meet.
fn path() -> impl Strategy<Value = Path> {
    prop::collection::vec(prop::sample::select(&["a", "b", "c"]), 1..4)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn target() -> impl Strategy<Value = String> {
    let part = prop::sample::select(&["a", "b", "c", "..", "."]);
    (any::<bool>(), prop::collection::vec(part, 1..4))
        .prop_map(|(absolute, parts)| format!("{}{}", if absolute { "/" } else { "" }, parts.join("/")))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (path(), "[0-9]{0,3}").prop_map(|(path, text)| Op::File { path, text }),
        3 => (path(), 0..0o7777_u16).prop_map(|(path, mode)| Op::Dir { path, mode }),
        1 => (path(), target()).prop_map(|(path, target)| Op::Symlink { path, target }),
        2 => (path(), path()).prop_map(|(path, target)| Op::HardLink { path, target }),
        2 => path().prop_map(|path| Op::Whiteout { path }),
        1 => prop::collection::vec(prop::sample::select(&["a", "b", "c"]), 0..3).prop_map(|names| Op::Opaque {
            dir: names.into_iter().map(str::to_owned).collect()
        }),
    ]
}

fn stack() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 0..9), 1..5)
}

fn tar_of(layer: &[Op], first_mtime: u64) -> Vec<u8> {
    let mut tar = Tar::new();
    for (index, op) in layer.iter().enumerate() {
        let mtime = first_mtime + index as u64;
        let inside = |dir: &[String], name: String| [dir, &[name]].concat().join("/");
        tar = match op {
            Op::File { path, text } => tar.with_data(Head::new(b'0', path.join("/")).mtime(mtime), text),
            Op::Dir { path, mode } => {
                tar.head(Head::new(b'5', path.join("/")).mtime(mtime).mode(u64::from(*mode)))
            }
            Op::Symlink { path, target } => {
                tar.head(Head::new(b'2', path.join("/")).mtime(mtime).link(target).mode(0o777))
            }
            Op::HardLink { path, target } => {
                tar.head(Head::new(b'1', path.join("/")).mtime(mtime).link(target.join("/")))
            }
            Op::Whiteout { path } => {
                let (name, dir) = path.split_last().unwrap();
                tar.file(inside(dir, format!(".wh.{name}")), "")
            }
            Op::Opaque { dir } => tar.file(inside(dir, ".wh..wh..opq".to_owned()), ""),
        };
    }
    tar.end()
}

/// One line a path: everything, hard links by the first path of their inode.
fn lines_of_model(model: &Model) -> Vec<String> {
    let mut first = BTreeMap::new();
    let line = |(path, node): (&Path, &crate::model::Node)| {
        let path = format!("/{}", path.join("/"));
        let inode = first.entry(node.identity).or_insert_with(|| path.clone());
        format!("{path} {:?} {:o} {} same as {inode}", node.kind, node.mode, node.mtime)
    };
    model.nodes.iter().map(line).collect()
}

fn lines_of_tree(outcome: &Outcome) -> Vec<String> {
    let tree = &outcome.flattened.tree;
    let mut first: BTreeMap<InodeId, String> = BTreeMap::new();
    let mut lines = Vec::new();
    for (path, id) in tree.walk().skip(1) {
        let inode = tree.inode(id);
        let kind = match &inode.kind {
            NodeKind::Directory { .. } => Kind::Dir,
            NodeKind::Symlink { target } => Kind::Symlink(String::from_utf8(target.to_vec()).unwrap()),
            kind => Kind::File(String::from_utf8(outcome.content(kind)).unwrap()),
        };
        let first = first.entry(id).or_insert_with(|| path.to_string());
        let attributes = &inode.attributes;
        let mtime = attributes.mtime.seconds;
        lines.push(format!("{path} {kind:?} {:o} {mtime} same as {first}", attributes.mode));
    }
    lines
}

/// Every so many stacks are made into images as well.
const IMAGES_EVERY: u32 = 50;

#[test]
fn b09_b22_random_layers_agree_with_the_model() {
    let made = Cell::new(0_u32);
    let skipped = Cell::new(0_u32);
    let invalid = Cell::new(0_u32);
    let config = property_config(4000);
    let total = config.cases;
    let result = TestRunner::new(config).run(&stack(), |layers| {
        let mut model = Model::default();
        let mut tars = Vec::new();
        let mut verdict = Ok(());
        for (index, layer) in layers.iter().enumerate() {
            let first_mtime = index as u64 * 100;
            tars.push(tar_of(layer, first_mtime));
            verdict = verdict.and_then(|()| model.apply(layer, first_mtime));
        }
        let number = made.replace(made.get() + 1);
        let applied = if number.is_multiple_of(IMAGES_EVERY) { apply(&tars) } else { apply_in_memory(&tars) };
        match (verdict, applied) {
            (Err(Refusal::OrderMatters), _) => skipped.set(skipped.get() + 1),
            (Ok(()), Ok(outcome)) => prop_assert_eq!(lines_of_tree(&outcome), lines_of_model(&model)),
            (Err(Refusal::Invalid(_)), Err(_)) => invalid.set(invalid.get() + 1),
            (verdict, outcome) => {
                let outcome = outcome.map(|outcome| outcome.listing()).map_err(|error| error.to_string());
                prop_assert!(false, "the model says {verdict:?}, and this came out: {outcome:?}");
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // Most cases must say something.
    let said_nothing = skipped.get() + invalid.get();
    assert!(said_nothing < total * 7 / 10, "{skipped:?} skipped, {invalid:?} invalid of {total}");
}

/// Lends its bytes in pieces of the given lengths, over and over.
struct Pieces<'a> {
    bytes: &'a [u8],
    lengths: Vec<usize>,
    next: usize,
    left: usize,
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            self.left = self.lengths[self.next % self.lengths.len()];
            self.next += 1;
        }
        Ok(&self.bytes[..self.left.min(self.bytes.len())])
    }
    fn consume(&mut self, amount: usize) {
        assert!(amount <= self.left);
        self.left -= amount;
        self.bytes = &self.bytes[amount..];
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, _bytes: &mut [u8]) -> io::Result<usize> {
        unreachable!("the reader lends only")
    }
}

/// All that a reader tells of an archive, holes and bytes run together.
fn read_all(input: impl BufRead) -> Result<Vec<(TarEntry, Vec<u8>)>, String> {
    let mut reader = TarReader::new(input, TarLimits::default());
    let mut entries = Vec::new();
    let mut entry = TarEntry::default();
    while reader.next_entry(&mut entry).map_err(|error| error.to_string())? {
        let mut bytes = Vec::new();
        // Some files are passed over in the middle.
        while bytes.len() < 3000 {
            match reader.next_data().map_err(|error| error.to_string())? {
                Some(Data::Bytes(data)) => {
                    bytes.extend_from_slice(&data[..data.len().min(3000 - bytes.len())])
                }
                Some(Data::Hole(length)) => bytes.resize(bytes.len() + length.min(3000) as usize, 0),
                None => break,
            }
        }
        bytes.truncate(3000);
        entries.push((entry.clone(), bytes));
    }
    Ok(entries)
}

fn sample_tar() -> Vec<u8> {
    let long = "long/".repeat(30);
    let map = "2\n100\n3\n900\n2\n";
    let sparse = format!("{map}{}abcde", "\0".repeat(512 - map.len()));
    Tar::new()
        .dir("d")
        .file("d/f", vec![b'x'; 5000])
        .pax(&[("path", long.as_bytes()), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"1")])
        .file("x", "data")
        .long(b'L', &long)
        .long(b'K', &long)
        .symlink("l", "t")
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1000")])
        .file("s", &sparse)
        .hard_link("h", "d/f")
        .head(Head::new(b'3', "dev").device(1, 3))
        .end()
}

#[test]
fn buffer_boundaries_do_not_matter() {
    let tar = sample_tar();
    let want = read_all(&tar[..]).unwrap();
    assert_eq!(want.len(), 7);
    let lengths = prop::collection::vec(1..2000_usize, 1..20);
    let result = TestRunner::new(property_config(500)).run(&lengths, |lengths| {
        prop_assert_eq!(&read_all(Pieces { bytes: &tar, lengths, next: 0, left: 0 }).unwrap(), &want);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn damaged_tars_are_entries_or_errors() {
    let tar = sample_tar();
    let blocks = tar.len() / 512;
    // Bytes changed, blocks moved about, checksums made right again, or not.
    let bytes = prop::collection::vec((0..tar.len(), any::<u8>()), 0..12);
    let swaps = prop::collection::vec((0..blocks, 0..blocks), 0..4);
    let strategy = (bytes, swaps, any::<bool>(), 0..=tar.len());
    let result = TestRunner::new(property_config(4000)).run(&strategy, |(bytes, swaps, seals, length)| {
        let mut damaged = tar.clone();
        for (at, byte) in bytes {
            damaged[at] = byte;
        }
        for (from, to) in swaps {
            damaged.copy_within(from * 512..(from + 1) * 512, to * 512);
        }
        if seals {
            for block in damaged.chunks_exact_mut(512) {
                if block[257..262] == *b"ustar" {
                    crate::tarball::seal(block.try_into().unwrap());
                }
            }
        }
        damaged.truncate(length.max(tar.len() / 2));
        // What matters is that these return, and that they agree on whether the tar is one.
        let read = read_all(&damaged[..]);
        let applied = apply_in_memory(&[damaged]);
        prop_assert!(read.is_ok() || applied.is_err());
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
