//! One archive member.

use banger_tree::{FileType, Timestamp, Xattrs};

/// The kind of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TarEntryKind {
    /// A regular file, its bytes behind [`TarReader::next_data`](super::TarReader::next_data).
    #[default]
    Regular,
    /// One more name for [`TarEntry::link_target`].
    HardLink,
    /// A symbolic link to [`TarEntry::link_target`].
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A Unix socket; only `SCHILY.filetype` marks it.
    Socket,
    /// GNU tar's label of the archive: a name, and no file.
    VolumeLabel,
}

impl TarEntryKind {
    /// Returns the type of the file that the member makes; `None` for a hard link and for a label.
    pub fn file_type(self) -> Option<FileType> {
        Some(match self {
            Self::Regular => FileType::Regular,
            Self::Symlink => FileType::Symlink,
            Self::CharDevice => FileType::CharDevice,
            Self::BlockDevice => FileType::BlockDevice,
            Self::Directory => FileType::Directory,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
            Self::HardLink | Self::VolumeLabel => return None,
        })
    }
}

/// One member of an archive, after its extended headers were merged in.
///
/// Reading the next member into the same value reuses its buffers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TarEntry {
    /// The name, as in the archive: not cleaned, not checked.
    pub path: Vec<u8>,
    /// Its kind.
    pub kind: TarEntryKind,
    /// Target of a symbolic or hard link, verbatim; else empty.
    pub link_target: Vec<u8>,
    /// Permission bits, `0o0000` to `0o7777`; file type bits are masked off.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last modification; numbers beyond 64 bits are moved to their end.
    pub mtime: Timestamp,
    /// Major and minor number of a device, else zeros.
    pub device: (u32, u32),
    /// Length of a regular file, holes included; 0 for everything else.
    pub size_bytes: u64,
    /// Bytes of a regular file in the archive; less than the size for a sparse file.
    pub data_bytes: u64,
    /// Bytes that they take in a file system of 4 KiB blocks.
    pub allocated_bytes: u64,
    /// Extended attributes by full name.
    pub xattrs: Xattrs,
    /// There was an access control list as text (`SCHILY.acl.*`), which is not read.
    pub has_acl_text: bool,
    /// The key of a pax record that came more than once; the last one holds.
    pub repeated_record: Option<Vec<u8>>,
    /// Position of the member's own header in the archive.
    pub offset: u64,
}

impl TarEntry {
    pub(super) fn clear(&mut self) {
        let mut path = std::mem::take(&mut self.path);
        let mut link_target = std::mem::take(&mut self.link_target);
        path.clear();
        link_target.clear();
        *self = Self { path, link_target, ..Self::default() };
    }
}
