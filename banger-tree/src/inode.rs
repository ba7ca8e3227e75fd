//! One inode of a tree.

use crate::attributes::Attributes;
use crate::children::Children;
use crate::kind::NodeKind;

/// One inode. Several names may lead to it, unless it is a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Permissions, owner, time, xattrs.
    pub attributes: Attributes,
    /// Type, with its data.
    pub kind: NodeKind,
    pub(crate) names: u32,
}

impl Inode {
    /// Returns an inode without a name.
    pub fn new(kind: NodeKind, attributes: Attributes) -> Self {
        Self { attributes, kind, names: 0 }
    }

    /// Returns the entries if this is a directory.
    pub fn children(&self) -> Option<&Children> {
        match &self.kind {
            NodeKind::Directory { children } => Some(children),
            _ => None,
        }
    }

    /// Returns whether this is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, NodeKind::Directory { .. })
    }

    /// Returns the number of hard links; 1 for a directory, also for the root.
    pub fn names(&self) -> u32 {
        self.names
    }

    /// Returns the size that `stat` reports: bytes of a file or of a symlink's target, else 0.
    pub fn size_bytes(&self) -> u64 {
        match &self.kind {
            NodeKind::Regular { size_bytes, .. } => *size_bytes,
            NodeKind::Symlink { target } => target.len() as u64,
            _ => 0,
        }
    }
}
