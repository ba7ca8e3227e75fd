//! Checks the bytes of an image, trap by trap. `tests/it` shows that e2fsck and the kernel agree.

use banger_tree::{Attributes, Inode as TreeInode, LayerIndex, NodeKind, Timestamp, Tree, Xattrs};
use camino::Utf8PathBuf;

use super::NativeBackend;
use crate::backend::{Ext4Backend, Ext4Builder};
use crate::format::crc32c::Checksum;
use crate::format::group_desc::{BLOCK_UNINIT, GroupDesc, INODE_UNINIT, INODE_ZEROED};
use crate::format::inode::Inode;
use crate::format::journal::JournalSuperblock;
use crate::format::superblock::Superblock;
use crate::format::{BLOCK_SIZE, DESC_SIZE, Group, INODE_SIZE, dirent, extent, join16, join32};
use crate::options::{Ext4Options, ImageSize};

const UUID: [u8; 16] = *b"uuid of an image";

/// The bytes of an image.
struct Image(Vec<u8>);

impl Image {
    /// Builds an image of `size_bytes` with the files of `fill`.
    fn build(size_bytes: u64, fill: impl Fn(&mut dyn Ext4Builder, &mut Tree)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("image")).unwrap();
        let options = Ext4Options::default()
            .with_size(ImageSize::Bytes(size_bytes))
            .with_uuid(UUID)
            .with_timestamp(Timestamp::from_seconds(5_000_000_000));
        let mut builder = NativeBackend.create(&path, &options).unwrap();
        let mut tree = Tree::new();
        fill(&mut *builder, &mut tree);
        builder.build_ext4(&tree).unwrap();
        Self(std::fs::read(&path).unwrap())
    }

    fn part<const N: usize>(&self, offset: usize) -> &[u8; N] {
        self.0[offset..offset + N].try_into().unwrap()
    }

    fn block(&self, number: u64) -> &[u8; BLOCK_SIZE] {
        self.part(usize::try_from(number).unwrap() * BLOCK_SIZE)
    }

    fn superblock(&self) -> Superblock {
        Superblock::decode(self.part(1024))
    }

    fn group(&self, group: usize) -> GroupDesc {
        GroupDesc::decode(self.part(BLOCK_SIZE + group * DESC_SIZE))
    }

    fn inode(&self, number: u32) -> Inode {
        let per_group = self.superblock().s_inodes_per_group;
        let desc = self.group(((number - 1) / per_group) as usize);
        let table = join32(desc.bg_inode_table_lo, desc.bg_inode_table_hi) as usize * BLOCK_SIZE;
        Inode::decode(self.part(table + ((number - 1) % per_group) as usize * INODE_SIZE))
    }

    fn first_block_of(&self, number: u32) -> &[u8; BLOCK_SIZE] {
        let i_block = self.inode(number).i_block;
        self.block(extent::Extent::decode(i_block[12..24].try_into().unwrap()).start().0)
    }
}

fn insert(tree: &mut Tree, name: &str, kind: NodeKind, attributes: Attributes) {
    tree.insert(tree.root(), name.as_bytes(), TreeInode::new(kind, attributes)).unwrap();
}

fn symlink(length: usize) -> NodeKind {
    NodeKind::Symlink { target: vec![b't'; length].into() }
}

#[test]
fn t01_bitmap_padding_and_groups_without_bitmaps() {
    // Three groups, the last one of 1000 blocks.
    let image = Image::build((2 * 32768 + 1000) * 4096, |_, _| {});
    let seed = Checksum::of_filesystem(&UUID);
    for (group, block_bitmap, inode_bitmap) in [(0, true, true), (1, false, false), (2, true, false)] {
        let desc = image.group(group);
        let sealed = desc.encode_with_checksum(seed, Group(group as u32));
        assert_eq!(&sealed, image.part(BLOCK_SIZE + group * DESC_SIZE), "bg_checksum of {group}");
        let flags = INODE_ZEROED
            | if block_bitmap { 0 } else { BLOCK_UNINIT }
            | if inode_bitmap { 0 } else { INODE_UNINIT };
        assert_eq!(desc.bg_flags, flags, "{group}");
        let blocks = image.block(u64::from(desc.bg_block_bitmap_lo));
        let inodes = image.block(u64::from(desc.bg_inode_bitmap_lo));
        let csum = join16(desc.bg_block_bitmap_csum_lo, desc.bg_block_bitmap_csum_hi);
        assert_eq!(csum, if block_bitmap { seed.with(blocks).value() } else { 0 }, "{group}");
        let csum = join16(desc.bg_inode_bitmap_csum_lo, desc.bg_inode_bitmap_csum_hi);
        let covered = &inodes[..8192 / 8];
        assert_eq!(csum, if inode_bitmap { seed.with(covered).value() } else { 0 }, "{group}");
        let unused = if group == 0 { 8192 - 11 } else { 8192 };
        assert_eq!(desc.bg_itable_unused_lo, unused, "{group}");
        if inode_bitmap {
            assert!(inodes[8192 / 8..].iter().all(|byte| *byte == 0xff), "behind the last inode");
            assert_eq!(inodes[..3], [0xff, 0x07, 0]);
        }
        if group == 2 {
            assert!(blocks[1000 / 8..].iter().all(|byte| *byte == 0xff), "behind the last block");
            assert_eq!(blocks[999 / 8], 0);
        }
    }
}

#[test]
fn t05_i_blocks_counts_what_is_held() {
    let xattrs = |length| Xattrs::from_iter([("trusted.a", vec![1; length])]);
    let with = |length| Attributes { xattrs: xattrs(length), ..Attributes::with_mode(0o777) };
    let image = Image::build(64 << 20, |builder, tree| {
        insert(tree, "a", symlink(59), Attributes::default());
        insert(tree, "b", symlink(60), Attributes::default());
        insert(tree, "c", symlink(4095), with(1000));
        insert(tree, "d", symlink(1), with(1000));
        insert(tree, "e", symlink(1), with(10));
        let id = builder.begin(LayerIndex(0), 11 * 8192).unwrap();
        for _ in 0..11 {
            builder.append_hole(id, 4096).unwrap();
            builder.append(id, &[1; 4096]).unwrap();
        }
        builder.finish(id).unwrap();
        let kind = NodeKind::Regular { size_bytes: 11 * 8192, content: Some(id) };
        insert(tree, "f", kind, Attributes::default());
    });
    // In units of 512 bytes: data, xattr block, block of extents.
    for (number, blocks) in [(12, 0), (13, 8), (14, 16), (15, 8), (16, 0), (17, (11 + 1) * 8)] {
        assert_eq!(image.inode(number).blocks(), blocks, "inode {number}");
    }
    assert_eq!(image.inode(12).i_block[..59], [b't'; 59]);
    assert_eq!(image.first_block_of(13)[..61], [&[b't'; 60][..], &[0]].concat());
}

#[test]
fn t10_journal_is_empty_and_has_a_copy_of_its_blocks() {
    let image = Image::build(64 << 20, |_, _| {});
    let superblock = image.superblock();
    let inode = image.inode(8);
    assert_eq!((superblock.s_journal_inum, superblock.s_journal_uuid), (8, [0; 16]));
    assert_eq!(superblock.s_jnl_backup_type, 1);
    let copy: Vec<u8> = superblock.s_jnl_blocks.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(copy[..60], inode.i_block);
    assert_eq!(copy[60..], [&[0; 4][..], &inode.i_size_lo.to_le_bytes()].concat());
    let journal = JournalSuperblock::decode(image.first_block_of(8)[..1024].try_into().unwrap());
    assert_eq!(journal, JournalSuperblock::empty(1024, UUID));
    assert_eq!((inode.size(), inode.blocks()), (1024 * 4096, 1024 * 8));
}

#[test]
fn t11_lost_found_is_merged_and_the_root_is_roots() {
    let image = Image::build(16 << 20, |_, _| {});
    let (root, lost_found) = (image.inode(2), image.inode(11));
    assert_eq!((root.i_mode, root.i_uid, root.i_gid, root.i_links_count), (0o40755, 0, 0, 3));
    assert_eq!((lost_found.i_mode, lost_found.size(), lost_found.i_links_count), (0o40700, 16384, 2));
    assert_eq!((lost_found.i_mtime, lost_found.i_mtime_extra), (705_032_704, 1), "the options' time");
    let shipped = Image::build(16 << 20, |_, tree| {
        let attributes = Attributes { uid: 70_000, ..Attributes::with_mode(0o1777) };
        insert(tree, "lost+found", NodeKind::empty_directory(), attributes);
    });
    let merged = shipped.inode(11);
    assert_eq!((merged.i_mode, merged.i_uid, merged.l_i_uid_high), (0o41777, 4464, 1));
    let entries = dirent::entries(shipped.first_block_of(2)).map(|entry| entry.inode.0);
    assert_eq!(entries.collect::<Vec<_>>(), [2, 2, 11], "one lost+found");
}

#[test]
fn t12_names_are_counted_and_directories_have_two_more() {
    let image = Image::build(16 << 20, |_, tree| {
        insert(tree, "a", NodeKind::Fifo, Attributes::default());
        let a = tree.child(tree.root(), b"a").unwrap();
        for name in [b"b", b"c"] {
            tree.link(tree.root(), name, a).unwrap();
        }
        insert(tree, "d", NodeKind::empty_directory(), Attributes::default());
    });
    assert_eq!(image.inode(12).i_links_count, 3);
    assert_eq!(image.inode(13).i_links_count, 2);
    assert_eq!(image.inode(2).i_links_count, 4, ". and .., lost+found, d");
}

#[test]
fn t14_backups_know_their_group_and_the_resize_inode_its_blocks() {
    let image = Image::build(4 << 27, |_, _| {});
    let primary = image.superblock();
    assert_eq!(primary.s_reserved_gdt_blocks, 63);
    for group in [1, 3] {
        let start = group * 32768 * BLOCK_SIZE;
        let backup = Superblock::decode(image.part(start));
        assert_eq!(usize::from(backup.s_block_group_nr), group);
        assert_eq!(&backup.encode_with_checksum(), image.part(start), "s_checksum of {group}");
        let expected = Superblock { s_block_group_nr: 0, s_checksum: primary.s_checksum, ..backup };
        assert_eq!(expected, primary);
        assert_eq!(image.block(1), image.block(group as u64 * 32768 + 1), "descriptors of {group}");
    }
    let i_block = image.inode(7).i_block;
    let dind = u32::from_le_bytes(i_block[52..56].try_into().unwrap());
    let number =
        |block: u64, at: usize| u32::from_le_bytes(*image.block(block)[at * 4..].first_chunk().unwrap());
    assert_eq!((number(u64::from(dind), 0), number(u64::from(dind), 1)), (0, 2));
    assert_eq!((number(2, 0), number(2, 1), number(2, 2)), (32768 + 2, 3 * 32768 + 2, 0));
}
