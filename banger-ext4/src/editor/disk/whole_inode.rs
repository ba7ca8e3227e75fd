//! An inode with all its bytes, however many the file system gives it.

use std::ops::{Deref, DerefMut};

use crate::format::inode::{GOOD_OLD_SIZE, Inode};

/// An inode of 128 bytes and more: the fields (missing ones read as zeros), and the space for xattrs behind
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WholeInode {
    fields: Inode,
    /// The bytes behind the first 256.
    tail: Vec<u8>,
}

impl WholeInode {
    /// Returns an inode with all fields zero.
    pub(crate) fn zeroed() -> Self {
        Self { fields: Inode::zeroed(), tail: Vec::new() }
    }

    /// Returns the inode that `bytes` are.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        let mut head = [0; Inode::SIZE];
        let (front, tail) = bytes.split_at(bytes.len().min(Inode::SIZE));
        head[..front.len()].copy_from_slice(front);
        Self { fields: Inode::decode(&head), tail: tail.to_vec() }
    }

    /// Returns the bytes of the inode in a table of inodes of `inode_size` bytes.
    pub(crate) fn encode(&self, inode_size: usize) -> Vec<u8> {
        let mut bytes = self.fields.encode().to_vec();
        bytes.extend_from_slice(&self.tail);
        bytes.resize(inode_size, 0);
        bytes
    }

    /// Returns the space for xattrs of an inode of `inode_size` bytes; 0 for the smallest inodes.
    pub(crate) fn xattr_space(&self, inode_size: usize) -> Vec<u8> {
        let mut bytes = self.encode(inode_size);
        let start = GOOD_OLD_SIZE + usize::from(self.fields.i_extra_isize);
        bytes.split_off(start.min(inode_size))
    }

    /// Replaces the space for xattrs.
    pub(crate) fn set_xattr_space(&mut self, inode_size: usize, space: &[u8]) {
        let mut bytes = self.encode(inode_size);
        let start = bytes.len() - space.len();
        bytes[start..].copy_from_slice(space);
        *self = Self::decode(&bytes);
    }
}

impl Deref for WholeInode {
    type Target = Inode;

    fn deref(&self) -> &Inode {
        &self.fields
    }
}

impl DerefMut for WholeInode {
    fn deref_mut(&mut self) -> &mut Inode {
        &mut self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_keeps_its_bytes() {
        for inode_size in [128, 256, 512, 1024] {
            let mut bytes: Vec<u8> = (0..inode_size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            if inode_size > 128 {
                bytes[0x80..0x82].copy_from_slice(&[32, 0]);
            }
            let mut inode = WholeInode::decode(&bytes);
            assert_eq!(inode.encode(inode_size), bytes);
            let space = inode.xattr_space(inode_size);
            assert_eq!(space.len(), inode_size.saturating_sub(160), "{inode_size}");
            inode.set_xattr_space(inode_size, &vec![7; space.len()]);
            assert!(inode.xattr_space(inode_size).iter().all(|byte| *byte == 7));
            assert_eq!(inode.encode(inode_size)[..100], bytes[..100]);
        }
    }
}
