//! The file system that a command of `banger rootfs` is about.

use banger::rootfs::{Part, RootfsPlace, WantedPartition};
use camino::Utf8PathBuf;
use clap::Args;

use crate::units::Size;

/// The ext4 file that a command is about.
#[derive(Debug, Args)]
pub(crate) struct FileArgument {
    /// ext4 file, block device, or disk with partitions; `banger image show NAME` prints the path of a managed image.
    pub(crate) file: Utf8PathBuf,
    /// Use the partition with this number or label (GPT, MBR).
    #[arg(long, value_name = "N|LABEL")]
    partition: Option<WantedPartition>,
    /// Use the file system that begins at this byte of FILE.
    #[arg(long, value_name = "BYTES", conflicts_with = "partition")]
    offset: Option<Size>,
}

impl FileArgument {
    /// Returns where the file system lies.
    pub(crate) fn place(&self) -> RootfsPlace {
        RootfsPlace::new(self.file.clone()).with_part(match (&self.partition, self.offset) {
            (Some(wanted), _) => Part::Partition(wanted.clone()),
            (None, Some(Size(bytes))) => Part::Offset(bytes),
            (None, None) => Part::Whole,
        })
    }
}
