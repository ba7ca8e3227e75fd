//! Making the file system larger.

use banger_tree::RootfsError;

use crate::editor::Ext4Editor;
use crate::editor::disk::blocks::View;
use crate::editor::disk::groups::{change_superblock, set_bits};
use crate::editor::disk::volume::Volume;
use crate::format::group_desc::{BLOCK_UNINIT, GroupDesc, INODE_UNINIT, INODE_ZEROED};
use crate::format::inode::EXTENTS_FL;
use crate::format::superblock::{Superblock, incompat};
use crate::format::{Block, InodeNumber, lo16};

/// Free blocks that a short last group must have to be worth its metadata; resize2fs agrees.
const LAST_GROUP_FREE_MIN: u64 = 50;
/// `i_block` of the block of blocks of block numbers.
const DIND: usize = 13;
/// Bytes that are zeroed at a time.
const ZEROS: usize = 1 << 20;

impl Volume {
    /// Returns all blocks of a group for its own metadata, where they are as in the groups that
    /// are added here: at its start.
    fn own_blocks(&self, group: u32) -> u64 {
        self.base_blocks(group) + 2 + self.inode_table_blocks()
    }

    /// Returns the groups with copies of superblock and descriptors, but the first.
    fn groups_with_copies(&self) -> impl Iterator<Item = u32> + '_ {
        (1..self.groups).filter(|group| self.has_super(*group))
    }

    fn bytes(&self) -> u64 {
        self.blocks_count * self.block_size as u64
    }

    /// Returns the most descriptor blocks there is room for.
    fn descriptor_blocks_max(&self) -> u64 {
        self.descriptor_blocks() + if self.resize_inode { self.reserved_gdt_blocks } else { 0 }
    }

    /// Returns this volume with room for `size_bytes`, less a last group that would have hardly
    /// room for its metadata.
    fn grown(&self, size_bytes: u64) -> Result<Self, RootfsError> {
        let refused = |reason: String| Err(self.refused_size(size_bytes, reason));
        let mut blocks = size_bytes / self.block_size as u64;
        let feature = match (self.first_meta_bg, self.backup_groups) {
            (Some(_), _) => Some("meta_bg"),
            (None, Some(_)) => Some("sparse_super2"),
            (None, None) => None,
        };
        if let Some(feature) = feature.filter(|_| blocks > self.blocks_count) {
            return refused(format!("it has the feature {feature}; resize2fs knows how to grow it"));
        }
        if blocks < self.blocks_count {
            return refused(format!("it has {} and cannot shrink", self.bytes()));
        }
        let numbers_end = if self.desc_size == 64 && !self.resize_inode { 1 << 48 } else { 1 << 32 };
        if blocks == numbers_end {
            // What is asked for is a power of two, and the last number is one less.
            blocks -= 1;
        }
        if blocks > numbers_end {
            let most = (numbers_end - 1) * self.block_size as u64;
            return refused(format!("its block numbers end at {most} bytes"));
        }
        loop {
            let in_groups = blocks - self.first_data_block;
            let Ok(groups) = u32::try_from(in_groups.div_ceil(self.blocks_per_group)) else {
                return refused("it would have too many block groups".to_owned());
            };
            let Some(inodes_count) = groups.checked_mul(self.inodes_per_group) else {
                let most = u64::from(u32::MAX / self.inodes_per_group) * self.blocks_per_group;
                let most = most * self.block_size as u64;
                return refused(format!("it has so many inodes a group that {most} bytes are the most"));
            };
            let mut new = Self { blocks_count: blocks, groups, inodes_count, ..self.clone() };
            let (had, needs) = (self.descriptor_blocks(), new.descriptor_blocks());
            if needs > self.descriptor_blocks_max() {
                let per_block = (self.block_size / self.desc_size) as u64;
                let groups = self.descriptor_blocks_max() * per_block;
                let most = groups * self.blocks_per_group * self.block_size as u64;
                return refused(format!("it has no room reserved for descriptors of more than {most} bytes"));
            }
            let own = 1 + needs + self.reserved_gdt_blocks + 2 + self.inode_table_blocks();
            if groups > self.groups && own + LAST_GROUP_FREE_MIN > self.blocks_per_group {
                return refused("its block groups are too small for metadata of their own".to_owned());
            }
            // Block by block, a reserved one becomes one of descriptors.
            new.reserved_gdt_blocks -= needs - had;
            let rest = in_groups % self.blocks_per_group;
            if groups > self.groups && rest > 0 && rest < new.own_blocks(groups - 1) + LAST_GROUP_FREE_MIN {
                blocks -= rest;
                continue;
            }
            return Ok(new);
        }
    }
}

impl Ext4Editor {
    /// Returns how many bytes the file system has.
    pub fn size_bytes(&self) -> u64 {
        self.volume.bytes()
    }

    /// Makes the file system `size_bytes` large, or a little less where the end of it would be
    /// hardly more than metadata; returns how large it is then. The file grows with it and stays
    /// sparse.
    ///
    /// This is a commit, also of all changes made before: when it returns the file system is
    /// larger, and a crash leaves all of it as it was, or all of it new. To grow to what it has
    /// is no change.
    ///
    /// # Errors
    /// It has more bytes than that, its structures have no room for so many, or a
    /// [`commit`](banger_tree::Rootfs::commit) fails; then it is as it was, with the changes made
    /// before still to be committed.
    pub fn grow(&mut self, size_bytes: u64) -> Result<u64, RootfsError> {
        let volume = self.volume.grown(size_bytes)?;
        if volume.blocks_count == self.volume.blocks_count {
            self.commit_changes()?;
            return Ok(self.size_bytes());
        }
        self.check_not_half_committed()?;
        self.check_editable()?;
        let locked = self.blocks.storage.lock();
        locked.map_err(|error| self.blocks.io("lock", error))?;
        self.finish_recovery()?;
        self.journal()?;
        let length = self.blocks.storage.size_bytes().map_err(|error| self.blocks.io("measure", error))?;
        if volume.bytes() > length {
            let extended = self.blocks.storage.set_size(volume.bytes());
            extended.map_err(|error| self.blocks.io("enlarge", error))?;
        }
        self.blocks.start_operation();
        self.blocks.set_blocks_count(volume.blocks_count);
        let before = std::mem::replace(&mut self.volume, volume);
        let outcome = self.add_groups(&before).and_then(|()| self.commit_changes());
        if let Err(error) = outcome {
            if !self.is_half_committed {
                self.blocks.undo_operation();
                self.blocks.set_blocks_count(before.blocks_count);
                if self.volume.bytes() > length {
                    // The longer file is no harm, and nobody could be told more than the error.
                    let _ = self.blocks.storage.set_size(length);
                }
                self.volume = before;
            }
            return Err(match error {
                RootfsError::Limit { .. } | RootfsError::TooManyChanges { .. } => {
                    let reason = "its journal is too small for so much in one step; grow to less first";
                    self.volume.refused_size(size_bytes, reason)
                }
                other => other,
            });
        }
        Ok(self.size_bytes())
    }

    /// Changes the metadata of the volume `before` to that of the larger one.
    ///
    /// What lies beyond the old end, or in blocks that only wait for descriptors, is written at
    /// once: nothing that a crash can leave looks at it.
    fn add_groups(&mut self, before: &Volume) -> Result<(), RootfsError> {
        if self.volume.resize_inode {
            self.extend_resize_inode(before)?;
        }
        self.extend_last_group(before)?;
        let free = self.add_descriptors(before)?;
        let volume = &self.volume;
        let (blocks, inodes) = (volume.blocks_count, volume.inodes_count);
        let added_inodes = inodes - before.inodes_count;
        let own: u64 = (before.groups..volume.groups).map(|group| volume.own_blocks(group)).sum();
        let reserved_gdt = u16::try_from(volume.reserved_gdt_blocks).expect("less than there were");
        let added = blocks - before.blocks_count;
        self.update_superblock(|superblock| {
            let r_blocks = u128::from(superblock.r_blocks_count()) * u128::from(blocks);
            let r_blocks = r_blocks / u128::from(blocks - added);
            superblock.set_r_blocks_count(u64::try_from(r_blocks).unwrap_or(0));
            superblock.set_blocks_count(blocks);
            superblock.s_inodes_count = inodes;
            superblock.s_free_inodes_count = superblock.s_free_inodes_count.saturating_add(added_inodes);
            superblock.set_free_blocks_count(superblock.free_blocks_count().saturating_add(free));
            superblock.s_reserved_gdt_blocks = reserved_gdt;
            if superblock.s_overhead_clusters != 0 {
                let overhead = u64::from(superblock.s_overhead_clusters) + own;
                superblock.s_overhead_clusters = u32::try_from(overhead).unwrap_or(0);
            }
        })?;
        self.put_copies(before)
    }

    /// Makes the last group longer, if it was short.
    fn extend_last_group(&mut self, before: &Volume) -> Result<(), RootfsError> {
        let group = before.groups - 1;
        let (had, has) = (before.blocks_of(group), self.volume.blocks_of(group));
        if had == has {
            return Ok(());
        }
        let mut desc = self.group_desc(View::Now, group)?;
        let mut bitmap = self.block_bitmap(View::Now, group, &desc)?;
        set_bits(&mut bitmap, had..has, false);
        let free = desc.free_blocks() + u32::try_from(has - had).expect("at most the blocks of a group");
        desc.set_counts(free, desc.free_inodes(), desc.used_dirs(), desc.itable_unused());
        self.put_block_bitmap(group, desc, bitmap)?;
        self.change_free_blocks(has - had, true)
    }

    /// Adds the descriptors of the new groups, and what they refer to; returns how many blocks are
    /// free in the new groups.
    fn add_descriptors(&mut self, before: &Volume) -> Result<u64, RootfsError> {
        let (mut free_of_all, mut data) = (0, 0);
        let mut pending: Option<(Block, Vec<u8>)> = None;
        for group in before.groups..self.volume.groups {
            let (desc, free) = self.add_group(group, &mut data)?;
            free_of_all += free;
            let (block, offset) = self.volume.desc_place(group);
            if pending.as_ref().is_none_or(|(at, _)| *at != block) {
                if let Some((block, bytes)) = pending.take() {
                    self.blocks.write(block, bytes)?;
                }
                let is_new = block.0 > before.first_data_block + before.descriptor_blocks();
                let bytes = match is_new {
                    true => vec![0; self.volume.block_size],
                    false => self.blocks.read(View::Now, block)?.to_vec(),
                };
                pending = Some((block, bytes));
            }
            let (_, bytes) = pending.as_mut().expect("just filled");
            bytes[offset..offset + self.volume.desc_size]
                .copy_from_slice(&self.volume.encode_desc(group, &desc));
        }
        if let Some((block, bytes)) = pending {
            self.blocks.write(block, bytes)?;
        }
        Ok(free_of_all)
    }

    /// Returns the descriptor of a new group, and how many of its blocks are free; `data` is where
    /// the next bytes that are not zero were found.
    fn add_group(&mut self, group: u32, data: &mut u64) -> Result<(GroupDesc, u64), RootfsError> {
        let volume = &self.volume;
        let first = volume.first_block(group) + volume.base_blocks(group);
        let (block_bitmap, inode_bitmap, table) = (Block(first), Block(first + 1), Block(first + 2));
        let mut desc = GroupDesc::zeroed();
        desc.set_places(block_bitmap, inode_bitmap, table);
        let free = volume.blocks_of(group) - volume.own_blocks(group);
        let inodes = volume.inodes_per_group;
        let has_uninit = volume.has_uninit();
        let count = u32::try_from(free).expect("at most the blocks of a group");
        desc.set_counts(count, inodes, 0, if has_uninit { inodes } else { 0 });
        let is_zero = self.is_zero(table, self.volume.inode_table_blocks(), data)?;
        if has_uninit {
            desc.bg_flags = INODE_UNINIT | if is_zero { INODE_ZEROED } else { 0 };
        } else {
            let mut bitmap = vec![0; self.volume.block_size];
            set_bits(&mut bitmap, inodes.into()..8 * self.volume.block_size as u64, true);
            self.blocks.write_content(inode_bitmap, &bitmap)?;
            if !is_zero {
                self.write_zeros(table, self.volume.inode_table_blocks())?;
            }
        }
        // e2fsck wants the bitmap of the last group written.
        if has_uninit && group + 1 < self.volume.groups {
            desc.bg_flags |= BLOCK_UNINIT;
        } else {
            let bitmap = self.volume.empty_block_bitmap(group, &desc);
            if let Some(seed) = self.volume.seed {
                desc.set_block_bitmap_csum(seed, &bitmap[..(self.volume.blocks_per_group / 8) as usize]);
            }
            self.blocks.write_content(block_bitmap, &bitmap)?;
        }
        Ok((desc, free))
    }

    /// Returns whether `count` blocks from `first` on are known to be zeros.
    fn is_zero(&self, first: Block, count: u64, data: &mut u64) -> Result<bool, RootfsError> {
        let start = first.0 * self.volume.block_size as u64;
        if *data < start {
            let found = self.blocks.storage.next_data(start);
            *data = found.map_err(|error| self.blocks.io("read", error))?;
        }
        Ok(*data >= start + count * self.volume.block_size as u64)
    }

    fn write_zeros(&mut self, first: Block, count: u64) -> Result<(), RootfsError> {
        let most = (ZEROS / self.volume.block_size) as u64;
        let zeros = vec![0; ZEROS];
        let mut done = 0;
        while done < count {
            let part = most.min(count - done);
            let bytes = &zeros[..part as usize * self.volume.block_size];
            self.blocks.write_content(Block(first.0 + done), bytes)?;
            done += part;
        }
        Ok(())
    }

    /// Writes the copies of superblock and descriptors. Those that the old file system has too go
    /// into the commit.
    fn put_copies(&mut self, before: &Volume) -> Result<(), RootfsError> {
        let (place, offset) = self.volume.superblock_place();
        let superblock = self.blocks.read(View::Now, place)?[offset..offset + Superblock::SIZE].to_vec();
        let first_desc = self.volume.first_data_block + 1;
        let had = before.descriptor_blocks();
        // The block with the descriptor of the group that was the last.
        let changed = had - 1;
        let groups: Vec<u32> = self.volume.groups_with_copies().collect();
        for group in groups {
            self.check_cancelled()?;
            let first = self.volume.first_block(group);
            let is_new = group >= before.groups;
            let mut bytes = match is_new {
                true => vec![0; self.volume.block_size],
                false => self.blocks.read(View::Now, Block(first))?.to_vec(),
            };
            bytes[..Superblock::SIZE].copy_from_slice(&superblock);
            change_superblock(&mut bytes[..Superblock::SIZE], self.volume.seed.is_some(), |superblock| {
                superblock.s_block_group_nr = lo16(group);
                superblock.s_feature_incompat &= !incompat::RECOVER;
            });
            self.put_copy(Block(first), bytes, !is_new)?;
            for at in if is_new { 0 } else { changed }..self.volume.descriptor_blocks() {
                let bytes = self.blocks.read(View::Now, Block(first_desc + at))?.to_vec();
                self.put_copy(Block(first + 1 + at), bytes, !is_new && at < had)?;
            }
        }
        Ok(())
    }

    fn put_copy(&mut self, block: Block, bytes: Vec<u8>, was_there: bool) -> Result<(), RootfsError> {
        if was_there { self.blocks.write(block, bytes) } else { self.blocks.write_content(block, &bytes) }
    }

    /// Checks what the resize inode has: see [`extend_resize_inode`](Self::extend_resize_inode).
    pub(in crate::editor) fn check_resize_inode(&self) -> Result<(), RootfsError> {
        let corrupt = |what: &str| self.volume.corrupt(format!("the resize inode {what}"));
        let volume = &self.volume;
        let inode = self.inode(InodeNumber::RESIZE)?;
        let place = inode.i_block[4 * DIND..4 * DIND + 4].try_into().expect("four bytes");
        let dind_block = Block(u32::from_le_bytes(place).into());
        let reserved = volume.reserved_gdt_blocks;
        if dind_block.0 == 0 && reserved == 0 {
            return Ok(());
        }
        if inode.i_mode != 0o100_600 || inode.i_flags & EXTENTS_FL != 0 || inode.file_acl().0 != 0 {
            return Err(corrupt("is no file with lists of blocks and nothing else"));
        }
        if inode.i_block[..4 * DIND].iter().chain(&inode.i_block[4 * DIND + 4..]).any(|byte| *byte != 0) {
            return Err(corrupt("has other blocks than those reserved for descriptors"));
        }
        let copies: Vec<u64> =
            volume.groups_with_copies().map(|group| u64::from(group) * volume.blocks_per_group).collect();
        let mut dind = numbers_of(&self.blocks.read(View::Now, dind_block)?);
        let per_block = dind.len() as u64;
        if reserved > per_block || copies.len() as u64 > per_block {
            return Err(corrupt("is too small"));
        }
        for at in volume.descriptor_blocks()..volume.descriptor_blocks() + reserved {
            let block = volume.first_data_block + 1 + at;
            let entry = std::mem::take(&mut dind[(at % per_block) as usize]);
            let numbers = numbers_of(&self.blocks.read(View::Now, Block(block))?);
            let has_copies = numbers.iter().map(|number| u64::from(*number)).eq(copies
                .iter()
                .map(|distance| block + distance)
                .chain(std::iter::repeat_n(0, numbers.len() - copies.len())));
            if u64::from(entry) != block || !has_copies {
                return Err(corrupt("does not have the reserved blocks in their order"));
            }
        }
        let mut counted = inode.clone();
        counted.set_blocks(0);
        self.change_block_count(&mut counted, 1 + reserved * (1 + copies.len() as u64), true);
        match dind.iter().all(|entry| *entry == 0) && counted.blocks() == inode.blocks() {
            true => Ok(()),
            false => Err(corrupt("has or counts more blocks than are reserved")),
        }
    }

    /// Takes the reserved blocks that become descriptor blocks out of the resize inode, and adds
    /// those of the new groups with copies.
    ///
    /// The inode has a block of numbers, by the number of the descriptor block, of the reserved
    /// blocks of group 0; each of these has the numbers of its copies.
    fn extend_resize_inode(&mut self, before: &Volume) -> Result<(), RootfsError> {
        let corrupt = |editor: &Self, what: &str| editor.volume.corrupt(format!("the resize inode {what}"));
        let mut inode = self.inode(InodeNumber::RESIZE)?;
        let place = inode.i_block[4 * DIND..4 * DIND + 4].try_into().expect("four bytes");
        let dind_block = Block(u32::from_le_bytes(place).into());
        if dind_block.0 <= before.first_data_block || dind_block.0 >= before.blocks_count {
            return Err(corrupt(self, "has no block of block numbers"));
        }
        let mut dind = numbers_of(&self.blocks.read(View::Now, dind_block)?);
        let per_block = dind.len() as u64;
        let first_desc = before.first_data_block + 1;
        let (had, has) = (before.descriptor_blocks(), self.volume.descriptor_blocks());
        let had_copies = before.groups_with_copies().count();
        let new_copies: Vec<u64> = (before.groups..self.volume.groups)
            .filter(|group| self.volume.has_super(*group))
            .map(|group| u64::from(group) * self.volume.blocks_per_group)
            .collect();
        if had_copies + new_copies.len() > dind.len() || before.reserved_gdt_blocks > per_block {
            return Err(corrupt(self, "is too small"));
        }
        for at in had..had + before.reserved_gdt_blocks {
            let entry = (at % per_block) as usize;
            let reserved = Block(first_desc + at);
            if u64::from(dind[entry]) != reserved.0 {
                return Err(corrupt(self, "does not have the reserved blocks in their order"));
            }
            if at < has {
                dind[entry] = 0;
            } else if !new_copies.is_empty() {
                let mut copies = numbers_of(&self.blocks.read(View::Now, reserved)?);
                for (at, distance) in new_copies.iter().enumerate() {
                    let copy =
                        u32::try_from(reserved.0 + distance).map_err(|_| corrupt(self, "is too small"))?;
                    copies[had_copies + at] = copy;
                }
                self.blocks.write(reserved, bytes_of(&copies))?;
            }
        }
        let gone = (has - had) * (1 + had_copies as u64);
        let added = self.volume.reserved_gdt_blocks * new_copies.len() as u64;
        self.blocks.write(dind_block, bytes_of(&dind))?;
        self.change_block_count(&mut inode, gone, false);
        self.change_block_count(&mut inode, added, true);
        self.put_inode(InodeNumber::RESIZE, &inode)
    }
}

fn numbers_of(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

fn bytes_of(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
