//! Numbers of inodes.

/// Number of an inode in its [`Tree`](crate::Tree). Numbers of removed inodes are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeId(pub(crate) u32);

impl InodeId {
    /// Returns the inode's position, below [`Tree::inode_bound`](crate::Tree::inode_bound).
    pub fn index(self) -> usize {
        usize::try_from(self.0).expect("usize holds 32 bits on every supported host")
    }
}
