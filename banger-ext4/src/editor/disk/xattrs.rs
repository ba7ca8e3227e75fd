//! Extended attributes of an inode.

use banger_tree::{RootfsError, Xattrs};

use crate::editor::Ext4Editor;
use super::blocks::{Bytes, View};
use super::inline::{is_data, is_inline};
use super::whole_inode::WholeInode;
use crate::format::crc32c::is_wrong;
use crate::format::inode::{EA_INODE_FL, EXTRA_ISIZE, GOOD_OLD_SIZE};
use crate::format::superblock::compat;
use crate::format::xattr::{
    BLOCK_HEADER_SIZE, FoundEntry, MAGIC, ValueInode, decode_all, fill_block, fill_in_inode, full_name,
    has_wrong_hash, seal_block, space_in_inode, space_of_block,
};
use crate::format::{Block, InodeNumber, acl};
use crate::native::xattrs::place_within;

/// Longest value of an extended attribute, as the kernel has it.
const VALUE_MAX: u32 = 65536;
/// `e_name_index` of what an encrypted inode is encrypted with, which is not shown.
const ENCRYPTION: u8 = 9;

impl Ext4Editor {
    /// Returns the xattrs of an inode, ACLs in the form of system calls.
    pub(in crate::editor) fn xattrs_of(&self, number: InodeNumber, inode: &WholeInode) -> Result<Xattrs, RootfsError> {
        let mut xattrs = Xattrs::default();
        self.for_each_xattr(number, inode, |editor, found| editor.collect(number, found, &mut xattrs))?;
        Ok(xattrs)
    }

    /// Returns the inodes that hold values of an inode's xattrs.
    pub(in crate::editor) fn value_inodes_of(
        &self,
        number: InodeNumber,
        inode: &WholeInode,
    ) -> Result<Vec<ValueInode>, RootfsError> {
        let mut values = Vec::new();
        self.for_each_xattr(number, inode, |_, found| {
            values.extend(found.value_inode);
            Ok(())
        })?;
        Ok(values)
    }

    /// Returns how many blocks the values in other inodes take, which count as those of the inode.
    pub(in crate::editor) fn value_blocks_of(
        &self,
        number: InodeNumber,
        inode: &WholeInode,
    ) -> Result<u64, RootfsError> {
        let values = self.value_inodes_of(number, inode)?;
        let blocks = |value: &ValueInode| u64::from(value.size).div_ceil(self.volume.block_size as u64);
        Ok(values.iter().map(blocks).sum())
    }

    fn for_each_xattr(
        &self,
        number: InodeNumber,
        inode: &WholeInode,
        mut visit: impl FnMut(&Self, &FoundEntry<'_>) -> Result<(), RootfsError>,
    ) -> Result<(), RootfsError> {
        let malformed = |place: &str| {
            self.volume
                .corrupt(format!("the extended attributes of inode {}, {place}, are malformed", number.0))
        };
        let space = inode.xattr_space(self.volume.inode_size);
        if space.len() > 4 && space[..4] == MAGIC.to_le_bytes() {
            let entries = decode_all(&space[4..], 0).ok_or_else(|| malformed("in the inode"))?;
            entries.iter().try_for_each(|found| visit(self, found))?;
        }
        if inode.file_acl().0 != 0 {
            let block = self.xattr_block(number, inode.file_acl())?;
            let entries = decode_all(&block, BLOCK_HEADER_SIZE).ok_or_else(|| malformed("in their block"))?;
            entries.iter().try_for_each(|found| visit(self, found))?;
        }
        Ok(())
    }

    /// Returns whether the hash of one is wrong, which only those look at who share blocks.
    pub(in crate::editor) fn has_wrong_xattr_hash(
        &self,
        number: InodeNumber,
        inode: &WholeInode,
    ) -> Result<bool, RootfsError> {
        let space = inode.xattr_space(self.volume.inode_size);
        if space.len() > 4 && space[..4] == MAGIC.to_le_bytes() && has_wrong_hash(&space[4..], 0) {
            return Ok(true);
        }
        match inode.file_acl().0 {
            0 => Ok(false),
            _ => Ok(has_wrong_hash(&self.xattr_block(number, inode.file_acl())?, BLOCK_HEADER_SIZE)),
        }
    }

    fn collect(
        &self,
        number: InodeNumber,
        found: &FoundEntry<'_>,
        xattrs: &mut Xattrs,
    ) -> Result<(), RootfsError> {
        let entry = &found.entry;
        if is_data(found) || entry.name_index == ENCRYPTION {
            return Ok(());
        }
        let name = full_name(entry.name_index, entry.name).ok_or_else(|| {
            let reason = format!(
                "inode {} has an extended attribute of the unknown namespace {}",
                number.0, entry.name_index
            );
            self.volume.unreadable(reason)
        })?;
        let value = match found.value_inode {
            Some(value) => self.value_of(number, value)?,
            None => entry.value.to_vec(),
        };
        let value = match entry.name_index {
            2 | 3 => acl::from_disk(&value)
                .ok_or_else(|| self.volume.corrupt(format!("inode {} has a malformed ACL", number.0)))?,
            _ => value,
        };
        xattrs.insert(name, value);
        Ok(())
    }

    /// Returns the value of an attribute of `number` that is the content of an inode.
    fn value_of(&self, number: InodeNumber, value: ValueInode) -> Result<Vec<u8>, RootfsError> {
        let inode = self.inode(value.number)?;
        let size = u64::from(value.size);
        if inode.i_flags & EA_INODE_FL == 0 || value.size > VALUE_MAX || inode.size() != size {
            let reason =
                format!("inode {}, the value of an attribute of {}, is none", value.number.0, number.0);
            return Err(self.volume.corrupt(reason));
        }
        let mut bytes = vec![0; value.size as usize];
        self.read_content(value.number, &inode, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Refuses to change the xattrs of an inode, or to free it, whose values are in other inodes:
    /// those count who has them.
    fn check_no_value_inodes(&self, number: InodeNumber, inode: &WholeInode) -> Result<(), RootfsError> {
        match self.value_inodes_of(number, inode)?.is_empty() {
            true => Ok(()),
            false => Err(self.volume.unsupported(format!(
                "extended attributes of inode {} are in inodes of their own (ea_inode), which is only read \
                 here; mount it to change them",
                number.0
            ))),
        }
    }

    fn xattr_block(&self, number: InodeNumber, block: Block) -> Result<Bytes, RootfsError> {
        let corrupt =
            |what: &str| Err(self.volume.corrupt(format!("the xattr block of inode {} {what}", number.0)));
        if block.0 <= self.volume.first_data_block {
            return corrupt("is the superblock");
        }
        let bytes = self.blocks.read(View::Now, block)?;
        // `h_magic`, then `h_refcount`, then `h_blocks`.
        if bytes[0..4] != MAGIC.to_le_bytes() || bytes[8..12] != 1_u32.to_le_bytes() {
            return corrupt("is none");
        }
        if let Some(seed) = self.volume.seed {
            let mut sealed = bytes.to_vec();
            seal_block(&mut sealed, seed, block);
            if is_wrong(&bytes[..], &sealed[..]) {
                return corrupt("has a wrong checksum");
            }
        }
        Ok(bytes)
    }

    /// Replaces the xattrs of an inode, whose number of blocks counts the ones it has.
    pub(in crate::editor) fn set_xattrs(
        &mut self,
        number: InodeNumber,
        inode: &mut WholeInode,
        xattrs: &Xattrs,
    ) -> Result<(), RootfsError> {
        if is_inline(inode) {
            // Its own attributes are written once more, and then these.
            self.move_inline_out(number, inode)?;
        }
        let inode_size = self.volume.inode_size;
        let (inside, space) = (space_in_inode(inode_size), space_of_block(self.volume.block_size));
        let placed = place_within(xattrs, inside, space).map_err(|reason| self.limit(reason))?;
        if !xattrs.is_empty() {
            self.update_superblock(|superblock| superblock.s_feature_compat |= compat::EXT_ATTR)?;
        }
        self.free_xattr_block(number, inode)?;
        if inode_size == GOOD_OLD_SIZE {
            inode.i_extra_isize = 0;
        } else {
            if inode.i_extra_isize < EXTRA_ISIZE {
                // What begins here were xattrs, which are rewritten below.
                let mut bytes = inode.encode(inode_size);
                let end = GOOD_OLD_SIZE + usize::from(EXTRA_ISIZE);
                bytes[GOOD_OLD_SIZE + usize::from(inode.i_extra_isize).max(4)..end].fill(0);
                *inode = WholeInode::decode(&bytes);
            }
            inode.i_extra_isize = EXTRA_ISIZE;
            let mut bytes = vec![0; inode_size - GOOD_OLD_SIZE - usize::from(EXTRA_ISIZE)];
            fill_in_inode(&mut bytes, &placed.in_inode.iter().collect::<Vec<_>>());
            inode.set_xattr_space(inode_size, &bytes);
        }
        if !placed.in_block.is_empty() {
            let block = self.allocate_block(self.goal_of(number))?;
            let mut bytes = vec![0; self.volume.block_size];
            fill_block(&mut bytes, self.volume.seed, block, &placed.in_block.iter().collect::<Vec<_>>());
            self.blocks.write(block, bytes)?;
            inode.set_file_acl(block);
            self.change_block_count(inode, 1, true);
        }
        Ok(())
    }

    /// Takes an inode's xattr block away; other inodes that share it keep it.
    pub(in crate::editor) fn free_xattr_block(
        &mut self,
        number: InodeNumber,
        inode: &mut WholeInode,
    ) -> Result<(), RootfsError> {
        self.check_no_value_inodes(number, inode)?;
        let block = inode.file_acl();
        if block.0 == 0 {
            return Ok(());
        }
        let mut bytes = self.xattr_block(number, block)?.to_vec();
        let refcount = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
        if refcount > 1 {
            bytes[4..8].copy_from_slice(&(refcount - 1).to_le_bytes());
            if let Some(seed) = self.volume.seed {
                seal_block(&mut bytes, seed, block);
            }
            self.blocks.write(block, bytes)?;
        } else {
            self.free_blocks(block, 1)?;
        }
        inode.set_file_acl(Block(0));
        self.change_block_count(inode, 1, false);
        Ok(())
    }
}
