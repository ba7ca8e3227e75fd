//! Damage behind a checksum that is right again: what a program writes that has an error, or one
//! that means harm. Nothing panics or runs without end, and a walk finds all that e2fsck finds.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use banger_ext4::Ext4Editor;
use banger_testkit::{e2fsck_check, require, tools};
use banger_tree::{NodeKind, Rootfs};
use camino::Utf8Path;

use crate::editor::{Maker, Numbers, Place, make, path};
use crate::editor_damage::{Map, TIME_MAX, fill, number_of, use_all};
use crate::support::crash::PIECE;
use crate::support::fixture::mode;

/// CRC-32C without the final inversion.
fn crc(before: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!before, bytes)
}

/// What the checksum of a structure covers, and where it is.
#[derive(Clone, Copy, Debug)]
enum Seal {
    /// It has none.
    Open,
    Superblock,
    Desc,
    /// Of the first group, whose descriptor has its checksum from this offset on.
    Bitmap(usize),
    Inode(usize),
    Leaf(usize),
    /// An index block of a directory, whose entries start at this offset.
    Index(usize, usize),
    Extents(usize),
    Xattrs,
    Journal,
}

/// A damaged copy of an image.
struct Damaged<'a> {
    map: &'a Map,
    bytes: Vec<u8>,
    changed: Vec<std::ops::Range<usize>>,
}

impl Damaged<'_> {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.changed.push(at..at + bytes.len());
    }

    fn u16(&self, at: usize) -> usize {
        u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap()).into()
    }

    fn of_inode(&self, number: usize) -> u32 {
        let at = self.map.inode(number);
        let seed = crc(!0, &self.bytes[1024 + 0x68..1024 + 0x78]);
        let seed = crc(seed, &u32::try_from(number).unwrap().to_le_bytes());
        crc(seed, &self.bytes[at + 0x64..at + 0x68])
    }

    /// Makes the checksum of the structure at `start` right.
    fn seal(&mut self, seal: Seal, start: usize) {
        let size = self.map.block_size;
        let seed = crc(!0, &self.bytes[1024 + 0x68..1024 + 0x78]);
        match seal {
            Seal::Open => {}
            Seal::Superblock => {
                let sum = crc(!0, &self.bytes[1024..1024 + 0x3fc]);
                self.put(1024 + 0x3fc, &sum.to_le_bytes());
            }
            Seal::Desc => {
                let desc = self.map.desc();
                self.put(desc + 0x1e, &[0; 2]);
                let sum = crc(crc(seed, &[0; 4]), &self.bytes[desc..desc + self.map.desc_size()]);
                self.put(desc + 0x1e, &sum.to_le_bytes()[..2]);
            }
            Seal::Bitmap(place) => {
                let bits = if place == 0x18 { 0x20 } else { 0x28 };
                let length = self.map.u32(1024 + bits) / 8;
                let sum = crc(seed, &self.bytes[start..start + length]).to_le_bytes();
                let desc = self.map.desc();
                self.put(desc + place, &sum[..2]);
                if self.map.desc_size() == 64 {
                    self.put(desc + place + 0x20, &sum[2..]);
                }
                self.seal(Seal::Desc, desc);
            }
            Seal::Inode(number) => {
                let has_upper = self.u16(start + 0x80) >= 4;
                self.put(start + 0x7c, &[0; 2]);
                if has_upper {
                    self.put(start + 0x82, &[0; 2]);
                }
                let sum = crc(self.of_inode(number), &self.bytes[start..start + 256]).to_le_bytes();
                self.put(start + 0x7c, &sum[..2]);
                if has_upper {
                    self.put(start + 0x82, &sum[2..]);
                }
            }
            Seal::Leaf(inode) => {
                let sum = crc(self.of_inode(inode), &self.bytes[start..start + size - 12]);
                self.put(start + size - 4, &sum.to_le_bytes());
            }
            Seal::Index(inode, entries) => {
                let end = entries + 8 * self.u16(start + entries + 2);
                let sum = crc(self.of_inode(inode), &self.bytes[start..start + end.min(size - 8)]);
                let sum = crc(crc(sum, &self.bytes[start + size - 8..start + size - 4]), &[0; 4]);
                self.put(start + size - 4, &sum.to_le_bytes());
            }
            Seal::Extents(inode) => {
                let end = 12 + 12 * self.u16(start + 4);
                if end + 4 <= size {
                    let sum = crc(self.of_inode(inode), &self.bytes[start..start + end]);
                    self.put(start + end, &sum.to_le_bytes());
                }
            }
            Seal::Xattrs => {
                self.put(start + 0x10, &[0; 4]);
                let block = u64::try_from(start / size).unwrap();
                let sum = crc(crc(seed, &block.to_le_bytes()), &self.bytes[start..start + size]);
                self.put(start + 0x10, &sum.to_le_bytes());
            }
            Seal::Journal => {
                // `JBD2_FEATURE_INCOMPAT_CSUM_V3`; its numbers are big-endian.
                if self.bytes[start + 0x2b] & 0x10 != 0 {
                    self.put(start + 0xfc, &[0; 4]);
                    let sum = crc(!0, &self.bytes[start..start + 1024]);
                    self.put(start + 0xfc, &sum.to_be_bytes());
                }
            }
        }
    }
}

/// Adds what [`fill`] has not: two levels of index, three of extents, xattrs in an inode.
fn fill_deep(editor: &mut Ext4Editor, block_size: usize) {
    fill(editor);
    let attributes = mode(0o644);
    editor.mknod(&path("/fifo"), &NodeKind::Fifo, &attributes).unwrap();
    // Leaves are two thirds full on the average.
    for at in 0..block_size * block_size / 8 / 264 {
        editor.hard_link(&path("/fifo"), &path(&format!("/many/{at:0250}"))).unwrap();
        if at % 500 == 0 {
            editor.commit().unwrap();
        }
    }
    editor.commit().unwrap();
    let stripe = [vec![7; block_size], vec![0; block_size]].concat();
    let extents = 4 * (block_size / 12) + 10;
    editor.write_file(&path("/deep"), &mut &stripe.repeat(extents)[..], &attributes).unwrap();
    let mut rich = attributes;
    rich.xattrs.insert("user.small", b"small");
    rich.xattrs.insert("user.large", vec![7; 600]);
    rich.xattrs.insert("security.x", vec![1; 100]);
    editor.write_file(&path("/xattrs"), &mut &b"x"[..], &rich).unwrap();
    editor.commit().unwrap();
}

/// Name, start, length and checksum of one of each kind of structure.
fn structures(map: &Map, editor: &Ext4Editor) -> Vec<(&'static str, usize, usize, Seal)> {
    let size = map.block_size;
    let number = |name: &str| number_of(editor, name);
    let (many, deep, rich, dir) = (number("/many"), number("/deep"), number("/xattrs"), number("/a"));
    let inode = |number: usize| map.inode(number);
    let root = map.first_block(inode(many));
    assert_eq!(map.bytes[root + 0x1e], 1, "two levels of index");
    let block_of_many = |logical: usize| map.nth_block(inode(many), logical);
    let node = block_of_many(map.u32(root + 0x20 + 4));
    let leaf = block_of_many(map.u32(node + 8 + 4));
    let top = map.extent_node(inode(deep));
    assert_eq!(map.u16(top + 6), 1, "an index block of extents");
    let bottom = map.block(map.u32(top + 12 + 4));
    let xattrs = map.block(map.u32(inode(rich) + 0x68));
    let first_block = |number: usize| map.first_block(inode(number));
    vec![
        ("superblock", 1024, 0x290, Seal::Superblock),
        ("descriptor", map.desc(), map.desc_size(), Seal::Desc),
        ("block bitmap", map.block(map.u32(map.desc())), 100, Seal::Bitmap(0x18)),
        ("inode bitmap", map.block(map.u32(map.desc() + 4)), 24, Seal::Bitmap(0x1a)),
        ("inode of a file", inode(deep), 0xa0, Seal::Inode(deep)),
        ("inode of a directory", inode(dir), 0xa0, Seal::Inode(dir)),
        ("xattrs in an inode", inode(rich) + 0xa0, 96, Seal::Inode(rich)),
        ("xattr block", xattrs, 96, Seal::Xattrs),
        ("values of an xattr block", xattrs + size - 40, 40, Seal::Xattrs),
        ("index block of extents", top, 12 + 5 * 12, Seal::Extents(deep)),
        ("leaf of extents", bottom, 12 + 6 * 12, Seal::Extents(deep)),
        ("directory", first_block(dir), 60, Seal::Leaf(dir)),
        ("root of an index", root, 0x20 + 6 * 8, Seal::Index(many, 0x20)),
        ("node of an index", node, 8 + 6 * 8, Seal::Index(many, 8)),
        ("leaf of an index", leaf, 300, Seal::Leaf(many)),
        ("journal", first_block(8), 0x58, Seal::Journal),
        ("inode of the journal", inode(8), 0xa0, Seal::Inode(8)),
        ("resize inode", inode(7), 0xa0, Seal::Inode(7)),
        ("block of the resize inode", map.block(map.u32(inode(7) + 0x28 + 13 * 4)), 64, Seal::Open),
    ]
}

/// Bytes whose damage e2fsck is told to repair and that say nothing of the content: hints, times of
/// checks, and what only e2fsck and the kernel keep for themselves.
fn is_hint(name: &str, at: usize) -> bool {
    match name {
        // Default mount options and hash version, RAID hints, what was written, errors and mount counts.
        "superblock" => {
            matches!(at, 0x2c..=0x37 | 0x3a..=0x3f | 0x40..=0x4b | 0x54..=0x57 | 0x78..=0xcd | 0xd0..=0xdf | 0xf0..=0x14f | 0x160..)
        }
        // Its size, which follows from nothing and is looked at by nobody.
        "resize inode" => matches!(at, 0x04..=0x07 | 0x6c..=0x6f),
        _ => false,
    }
}

/// Bytes and bits of a structure to turn: most of them where there is something to break; with
/// `BANGER_FLIPS=all` every one there is.
fn flips(numbers: &mut Numbers, bytes: &[u8]) -> Vec<(usize, usize)> {
    let number = match std::env::var("BANGER_FLIPS").as_deref() {
        Ok("all") => {
            let bits = |at| (0..8).map(move |bit| (at, bit));
            return (0..bytes.len()).flat_map(bits).collect();
        }
        _ if std::env::var("CI").as_deref() == Ok("true") => 20,
        _ => 6,
    };
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let pick = |flip| match flip % 4 == 0 {
        true => (numbers.below(bytes.len()), numbers.below(8)),
        false => (used[numbers.below(used.len())], numbers.below(8)),
    };
    (0..number).map(pick).collect()
}

#[test]
fn a_flipped_bit_behind_a_right_checksum_does_no_harm_to_native_images() {
    flip_bits_of(&Maker::Native);
}

#[test]
fn a_flipped_bit_behind_a_right_checksum_does_no_harm_to_images_of_mkfs() {
    let options = &["-b", "1024", "-N", "1024"];
    flip_bits_of(&Maker::Mkfs { newer: false, size: "16M", options });
}

fn flip_bits_of(maker: &Maker) {
    let e2fsck = require!(tools::tool("e2fsck"));
    let place = Place::in_memory();
    let image = place.root.join("image");
    let mut numbers = Numbers(5);
    let mut missed = Vec::new();
    require!(make(maker, &image));
    let size = 1024 << { std::fs::read(&image).unwrap()[1024 + 0x18] };
    let mut editor = Ext4Editor::open(&image).unwrap();
    fill_deep(&mut editor, size);
    let map = Map::new(std::fs::read(&image).unwrap());
    assert!(use_all(map.sound.failing_at(usize::MAX)).is_empty(), "{maker:?} is sound");
    assert!(e2fsck_check(&e2fsck, image.as_std_path()).is_ok());
    let structures = structures(&map, &editor);
    drop(editor);
    let file = File::options().read(true).write(true).open(&image).unwrap();
    let mut damaged = Damaged { map: &map, bytes: map.bytes.clone(), changed: Vec::new() };
    for (name, start, length, seal) in structures {
        let (mut complaints, mut found) = (0, 0);
        let flips = flips(&mut numbers, &map.bytes[start..start + length]);
        for (at, bit) in &flips {
            let at = start + at;
            damaged.changed.clear();
            damaged.put(at, &[map.bytes[at] ^ (1 << bit)]);
            damaged.seal(seal, whole(name, start, size));
            let what =
                format!("{maker:?}: bit {bit} of byte {:#x} of the {name}", at - whole(name, start, size));

            let mut storage = map.sound.failing_at(usize::MAX);
            for range in &damaged.changed {
                for at in range.clone() {
                    storage.piece_mut(at / PIECE)[at % PIECE] = damaged.bytes[at];
                }
            }
            let started = Instant::now();
            let errors = use_all(storage.failing_at(usize::MAX));
            let problems = match Ext4Editor::open_on(Box::new(storage), "damaged") {
                Ok(editor) => editor.verify().unwrap().problems,
                Err(error) => vec![error.to_string()],
            };
            assert!(started.elapsed() < TIME_MAX, "{what}: {errors:?}");
            found += usize::from(!problems.is_empty());

            for range in &damaged.changed {
                file.write_all_at(&damaged.bytes[range.clone()], range.start as u64).unwrap();
            }
            // Where the walk has found something, what e2fsck says matters less than its time.
            let seconds = if problems.is_empty() { 120 } else { 4 };
            if let Err(complaint) = complaint(&e2fsck, &image, seconds) {
                complaints += 1;
                if problems.is_empty() && !is_hint(name, at - start) {
                    eprintln!("{what}: missed: {complaint}");
                    missed.push(what);
                }
            }
            for range in &damaged.changed {
                file.write_all_at(&map.bytes[range.clone()], range.start as u64).unwrap();
                damaged.bytes[range.clone()].copy_from_slice(&map.bytes[range.clone()]);
            }
        }
        let number = flips.len();
        eprintln!("{maker:?}: {name}: e2fsck complains of {complaints} of {number}, the walk of {found}");
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

/// What e2fsck complains of within `seconds`. It may go on for minutes about some damage.
fn complaint(e2fsck: &Path, image: &Utf8Path, seconds: u32) -> Result<(), String> {
    let mut command = Command::new("timeout");
    let output = command.arg(seconds.to_string()).arg(e2fsck).arg("-fn").arg(image).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).chars().take(600).collect();
    let is_sound = output.status.success() && !output.stdout.windows(4).any(|word| word == b"? no");
    if is_sound { Ok(()) } else { Err(text) }
}

/// The start of the structure with the checksum that the part with this name is in.
fn whole(name: &str, start: usize, block_size: usize) -> usize {
    match name {
        "xattrs in an inode" => start - 0xa0,
        "values of an xattr block" => start + 40 - block_size,
        _ => start,
    }
}
