//! A walk of a whole file system that looks for damage.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use banger_tree::{FileType, RootfsError};

use super::Ext4Editor;
use super::blocks::View;
use super::extents::{LOGICAL_END, Mapping};
use super::groups::{bit, set_bits};
use crate::format::dirent::file_type_code;
use crate::format::group_desc::BLOCK_UNINIT;
use crate::format::inode::{EXTENTS_FL, FAST_SYMLINK_MAX, Inode};
use crate::format::superblock::Superblock;
use crate::format::{Block, InodeNumber};

/// Problems that are told; what comes after them is counted.
const PROBLEMS_MAX: usize = 100;
/// `EXT4_RESIZE_INO`, which holds the blocks reserved for descriptors.
const RESIZE_INODE: InodeNumber = InodeNumber(7);
/// Where its only block of its own is named: `i_block[EXT4_DIND_BLOCK]`.
const DIND_OFFSET: usize = 13 * 4;
/// `s_feature_compat`: a file, which no name leads to, is for unlinked files that are open.
const ORPHAN_FILE: u32 = 0x1000;
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
    report: VerifyReport,
    /// Blocks that something uses, by group, as a bitmap.
    used: Vec<Vec<u8>>,
    inodes: HashMap<u32, Known>,
    /// Names by the inode they lead to and the directory they are in, with their type.
    names: Vec<(u32, u32, u8)>,
    /// Blocks of xattrs, with how many inodes have them.
    xattr_blocks: BTreeMap<Block, u32>,
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
        let (block, offset) = volume.superblock_place();
        let block = self.blocks.read(View::Now, block)?;
        let bytes = block[offset..offset + Superblock::SIZE].try_into().expect("the superblock's length");
        let superblock = Superblock::decode(bytes);
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
        let has_orphan_file = superblock.s_feature_compat & ORPHAN_FILE != 0;
        let orphan_file = has_orphan_file.then_some(InodeNumber(superblock.s_orphan_file_inum));
        let mut walk = Walk {
            editor: self,
            nameless: volume.journal.into_iter().chain(orphan_file).collect(),
            report,
            used: vec![Vec::new(); volume.groups as usize],
            inodes: HashMap::new(),
            names: Vec::new(),
            xattr_blocks: BTreeMap::new(),
        };
        walk.metadata_of_groups()?;
        walk.all_inodes()?;
        walk.links();
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
            Err(RootfsError::Corrupt { reason, .. } | RootfsError::Unsupported { reason, .. }) => {
                self.problem(reason);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes blocks as used by `user`.
    fn claim(&mut self, user: &dyn Fn() -> String, start: Block, count: u64) {
        let mut shared = 0;
        for block in (start.0..start.0.saturating_add(count)).map(Block) {
            let Some((group, at)) = self.editor.volume.group_of(block) else {
                return self.problem(format!("{} refers to block {}, which there is not", user(), block.0));
            };
            let bitmap = &mut self.used[group as usize];
            if bitmap.is_empty() {
                bitmap.resize(self.editor.volume.block_size, 0);
            }
            shared += u64::from(bit(bitmap, at));
            set_bits(bitmap, at..at + 1, true);
        }
        if shared > 0 {
            let what = user();
            self.problem(format!(
                "{what} has {shared} blocks, from {} on, that something else has too",
                start.0
            ));
        }
    }

    fn metadata_of_groups(&mut self) -> Result<(), RootfsError> {
        let volume = &self.editor.volume;
        for group in 0..volume.groups {
            let of_group = || format!("group {group}");
            if volume.has_super(group) {
                let base = 1 + volume.descriptor_blocks() + volume.reserved_gdt_blocks;
                self.claim(&of_group, Block(volume.first_block(group)), base.min(volume.blocks_of(group)));
            }
            let desc = self.editor.group_desc(View::Now, group);
            let Some(desc) = self.noted(desc)? else { continue };
            self.claim(&of_group, desc.block_bitmap(), 1);
            self.claim(&of_group, desc.inode_bitmap(), 1);
            self.claim(&of_group, desc.inode_table(), volume.inode_table_blocks());
            let bitmap = self.editor.block_bitmap(View::Now, group, &desc);
            self.noted(bitmap)?;
        }
        Ok(())
    }

    fn all_inodes(&mut self) -> Result<(), RootfsError> {
        let volume = &self.editor.volume;
        for group in 0..volume.groups {
            // Told above.
            let Ok(desc) = self.editor.group_desc(View::Now, group) else { continue };
            let bitmap = self.editor.inode_bitmap(group, &desc);
            let Some(bitmap) = self.noted(bitmap)? else { continue };
            for at in (0..volume.inodes_per_group).filter(|at| bit(&bitmap, u64::from(*at))) {
                let number = InodeNumber(group * volume.inodes_per_group + at + 1);
                let is_reserved = number.0 < volume.first_inode && number != InodeNumber::ROOT;
                if number == RESIZE_INODE && volume.resize_inode {
                    self.resize_inode()?;
                } else if !is_reserved || self.nameless.contains(&number) {
                    let inode = self.editor.inode(number);
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
        let inode = self.editor.inode(RESIZE_INODE);
        if let Some(inode) = self.noted(inode)? {
            let field = inode.i_block[DIND_OFFSET..DIND_OFFSET + 4].try_into().expect("four bytes");
            match u32::from_le_bytes(field) {
                0 => {}
                block => self.claim(&|| "the resize inode".to_owned(), Block(block.into()), 1),
            }
        }
        Ok(())
    }

    fn inode(&mut self, number: InodeNumber, inode: &Inode) -> Result<(), RootfsError> {
        let file_type = FileType::from_mode_bits(inode.i_mode).expect("checked when the inode was read");
        let xattrs = self.editor.xattrs_of(number, inode);
        self.noted(xattrs)?;
        if inode.file_acl().0 != 0 {
            *self.xattr_blocks.entry(inode.file_acl()).or_default() += 1;
        }
        let user = || format!("inode {}", number.0);
        let has_blocks = match file_type {
            FileType::Regular | FileType::Directory => true,
            FileType::Symlink => {
                let target = self.editor.target_of(number, inode);
                self.noted(target)?;
                inode.i_flags & EXTENTS_FL != 0 || inode.size() > FAST_SYMLINK_MAX as u64
            }
            _ => false,
        };
        if has_blocks {
            let mapping = self.editor.mapping(number, inode, 0..LOGICAL_END);
            if let Some(Mapping { runs, index_blocks }) = self.noted(mapping)? {
                for run in runs {
                    self.claim(&user, Block(run.start), run.len);
                }
                for block in index_blocks {
                    self.claim(&user, block, 1);
                }
            }
        }
        if self.nameless.contains(&number) {
            return Ok(());
        }
        let mut known =
            Known { file_type, links: inode.i_links_count, names: 0, parent: 0, directories: Vec::new() };
        if file_type == FileType::Directory {
            let parent = self.directory(number);
            known.parent = self.noted(parent)?.unwrap_or_default();
        }
        self.inodes.insert(number.0, known);
        Ok(())
    }

    /// Takes down the names in a directory; returns what its `..` leads to.
    fn directory(&mut self, number: InodeNumber) -> Result<u32, RootfsError> {
        let dir = self.editor.dir(number)?;
        let (_, first) = self.editor.dir_block(&dir, 0)?;
        let field =
            |range: std::ops::Range<usize>| u32::from_le_bytes(first[range].try_into().expect("four bytes"));
        if field(DOT) != number.0 {
            self.problem(format!("directory inode {} does not start with itself", number.0));
        }
        for entry in self.editor.entries(&dir)? {
            self.names.push((entry.inode.0, number.0, entry.file_type));
        }
        Ok(field(DOT_DOT))
    }

    /// Compares names with what they lead to.
    fn links(&mut self) {
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
                if links != 1 && links as usize != want {
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
        let used = std::mem::take(&mut self.used[group as usize]);
        let is_used = |at: u64| !used.is_empty() && bit(&used, at);
        let (mut free, mut leaked, mut lost) = (0_u64, 0_u64, 0_u64);
        for at in 0..volume.blocks_of(group) {
            match (is_used(at), bit(&marked, at)) {
                (true, false) => lost += 1,
                (false, true) => leaked += 1,
                _ => {}
            }
            free += u64::from(!bit(&marked, at));
        }
        let inode_bitmap = self.editor.inode_bitmap(group, &desc)?;
        let per_group = volume.inodes_per_group;
        let bits = 8 * volume.block_size as u64;
        let mut padded = (u64::from(per_group)..bits).all(|at| bit(&inode_bitmap, at));
        if !(volume.has_uninit() && desc.bg_flags & BLOCK_UNINIT != 0) {
            let bitmap = self.editor.blocks.read(View::Now, desc.block_bitmap())?;
            padded &= (volume.blocks_of(group)..bits).all(|at| bit(&bitmap, at));
        }
        if !padded {
            self.problem(format!("a bitmap of group {group} does not end with ones"));
        }
        let free_inodes = (0..per_group).filter(|at| !bit(&inode_bitmap, u64::from(*at))).count();
        let range = group * per_group + 1..=group * per_group + per_group;
        let is_dir = |number: &u32| {
            self.inodes.get(number).is_some_and(|known| known.file_type == FileType::Directory)
        };
        let directories = range.filter(is_dir).count();
        *all_blocks += free;
        *all_inodes += free_inodes as u64;
        for (count, what) in [(lost, "in use and marked free"), (leaked, "marked in use and used by nothing")]
        {
            if count > 0 {
                self.problem(format!("group {group} has {count} blocks that are {what}"));
            }
        }
        for (counted, found, what) in [
            (u64::from(desc.free_blocks()), free, "free blocks"),
            (desc.free_inodes().into(), free_inodes as u64, "free inodes"),
            (desc.used_dirs().into(), directories as u64, "directories"),
        ] {
            if counted != found {
                self.problem(format!("group {group} counts {counted} {what}, and there are {found}"));
            }
        }
        Ok(())
    }
}
