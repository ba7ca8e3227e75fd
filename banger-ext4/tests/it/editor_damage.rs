//! Damage of every structure, one after the other: an error that names it, and never a panic, an
//! endless loop or a write beyond the end.

use std::time::{Duration, Instant};

use banger_ext4::Ext4Editor;
use banger_testkit::require;
use banger_tree::{AttributeChange, GuestPath, NodeKind, Rootfs, RootfsError};

use crate::editor::{Maker, Place, make, path};
use crate::support::crash::{PIECE, Recorder};
use crate::support::fixture::mode;

/// Longest time that one damaged image may take.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(5);

/// Where the structures of an image are, found without the code under test.
pub(crate) struct Map {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sound: Recorder,
    pub(crate) block_size: usize,
    has_checksums: bool,
}

impl Map {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let block_size = 1024 << bytes[1024 + 0x18];
        let has_checksums = bytes[1024 + 0x65] & 4 != 0;
        Self { sound: Recorder::new(bytes.clone()), bytes, block_size, has_checksums }
    }

    pub(crate) fn u16(&self, at: usize) -> usize {
        u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap()).into()
    }

    pub(crate) fn u32(&self, at: usize) -> usize {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap()) as usize
    }

    /// The offset of the first group's descriptor.
    pub(crate) fn desc(&self) -> usize {
        if self.block_size == 1024 { 2048 } else { self.block_size }
    }

    pub(crate) fn desc_size(&self) -> usize {
        if self.u32(1024 + 0x60) & 0x80 != 0 { 64 } else { 32 }
    }

    pub(crate) fn block(&self, number: usize) -> usize {
        number * self.block_size
    }

    pub(crate) fn inode(&self, number: usize) -> usize {
        let per_group = self.u32(1024 + 0x28);
        let table = self.u32(self.desc() + (number - 1) / per_group * self.desc_size() + 8);
        self.block(table) + (number - 1) % per_group * 256
    }

    /// The offset of the first node below the root of an inode's extent tree.
    pub(crate) fn extent_node(&self, inode: usize) -> usize {
        assert!(self.u16(inode + 0x28 + 6) > 0, "the tree has levels");
        self.block(self.u32(inode + 0x28 + 12 + 4))
    }

    /// The offset of an inode's first block.
    pub(crate) fn first_block(&self, inode: usize) -> usize {
        self.nth_block(inode, 0)
    }

    /// The offset of an inode's block of this number.
    pub(crate) fn nth_block(&self, inode: usize, logical: usize) -> usize {
        let mut node = inode + 0x28;
        loop {
            let mut entries = (1..=self.u16(node + 2)).map(|at| node + 12 * at);
            let entry = entries.rfind(|entry| self.u32(*entry) <= logical).unwrap();
            if self.u16(node + 6) == 0 {
                return self.block(self.u32(entry + 8) + logical - self.u32(entry));
            }
            node = self.block(self.u32(entry + 4));
        }
    }
}

fn name_of(at: usize) -> GuestPath {
    path(&format!("/many/a name of some length, number {at}"))
}

pub(crate) fn fill(editor: &mut Ext4Editor) {
    let attributes = mode(0o755);
    editor.create_dir(&path("/many"), &attributes).unwrap();
    for at in 0..300 {
        editor.mknod(&name_of(at), &NodeKind::Fifo, &attributes).unwrap();
    }
    editor.create_dir(&path("/a"), &attributes).unwrap();
    editor.create_dir(&path("/a/b"), &attributes).unwrap();
    editor.create_dir(&path("/c"), &attributes).unwrap();
    editor.write_file(&path("/c/file"), &mut &b"x"[..], &attributes).unwrap();
    let sparse: Vec<u8> = (1..200).flat_map(|at| [[at; 4096], [0; 4096]].concat()).collect();
    editor.write_file(&path("/sparse"), &mut &sparse[..], &attributes).unwrap();
    let mut rich = attributes;
    rich.xattrs.insert("user.large", vec![7; 600]);
    editor.write_file(&path("/xattrs"), &mut &b"x"[..], &rich).unwrap();
    editor.commit().unwrap();
}

/// Uses everything; returns all errors.
pub(crate) fn use_all(storage: Recorder) -> Vec<RootfsError> {
    let mut editor = match Ext4Editor::open_on(Box::new(storage), "damaged") {
        Ok(editor) => editor,
        Err(error) => return vec![error],
    };
    let attributes = mode(0o644);
    let outcomes = [
        editor.stat(&path("/xattrs")).map(drop),
        (0..300).step_by(3).try_for_each(|at| editor.stat(&name_of(at)).map(drop)),
        editor.read_dir(&path("/many")).map(drop),
        editor.read_dir(&path("/a")).map(drop),
        editor.read(&path("/sparse")).map(drop),
        editor.write_file(&path("/new"), &mut &[1; 5000][..], &attributes),
        editor.create_dir(&path("/a/new"), &attributes),
        editor.mknod(&path("/many/one more"), &NodeKind::Fifo, &attributes),
        editor.set_attributes(&path("/xattrs"), &AttributeChange::from(&attributes)),
        editor.rename(&path("/a"), &path("/many/a")),
        editor.remove(&path("/sparse")),
        editor.remove(&path("/many")),
        editor.commit(),
        editor.grow(100 << 20).map(drop),
    ];
    outcomes.into_iter().filter_map(Result::err).collect()
}

const IMAGES: [Maker; 5] = [
    Maker::Native,
    Maker::Mkfs { newer: false, size: "8M", options: &["-b", "1024"] },
    Maker::Mkfs { newer: true, size: "12M", options: &["-b", "4096"] },
    Maker::Mkfs { newer: false, size: "8M", options: &["-b", "1024", "-O", "^metadata_csum,^64bit"] },
    Maker::Mkfs { newer: false, size: "9M", options: &["-b", "2048", "-O", "^metadata_csum,uninit_bg"] },
];

fn images(mut test: impl FnMut(&Maker, &Map, &Ext4Editor)) {
    let place = Place::in_memory();
    for maker in &IMAGES {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(maker, &image));
        let mut editor = Ext4Editor::open(&image).unwrap();
        fill(&mut editor);
        let map = Map::new(std::fs::read(&image).unwrap());
        assert!(use_all(map.sound.failing_at(usize::MAX)).is_empty(), "{maker:?} is sound");
        test(maker, &map, &editor);
    }
}

pub(crate) fn number_of(editor: &Ext4Editor, name: &str) -> usize {
    editor.stat(&path(name)).unwrap().unwrap().inode as usize
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    images(|maker, map, editor| {
        let size = map.block_size;
        let inode = |name: &str| map.inode(number_of(editor, name));
        let blocks_per_group = map.u32(1024 + 0x20);
        let inodes_per_group = map.u32(1024 + 0x28);
        let desc_size = map.desc_size();
        let (block_bitmap, inode_bitmap) = (map.u32(map.desc()), map.u32(map.desc() + 4));
        let many = inode("/many");
        // What is behind the last entry means nothing.
        let index_end = 0x20 + 8 * map.u16(map.first_block(many) + 0x22);
        // Start, length, and what an error says of it.
        let structures = [
            ("superblock", 1024, 1024, "superblock"),
            ("descriptor", map.desc(), desc_size, "descriptor of group 0"),
            ("block bitmap", map.block(block_bitmap), blocks_per_group / 8, "block bitmap of group 0"),
            ("inode bitmap", map.block(inode_bitmap), inodes_per_group / 8, "inode bitmap of group 0"),
            ("inode", inode("/xattrs"), 256, "inode "),
            ("directory", map.first_block(inode("/a")), size, "directory inode "),
            ("root of an index", map.first_block(many), index_end, "directory inode "),
            ("leaf of an index", map.first_block(many) + size, size, "directory inode "),
            ("extent block", map.extent_node(inode("/sparse")), 12 + 4 * 12, "extent tree of inode "),
            ("xattr block", map.block(map.u32(inode("/xattrs") + 0x68)), size, "xattr block of inode "),
            ("journal", map.first_block(map.inode(8)), 0x30, "journal"),
        ];
        for (name, start, length, want) in structures {
            let (mut found, mut flips, mut named) = (0, 0, 0);
            // Every byte of what is small, each with one of its bits.
            let step = length.div_ceil(if std::env::var("CI").as_deref() == Ok("true") { 80 } else { 25 });
            for at in (start..start + length).step_by(step) {
                let mut damaged = map.sound.failing_at(usize::MAX);
                damaged.piece_mut(at / PIECE)[at % PIECE] ^= 1 << (at / step % 8);
                let started = Instant::now();
                let errors = use_all(damaged);
                assert!(started.elapsed() < TIME_MAX, "{maker:?}: {name} at {}", at - start);
                flips += 1;
                found += usize::from(!errors.is_empty());
                let is_named = errors.iter().any(|error| match error {
                    RootfsError::Corrupt { damage, .. } => damage.to_string().contains(want),
                    RootfsError::Unsupported { .. } | RootfsError::Unreadable { .. } => true,
                    _ => false,
                });
                named += usize::from(is_named);
                let is_checked = map.has_checksums && name != "journal";
                assert!(
                    is_named || !is_checked,
                    "{maker:?}: bit of byte {:#x} of the {name}: {errors:?}",
                    at - start
                );
            }
            eprintln!("{maker:?}: {name}: {found} of {flips} found, {named} named");
            if name == "journal" {
                assert!(named * 3 > flips, "{maker:?}: {named} of {flips}");
            }
        }
    });
}

#[test]
fn truncated_images_are_refused_at_any_length() {
    images(|maker, map, _| {
        let size = map.bytes.len();
        let lengths =
            (0..size).step_by(size / 150 + 1).chain([1023, 1024, 2047, 2048, 4095, size - 1024, size - 1]);
        for length in lengths {
            let outcome = Ext4Editor::open_on(Box::new(map.sound.cut(length)), "cut");
            let text = outcome.expect_err("it is cut off").to_string();
            assert!(text.contains("cut off") || text.contains("too short"), "{maker:?} to {length}: {text}");
        }
    });
}

/// Writes a number into an image without checksums, and uses all of it.
fn with_number(map: &Map, at: usize, bytes: &[u8]) -> Vec<RootfsError> {
    let mut damaged = map.sound.failing_at(usize::MAX);
    damaged.put_bytes(at, bytes);
    let started = Instant::now();
    let errors = use_all(damaged);
    assert!(started.elapsed() < TIME_MAX);
    errors
}

#[test]
fn lying_counts_and_places_are_found() {
    images(|maker, map, editor| {
        if map.has_checksums || format!("{maker:?}").contains("uninit_bg") {
            return;
        }
        let (desc, sparse, many) =
            (map.desc(), map.inode(number_of(editor, "/sparse")), map.inode(number_of(editor, "/many")));
        let own = |name: &str| u32::try_from(number_of(editor, name)).unwrap().to_le_bytes();
        let extents = map.extent_node(sparse);
        let block_of = |offset: usize| u32::try_from(offset / map.block_size).unwrap().to_le_bytes();
        let (many_block, a_block) =
            (map.first_block(many), map.first_block(map.inode(number_of(editor, "/a"))));
        let b_block = map.first_block(map.inode(number_of(editor, "/a/b")));
        let xattr_block = map.block(map.u32(map.inode(number_of(editor, "/xattrs")) + 0x68));
        let huge = [0xff; 4];
        let mut unnamed = Vec::new();
        for (name, at, bytes, want) in [
            ("blocks of the file system", 1024 + 4, &huge[..], "superblock has"),
            ("fewer blocks", 1024 + 4, &[1, 0, 0, 0], "superblock has"),
            ("inodes", 1024, &huge, "superblock has a wrong number of inodes"),
            ("size of blocks", 1024 + 0x18, &[9], "blocks of 2^19"),
            ("first inode", 1024 + 0x54, &[3, 0, 0, 0], "first inode"),
            ("blocks of a group", 1024 + 0x20, &[3, 0, 0, 0], "blocks in a group"),
            ("inodes of a group", 1024 + 0x28, &[0, 0, 0, 0], "inodes in a group"),
            ("first inode of the journal", 1024 + 0xe0, &[1, 0, 0, 0], "inode"),
            ("free blocks of a group", desc + 0x0c, &[0xff, 0xff], "impossible counts"),
            ("free inodes of a group", desc + 0x0e, &[0xff, 0xff], "impossible counts"),
            ("block bitmap at 0", desc, &[0, 0, 0, 0], "beyond the file system"),
            ("inode table at the end", desc + 8, &[0xff, 0x1f, 0, 0], "beyond the file system"),
            ("size of a file", sparse + 4, &huge, "does not fit in memory"),
            ("entries of a node", extents + 2, &[0xff, 0xff], "malformed node"),
            ("room of a node", extents + 4, &[0xff, 0xff], "malformed node"),
            ("depth of a node", extents + 6, &[3, 0], "wrong depth"),
            ("an extent's place", extents + 12 + 8, &huge, "beyond the file system"),
            ("an extent's length", extents + 12 + 4, &[0, 0], "out of order"),
            ("the first extent's number", extents + 12, &huge, "begins elsewhere"),
            ("an extent's number", extents + 24, &[0, 0, 0, 0], "out of order"),
            // The root of the tree leads to the block of its inode, then a node to itself.
            ("a loop of extents", sparse + 0x28 + 12 + 4, &block_of(sparse), "malformed node"),
            ("depth of the root", sparse + 0x28 + 6, &[2, 0], "wrong depth"),
            ("too deep", sparse + 0x28 + 6, &[6, 0], "wrong depth"),
            ("entries of an index", many_block + 0x22, &[0xff, 0xff], "index"),
            ("a leaf beyond the end", many_block + 0x2c, &[0xff, 0xff, 0xff, 0], "index"),
            ("levels of an index", many_block + 0x1e, &[9], "index"),
            ("length of an entry", a_block + 4, &[3, 0], "malformed entry"),
            ("length beyond the block", a_block + 4, &[0, 0xff], "malformed entry"),
            ("length of a name", a_block + 24 + 6, &[0xff], "has the name"),
            ("inode of an entry", a_block + 24, &huge, "entry for inode"),
            ("the root as an entry", a_block + 24, &[2, 0, 0, 0], "entry for inode 2"),
            ("a directory below itself", a_block + 24, &own("/a"), "directory inode"),
            ("a directory in two", a_block + 24, &own("/c"), "directory inode"),
            ("references of an xattr block", xattr_block + 8, &[7, 0, 0, 0], "xattr block"),
            ("offset of a value", xattr_block + 32 + 2, &[0xff, 0xff], "extended attributes"),
            ("parent of a directory", b_block + 12, &own("/c"), "directory inode"),
        ] {
            // What is removed is `/many` with `/a` in it.
            let errors = with_number(map, at, bytes);
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            if !errors.iter().any(|error| error.contains(want)) {
                let said = errors.join("; ").chars().take(300).collect::<String>();
                unnamed.push(format!("{name}: {said}"));
            }
        }
        assert!(unnamed.is_empty(), "{maker:?}: {}", unnamed.join("\n"));
    });
}

#[test]
fn a_loop_of_directories_ends() {
    images(|maker, map, editor| {
        if map.has_checksums || format!("{maker:?}").contains("uninit_bg") {
            return;
        }
        // `/a/b` is `/a`.
        let block = map.first_block(map.inode(number_of(editor, "/a")));
        let number = u32::try_from(number_of(editor, "/a")).unwrap();
        let mut damaged = map.sound.failing_at(usize::MAX);
        damaged.put_bytes(block + 24, &number.to_le_bytes());
        let mut editor = Ext4Editor::open_on(Box::new(damaged), "loop").unwrap();
        let mut deep = path("/a");
        while let Ok(deeper) = deep.join(b"b") {
            deep = deeper;
        }
        assert!(editor.stat(&deep).unwrap().is_some(), "{maker:?}: as deep as paths go");
        let error = editor.remove(&path("/a")).unwrap_err();
        assert!(matches!(error, RootfsError::Corrupt { .. }), "{error}");
        assert!(editor.stat(&path("/a")).unwrap().is_some(), "nothing was removed");
        assert!(editor.rename(&path("/a"), &path("/a/b/b/x")).is_err());
        let _ = editor.remove(&GuestPath::root());
    });
}
