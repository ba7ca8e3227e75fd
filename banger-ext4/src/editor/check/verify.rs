//! A walk of a whole file system that looks for damage.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use banger_tree::{FileType, RootfsError};

use crate::editor::Ext4Editor;
use crate::editor::disk::blocks::View;
use crate::editor::disk::content::LARGE_FILE_BYTES;
use crate::editor::disk::extents::{LOGICAL_END, Mapping};
use crate::editor::disk::groups::{bit, ones, set_bits};
use crate::editor::disk::inline::is_inline;
use super::inode_check;
use super::superblock_check::{self, Uses};
use crate::editor::disk::whole_inode::WholeInode;
use crate::format::dirent::file_type_code;
use crate::format::group_desc::{BLOCK_UNINIT, GroupDesc, INODE_UNINIT};
use crate::format::inode::{
    EA_INODE_FL, EXTENTS_FL, FAST_SYMLINK_MAX, INLINE_DATA_FL, Inode, LINK_MAX, VERITY_FL,
};
use crate::format::superblock::{Superblock, compat, incompat};
use crate::format::{Block, InodeNumber};

/// Problems that are told; what comes after them is counted.
const PROBLEMS_MAX: usize = 100;
/// Work for each block of the image, at most: each is claimed once, and read up to five times.
const WORK_PER_BLOCK: u64 = 8;
/// Where its only block of its own is named: `i_block[EXT4_DIND_BLOCK]`.
const DIND_OFFSET: usize = 13 * 4;
/// Where a directory's first block names the directory, and its parent.
const DOT: std::ops::Range<usize> = 0..4;
const DOT_DOT: std::ops::Range<usize> = 12..16;

/// What a file system says of itself, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// UUID.
    pub uuid: [u8; 16],
    /// Bytes of the file system.
    pub size_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Inodes there are.
    pub inodes: u32,
    /// Inodes in use.
    pub used_inodes: u32,
    /// What is wrong, one sentence each; the first hundred.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub problem_count: u64,
}

/// What is known of an inode in use.
struct Known {
    file_type: FileType,
    links: u16,
    /// Names that lead to it.
    names: u32,
    /// Of a directory: what its `..` leads to, and the directories in it.
    parent: u32,
    directories: Vec<u32>,
}

struct Walk<'a> {
    editor: &'a Ext4Editor,
    /// Files of the file system's own, which no name leads to.
    nameless: Vec<InodeNumber>,
    /// Inodes without names that are left over, or whose end is to be cut off.
    unlinked: BTreeSet<u32>,
    report: VerifyReport,
    /// Groups with nothing but metadata of their own, which is in use without being claimed.
    plain: HashMap<u32, GroupDesc>,
    /// Blocks that something uses, by group, as a bitmap.
    used: HashMap<u32, Vec<u8>>,
    /// How many blocks were claimed, and read to know which: not much more than there are, unless
    /// inodes share them.
    work: u64,
    inodes: HashMap<u32, Known>,
    /// Directories in each group.
    directories: HashMap<u32, u64>,
    /// Names by the inode they lead to and the directory they are in, with their type.
    names: Vec<(u32, u32, u8)>,
    /// Blocks of xattrs, with how many inodes have them.
    xattr_blocks: BTreeMap<Block, u32>,
    /// Inodes that xattrs say hold their values, and those that do.
    value_inodes: BTreeSet<u32>,
    values: BTreeSet<u32>,
    /// Whether there are files of 2 GiB and more.
    large_files: bool,
    has_imagic: bool,
    has_flex_bg: bool,
    /// Whether some inodes were not looked at.
    is_cut_short: bool,
}

impl Ext4Editor {
    /// Reads the whole file system but the bytes of its files: superblock, descriptors, bitmaps,
    /// inodes, extents, directories with their indexes, xattrs, with all checksums there are; and
    /// compares what uses blocks and inodes with what is marked in use, and names with link counts.
    ///
    /// # Errors
    /// The host cannot read the image. What is wrong with the image is in the report.
    pub fn verify(&self) -> Result<VerifyReport, RootfsError> {
        let volume = &self.volume;
        if volume.cluster_blocks > 1 {
            return Err(volume.unreadable("it has the feature bigalloc; run e2fsck -fn on it to check it"));
        }
        let (block, offset) = volume.superblock_place();
        let block = self.blocks.read(View::Now, block)?;
        let bytes = block[offset..offset + Superblock::SIZE].try_into().expect("the superblock's length");
        let mut superblock = Superblock::decode(bytes);
        if volume.needs_recovery
            && let Ok((blocks, inodes)) = self.count_free()
        {
            superblock.set_free_blocks_count(blocks);
            superblock.s_free_inodes_count = u32::try_from(inodes).unwrap_or(u32::MAX);
        }
        let free_inodes = superblock.s_free_inodes_count;
        let report = VerifyReport {
            uuid: volume.uuid,
            size_bytes: self.size_bytes(),
            free_bytes: superblock.free_blocks_count().saturating_mul(volume.block_size as u64),
            inodes: volume.inodes_count,
            used_inodes: volume.inodes_count.saturating_sub(free_inodes),
            problems: Vec::new(),
            problem_count: 0,
        };
        let has_orphan_file = superblock.s_feature_compat & compat::ORPHAN_FILE != 0;
        let orphan_file = has_orphan_file.then_some(InodeNumber(superblock.s_orphan_file_inum));
        let mut walk = Walk {
            editor: self,
            nameless: volume
                .journal
                .into_iter()
                .chain(orphan_file)
                .chain(volume.quota_inodes.clone())
                .collect(),
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
            is_cut_short: false,
        };
        let unlinked = walk.noted(self.orphans())?.unwrap_or_default();
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
        // Where something cannot be read, what it uses is not known.
        if walk.report.problem_count == 0 {
            walk.bitmaps(&superblock)?;
        }
        Ok(walk.report)
    }
}

impl Walk<'_> {
    fn problem(&mut self, what: String) {
        self.report.problem_count += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(what);
        }
    }

    /// Takes what is wrong with the image down; passes on what is wrong with the host.
    fn noted<T>(&mut self, result: Result<T, RootfsError>) -> Result<Option<T>, RootfsError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(
                RootfsError::Corrupt { reason, .. }
                | RootfsError::Unsupported { reason, .. }
                | RootfsError::Unreadable { reason, .. },
            ) => {
                self.problem(reason);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn superblock(&mut self, superblock: &Superblock) {
        let uses = Uses { xattr_blocks: !self.xattr_blocks.is_empty(), large_files: self.large_files };
        for problem in superblock_check::problems_of(superblock, uses) {
            self.problem(problem);
        }
    }

    /// Takes blocks as used by `user`.
    fn claim(&mut self, user: &dyn Fn() -> String, start: Block, count: u64) {
        let shared = self.mark(user, start, count);
        self.shared(user, start, shared);
    }

    /// Takes blocks down as in use; returns how many were already.
    fn mark(&mut self, user: &dyn Fn() -> String, start: Block, count: u64) -> u64 {
        self.work = self.work.saturating_add(count);
        let volume = &self.editor.volume;
        let (mut next, end) = (start.0, start.0.saturating_add(count));
        let mut shared = 0;
        while next < end {
            let Some((group, at)) = volume.group_of(Block(next)) else {
                self.problem(format!("{} refers to block {next}, which there is not", user()));
                return shared;
            };
            let len = (end - next).min(volume.blocks_of(group) - at);
            let bitmap = self.used.entry(group).or_insert_with(|| match self.plain.get(&group) {
                Some(desc) => volume.empty_block_bitmap(group, desc),
                None => vec![0; volume.block_size],
            });
            shared += ones(bitmap, at..at + len);
            set_bits(bitmap, at..at + len, true);
            next += len;
        }
        shared
    }

    fn shared(&mut self, user: &dyn Fn() -> String, start: Block, shared: u64) {
        if shared > 0 {
            let (what, start) = (user(), start.0);
            self.problem(format!("{what} has {shared} blocks, from {start} on, that something else has too"));
        }
    }

    /// Does `work` on the blocks of an inode, and counts what it reads.
    fn counted<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.editor.blocks.reads();
        let outcome = work(self);
        self.work = self.work.saturating_add(self.editor.blocks.reads() - before);
        outcome
    }

    fn metadata_of_groups(&mut self) -> Result<(), RootfsError> {
        let volume = &self.editor.volume;
        let mut descs = Vec::new();
        for group in 0..volume.groups {
            let desc = self.editor.group_desc(View::Now, group);
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
            let bitmap = self.editor.block_bitmap(View::Now, group, &desc);
            self.noted(bitmap)?;
        }
        Ok(())
    }

    /// Returns whether a group has nothing but its own metadata, all of it inside.
    fn is_plain(&self, group: u32, desc: &GroupDesc) -> bool {
        let volume = &self.editor.volume;
        let is_empty = volume.has_uninit() && desc.bg_flags & BLOCK_UNINIT != 0;
        is_empty && volume.has_metadata_inside(group, desc)
    }

    fn all_inodes(&mut self) -> Result<(), RootfsError> {
        let volume = &self.editor.volume;
        for group in 0..volume.groups {
            // Told above.
            let Ok(desc) = self.editor.group_desc(View::Now, group) else { continue };
            if volume.has_uninit() && desc.bg_flags & INODE_UNINIT != 0 {
                continue;
            }
            let bitmap = self.editor.inode_bitmap(group, &desc);
            let Some(bitmap) = self.noted(bitmap)? else { continue };
            for at in (0..volume.inodes_per_group).filter(|at| bit(&bitmap, u64::from(*at))) {
                let number = InodeNumber(group * volume.inodes_per_group + at + 1);
                let is_reserved = number.0 < volume.first_inode && number != InodeNumber::ROOT;
                if number == InodeNumber::RESIZE && volume.resize_inode {
                    self.resize_inode()?;
                } else if !is_reserved || self.nameless.contains(&number) {
                    let inode = match self.unlinked.contains(&number.0) {
                        true => self.editor.unlinked_inode(number),
                        false => self.editor.inode(number),
                    };
                    if let Some(inode) = self.noted(inode)? {
                        self.inode(number, &inode)?;
                    }
                } else {
                    let checked = self.editor.check_reserved_inode(number);
                    self.noted(checked)?;
                }
            }
        }
        Ok(())
    }

    fn resize_inode(&mut self) -> Result<(), RootfsError> {
        let inode = self.editor.inode(InodeNumber::RESIZE);
        if let Some(inode) = self.noted(inode)? {
            let field = inode.i_block[DIND_OFFSET..DIND_OFFSET + 4].try_into().expect("four bytes");
            match u32::from_le_bytes(field) {
                0 => {}
                block => self.claim(&|| "the resize inode".to_owned(), Block(block.into()), 1),
            }
            self.fields(InodeNumber::RESIZE, &inode, FileType::Regular);
            let checked = self.editor.check_resize_inode();
            self.noted(checked)?;
        }
        Ok(())
    }

    fn inode(&mut self, number: InodeNumber, inode: &WholeInode) -> Result<(), RootfsError> {
        // Blocks are claimed once, and read for their mapping and for their names.
        if self.work > WORK_PER_BLOCK * self.editor.volume.blocks_count {
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
        // Its names and targets cannot be looked at, and what they lead to would seem lost.
        self.editor.check_not_encrypted(number, inode)?;
        if inode.i_flags & EXTENTS_FL != 0 && !self.editor.volume.extents {
            self.problem(format!("inode {} has extents, and the file system lacks the feature", number.0));
        }
        let xattrs = self.editor.xattrs_of(number, inode);
        if self.noted(xattrs)?.is_some() && self.editor.has_wrong_xattr_hash(number, inode)? {
            self.problem(format!("an extended attribute of inode {} has a wrong hash", number.0));
        }
        let values = self.editor.value_inodes_of(number, inode);
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
        let has_blocks = match file_type {
            FileType::Regular | FileType::Directory => true,
            FileType::Symlink => {
                let target = self.editor.target_of(number, inode);
                self.noted(target)?;
                inode.i_flags & (EXTENTS_FL | INLINE_DATA_FL) != 0 || inode.size() > FAST_SYMLINK_MAX as u64
            }
            _ => false,
        };
        if has_blocks {
            let mapping = self.counted(|walk| walk.editor.mapping(number, inode, 0..LOGICAL_END));
            if let Some(mapping) = self.noted(mapping)? {
                let block_size = self.editor.volume.block_size as u64;
                // Hashes of verity lie behind the end, and what is to be cut off.
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
                let values = self.editor.value_blocks_of(number, inode);
                let values = self.noted(values)?.unwrap_or_default();
                self.count_of_blocks(number, inode, blocks + values);
            }
        }
        if is_inline(inode) && file_type == FileType::Regular {
            let data = self.editor.inline_data(number, inode);
            let data = self.noted(data)?;
            if data.is_some_and(|data| inode.size() > data.len() as u64) {
                self.problem(format!("inode {} is longer than what it holds", number.0));
            }
        }
        if self.nameless.contains(&number) {
            return Ok(());
        }
        if inode.i_links_count == 0 {
            // It goes with the next recovery, and what is in it with it.
            let group = (number.0 - 1) / self.editor.volume.inodes_per_group;
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
            let group = (number.0 - 1) / self.editor.volume.inodes_per_group;
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

    /// Compares `i_blocks` with the blocks there are.
    fn count_of_blocks(&mut self, number: InodeNumber, inode: &Inode, blocks: u64) {
        let mut counted = inode.clone();
        counted.set_blocks(0);
        self.editor.change_block_count(&mut counted, blocks, true);
        if counted.blocks() != inode.blocks() {
            self.problem(format!(
                "inode {} counts {} in use, in units of 512 bytes or of blocks, and should count {}",
                number.0,
                inode.blocks(),
                counted.blocks()
            ));
        }
    }

    /// Takes down the names in a directory; returns what its `..` leads to.
    fn directory(&mut self, number: InodeNumber) -> Result<u32, RootfsError> {
        let dir = self.editor.dir(number)?;
        if is_inline(&dir.inode) {
            for entry in self.editor.entries(&dir)? {
                self.names.push((entry.inode.0, number.0, entry.file_type));
            }
            return Ok(self.editor.inline_parent(&dir.inode).0);
        }
        let (_, first) = self.editor.dir_block(&dir, 0)?;
        let field =
            |range: std::ops::Range<usize>| u32::from_le_bytes(first[range].try_into().expect("four bytes"));
        let code = if self.editor.volume.filetype { 2 } else { 0 };
        let has_dots = first[4..10] == [12, 0, 1, code, b'.', 0] && first[18..23] == [2, code, b'.', b'.', 0];
        if field(DOT) != number.0 || !has_dots {
            self.problem(format!("directory inode {} does not start with itself and its parent", number.0));
        }
        for entry in self.editor.entries(&dir)? {
            self.names.push((entry.inode.0, number.0, entry.file_type));
        }
        if dir.is_indexed {
            let checked = self.editor.check_index(&dir);
            self.noted(checked)?;
        }
        Ok(field(DOT_DOT))
    }

    /// Compares names with what they lead to.
    fn links(&mut self) {
        if self.value_inodes != self.values {
            self.problem("inodes that hold values of xattrs are not those that xattrs refer to".to_owned());
        }
        for (inode, dir, file_type) in std::mem::take(&mut self.names) {
            let Some(known) = self.inodes.get_mut(&inode) else {
                self.problem(format!(
                    "a name in directory inode {dir} leads to inode {inode}, which is not in use"
                ));
                continue;
            };
            known.names += 1;
            let (is_dir, parent) = (known.file_type == FileType::Directory, known.parent);
            // 0 says nothing.
            if file_type != 0 && file_type != file_type_code(known.file_type) {
                self.problem(format!("a name in directory inode {dir} has another type than inode {inode}"));
            }
            if is_dir {
                if parent != dir {
                    self.problem(format!("directory inode {inode} is in {dir}, and its parent is {parent}"));
                }
                if let Some(above) = self.inodes.get_mut(&dir) {
                    above.directories.push(inode);
                }
            }
        }
        let mut numbers: Vec<u32> = self.inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let known = &self.inodes[&number];
            let (names, links) = (known.names, u32::from(known.links));
            let is_root = number == InodeNumber::ROOT.0;
            if names == 0 && !is_root {
                self.problem(format!("inode {number} is in use, but no name leads to it"));
            } else if known.file_type == FileType::Directory {
                let want = 2 + known.directories.len();
                // 1 where counting stopped.
                let is_counted = want <= LINK_MAX as usize;
                if links as usize != if is_counted { want } else { 1 } {
                    self.problem(format!(
                        "directory inode {number} has {links} links, and should have {want}"
                    ));
                }
                if names > 1 {
                    self.problem(format!("directory inode {number} has {names} names"));
                }
            } else if names != links {
                self.problem(format!("inode {number} has {links} links, and {names} names lead to it"));
            }
        }
        let mut reached = BTreeSet::from([InodeNumber::ROOT.0]);
        let mut pending = vec![InodeNumber::ROOT.0];
        while let Some(known) = pending.pop().and_then(|number| self.inodes.get(&number)) {
            pending.extend(known.directories.iter().filter(|number| reached.insert(**number)));
        }
        let directories = self.inodes.iter().filter(|(_, known)| known.file_type == FileType::Directory);
        let lost = directories.filter(|(number, _)| !reached.contains(number)).count();
        if lost > 0 {
            self.problem(format!("{lost} directories are not below the root"));
        }
    }

    /// Compares what is used with what is marked as used, and all that counts it.
    fn bitmaps(&mut self, superblock: &Superblock) -> Result<(), RootfsError> {
        for (block, count) in std::mem::take(&mut self.xattr_blocks) {
            self.claim(&|| "a block of xattrs".to_owned(), block, 1);
            let bytes = self.editor.blocks.read(View::Now, block)?;
            let refcount = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
            if refcount != count {
                self.problem(format!(
                    "xattr block {} is counted {refcount} times and used {count} times",
                    block.0
                ));
            }
        }
        let (mut free_blocks, mut free_inodes) = (0, 0);
        for group in 0..self.editor.volume.groups {
            self.group(group, &mut free_blocks, &mut free_inodes)?;
        }
        let (blocks, inodes) = (superblock.free_blocks_count(), superblock.s_free_inodes_count);
        if blocks != free_blocks {
            self.problem(format!("the superblock counts {blocks} free blocks, and there are {free_blocks}"));
        }
        if u64::from(inodes) != free_inodes {
            self.problem(format!("the superblock counts {inodes} free inodes, and there are {free_inodes}"));
        }
        Ok(())
    }

    fn group(&mut self, group: u32, all_blocks: &mut u64, all_inodes: &mut u64) -> Result<(), RootfsError> {
        let volume = &self.editor.volume;
        let desc = self.editor.group_desc(View::Now, group)?;
        let marked = self.editor.block_bitmap(View::Now, group, &desc)?;
        let (size, bits) = (volume.blocks_of(group), 8 * volume.block_size as u64);
        let mut used = match self.used.remove(&group) {
            Some(used) => used,
            None if self.plain.contains_key(&group) => marked.clone(),
            None => vec![0; volume.block_size],
        };
        // As the bitmap of the image is returned, too.
        set_bits(&mut used, size..bits, true);
        let free = size - ones(&marked, 0..size);
        let differing =
            |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| u64::from((a & !b).count_ones())).sum::<u64>();
        let (lost, leaked) = (differing(&used, &marked), differing(&marked, &used));
        let per_group = u64::from(volume.inodes_per_group);
        let inode_bitmap = self.editor.inode_bitmap(group, &desc)?;
        let mut padded = ones(&inode_bitmap, per_group..bits) == bits - per_group;
        if !(volume.has_uninit() && desc.bg_flags & BLOCK_UNINIT != 0) {
            let bitmap = self.editor.blocks.read(View::Now, desc.block_bitmap())?;
            padded &= ones(&bitmap, size..bits) == bits - size;
        }
        if !padded {
            self.problem(format!("a bitmap of group {group} does not end with ones"));
        }
        let free_inodes = per_group - ones(&inode_bitmap, 0..per_group);
        let unused = u64::from(desc.itable_unused());
        if volume.has_uninit() && ones(&inode_bitmap, per_group - unused..per_group) > 0 {
            self.problem(format!("group {group} has inodes in use among those that were never used"));
        }
        let directories = self.directories.get(&group).copied().unwrap_or_default();
        *all_blocks += free;
        *all_inodes += free_inodes;
        for (count, what) in [(lost, "in use and marked free"), (leaked, "marked in use and used by nothing")]
        {
            if count > 0 {
                self.problem(format!("group {group} has {count} blocks that are {what}"));
            }
        }
        for (counted, found, what) in [
            (u64::from(desc.free_blocks()), free, "free blocks"),
            (desc.free_inodes().into(), free_inodes, "free inodes"),
            (desc.used_dirs().into(), directories, "directories"),
        ] {
            if counted != found {
                self.problem(format!("group {group} counts {counted} {what}, and there are {found}"));
            }
        }
        Ok(())
    }
}
