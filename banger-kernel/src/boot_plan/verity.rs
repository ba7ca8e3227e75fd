//! A root disk that dm-verity verifies.

use banger_guest::config::VerityRoot;
use camino::Utf8PathBuf;
use serde::Serialize;

use super::error::BootPlanError;
use crate::initramfs::RootDisk;

/// The hash tree of a root disk, with blocks of 4096 bytes and SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerityDisk {
    /// The root hash, 64 hexadecimal digits.
    pub root_hash: String,
    /// Blocks of the file system.
    pub data_blocks: u64,
    /// Where the superblock of the tree begins in its file.
    pub hash_offset_bytes: u64,
    /// The file with the tree, which becomes a second disk; `None` if the tree is in the file of the root disk.
    pub tree: Option<Utf8PathBuf>,
}

impl VerityDisk {
    /// Returns the tree in the file `tree`, with its superblock at the first byte.
    pub fn beside(root_hash: impl Into<String>, data_blocks: u64, tree: impl Into<Utf8PathBuf>) -> Self {
        Self { root_hash: root_hash.into(), data_blocks, hash_offset_bytes: 0, tree: Some(tree.into()) }
    }

    /// Returns the tree in the file of the root disk, with its superblock at this byte.
    pub fn appended(root_hash: impl Into<String>, data_blocks: u64, hash_offset_bytes: u64) -> Self {
        Self { root_hash: root_hash.into(), data_blocks, hash_offset_bytes, tree: None }
    }

    /// Returns the word of the kernel's command line for the disk with the name `data`.
    pub(super) fn word(&self, data: &str, disk: RootDisk) -> Result<VerityRoot, BootPlanError> {
        let tree = match (&self.tree, disk) {
            (None, _) => data,
            (Some(_), RootDisk::Nvme) => "/dev/nvme0n2",
            (Some(_), _) => "/dev/vdb",
        };
        let Self { root_hash, data_blocks, hash_offset_bytes, .. } = self;
        VerityRoot::new(root_hash.as_str(), (data, *data_blocks), (tree, *hash_offset_bytes))
            .map_err(|error| BootPlanError::Verity { reason: error.to_string() })
    }
}
