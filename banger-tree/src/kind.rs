//! The type of an inode, with the data of that type.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::children::Children;
use crate::content_id::ContentId;

/// Largest major number of a device in Linux's 32-bit `dev_t`.
pub const DEVICE_MAJOR_MAX: u32 = 0xfff;
/// Largest minor number of a device in Linux's 32-bit `dev_t`.
pub const DEVICE_MINOR_MAX: u32 = 0xf_ffff;

/// Type of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}

impl FileType {
    /// All types.
    pub const ALL: [Self; 7] = [
        Self::Regular,
        Self::Directory,
        Self::Symlink,
        Self::CharDevice,
        Self::BlockDevice,
        Self::Fifo,
        Self::Socket,
    ];

    /// Returns the type's bits of `st_mode` (`S_IFMT`), as ext4's `i_mode` has them too.
    pub const fn mode_bits(self) -> u16 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }

    /// Returns the type's name in lower case, as documents have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regular => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::CharDevice => "char-device",
            Self::BlockDevice => "block-device",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
        }
    }

    /// Returns the type in the `S_IFMT` bits of `mode`, or `None` for unknown bits.
    pub fn from_mode_bits(mode: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|file_type| file_type.mode_bits() == mode & 0o170_000)
    }
}

impl fmt::Display for FileType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for FileType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for FileType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = Self::ALL.into_iter().find(|file_type| file_type.name() == name);
        found.ok_or_else(|| de::Error::custom(format_args!("`{name}` is not a type of file")))
    }
}

/// The type of an inode, with the data of that type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file; an empty one has no content.
    Regular {
        /// Length in bytes, holes included.
        size_bytes: u64,
        /// The content with its bytes; `None` exactly when `size_bytes` is 0.
        content: Option<ContentId>,
    },
    /// A directory.
    Directory {
        /// Its entries, without `.` and `..`.
        children: Children,
    },
    /// A symbolic link.
    Symlink {
        /// The target, verbatim.
        target: Box<[u8]>,
    },
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

impl NodeKind {
    /// Returns an empty directory.
    pub fn empty_directory() -> Self {
        Self::Directory { children: Children::new() }
    }

    /// Returns the type alone.
    pub fn file_type(&self) -> FileType {
        match self {
            Self::Regular { .. } => FileType::Regular,
            Self::Directory { .. } => FileType::Directory,
            Self::Symlink { .. } => FileType::Symlink,
            Self::CharDevice { .. } => FileType::CharDevice,
            Self::BlockDevice { .. } => FileType::BlockDevice,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
        }
    }
}
