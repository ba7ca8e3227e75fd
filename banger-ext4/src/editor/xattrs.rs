//! Extended attributes of an inode.

use banger_tree::{RootfsError, Xattrs};

use super::Ext4Editor;
use super::blocks::{Bytes, View};
use crate::format::crc32c::is_wrong;
use crate::format::inode::{EXTRA_ISIZE, GOOD_OLD_SIZE, Inode};
use crate::format::superblock::compat;
use crate::format::xattr::{
    BLOCK_HEADER_SIZE, Entry, MAGIC, decode_entries, encode_in_inode, fill_block, full_name, has_wrong_hash,
    seal_block, space_of_block,
};
use crate::format::{Block, InodeNumber, acl};
use crate::native::xattrs::place_within;

impl Ext4Editor {
    /// Returns the xattrs of an inode, ACLs in the form of system calls.
    pub(super) fn xattrs_of(&self, number: InodeNumber, inode: &Inode) -> Result<Xattrs, RootfsError> {
        let malformed = |place: &str| {
            self.volume
                .corrupt(format!("the extended attributes of inode {}, {place}, are malformed", number.0))
        };
        let mut xattrs = Xattrs::default();
        let bytes = inode.encode();
        let space = &bytes[GOOD_OLD_SIZE + usize::from(inode.i_extra_isize)..];
        if space.len() > 4 && space[..4] == MAGIC.to_le_bytes() {
            let entries = decode_entries(&space[4..], 0).ok_or_else(|| malformed("in the inode"))?;
            self.collect(number, &entries, &mut xattrs)?;
        }
        if inode.file_acl().0 != 0 {
            let block = self.xattr_block(number, inode.file_acl())?;
            let entries =
                decode_entries(&block, BLOCK_HEADER_SIZE).ok_or_else(|| malformed("in their block"))?;
            self.collect(number, &entries, &mut xattrs)?;
        }
        Ok(xattrs)
    }

    /// Returns whether the hash of one is wrong, which only those look at who share blocks.
    pub(super) fn has_wrong_xattr_hash(
        &self,
        number: InodeNumber,
        inode: &Inode,
    ) -> Result<bool, RootfsError> {
        let bytes = inode.encode();
        let space = &bytes[GOOD_OLD_SIZE + usize::from(inode.i_extra_isize)..];
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
        entries: &[Entry<'_>],
        xattrs: &mut Xattrs,
    ) -> Result<(), RootfsError> {
        for entry in entries {
            let name = full_name(entry.name_index, entry.name).ok_or_else(|| {
                let reason = format!(
                    "inode {} has an extended attribute of the unknown namespace {}",
                    number.0, entry.name_index
                );
                self.volume.unsupported(reason)
            })?;
            let value = match entry.name_index {
                2 | 3 => acl::from_disk(&entry.value)
                    .ok_or_else(|| self.volume.corrupt(format!("inode {} has a malformed ACL", number.0)))?,
                _ => entry.value.to_vec(),
            };
            xattrs.insert(name, value);
        }
        Ok(())
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
    pub(super) fn set_xattrs(
        &mut self,
        number: InodeNumber,
        inode: &mut Inode,
        xattrs: &Xattrs,
    ) -> Result<(), RootfsError> {
        let space = space_of_block(self.volume.block_size);
        let placed = place_within(xattrs, space).map_err(|reason| self.limit(reason))?;
        if !xattrs.is_empty() {
            self.update_superblock(|superblock| superblock.s_feature_compat |= compat::EXT_ATTR)?;
        }
        self.free_xattr_block(number, inode)?;
        if inode.i_extra_isize != EXTRA_ISIZE {
            if inode.i_extra_isize < EXTRA_ISIZE {
                // What begins here were xattrs, which are rewritten below.
                let mut bytes = inode.encode();
                let end = GOOD_OLD_SIZE + usize::from(EXTRA_ISIZE);
                bytes[GOOD_OLD_SIZE + usize::from(inode.i_extra_isize).max(4)..end].fill(0);
                *inode = Inode::decode(&bytes);
            }
            inode.i_extra_isize = EXTRA_ISIZE;
        }
        inode.xattrs = encode_in_inode(&placed.in_inode.iter().collect::<Vec<_>>());
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
    pub(super) fn free_xattr_block(
        &mut self,
        number: InodeNumber,
        inode: &mut Inode,
    ) -> Result<(), RootfsError> {
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
