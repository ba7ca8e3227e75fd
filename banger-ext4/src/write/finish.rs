//! The last step: journal, resize inode, bitmaps, group descriptors, superblocks.

use super::extents::write_extent_tree;
use super::inode_table::InodeTableWriter;
use super::layout::{Layout, descriptor_blocks, group_count};
use super::mapped_run::MappedRun;
use super::new_inode::new_inode;
use super::output::Output;
use super::space::Space;
use crate::backend::BuildReport;
use crate::error::Ext4Error;
use crate::format::crc32c::Checksum;
use crate::format::group_desc::{BLOCK_UNINIT, GroupDesc, INODE_UNINIT, INODE_ZEROED};
use crate::format::inode::{EXTENTS_FL, EXTRA_ISIZE, Inode};
use crate::format::journal::JournalSuperblock;
use crate::format::superblock::{self as sb, Superblock, compat, incompat, ro_compat};
use crate::format::{BLOCK_BYTES, BLOCK_SIZE, BLOCKS_PER_GROUP, Block, Group, INODE_SIZE, InodeNumber};
use crate::format::{hash, hi32, lo32};
use crate::options::{Ext4Options, check_reserved};

/// Groups of a flexible group, as a power of two: the kernel uses it for groups that it adds.
const LOG_GROUPS_PER_FLEX: u8 = 4;
/// Entries of a block of block numbers.
const NUMBERS_PER_BLOCK: u64 = BLOCK_BYTES / 4;
/// `i_block` of the block of blocks of block numbers.
const DIND: usize = 13;

/// Everything that is known once the size is.
struct Finish<'a> {
    output: Output<'a>,
    inodes: InodeTableWriter,
    layout: Layout,
    options: &'a Ext4Options,
    seed: Checksum,
    blocks: u64,
    groups: u32,
    last_inode: u32,
    journal_blocks: u32,
}

/// Writes the rest. `planned_blocks` is the size, or the smallest size if it is open; inodes up to
/// `last_inode` are in use.
///
/// # Errors
/// No room is left, or the host refuses.
pub(crate) fn finish(
    output: Output<'_>,
    inodes: InodeTableWriter,
    layout: Layout,
    options: &Ext4Options,
    planned_blocks: u64,
    last_inode: u32,
) -> Result<BuildReport, Ext4Error> {
    let mut blocks = planned_blocks;
    if !layout.size_is_fixed {
        let content = output.space.used() - inodes.tables().moved_blocks();
        blocks = blocks.max(layout.size_for(layout.with_room(content)));
    }
    let mut finish = Finish {
        seed: Checksum::of_filesystem(&options.uuid),
        output,
        inodes,
        layout,
        options,
        blocks,
        groups: 0,
        last_inode,
        journal_blocks: layout.journal.blocks(blocks),
    };
    let resize_block = finish.output.take_file(1)?;
    let journal_inode = match finish.journal_blocks {
        0 => None,
        blocks => {
            let journal = finish.output.take_file(u64::from(blocks))?;
            Some(finish.put_journal(journal)?)
        }
    };
    if !layout.size_is_fixed {
        finish.blocks = layout.rounded_up(blocks.max(finish.output.space.frontier()));
        if finish.blocks > layout.blocks_max {
            let size_bytes = finish.blocks * BLOCK_BYTES;
            let reason = "more than can be chosen for the content alone; choose the size".to_owned();
            return Err(Ext4Error::InvalidSize { size_bytes, reason });
        }
        finish.output.space.set_limit(finish.blocks);
    }
    check_reserved(layout.reserved_blocks, finish.blocks)?;
    finish.groups = group_count(finish.blocks);
    let resize_block = Block(resize_block[0].start);
    finish.put_resize_inode(resize_block)?;
    let (descriptors, free_blocks) = finish.put_groups()?;
    finish.put_inode_tables()?;
    let superblock = finish.superblock(free_blocks, journal_inode.as_ref());
    finish.put_superblocks(superblock, &descriptors)?;
    let file = finish.output.file;
    file.set_len(finish.blocks * BLOCK_BYTES).map_err(|source| file.error("set the length of", source))?;
    file.keep();
    Ok(BuildReport {
        size_bytes: finish.blocks * BLOCK_BYTES,
        free_bytes: free_blocks * BLOCK_BYTES,
        inodes: finish.groups * layout.inodes_per_group,
        used_inodes: last_inode,
    })
}

impl Finish<'_> {
    /// Writes the journal's first block and its inode; returns the inode. All other blocks stay holes in the
    /// host's file: they read as zeros, as an empty journal needs.
    fn put_journal(&mut self, runs: Vec<MappedRun>) -> Result<Inode, Ext4Error> {
        let first = Block(runs[0].start);
        let superblock = JournalSuperblock::empty(self.journal_blocks, self.options.uuid);
        self.output.write(first, &superblock.encode())?;
        let mut inode = new_inode(0o100_600, self.options.timestamp);
        inode.i_links_count = 1;
        inode.i_flags = EXTENTS_FL;
        inode.set_size(u64::from(self.journal_blocks) * BLOCK_BYTES);
        let seed = self.seed.of_inode(InodeNumber::JOURNAL, 0);
        let tree = write_extent_tree(&mut self.output, seed, runs.into_iter())?;
        inode.i_block = tree.i_block;
        inode.set_blocks(tree.blocks * (BLOCK_BYTES / 512));
        self.put_inode(InodeNumber::JOURNAL, &inode.encode_with_checksum(self.seed, InodeNumber::JOURNAL))?;
        Ok(inode)
    }

    /// Writes the inode that owns the reserved descriptor blocks. Its only block has one entry for
    /// each of them, at its number among the descriptor blocks; and each of them, in group 0, has
    /// the numbers of its copies in the other groups.
    fn put_resize_inode(&mut self, block: Block) -> Result<(), Ext4Error> {
        let (used, reserved) = (descriptor_blocks(self.groups), self.reserved_gdt_blocks());
        let copies: Vec<Group> = self.groups_with_super().skip(1).collect();
        let mut numbers = vec![0; BLOCK_SIZE];
        let mut lists = vec![0; if copies.is_empty() { 0 } else { reserved as usize * BLOCK_SIZE }];
        for index in 0..reserved {
            let gdt_block = 1 + used + index;
            let entry = ((used + index) % NUMBERS_PER_BLOCK) as usize * 4;
            numbers[entry..entry + 4].copy_from_slice(&lo32(gdt_block).to_le_bytes());
            for (position, group) in copies.iter().enumerate() {
                let entry = index as usize * BLOCK_SIZE + position * 4;
                let copy = lo32(group.first_block().0 + gdt_block);
                lists[entry..entry + 4].copy_from_slice(&copy.to_le_bytes());
            }
        }
        self.output.write(block, &numbers)?;
        self.output.write(Block(1 + used), &lists)?;

        let mut inode = new_inode(0o100_600, self.options.timestamp);
        inode.i_links_count = 1;
        // As large as a file whose double indirect block is full.
        inode.set_size((NUMBERS_PER_BLOCK * NUMBERS_PER_BLOCK + NUMBERS_PER_BLOCK + 12) * BLOCK_BYTES);
        inode.i_block[DIND * 4..DIND * 4 + 4].copy_from_slice(&lo32(block.0).to_le_bytes());
        let blocks = 1 + reserved * (1 + copies.len() as u64);
        inode.set_blocks(blocks * (BLOCK_BYTES / 512));
        self.put_inode(InodeNumber::RESIZE, &inode.encode_with_checksum(self.seed, InodeNumber::RESIZE))
    }

    /// Writes the bitmaps; returns the group descriptors and the number of free blocks.
    fn put_groups(&mut self) -> Result<(Vec<u8>, u64), Ext4Error> {
        self.output.space.close_window();
        let blocks = descriptor_blocks(self.groups) as usize;
        let mut descriptors = Vec::with_capacity(blocks * BLOCK_SIZE);
        let mut free_blocks = 0;
        for group in (0..self.groups).map(Group) {
            let (desc, free) = self.put_group(group)?;
            descriptors.extend_from_slice(&desc.encode_with_checksum(self.seed, group));
            free_blocks += free;
        }
        descriptors.resize(blocks * BLOCK_SIZE, 0);
        Ok((descriptors, free_blocks))
    }

    fn put_group(&mut self, group: Group) -> Result<(GroupDesc, u64), Ext4Error> {
        let mut desc = GroupDesc::zeroed();
        let block_bitmap = self.layout.block_bitmap(group);
        let inode_bitmap = Block(block_bitmap.0 + 1);
        desc.set_places(block_bitmap, inode_bitmap, self.inodes.tables().table(group));
        // The tables' unused parts are holes, so there is nothing left to zero for the kernel.
        desc.bg_flags = INODE_ZEROED;

        let in_group = Layout::group_blocks(group, self.blocks);
        let touched = group.0 < self.output.space.touched_groups();
        let free_blocks = if touched || group.0 == self.groups - 1 {
            let bitmap = block_bitmap_of(&self.layout, self.output.space, group, in_group, touched);
            desc.set_block_bitmap_csum(self.seed, &bitmap);
            self.output.write(block_bitmap, &bitmap)?;
            BLOCKS_PER_GROUP - bitmap.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
        } else {
            desc.bg_flags |= BLOCK_UNINIT;
            in_group - self.layout.own_blocks(group)
        };

        let per_group = self.layout.inodes_per_group;
        let used = self.last_inode.saturating_sub(group.0 * per_group).min(per_group);
        if used > 0 {
            let mut bitmap = [0xff; BLOCK_SIZE];
            clear_bits(&mut bitmap, u64::from(used)..u64::from(per_group));
            // Only the part with inodes behind it counts; per_group is a multiple of 16.
            desc.set_inode_bitmap_csum(self.seed, &bitmap[..per_group as usize / 8]);
            self.output.write(inode_bitmap, &bitmap)?;
        } else {
            desc.bg_flags |= INODE_UNINIT;
        }
        let unused = per_group - used;
        let free = u32::try_from(free_blocks).expect("at most the blocks of a group");
        desc.set_counts(free, unused, self.inodes.used_dirs(group), unused);
        Ok((desc, free_blocks))
    }

    fn superblock(&self, free_blocks: u64, journal: Option<&Inode>) -> Superblock {
        let options = self.options;
        let inodes = self.groups * self.layout.inodes_per_group;
        let own = self.layout.own_blocks_of_all(self.blocks);
        // A superblock has no times before 1970.
        let time = options.timestamp.seconds.max(0).cast_unsigned();
        let time_hi = hi32(time).to_le_bytes()[0];
        let mut s_volume_name = [0; 16];
        s_volume_name[..options.label.len()].copy_from_slice(options.label.as_bytes());
        let mut superblock = Superblock {
            s_inodes_count: inodes,
            s_free_inodes_count: inodes - self.last_inode,
            s_log_block_size: 2,
            s_log_cluster_size: 2,
            s_blocks_per_group: lo32(BLOCKS_PER_GROUP),
            s_clusters_per_group: lo32(BLOCKS_PER_GROUP),
            s_inodes_per_group: self.layout.inodes_per_group,
            s_wtime: lo32(time),
            s_wtime_hi: time_hi,
            s_max_mnt_count: sb::MAX_MNT_COUNT_NEVER,
            s_magic: sb::MAGIC,
            s_state: sb::STATE_VALID,
            s_errors: sb::ERRORS_CONTINUE,
            s_lastcheck: lo32(time),
            s_lastcheck_hi: time_hi,
            s_rev_level: sb::REV_DYNAMIC,
            s_first_ino: InodeNumber::FIRST.0,
            s_inode_size: 256,
            s_feature_compat: compat::EXT_ATTR | compat::RESIZE_INODE | compat::DIR_INDEX,
            s_feature_incompat: incompat::FILETYPE | incompat::EXTENTS | incompat::BIT64 | incompat::FLEX_BG,
            s_feature_ro_compat: ro_compat::SPARSE_SUPER
                | ro_compat::LARGE_FILE
                | ro_compat::HUGE_FILE
                | ro_compat::DIR_NLINK
                | ro_compat::EXTRA_ISIZE
                | ro_compat::METADATA_CSUM,
            s_uuid: options.uuid,
            s_volume_name,
            s_reserved_gdt_blocks: u16::try_from(self.reserved_gdt_blocks()).expect("at most 1024"),
            s_hash_seed: options.hash_seed,
            s_def_hash_version: hash::HALF_MD4,
            s_desc_size: 64,
            s_default_mount_opts: sb::DEFM_XATTR_USER | sb::DEFM_ACL,
            s_mkfs_time: lo32(time),
            s_mkfs_time_hi: time_hi,
            s_min_extra_isize: EXTRA_ISIZE,
            s_want_extra_isize: EXTRA_ISIZE,
            s_flags: sb::FLAGS_SIGNED_HASH,
            s_log_groups_per_flex: LOG_GROUPS_PER_FLEX,
            s_checksum_type: sb::CHECKSUM_CRC32C,
            // The placed bytes, not the written ones: these depend on how the bytes came.
            s_kbytes_written: self.output.space.used() * (BLOCK_BYTES / 1024),
            s_overhead_clusters: u32::try_from(own + u64::from(self.journal_blocks)).unwrap_or(0),
            ..Superblock::zeroed()
        };
        superblock.set_blocks_count(self.blocks);
        superblock.set_free_blocks_count(free_blocks);
        superblock.set_r_blocks_count(self.layout.reserved_blocks);
        if let Some(journal) = journal {
            record_journal(&mut superblock, journal);
        }
        superblock
    }

    fn put_inode_tables(&mut self) -> Result<(), Ext4Error> {
        let file = &mut *self.output.file;
        self.inodes.finish(file).map_err(|source| file.error("write", source))
    }

    /// Writes superblocks and descriptors, the primary ones last.
    fn put_superblocks(&mut self, superblock: Superblock, descriptors: &[u8]) -> Result<(), Ext4Error> {
        let mut area = vec![0; BLOCK_SIZE];
        area.extend_from_slice(descriptors);
        let groups: Vec<Group> = self.groups_with_super().collect();
        for group in groups.into_iter().rev() {
            let offset = if group.0 == 0 { sb::PRIMARY_OFFSET } else { 0 };
            let s_block_group_nr = super_group_number(group);
            let bytes = Superblock { s_block_group_nr, ..superblock.clone() }.encode_with_checksum();
            area[..BLOCK_SIZE].fill(0);
            area[offset..offset + bytes.len()].copy_from_slice(&bytes);
            self.output.write(group.first_block(), &area)?;
        }
        Ok(())
    }

    fn put_inode(&mut self, number: InodeNumber, inode: &[u8; INODE_SIZE]) -> Result<(), Ext4Error> {
        let file = &mut *self.output.file;
        self.inodes.put(file, number, false, inode).map_err(|source| file.error("write", source))
    }

    fn reserved_gdt_blocks(&self) -> u64 {
        self.layout.gdt_blocks - descriptor_blocks(self.groups)
    }

    fn groups_with_super(&self) -> impl Iterator<Item = Group> + use<> {
        (0..self.groups).map(Group).filter(|group| group.has_super())
    }
}

/// Records the journal with the inode `journal`, which e2fsck can then restore.
fn record_journal(superblock: &mut Superblock, journal: &Inode) {
    superblock.s_feature_compat |= compat::HAS_JOURNAL;
    superblock.s_journal_inum = InodeNumber::JOURNAL.0;
    superblock.s_jnl_backup_type = sb::JNL_BACKUP_BLOCKS;
    for (copy, word) in superblock.s_jnl_blocks.iter_mut().zip(journal.i_block.chunks_exact(4)) {
        *copy = u32::from_le_bytes(word.try_into().expect("four bytes"));
    }
    (superblock.s_jnl_blocks[15], superblock.s_jnl_blocks[16]) = (journal.i_size_high, journal.i_size_lo);
}

/// Returns `s_block_group_nr`, which has 16 bits; like the kernel and mke2fs, it keeps the lower bits of a
/// larger number.
fn super_group_number(group: Group) -> u16 {
    crate::format::lo16(group.0)
}

/// Returns the block bitmap of a group of `in_group` blocks.
fn block_bitmap_of(
    layout: &Layout,
    space: &Space,
    group: Group,
    in_group: u64,
    touched: bool,
) -> [u8; BLOCK_SIZE] {
    let start = group.first_block().0;
    let mut bitmap = [0xff; BLOCK_SIZE];
    if touched {
        clear_bits(&mut bitmap, space.frontier().clamp(start, start + in_group) - start..in_group);
        for range in space.free().within(start..start + in_group) {
            clear_bits(&mut bitmap, range.start - start..range.end - start);
        }
    } else {
        clear_bits(&mut bitmap, layout.own_blocks(group)..in_group);
    }
    bitmap
}

fn clear_bits(bitmap: &mut [u8], range: std::ops::Range<u64>) {
    let (mut at, end) = (range.start as usize, range.end as usize);
    while at < end {
        if at % 8 == 0 && end - at >= 8 {
            bitmap[at / 8] = 0;
            at += 8;
        } else {
            bitmap[at / 8] &= !(1 << (at % 8));
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clears_bits_by_range() {
        for (range, want) in [(0..0, [0xff, 0xff, 0xff]), (3..9, [7, 0xfe, 0xff]), (0..24, [0, 0, 0])] {
            let mut bitmap = [0xff; 3];
            clear_bits(&mut bitmap, range);
            assert_eq!(bitmap, want);
        }
    }
}
