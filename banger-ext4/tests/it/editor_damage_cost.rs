//! Small damage that would make much work: what is shared, repeats or counts far too much is an
//! error that is found about as fast as the image can be read.

use std::time::Instant;

use banger_e2fsprogs::E2fsprogsBackend;
use banger_ext4::{Ext4Backend, Ext4Editor, Ext4Options, ImageSize, NativeBackend};
use banger_testkit::{require, tools};
use banger_tree::{Inode, LayerIndex, NodeKind, Rootfs, RootfsError, Tree};
use camino::Utf8Path;

use crate::editor::{Maker, Place, make, path};
use crate::editor_damage::{Map, TIME_MAX, number_of};
use crate::support::crash::Recorder;
use crate::support::fixture::mode;

/// A block of 4096 bytes at this offset of an image without checksums.
const OPTIONS: &[&str] = &["-b", "4096", "-N", "16000", "-O", "^metadata_csum,^64bit,^uninit_bg,^flex_bg"];

fn image(place: &Place, fill: impl FnOnce(&mut Ext4Editor)) -> Option<(Map, Ext4Editor)> {
    let image = place.root.join("image");
    if let Err(skip) = make(&Maker::Mkfs { newer: false, size: "64M", options: OPTIONS }, &image) {
        skip.report();
        return None;
    }
    let mut editor = Ext4Editor::open(&image).unwrap();
    fill(&mut editor);
    editor.commit().unwrap();
    Some((Map::new(std::fs::read(&image).unwrap()), editor))
}

fn put32(image: &mut Recorder, at: usize, number: usize) {
    image.put_bytes(at, &u32::try_from(number).unwrap().to_le_bytes());
}

fn put16(image: &mut Recorder, at: usize, number: usize) {
    image.put_bytes(at, &u16::try_from(number).unwrap().to_le_bytes());
}

fn open(image: Recorder) -> Ext4Editor {
    Ext4Editor::open_on(Box::new(image), "damaged").unwrap()
}

/// The hash of a name as the index of a directory has it.
fn hash_of(image: &Utf8Path, name: &str) -> u32 {
    let mut dumpe2fs = tools::command("dumpe2fs").unwrap();
    let told = String::from_utf8(tools::run(dumpe2fs.arg("-h").arg(image)).stdout).unwrap();
    let seed = told.lines().find_map(|line| line.strip_prefix("Directory Hash Seed:")).unwrap();
    let request = format!("dx_hash -h half_md4 -s {} {name}", seed.trim());
    let mut debugfs = tools::command("debugfs").unwrap();
    let told = String::from_utf8(tools::run(debugfs.args(["-R", &request])).stdout).unwrap();
    let hash = told.split("0x").nth(1).unwrap().split_whitespace().next().unwrap();
    u32::from_str_radix(hash, 16).unwrap()
}

#[test]
fn t03_an_index_that_leads_to_one_leaf_again_and_again() {
    let place = Place::new();
    let many = |editor: &mut Ext4Editor| {
        editor.create_dir(&path("/many"), &mode(0o755)).unwrap();
        for at in 0..300 {
            editor.mknod(&path(&format!("/many/{at:020}")), &NodeKind::Fifo, &mode(0o644)).unwrap();
        }
    };
    let Some((map, editor)) = image(&place, many) else { return };
    let inode = map.inode(number_of(&editor, "/many"));
    let (root, blocks) = (map.first_block(inode), map.u32(inode + 4) / 4096);
    assert!(blocks > 3);
    let hash = hash_of(&place.root.join("image"), "nobody") | 1;
    let mut damaged = map.sound.failing_at(usize::MAX);
    // One node, which every entry of the root leads to, with entries that all lead to one leaf.
    let node = map.nth_block(inode, 1);
    damaged.put_bytes(root + 0x1e, &[1]);
    for (block, first, count) in [(root, 0x20, 508), (node, 8, 511)] {
        for at in 0..count {
            put32(&mut damaged, block + first + 8 * at, if at == 0 { 0 } else { hash as usize });
            put32(&mut damaged, block + first + 8 * at + 4, if block == root { 1 } else { 2 });
        }
        put16(&mut damaged, block + first, count);
        put16(&mut damaged, block + first + 2, count);
    }
    damaged.put_bytes(node, &[0, 0, 0, 0, 0, 0x10, 0, 0]);
    let started = Instant::now();
    let mut editor = open(damaged);
    let error = editor.stat(&path("/many/nobody")).unwrap_err().to_string();
    assert!(error.contains("leads to a block twice"), "{error}");
    assert!(editor.mknod(&path("/many/nobody"), &NodeKind::Fifo, &mode(0o644)).is_err());
    assert!(started.elapsed() < TIME_MAX);
}

#[test]
fn t03_a_directory_that_has_a_block_twice() {
    let place = Place::new();
    let deep = |editor: &mut Ext4Editor| {
        editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
        let stripe: Vec<u8> = (0..40_u8).flat_map(|at| [[at + 1; 4096], [0; 4096]].concat()).collect();
        editor.write_file(&path("/file"), &mut &stripe[..], &mode(0o644)).unwrap();
    };
    let Some((map, editor)) = image(&place, deep) else { return };
    let (dir, file) = (map.inode(number_of(&editor, "/dir")), map.inode(number_of(&editor, "/file")));
    let (leaf, first) = (map.extent_node(file), map.first_block(dir) / 4096);
    let mut damaged = map.sound.failing_at(usize::MAX);
    // The directory has the tree of the file, every extent of which is the directory's one block.
    damaged.put_bytes(dir + 0x28, &map.bytes[file + 0x28..file + 0x28 + 60]);
    put32(&mut damaged, dir + 4, 340 * 4096);
    put16(&mut damaged, leaf + 2, 340);
    for at in 0..340 {
        put32(&mut damaged, leaf + 12 + 12 * at, at);
        put16(&mut damaged, leaf + 12 + 12 * at + 4, 1);
        put16(&mut damaged, leaf + 12 + 12 * at + 6, 0);
        put32(&mut damaged, leaf + 12 + 12 * at + 8, first);
    }
    let editor = open(damaged);
    let error = editor.read_dir(&path("/dir")).unwrap_err().to_string();
    assert!(error.contains("has a block twice"), "{error}");
}

#[test]
fn t04_many_inodes_that_share_one_tree() {
    let place = Place::new();
    let deep = |editor: &mut Ext4Editor| {
        let stripe: Vec<u8> = [[7; 4096], [0; 4096]].concat();
        editor.write_file(&path("/file"), &mut &stripe.repeat(4000)[..], &mode(0o644)).unwrap();
    };
    let Some((map, editor)) = image(&place, deep) else { return };
    let file = map.inode(number_of(&editor, "/file"));
    for is_broken in [false, true] {
        let mut damaged = map.sound.failing_at(usize::MAX);
        let per_group = map.u32(1024 + 0x28);
        for number in 20..=per_group {
            damaged.put_bytes(map.inode(number), &map.bytes[file..file + 256]);
        }
        damaged.put_bytes(map.block(map.u32(map.desc() + 4)), &vec![0xff; per_group / 8]);
        if is_broken {
            // Where its last node is found to be wrong, all others have been read.
            let root = file + 0x28;
            let entries = map.u16(root + 2);
            let mut node = map.block(map.u32(root + 12 * entries + 4));
            if map.u16(node + 6) > 0 {
                node = map.block(map.u32(node + 12 * map.u16(node + 2) + 4));
            }
            damaged.put_bytes(node, &[0]);
        }
        let started = Instant::now();
        let report = open(damaged).verify().unwrap();
        let problems = report.problems;
        assert!(started.elapsed() < TIME_MAX, "{:?}", started.elapsed());
        let is_told = problems.iter().any(|problem| problem.contains("not looked at"));
        assert!(is_told || is_broken, "{problems:?}");
    }
}

#[test]
fn t04_index_nodes_that_share_what_is_below() {
    let place = Place::new();
    let deep = |editor: &mut Ext4Editor| {
        editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
        editor.write_file(&path("/file"), &mut &[7; 5 * 4096][..], &mode(0o644)).unwrap();
    };
    let Some((map, editor)) = image(&place, deep) else { return };
    let (dir, file) = (map.inode(number_of(&editor, "/dir")), map.inode(number_of(&editor, "/file")));
    let first = map.first_block(dir) / 4096;
    let mut damaged = map.sound.failing_at(usize::MAX);
    let mut node = |at: usize, depth: usize, entries: usize, most: usize, below: usize, step: usize| {
        put16(&mut damaged, at, 0xf30a);
        put16(&mut damaged, at + 2, entries);
        put16(&mut damaged, at + 4, most);
        put16(&mut damaged, at + 6, depth);
        for entry in 0..entries {
            put32(&mut damaged, at + 12 + 12 * entry, entry * step);
            let (place, length) = if depth == 0 { (8, 1) } else { (4, below >> 16) };
            put16(&mut damaged, at + 12 + 12 * entry + if depth == 0 { 4 } else { 8 }, length);
            put32(&mut damaged, at + 12 + 12 * entry + place, below);
        }
    };
    let place_of = |level: usize| map.nth_block(file, level) / 4096;
    node(dir + 0x28, 5, 4, 4, place_of(0), 0);
    for level in 0..4 {
        node(4096 * place_of(level), 4 - level, 340, 340, place_of(level + 1), 0);
    }
    node(4096 * place_of(4), 0, 1, 340, first, 1);
    let started = Instant::now();
    let error = open(damaged.failing_at(usize::MAX)).read_dir(&path("/dir")).unwrap_err().to_string();
    assert!(error.contains("the extent tree of inode"), "{error}");
    let image = place.root.join("damaged");
    let mut bytes = vec![0; map.bytes.len()];
    banger_ext4::Storage::read_at(&damaged, 0, &mut bytes).unwrap();
    std::fs::write(&image, bytes).unwrap();
    let error = E2fsprogsBackend::new().open(&image).err().unwrap().to_string();
    assert!(error.contains("an extent tree is out of order"), "{error}");
    assert!(started.elapsed() < TIME_MAX);
}

#[test]
fn a_group_that_counts_free_blocks_it_has_not() {
    let place = Place::new();
    let Some((map, _)) = image(&place, |editor| {
        editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
    }) else {
        return;
    };
    let mut damaged = map.sound.failing_at(usize::MAX);
    damaged.put_bytes(map.block(map.u32(map.desc())), &[0xff; 4096]);
    let error = open(damaged).create_dir(&path("/new"), &mode(0o755)).unwrap_err().to_string();
    assert!(error.contains("group 0 has fewer free blocks than it counts"), "{error}");
}

#[test]
fn a_file_larger_than_memory_is_an_error() {
    let place = Place::new();
    let image = place.root.join("image");
    let options = Ext4Options::default().with_size(ImageSize::Bytes(2 << 40));
    let mut builder = NativeBackend.create(&image, &options).unwrap();
    let size_bytes = 1 << 40;
    let id = builder.begin(LayerIndex(0), size_bytes).unwrap();
    builder.append_hole(id, size_bytes).unwrap();
    builder.finish(id).unwrap();
    let mut tree = Tree::new();
    let kind = NodeKind::Regular { size_bytes, content: Some(id) };
    tree.insert(tree.root(), b"hole", Inode::new(kind, mode(0o644))).unwrap();
    builder.build_ext4(&tree).unwrap();
    let editor = Ext4Editor::open(&image).unwrap();
    let error = editor.read(&path("/hole")).unwrap_err();
    assert!(matches!(error, RootfsError::Limit { .. }), "{error}");
    // A walk takes as long as what is in the image, not as what could be.
    let started = Instant::now();
    let report = editor.verify().unwrap();
    assert_eq!(report.problems, [""; 0]);
    assert!(started.elapsed() < TIME_MAX, "{:?}", started.elapsed());
    require!(banger_testkit::assert_silent(image.as_std_path()));
}
