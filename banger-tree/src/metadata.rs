//! The attributes of every path of a tree, apart from the tree.

use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
use crate::kind::{FileType, NodeKind};
use crate::path::GuestPath;
use crate::tree::Tree;

/// Attributes of every path of a root file system, one entry a path, parents before children.
///
/// It has everything that an unprivileged copy of the tree loses (owners, devices, capabilities).
/// `apply_ownership` puts it into an image afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metadata {
    /// The entries.
    pub entries: Vec<MetadataEntry>,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetadataEntry {
    /// Its path.
    pub path: GuestPath,
    /// Its type.
    #[serde(flatten)]
    pub kind: MetadataKind,
    /// Permissions, owner, time, xattrs.
    #[serde(flatten)]
    pub attributes: Attributes,
}

/// Type of a path, with the numbers of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "KindFields", into = "KindFields")]
pub enum MetadataKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}

impl MetadataKind {
    /// Returns the type alone.
    pub fn file_type(&self) -> FileType {
        match self {
            Self::File => FileType::Regular,
            Self::Directory => FileType::Directory,
            Self::Symlink => FileType::Symlink,
            Self::CharDevice { .. } => FileType::CharDevice,
            Self::BlockDevice { .. } => FileType::BlockDevice,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
        }
    }
}

/// A [`MetadataKind`] as documents have it.
#[derive(Clone, Serialize, Deserialize)]
struct KindFields {
    #[serde(rename = "type")]
    file_type: FileType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    major: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minor: Option<u32>,
}

impl From<MetadataKind> for KindFields {
    fn from(kind: MetadataKind) -> Self {
        let device = match kind {
            MetadataKind::CharDevice { major, minor } | MetadataKind::BlockDevice { major, minor } => {
                Some((major, minor))
            }
            _ => None,
        };
        Self {
            file_type: kind.file_type(),
            major: device.map(|(major, _)| major),
            minor: device.map(|(_, minor)| minor),
        }
    }
}

impl TryFrom<KindFields> for MetadataKind {
    type Error = String;

    fn try_from(fields: KindFields) -> Result<Self, String> {
        let device = || match (fields.major, fields.minor) {
            (Some(major), Some(minor)) => Ok((major, minor)),
            _ => Err(format!("a {} without the numbers of the device", fields.file_type)),
        };
        Ok(match fields.file_type {
            FileType::Regular => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::CharDevice => device().map(|(major, minor)| Self::CharDevice { major, minor })?,
            FileType::BlockDevice => device().map(|(major, minor)| Self::BlockDevice { major, minor })?,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
        })
    }
}

impl From<&NodeKind> for MetadataKind {
    fn from(kind: &NodeKind) -> Self {
        match *kind {
            NodeKind::Regular { .. } => Self::File,
            NodeKind::Directory { .. } => Self::Directory,
            NodeKind::Symlink { .. } => Self::Symlink,
            NodeKind::CharDevice { major, minor } => Self::CharDevice { major, minor },
            NodeKind::BlockDevice { major, minor } => Self::BlockDevice { major, minor },
            NodeKind::Fifo => Self::Fifo,
            NodeKind::Socket => Self::Socket,
        }
    }
}

impl MetadataEntry {
    /// Returns an entry for `path`.
    pub fn new(path: GuestPath, kind: MetadataKind, attributes: Attributes) -> Self {
        Self { path, kind, attributes }
    }
}

impl Metadata {
    /// Returns the metadata of `entries`, which have parents before children.
    pub fn new(entries: Vec<MetadataEntry>) -> Self {
        Self { entries }
    }

    /// Returns the attributes of every path of `tree`.
    pub fn of(tree: &Tree) -> Self {
        let entry = |(path, id)| {
            let inode = tree.inode(id);
            MetadataEntry {
                path,
                kind: MetadataKind::from(&inode.kind),
                attributes: inode.attributes.clone(),
            }
        };
        Self { entries: tree.walk().map(entry).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inode::Inode;

    #[test]
    fn one_entry_a_path_and_json_keeps_all() {
        let mut tree = Tree::new();
        let root = tree.root();
        let mut attributes = Attributes { uid: 70_000, ..Attributes::with_mode(0o4755) };
        attributes.mtime.nanoseconds = 5;
        attributes.xattrs.insert("security.capability", [1, 2, 255]);
        let file = NodeKind::Regular { size_bytes: 0, content: None };
        let a = tree.insert(root, b"a\xff", Inode::new(file, attributes)).unwrap();
        tree.link(root, b"b", a).unwrap();
        let device = NodeKind::BlockDevice { major: 8, minor: 300 };
        tree.insert(root, b"sda", Inode::new(device, Attributes::with_mode(0o600))).unwrap();
        let metadata = Metadata::of(&tree);
        assert_eq!(metadata.entries.len(), 4);
        let json = serde_json::to_string(&metadata).unwrap();
        assert!(json.contains(r#""type":"block-device","major":8,"minor":300"#), "{json}");
        assert_eq!(serde_json::from_str::<Metadata>(&json).unwrap(), metadata);
    }
}
