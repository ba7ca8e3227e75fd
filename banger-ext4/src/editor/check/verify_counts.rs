//! Compares the results of a walk with the counts of the file system: names, links, bitmaps.

use std::collections::BTreeSet;

use banger_tree::{FileType, RootfsError};

use super::verify_walk::VerifyWalk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::groups::{ones, set_bits};
use crate::format::InodeNumber;
use crate::format::dirent::file_type_code;
use crate::format::group_desc::BLOCK_UNINIT;
use crate::format::inode::LINK_MAX;
use crate::format::superblock::Superblock;

impl VerifyWalk<'_> {
    /// Compares names with their inodes.
    pub(super) fn links(&mut self) {
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
            let expected = if self.disk.volume.filetype { file_type_code(known.file_type) } else { 0 };
            // 0 says nothing.
            if file_type != 0 && file_type != expected {
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

    /// Compares used blocks and inodes with the bitmaps and with all counts of them.
    pub(super) fn bitmaps(&mut self, superblock: &Superblock) -> Result<(), RootfsError> {
        self.xattr_blocks()?;
        let (mut free_blocks, mut free_inodes) = (0, 0);
        for group in 0..self.disk.volume.groups {
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

    /// Claims the blocks of xattrs, which inodes share, and compares how often each is used.
    pub(super) fn xattr_blocks(&mut self) -> Result<(), RootfsError> {
        for (block, count) in std::mem::take(&mut self.xattr_blocks) {
            self.claim(&|| "a block of xattrs".to_owned(), block, 1);
            let bytes = self.disk.blocks.read(View::Now, block)?;
            let refcount = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
            if refcount != count {
                self.problem(format!(
                    "xattr block {} is counted {refcount} times and used {count} times",
                    block.0
                ));
            }
        }
        Ok(())
    }

    fn group(&mut self, group: u32, all_blocks: &mut u64, all_inodes: &mut u64) -> Result<(), RootfsError> {
        let volume = &self.disk.volume;
        let desc = self.disk.group_desc(View::Now, group)?;
        let marked = self.disk.block_bitmap(View::Now, group, &desc)?;
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
        let inode_bitmap = self.disk.inode_bitmap(group, &desc)?;
        let mut padded = ones(&inode_bitmap, per_group..bits) == bits - per_group;
        if !(volume.has_uninit() && desc.bg_flags & BLOCK_UNINIT != 0) {
            let bitmap = self.disk.blocks.read(View::Now, desc.block_bitmap())?;
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
