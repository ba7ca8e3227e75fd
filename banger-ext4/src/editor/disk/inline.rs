//! Content that is in its inode (`inline_data`): in the place of the blocks' numbers, and what does not
//! fit there as the value of an extended attribute.
//!
//! It is read there. What changes such a file or directory moves it out to a block of its own first.

use banger_tree::{FileType, RootfsError};

use crate::editor::Ext4Editor;
use super::directory::{Entry, Record};
use super::extents::Run;
use super::whole_inode::WholeInode;
use crate::format::dirent::{file_type_code, seal};
use crate::format::inode::{EXTENTS_FL, FAST_SYMLINK_MAX, INLINE_DATA_FL, Inode};
use crate::format::xattr::{self, FoundEntry};
use crate::format::{Block, InodeNumber};

/// Bytes in the place of the blocks' numbers.
const IN_PLACE: usize = 60;
/// Bytes of a directory before its entries: the inode of the parent.
const PARENT_SIZE: usize = 4;

/// Returns whether an attribute is the rest of the content: `system.data`.
pub(in crate::editor) fn is_data(found: &FoundEntry<'_>) -> bool {
    found.entry.name_index == 7 && found.entry.name == b"data"
}

pub(in crate::editor) fn is_inline(inode: &Inode) -> bool {
    inode.i_flags & INLINE_DATA_FL != 0
}

impl Ext4Editor {
    /// Returns the two parts of what an inode holds itself; it may be longer than the file.
    fn inline_parts(
        &self,
        number: InodeNumber,
        inode: &WholeInode,
    ) -> Result<(Vec<u8>, Vec<u8>), RootfsError> {
        let space = inode.xattr_space(self.volume.inode_size);
        let has_xattrs = space.len() > 4 && space[..4] == xattr::MAGIC.to_le_bytes();
        let entries = if has_xattrs { xattr::decode_all(&space[4..], 0) } else { None };
        let data = entries.into_iter().flatten().find(is_data);
        let data = data.filter(|found| found.value_inode.is_none()).ok_or_else(|| {
            self.volume.corrupt(format!("inode {} is said to hold its content, and does not", number.0))
        })?;
        Ok((inode.i_block[..IN_PLACE].to_vec(), data.entry.value.into_owned()))
    }

    /// Returns what an inode holds itself; it may be longer than the file.
    pub(in crate::editor) fn inline_data(
        &self,
        number: InodeNumber,
        inode: &WholeInode,
    ) -> Result<Vec<u8>, RootfsError> {
        let (mut bytes, rest) = self.inline_parts(number, inode)?;
        bytes.extend_from_slice(&rest);
        Ok(bytes)
    }

    /// Returns the parent of a directory that holds its entries itself.
    pub(in crate::editor) fn inline_parent(&self, inode: &Inode) -> InodeNumber {
        let [a, b, c, d, ..] = inode.i_block;
        InodeNumber(u32::from_le_bytes([a, b, c, d]))
    }

    /// Returns the records of a directory that holds its entries itself: in two parts, each of which
    /// its records fill.
    pub(in crate::editor) fn inline_records(
        &self,
        number: InodeNumber,
        inode: &WholeInode,
    ) -> Result<Vec<Record>, RootfsError> {
        let (head, rest) = self.inline_parts(number, inode)?;
        let mut records = self.records_in(number, &head[PARENT_SIZE..])?;
        records.extend(self.records_in(number, &rest)?);
        Ok(records)
    }

    /// Moves the content of an inode that holds it itself to a block; others stay as they are.
    pub(in crate::editor) fn move_inline_out(
        &mut self,
        number: InodeNumber,
        inode: &mut WholeInode,
    ) -> Result<(), RootfsError> {
        if !is_inline(inode) {
            return Ok(());
        }
        self.check_not_encrypted(number, inode)?;
        let file_type = FileType::from_mode_bits(inode.i_mode);
        let block_size = self.volume.block_size;
        let (bytes, size) = match file_type {
            Some(FileType::Directory) => (self.leaf_of_inline(number, inode)?, block_size as u64),
            _ => {
                let size = inode.size();
                let mut bytes = self.inline_data(number, inode)?;
                let length = usize::try_from(size).ok().filter(|size| *size <= bytes.len().min(block_size));
                let length = length.ok_or_else(|| {
                    self.volume.corrupt(format!("inode {} is longer than what it holds", number.0))
                })?;
                bytes.truncate(length);
                (bytes, size)
            }
        };
        let xattrs = self.xattrs_of(number, inode)?;
        inode.i_flags &= !INLINE_DATA_FL;
        let is_fast = file_type == Some(FileType::Symlink) && bytes.len() <= FAST_SYMLINK_MAX;
        inode.i_block = [0; IN_PLACE];
        if is_fast {
            inode.i_flags &= !EXTENTS_FL;
            inode.i_block[..bytes.len()].copy_from_slice(&bytes);
        } else if bytes.is_empty() {
            self.set_mapping(number, inode, &[], &[])?;
        } else {
            let block = self.allocate_block(self.goal_of(number))?;
            let run = Run { logical: 0, len: 1, start: block.0, written: true };
            self.set_mapping(number, inode, &[run], &[])?;
            self.put_moved(block, bytes, file_type == Some(FileType::Directory))?;
        }
        inode.set_size(size);
        // What is left are the other attributes.
        self.set_xattrs(number, inode, &xattrs)?;
        self.put_inode(number, inode)
    }

    /// Content goes to its block at once, as that of all files; all else with the next commit.
    fn put_moved(&mut self, block: Block, mut bytes: Vec<u8>, is_dir: bool) -> Result<(), RootfsError> {
        bytes.resize(self.volume.block_size, 0);
        match is_dir {
            true => self.blocks.write(block, bytes),
            false => self.blocks.write_content(block, &bytes),
        }
    }

    fn leaf_of_inline(&self, number: InodeNumber, inode: &WholeInode) -> Result<Vec<u8>, RootfsError> {
        let dot = |name: &[u8], inode| Entry {
            name: name.to_vec(),
            inode,
            file_type: file_type_code(FileType::Directory),
        };
        let mut entries = vec![dot(b".", number), dot(b"..", self.inline_parent(inode))];
        let records = self.inline_records(number, inode)?;
        entries.extend(records.into_iter().map(|record| record.entry).filter(|entry| entry.inode.0 != 0));
        let mut bytes = self.encode_leaf(&entries);
        if let Some(seed) = self.volume.seed_of(number, inode.i_generation) {
            seal(&mut bytes, seed);
        }
        Ok(bytes)
    }
}
