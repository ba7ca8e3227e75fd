//! A walk of a whole file system that looks for damage.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use banger_tree::{FileType, RootfsError};

use super::index_check;
use super::inode_check;
use super::resize_inode_check;
use super::superblock_check::{self, Uses};
use super::verify_walk::{Known, VerifyReport, VerifyWalk};
use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::content;
use crate::editor::disk::content::LARGE_FILE_BYTES;
use crate::editor::disk::directory;
use crate::editor::disk::entries;
use crate::editor::disk::extents;
use crate::editor::disk::groups::bit;
use crate::editor::disk::inline;
use crate::editor::disk::inodes;
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::disk::orphans;
use crate::editor::disk::runs::{LOGICAL_END, Mapping};
use crate::editor::disk::whole_inode::WholeInode;
use crate::editor::disk::xattr_entries;
use crate::editor::disk::xattrs;
use crate::format::block_map::{DIND_PLACE, number_at};
use crate::format::group_desc::{BLOCK_UNINIT, GroupDesc, INODE_UNINIT};
use crate::format::inode::{EA_INODE_FL, EXTENTS_FL, Inode, VERITY_FL};
use crate::format::superblock::{Superblock, compat, incompat, ro_compat};
use crate::format::{Block, InodeNumber};

/// Work for each block of the image, at most: each is claimed once, and read up to five times.
const WORK_PER_BLOCK: u64 = 8;
/// Positions of the numbers of the directory and of its parent in the first block of a directory.
const DOT: std::ops::Range<usize> = 0..4;
const DOT_DOT: std::ops::Range<usize> = 12..16;

/// Looks for damage: see [`Ext4Editor::verify`](super::super::Ext4Editor::verify).
pub(crate) fn verify(disk: &Disk) -> Result<VerifyReport, RootfsError> {
    let (superblock, mut walk) = walked(disk)?;
    // The blocks of an unreadable structure are unknown.
    if walk.report.problem_count == 0 {
        walk.claim_bad_blocks()?;
        walk.bitmaps(&superblock)?;
    }
    Ok(walk.report)
}

/// Returns a bitmap of the blocks in use for each group, from the inodes. Groups that hold only their own metadata have no
/// entry. Other damage than that of bitmaps and counters gives the report.
pub(super) fn used_blocks(disk: &Disk) -> Result<Result<HashMap<u32, Vec<u8>>, VerifyReport>, RootfsError> {
    let (_, mut walk) = walked(disk)?;
    walk.xattr_blocks()?;
    if walk.report.problem_count == 0 {
        walk.claim_bad_blocks()?;
    }
    Ok(if walk.report.problem_count == 0 { Ok(walk.used) } else { Err(walk.report) })
}

/// Walks through all inodes and names.
fn walked(disk: &Disk) -> Result<(Superblock, VerifyWalk<'_>), RootfsError> {
    let volume = &disk.volume;
    if volume.cluster_blocks > 1 {
        return Err(volume.unreadable(
            Obstacle::new("it has the feature bigalloc").with_advice("run e2fsck -fn on it to check it"),
        ));
    }
    let mut superblock = disk.superblock()?;
    if volume.needs_recovery
        && let Ok((blocks, inodes)) = disk.count_free()
    {
        superblock.set_free_blocks_count(blocks);
        superblock.s_free_inodes_count = u32::try_from(inodes).unwrap_or(u32::MAX);
    }
    let free_inodes = superblock.s_free_inodes_count;
    let report = VerifyReport {
        uuid: volume.uuid,
        size_bytes: volume.bytes(),
        free_bytes: superblock.free_blocks_count().saturating_mul(volume.block_size as u64),
        inodes: volume.inodes_count,
        used_inodes: volume.inodes_count.saturating_sub(free_inodes),
        problems: Vec::new(),
        problem_count: 0,
    };
    let has_orphan_file = superblock.s_feature_compat & compat::ORPHAN_FILE != 0;
    let orphan_file = has_orphan_file.then_some(InodeNumber(superblock.s_orphan_file_inum));
    let mut walk = VerifyWalk {
        disk,
        nameless: volume.journal.into_iter().chain(orphan_file).chain(volume.quota_inodes.clone()).collect(),
        unlinked: BTreeSet::new(),
        report,
        plain: HashMap::new(),
        used: HashMap::new(),
        work: 0,
        inodes: HashMap::new(),
        directories: HashMap::new(),
        names: Vec::new(),
        xattr_blocks: BTreeMap::new(),
        value_inodes: BTreeSet::new(),
        values: BTreeSet::new(),
        large_files: false,
        has_imagic: superblock.s_feature_compat & compat::IMAGIC_INODES != 0,
        has_flex_bg: superblock.s_feature_incompat & incompat::FLEX_BG != 0,
        has_shared_blocks: superblock.s_feature_ro_compat & ro_compat::SHARED_BLOCKS != 0,
        is_cut_short: false,
        bad: Mapping::default(),
    };
    walk.find_bad_blocks()?;
    let unlinked = walk.noted(orphans::list(disk))?.unwrap_or_default();
    walk.unlinked = unlinked.into_iter().map(|number| number.0).collect();
    walk.metadata_of_groups()?;
    if let Some(block) = volume.mmp_block {
        walk.claim(&|| "the block for mmp".to_owned(), block, 1);
    }
    walk.all_inodes()?;
    walk.superblock(&superblock);
    if !walk.is_cut_short {
        walk.links();
    }
    Ok((superblock, walk))
}

impl VerifyWalk<'_> {
    fn superblock(&mut self, superblock: &Superblock) {
        let uses = Uses { xattr_blocks: !self.xattr_blocks.is_empty(), large_files: self.large_files };
        for problem in superblock_check::problems_of(superblock, uses) {
            self.problem(problem);
        }
    }

    /// Does `work` on the blocks of an inode, and counts the blocks that it reads.
    fn counted<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.disk.blocks.reads();
        let outcome = work(self);
        self.work = self.work.saturating_add(self.disk.blocks.reads() - before);
        outcome
    }

    fn metadata_of_groups(&mut self) -> Result<(), RootfsError> {
        let volume = &self.disk.volume;
        let mut descs = Vec::new();
        for group in 0..volume.groups {
            let desc = self.disk.group_desc(View::Now, group);
            let desc = self.noted(desc)?;
            match desc {
                Some(desc) if self.is_plain(group, &desc) => drop(self.plain.insert(group, desc)),
                desc => descs.push((group, desc)),
            }
        }
        for (group, desc) in descs {
            let of_group = || format!("group {group}");
            let base = volume.base_blocks(group).min(volume.blocks_of(group));
            self.claim(&of_group, Block(volume.first_block(group)), base);
            let Some(desc) = desc else { continue };
            if !self.has_flex_bg && !volume.has_metadata_inside(group, &desc) {
                self.problem(format!("group {group} has its bitmaps or inodes where they cannot be"));
            }
            self.claim(&of_group, desc.block_bitmap(), 1);
            self.claim(&of_group, desc.inode_bitmap(), 1);
            self.claim(&of_group, desc.inode_table(), volume.inode_table_blocks());
            let bitmap = self.disk.block_bitmap(View::Now, group, &desc);
            self.noted(bitmap)?;
        }
        Ok(())
    }

    /// Returns whether a group holds exactly its own metadata.
    fn is_plain(&self, group: u32, desc: &GroupDesc) -> bool {
        let volume = &self.disk.volume;
        let is_empty = volume.has_uninit() && desc.bg_flags & BLOCK_UNINIT != 0;
        is_empty && volume.has_metadata_inside(group, desc)
    }

    fn all_inodes(&mut self) -> Result<(), RootfsError> {
        let volume = &self.disk.volume;
        for group in 0..volume.groups {
            // Told above.
            let Ok(desc) = self.disk.group_desc(View::Now, group) else { continue };
            if volume.has_uninit() && desc.bg_flags & INODE_UNINIT != 0 {
                continue;
            }
            let bitmap = self.disk.inode_bitmap(group, &desc);
            let Some(bitmap) = self.noted(bitmap)? else { continue };
            for at in (0..volume.inodes_per_group).filter(|at| bit(&bitmap, u64::from(*at))) {
                self.disk.check_cancelled()?;
                let number = InodeNumber(group * volume.inodes_per_group + at + 1);
                let place = inodes::place(self.disk, number).map(|(block, _)| block);
                if self.noted(place)?.is_some_and(|block| self.is_bad(block)) {
                    continue;
                }
                let is_reserved = number.0 < volume.first_inode && number != InodeNumber::ROOT;
                if number == InodeNumber::RESIZE && volume.resize_inode {
                    self.resize_inode()?;
                } else if !is_reserved || self.nameless.contains(&number) {
                    let inode = match self.unlinked.contains(&number.0) {
                        true => inodes::read_unlinked(self.disk, number),
                        false => inodes::read(self.disk, number),
                    };
                    if let Some(inode) = self.noted(inode)? {
                        self.inode(number, &inode)?;
                    }
                } else {
                    let checked = inodes::check_reserved(self.disk, number);
                    self.noted(checked)?;
                }
            }
        }
        Ok(())
    }

    fn resize_inode(&mut self) -> Result<(), RootfsError> {
        let inode = inodes::read(self.disk, InodeNumber::RESIZE);
        if let Some(inode) = self.noted(inode)? {
            match number_at(&inode.i_block, DIND_PLACE) {
                0 => {}
                block => self.claim(&|| "the resize inode".to_owned(), Block(block.into()), 1),
            }
            self.fields(InodeNumber::RESIZE, &inode, FileType::Regular);
            let checked = resize_inode_check::check(self.disk);
            self.noted(checked)?;
        }
        Ok(())
    }

    fn inode(&mut self, number: InodeNumber, inode: &WholeInode) -> Result<(), RootfsError> {
        // Blocks are claimed once, and read for their mapping and for their names.
        if self.work > WORK_PER_BLOCK * self.disk.volume.blocks_count {
            if !self.is_cut_short {
                self.problem(format!(
                    "inodes share so many blocks that those from {} on are not looked at",
                    number.0
                ));
            }
            self.is_cut_short = true;
            return Ok(());
        }
        let file_type = FileType::from_mode_bits(inode.i_mode).expect("checked when the inode was read");
        // Its names and targets cannot be read, so their inodes would seem lost.
        inodes::check_not_encrypted(self.disk, number, inode)?;
        if inode.i_flags & EXTENTS_FL != 0 && !self.disk.volume.extents {
            self.problem(format!("inode {} has extents, and the file system lacks the feature", number.0));
        }
        let xattrs = xattrs::read(self.disk, number, inode);
        if self.noted(xattrs)?.is_some() && xattr_entries::has_wrong_xattr_hash(self.disk, number, inode)? {
            self.problem(format!("an extended attribute of inode {} has a wrong hash", number.0));
        }
        let values = xattr_entries::value_inodes_of(self.disk, number, inode);
        let values = self.noted(values)?.unwrap_or_default();
        self.value_inodes.extend(values.into_iter().map(|value| value.number.0));
        if inode.file_acl().0 != 0 {
            *self.xattr_blocks.entry(inode.file_acl()).or_default() += 1;
        }
        let mut fields = inode.clone();
        if self.unlinked.contains(&number.0) {
            // The number of the next one.
            fields.i_dtime = 0;
        }
        self.fields(number, &fields, file_type);
        let mut blocks = u64::from(inode.file_acl().0 != 0);
        let user = || format!("inode {}", number.0);
        if file_type == FileType::Symlink {
            let target = content::target_of(self.disk, number, inode);
            self.noted(target)?;
        }
        if inodes::has_content(inode) {
            let mapping = self.counted(|walk| extents::mapping(walk.disk, number, inode, 0..LOGICAL_END));
            if let Some(mapping) = self.noted(mapping)? {
                let block_size = self.disk.volume.block_size as u64;
                // Hashes of verity and pending truncations lie behind the end.
                let has_more = inode.i_flags & VERITY_FL != 0 || self.unlinked.contains(&number.0);
                if file_type == FileType::Regular
                    && !has_more
                    && let Some(what) = inode_check::problem_of_size(inode, &mapping, block_size)
                {
                    self.problem(format!("inode {} {what}", number.0));
                }
                let Mapping { runs, index_blocks } = mapping;
                blocks += runs.iter().map(|run| run.len).sum::<u64>() + index_blocks.len() as u64;
                let runs = runs.iter().map(|run| (Block(run.start), run.len));
                let mut of_all = (Block(0), 0);
                for (start, count) in runs.chain(index_blocks.into_iter().map(|block| (block, 1))) {
                    let shared = self.mark(&user, start, count);
                    of_all = (if of_all.1 == 0 { start } else { of_all.0 }, of_all.1 + shared);
                }
                self.shared(&user, of_all.0, of_all.1);
                let values = xattr_entries::value_blocks_of(self.disk, number, inode);
                let values = self.noted(values)?.unwrap_or_default();
                self.count_of_blocks(number, inode, blocks + values);
            }
        }
        if inode.is_inline() && file_type == FileType::Regular {
            // It may be longer than its data: what a kernel makes longer without a write ends in zeros.
            let data = inline::data(self.disk, number, inode);
            self.noted(data)?;
        }
        if self.nameless.contains(&number) {
            return Ok(());
        }
        if inode.i_links_count == 0 {
            // The next recovery removes it with its content.
            let group = (number.0 - 1) / self.disk.volume.inodes_per_group;
            let directories = u64::from(file_type == FileType::Directory);
            *self.directories.entry(group).or_default() += directories;
            return Ok(());
        }
        if inode.i_flags & EA_INODE_FL != 0 {
            self.values.insert(number.0);
            return Ok(());
        }
        let mut known =
            Known { file_type, links: inode.i_links_count, names: 0, parent: 0, directories: Vec::new() };
        if file_type == FileType::Directory {
            let parent = self.counted(|walk| walk.directory(number));
            known.parent = self.noted(parent)?.unwrap_or_default();
            let group = (number.0 - 1) / self.disk.volume.inodes_per_group;
            *self.directories.entry(group).or_default() += 1;
        }
        self.inodes.insert(number.0, known);
        Ok(())
    }

    fn fields(&mut self, number: InodeNumber, inode: &Inode, file_type: FileType) {
        self.large_files |= file_type == FileType::Regular && inode.size() >= LARGE_FILE_BYTES;
        for what in inode_check::problems_of(inode, file_type, self.has_imagic) {
            self.problem(format!("inode {} {what}", number.0));
        }
    }

    /// Compares `i_blocks` with the blocks of the inode.
    fn count_of_blocks(&mut self, number: InodeNumber, inode: &Inode, blocks: u64) {
        let mut counted = inode.clone();
        counted.set_blocks(0);
        inodes::change_block_count(self.disk, &mut counted, blocks, true);
        if counted.blocks() != inode.blocks() {
            self.problem(format!(
                "inode {} counts {} in use, in units of 512 bytes or of blocks, and should count {}",
                number.0,
                inode.blocks(),
                counted.blocks()
            ));
        }
    }

    /// Records the names in a directory; returns the inode of its `..`.
    fn directory(&mut self, number: InodeNumber) -> Result<u32, RootfsError> {
        let dir = directory::open(self.disk, number)?;
        if dir.inode.is_inline() {
            for entry in entries::all(self.disk, &dir)? {
                self.names.push((entry.inode.0, number.0, entry.file_type));
            }
            return Ok(inline::parent_of(self.disk, &dir.inode).0);
        }
        let (_, first) = directory::block(self.disk, &dir, 0)?;
        let field =
            |range: std::ops::Range<usize>| u32::from_le_bytes(first[range].try_into().expect("four bytes"));
        // 0 says nothing, as in other entries.
        let is_type = |code: u8| code == 0 || self.disk.volume.filetype && code == 2;
        let has_dots = first[4..7] == [12, 0, 1]
            && first[8..10] == [b'.', 0]
            && first[18] == 2
            && first[20..23] == [b'.', b'.', 0]
            && is_type(first[7])
            && is_type(first[19]);
        if field(DOT) != number.0 || !has_dots {
            self.problem(format!("directory inode {} does not start with itself and its parent", number.0));
        }
        for entry in entries::all(self.disk, &dir)? {
            self.names.push((entry.inode.0, number.0, entry.file_type));
        }
        if dir.is_indexed {
            let checked = index_check::check(self.disk, &dir);
            self.noted(checked)?;
        }
        Ok(field(DOT_DOT))
    }
}
