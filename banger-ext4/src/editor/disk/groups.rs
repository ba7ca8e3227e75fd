//! Group descriptors and bitmaps.

use banger_tree::RootfsError;

use super::Disk;
use super::blocks::View;
use super::volume::{DESC_SIZE_32, GroupChecksum, Volume};
use crate::editor::disk::corruption::{CorruptionKind, DescriptorField};
use crate::format::crc32c::is_wrong;
use crate::format::group_desc::{BLOCK_UNINIT, GroupDesc, INODE_UNINIT};
use crate::format::superblock::{Superblock, incompat};
use crate::format::{Block, Group, lo16};

/// Returns whether bit `at` is set.
pub(crate) fn bit(bitmap: &[u8], at: u64) -> bool {
    bitmap[(at / 8) as usize] & (1 << (at % 8)) != 0
}

/// Splits a range of bits: a mask of those at the end of a byte, whole bytes, and a mask of those at
/// the start of the byte after them.
fn by_bytes(range: std::ops::Range<u64>) -> ((usize, u8), std::ops::Range<usize>, (usize, u8)) {
    let (first, last) = ((range.start / 8) as usize, (range.end / 8) as usize);
    let (head, tail) = (0xff_u8 << (range.start % 8), !(0xff_u8 << (range.end % 8)));
    match (range.is_empty(), first == last) {
        (true, _) => ((first, 0), 0..0, (first, 0)),
        (false, true) => ((first, head & tail), 0..0, (first, 0)),
        (false, false) => ((first, head), first + 1..last, (last, tail)),
    }
}

/// Sets bits to `value`.
pub(crate) fn set_bits(bitmap: &mut [u8], range: std::ops::Range<u64>, value: bool) {
    let (head, whole, tail) = by_bytes(range);
    bitmap[whole].fill(if value { 0xff } else { 0 });
    for (at, mask) in [head, tail].into_iter().filter(|(_, mask)| *mask != 0) {
        match value {
            true => bitmap[at] |= mask,
            false => bitmap[at] &= !mask,
        }
    }
}

/// Returns how many bits of `range` are set.
pub(crate) fn ones(bitmap: &[u8], range: std::ops::Range<u64>) -> u64 {
    let (head, whole, tail) = by_bytes(range);
    let ends = [head, tail].into_iter().filter(|(_, mask)| *mask != 0);
    let ends: u64 = ends.map(|(at, mask)| u64::from((bitmap[at] & mask).count_ones())).sum();
    ends + bitmap[whole].iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

impl Volume {
    /// Returns the block and the offset of a group's descriptor.
    pub(crate) fn desc_place(&self, group: u32) -> (Block, usize) {
        let per_block = self.block_size / self.desc_size;
        let index = group as usize;
        let (desc_block, offset) = ((index / per_block) as u64, index % per_block * self.desc_size);
        let block = match self.first_meta_bg {
            // Each block of descriptors lies in the first group that it describes.
            Some(first) if desc_block >= first => {
                let first_group = group - group % u32::try_from(per_block).expect("at most 2048");
                self.first_block(first_group) + u64::from(self.has_super(first_group))
            }
            // With clusters and blocks of 1 KiB, group 0 starts with a block before the superblock.
            _ => self.superblock_place().0.0 + 1 + desc_block,
        };
        (Block(block), offset)
    }

    /// Returns the checksum of a descriptor of `desc_size` bytes, with the UUID that it depends on.
    fn desc_checksum(&self, group: u32, bytes: &[u8], uuid: &[u8; 16]) -> Option<u16> {
        let (before, after) = (&bytes[..0x1e], &bytes[0x20..]);
        match self.group_checksum {
            GroupChecksum::None => None,
            GroupChecksum::Crc32c => {
                let seed = self.seed.expect("metadata_csum has a seed").of_group(Group(group));
                Some(lo16(seed.with(before).with(&[0; 2]).with(after).value()))
            }
            GroupChecksum::Crc16 => {
                let crc = crc16(!0, uuid);
                let crc = crc16(crc, &group.to_le_bytes());
                Some(crc16(crc16(crc, before), after))
            }
        }
    }

    /// Writes a group's descriptor with its checksum over an old one; keeps bytes that are not known here.
    pub(crate) fn fill_desc(&self, group: u32, desc: &GroupDesc, bytes: &mut [u8]) {
        let known = self.desc_size.min(GroupDesc::SIZE);
        bytes[..known].copy_from_slice(&desc.encode()[..known]);
        if let Some(csum) = self.desc_checksum(group, bytes, &self.uuid) {
            bytes[0x1e..0x20].copy_from_slice(&csum.to_le_bytes());
        }
    }

    /// Returns whether descriptors may flag a bitmap as not written.
    pub(crate) fn has_uninit(&self) -> bool {
        self.group_checksum != GroupChecksum::None
    }

    /// Returns whether copies of superblock and descriptors are in a group.
    pub(crate) fn has_super(&self, group: u32) -> bool {
        match self.backup_groups {
            Some(backups) => group == 0 || backups.contains(&group),
            None => !self.sparse_super || Group(group).has_super(),
        }
    }

    /// Returns the blocks at the start of a group for superblock and descriptors.
    pub(crate) fn base_blocks(&self, group: u32) -> u64 {
        let per_block = u32::try_from(self.block_size / self.desc_size).expect("at most 2048");
        let superblocks = u64::from(self.has_super(group));
        match self.first_meta_bg {
            Some(first) if u64::from(group / per_block) >= first => {
                // The first two groups and the last of those that a block describes have it.
                let at = group % per_block;
                superblocks + u64::from(at <= 1 || at + 1 == per_block)
            }
            _ if superblocks == 0 => 0,
            Some(first) => 1 + first.min(self.descriptor_blocks()) + self.reserved_gdt_blocks,
            None => 1 + self.descriptor_blocks() + self.reserved_gdt_blocks,
        }
    }

    /// Returns all blocks of a group for its own metadata, if they lie at its start, as in groups that banger
    /// adds.
    pub(crate) fn own_blocks(&self, group: u32) -> u64 {
        self.base_blocks(group) + 2 + self.inode_table_blocks()
    }

    /// Returns the groups with copies of superblock and descriptors, but the first.
    pub(crate) fn groups_with_copies(&self) -> impl Iterator<Item = u32> + '_ {
        (1..self.groups).filter(|group| self.has_super(*group))
    }

    /// Returns whether [`empty_block_bitmap`](Self::empty_block_bitmap) has all of a group's own
    /// metadata, each block of it once.
    pub(crate) fn has_metadata_inside(&self, group: u32, desc: &GroupDesc) -> bool {
        let base = self.base_blocks(group);
        let table = desc.inode_table().0;
        let mut places = [
            (desc.block_bitmap().0, 1),
            (desc.inode_bitmap().0, 1),
            (table, self.inode_table_blocks()),
            (self.first_block(group) + self.blocks_of(group), 0),
        ];
        places.sort_unstable();
        let mut end = self.first_block(group) + base;
        places.iter().all(|(start, count)| {
            let is_after = *start >= end;
            end = start + count;
            is_after
        })
    }

    /// Returns the block bitmap of a group that has only its own metadata.
    pub(crate) fn empty_block_bitmap(&self, group: u32, desc: &GroupDesc) -> Vec<u8> {
        let mut bitmap = vec![0; self.block_size];
        let size = self.blocks_of(group);
        set_bits(&mut bitmap, 0..self.base_blocks(group).min(size), true);
        let table = desc.inode_table().0;
        let own = [desc.block_bitmap().0, desc.inode_bitmap().0];
        for block in own.into_iter().chain(table..table + self.inode_table_blocks()) {
            // With flex_bg they may be in another group, which is not empty then.
            if let Some((of, at)) = self.group_of(Block(block))
                && of == group
            {
                set_bits(&mut bitmap, at..at + 1, true);
            }
        }
        set_bits(&mut bitmap, size..8 * self.block_size as u64, true);
        bitmap
    }
}

/// CRC-16 with the polynomial of `uninit_bg`.
fn crc16(crc: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(crc, |crc, byte| {
        (0..8)
            .fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 })
    })
}

impl Disk {
    /// Returns a group's descriptor as it stands in the block at `offset`, and whether its checksum is wrong.
    pub(crate) fn unchecked_desc(
        &self,
        view: View,
        group: u32,
        block: &[u8],
        offset: usize,
    ) -> (GroupDesc, bool) {
        let bytes = &block[offset..offset + self.volume.desc_size];
        let mut whole = [0; GroupDesc::SIZE];
        let known = bytes.len().min(GroupDesc::SIZE);
        whole[..known].copy_from_slice(&bytes[..known]);
        let desc = GroupDesc::decode(&whole);
        let uuid = match view {
            View::Committed => &self.volume.committed_uuid,
            View::Now => &self.volume.uuid,
        };
        let checksum = self.volume.desc_checksum(group, bytes, uuid);
        let has_wrong_checksum = checksum.is_some_and(|csum| is_wrong(&desc.bg_checksum, &csum));
        (desc, has_wrong_checksum)
    }

    /// Returns a group's descriptor, checked.
    pub(crate) fn group_desc(&self, view: View, group: u32) -> Result<GroupDesc, RootfsError> {
        let volume = &self.volume;
        let corrupt = |field| Err(volume.corrupt(CorruptionKind::GroupDescriptor { group, field }));
        let (block, offset) = volume.desc_place(group);
        let block = self.blocks.read(view, block)?;
        let (desc, has_wrong_checksum) = self.unchecked_desc(view, group, &block, offset);
        if has_wrong_checksum {
            return corrupt(DescriptorField::Checksum);
        }
        let table_end = desc.inode_table().0.checked_add(volume.inode_table_blocks());
        let inside = |block: Block| block.0 > volume.first_data_block && block.0 < volume.blocks_count;
        if !inside(desc.block_bitmap())
            || !inside(desc.inode_bitmap())
            || !inside(desc.inode_table())
            || table_end.is_none_or(|end| end > volume.blocks_count)
        {
            return corrupt(DescriptorField::Places);
        }
        let blocks = match view {
            View::Now => volume.blocks_of(group),
            // The last group may have had more.
            View::Committed => volume.blocks_per_group,
        };
        if u64::from(desc.free_blocks()) > blocks
            || desc.free_inodes() > volume.inodes_per_group
            || desc.used_dirs() > volume.inodes_per_group
            || desc.itable_unused() > volume.inodes_per_group
        {
            return corrupt(DescriptorField::Counts);
        }
        Ok(desc)
    }

    /// Replaces a group's descriptor.
    pub(crate) fn put_group_desc(&mut self, group: u32, desc: &GroupDesc) -> Result<(), RootfsError> {
        let (block, offset) = self.volume.desc_place(group);
        let mut bytes = self.blocks.read(View::Now, block)?.to_vec();
        self.volume.fill_desc(group, desc, &mut bytes[offset..offset + self.volume.desc_size]);
        self.blocks.write(block, bytes)
    }

    /// Returns a group's block bitmap, checked.
    pub(crate) fn block_bitmap(
        &self,
        view: View,
        group: u32,
        desc: &GroupDesc,
    ) -> Result<Vec<u8>, RootfsError> {
        let volume = &self.volume;
        if volume.has_uninit() && desc.bg_flags & BLOCK_UNINIT != 0 {
            return Ok(volume.empty_block_bitmap(group, desc));
        }
        let mut bitmap = self.blocks.read(view, desc.block_bitmap())?.to_vec();
        let covered = (volume.blocks_per_group / 8) as usize;
        let mut expected = desc.clone();
        if let Some(seed) = volume.seed {
            expected.set_block_bitmap_csum(seed, &bitmap[..covered]);
        }
        self.check_bitmap(group, "block", desc, &expected)?;
        set_bits(&mut bitmap, volume.blocks_of(group)..8 * volume.block_size as u64, true);
        Ok(bitmap)
    }

    fn check_bitmap(
        &self,
        group: u32,
        bitmap: &'static str,
        found: &GroupDesc,
        want: &GroupDesc,
    ) -> Result<(), RootfsError> {
        let sums = |desc: &GroupDesc| {
            let lower = [desc.bg_block_bitmap_csum_lo, desc.bg_inode_bitmap_csum_lo];
            let upper = [desc.bg_block_bitmap_csum_hi, desc.bg_inode_bitmap_csum_hi];
            (lower, (self.volume.desc_size > DESC_SIZE_32).then_some(upper))
        };
        if is_wrong(&sums(found), &sums(want)) {
            return Err(self.volume.corrupt(CorruptionKind::BitmapChecksum { group, bitmap }));
        }
        Ok(())
    }

    /// Replaces a group's block bitmap and descriptor.
    pub(crate) fn put_block_bitmap(
        &mut self,
        group: u32,
        mut desc: GroupDesc,
        bitmap: Vec<u8>,
    ) -> Result<(), RootfsError> {
        desc.bg_flags &= !BLOCK_UNINIT;
        if let Some(seed) = self.volume.seed {
            desc.set_block_bitmap_csum(seed, &bitmap[..(self.volume.blocks_per_group / 8) as usize]);
        }
        self.blocks.write(desc.block_bitmap(), bitmap)?;
        self.put_group_desc(group, &desc)
    }

    /// Returns a group's inode bitmap, checked.
    pub(crate) fn inode_bitmap(&self, group: u32, desc: &GroupDesc) -> Result<Vec<u8>, RootfsError> {
        let volume = &self.volume;
        let inodes = u64::from(volume.inodes_per_group);
        if volume.has_uninit() && desc.bg_flags & INODE_UNINIT != 0 {
            let mut bitmap = vec![0; volume.block_size];
            set_bits(&mut bitmap, inodes..8 * volume.block_size as u64, true);
            return Ok(bitmap);
        }
        let bitmap = self.blocks.read(View::Now, desc.inode_bitmap())?.to_vec();
        let mut expected = desc.clone();
        if let Some(seed) = volume.seed {
            expected.set_inode_bitmap_csum(seed, &bitmap[..(inodes / 8) as usize]);
        }
        self.check_bitmap(group, "inode", desc, &expected)?;
        Ok(bitmap)
    }

    /// Replaces a group's inode bitmap and descriptor.
    pub(crate) fn put_inode_bitmap(
        &mut self,
        group: u32,
        mut desc: GroupDesc,
        bitmap: Vec<u8>,
    ) -> Result<(), RootfsError> {
        desc.bg_flags &= !INODE_UNINIT;
        if let Some(seed) = self.volume.seed {
            desc.set_inode_bitmap_csum(seed, &bitmap[..(self.volume.inodes_per_group / 8) as usize]);
        }
        self.blocks.write(desc.inode_bitmap(), bitmap)?;
        self.put_group_desc(group, &desc)
    }

    /// Returns the superblock.
    pub(crate) fn superblock(&self) -> Result<Superblock, RootfsError> {
        let (block, offset) = self.volume.superblock_place();
        let bytes = self.blocks.read(View::Now, block)?;
        let bytes = bytes[offset..offset + Superblock::SIZE].try_into().expect("the superblock's size");
        Ok(Superblock::decode(bytes))
    }

    /// Changes the superblock.
    pub(crate) fn update_superblock(
        &mut self,
        change: impl FnOnce(&mut Superblock),
    ) -> Result<(), RootfsError> {
        let (block, offset) = self.volume.superblock_place();
        let mut bytes = self.blocks.read(View::Now, block)?.to_vec();
        change_superblock(&mut bytes[offset..offset + Superblock::SIZE], self.volume.seed.is_some(), change);
        self.blocks.write(block, bytes)
    }
}

/// Returns the copy of the superblock `primary` for a group.
pub(crate) fn superblock_copy(primary: &[u8], group: u32, has_checksum: bool) -> Vec<u8> {
    let mut copy = primary.to_vec();
    change_superblock(&mut copy, has_checksum, |superblock| {
        superblock.s_block_group_nr = lo16(group);
        superblock.s_feature_incompat &= !incompat::RECOVER;
    });
    copy
}

/// Changes a superblock in its bytes.
pub(crate) fn change_superblock(bytes: &mut [u8], has_checksum: bool, change: impl FnOnce(&mut Superblock)) {
    let whole: &[u8; Superblock::SIZE] = (&*bytes).try_into().expect("the superblock's place has its size");
    let mut superblock = Superblock::decode(whole);
    change(&mut superblock);
    bytes.copy_from_slice(&match has_checksum {
        true => superblock.encode_with_checksum(),
        false => superblock.encode(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t02_crc16_of_descriptors() {
        // The check value of CRC-16/MODBUS: this polynomial, reflected, started from all ones.
        assert_eq!(crc16(!0, b"123456789"), 0x4b37);
    }

    #[test]
    fn bits_by_range() {
        let mut bitmap = [0; 3];
        set_bits(&mut bitmap, 3..18, true);
        assert_eq!(bitmap, [0xf8, 0xff, 3]);
        set_bits(&mut bitmap, 4..16, false);
        assert_eq!(bitmap, [8, 0, 3]);
        assert!(bit(&bitmap, 3) && !bit(&bitmap, 4) && bit(&bitmap, 17));
        set_bits(&mut bitmap, 9..11, true);
        set_bits(&mut bitmap, 7..7, true);
        assert_eq!(bitmap, [8, 6, 3]);
        for (range, want) in [(0..24, 5), (3..4, 1), (4..9, 0), (10..17, 2), (5..5, 0), (24..24, 0)] {
            assert_eq!(ones(&bitmap, range.clone()), want, "{range:?}");
        }
    }
}
