//! The arguments for the file system that a command writes.

use banger::{ArgumentError, FileSystemOptions};
use clap::{Args, ValueEnum};

use crate::units::{FileSystemSize, JournalSize};

/// The file system that is written.
#[derive(Debug, Args)]
pub(crate) struct FileSystemArguments {
    /// Set the size of the file system [default: content × 1.25, at least 1 GiB]:
    /// 4G, 512M  this size; 4G is 4GiB, and 4GB has powers of 1000
    /// min       the smallest that holds the content
    /// +512M     as min, and this much free
    #[arg(long, value_name = "[+]SIZE|min", verbatim_doc_comment)]
    pub(crate) size: Option<FileSystemSize>,
    /// Create at least N inodes [default: one for every 16 KiB].
    #[arg(long, value_name = "N")]
    pub(crate) inodes: Option<u32>,
    /// Set the label of the file system, at most 16 bytes.
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// Set the UUID of the file system [default: made from the image or the files].
    #[arg(long)]
    pub(crate) uuid: Option<String>,
    /// Set the size of the journal, at least 4M, or `none` for no journal [default: as mke2fs, by the size].
    /// Without a journal, a crash of the guest may damage the file system, and `banger rootfs` changes it
    /// only while 4M are free.
    #[arg(long, value_name = "SIZE|none")]
    pub(crate) journal: Option<JournalSize>,
    /// Keep N blocks of 4 KiB that only root can fill.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) reserved_blocks: u64,
    /// Choose what writes the file system.
    #[arg(long, value_name = "NAME", default_value = "native")]
    pub(crate) backend: BackendChoice,
}

impl FileSystemArguments {
    /// Returns the options of the library.
    ///
    /// # Errors
    /// The text for the UUID is not a UUID.
    pub(crate) fn options(&self) -> Result<FileSystemOptions, ArgumentError> {
        Ok(FileSystemOptions::default()
            .with_size(self.size.map(|size| size.0).unwrap_or_default())
            .with_inodes(self.inodes)
            .with_label(self.label.clone().unwrap_or_default())
            .with_uuid(self.uuid.as_deref().map(banger::parse_uuid).transpose()?)
            .with_journal(self.journal.map(|journal| journal.0).unwrap_or_default())
            .with_reserved_blocks(self.reserved_blocks))
    }
}

/// What writes the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendChoice {
    /// Write it with banger's own code; the fast one
    Native,
    /// Write it with mkfs.ext4 and debugfs of this machine
    #[value(name = "e2fsprogs")]
    E2fsprogs,
}

impl From<BackendChoice> for banger::Backend {
    fn from(choice: BackendChoice) -> Self {
        match choice {
            BackendChoice::Native => Self::Native,
            BackendChoice::E2fsprogs => Self::E2fsprogs,
        }
    }
}
