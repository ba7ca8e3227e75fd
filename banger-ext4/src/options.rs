//! Options of a new file system.

use banger_tree::{Budget, Cancellation, Timestamp, Tree};

use crate::error::Ext4Error;
use crate::tree_cost;

/// Parameters of a new file system. Two builds with equal options, contents and tree are equal to
/// the byte.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ext4Options {
    /// How large it is.
    pub size: ImageSize,
    /// Smallest number of inodes; by default one for every 16 KiB of size, and enough for the tree.
    pub inodes: Option<u32>,
    /// `s_uuid`.
    pub uuid: [u8; 16],
    /// `s_hash_seed`, for the order of names in large directories.
    pub hash_seed: [u8; 16],
    /// `s_volume_name`, at most 16 bytes.
    pub label: String,
    /// Time of the superblock and of everything without a time in any layer, for example `lost+found`.
    pub timestamp: Timestamp,
    /// Charged for directories, symlinks and extended attributes before they are written. The source of file
    /// bytes charges for files. Default: no limits.
    pub budget: Budget,
    /// Stops the build.
    pub cancellation: Cancellation,
    /// Whether a separate thread writes the file, which is faster if a processor is free for it. Default:
    /// yes.
    pub writer_thread: bool,
}

/// UUID, hash seed and default time of a file system. See [`Ext4Options`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// `s_uuid`.
    pub uuid: [u8; 16],
    /// `s_hash_seed`.
    pub hash_seed: [u8; 16],
    /// Time of everything without its own time.
    pub timestamp: Timestamp,
}

banger_tree::setters! {
    Ext4Options {
        with_size => size: ImageSize,
        with_inodes => inodes: Option<u32>,
        with_uuid => uuid: [u8; 16],
        with_hash_seed => hash_seed: [u8; 16],
        with_label => label: String,
        with_timestamp => timestamp: Timestamp,
        with_budget => budget: Budget,
        with_cancellation => cancellation: Cancellation,
        with_writer_thread => writer_thread: bool,
    }
}

banger_tree::setters! {
    Identity {
        with_uuid => uuid: [u8; 16],
        with_hash_seed => hash_seed: [u8; 16],
        with_timestamp => timestamp: Timestamp,
    }
}

impl Ext4Options {
    /// Sets `identity` in these options.
    pub fn set_identity(&mut self, identity: Identity) {
        (self.uuid, self.hash_seed) = (identity.uuid, identity.hash_seed);
        self.timestamp = identity.timestamp;
    }

    /// Charges the budget for directories, symlinks, extended attributes and inodes of `tree`.
    ///
    /// # Errors
    /// It is more than is left, or the caller stopped.
    pub fn charge_tree(&self, tree: &Tree) -> Result<(), Ext4Error> {
        tree_cost::charge(tree, &self.budget, &self.cancellation)
    }
}

/// Size of a new file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageSize {
    /// The content and a quarter more, at least `at_least_bytes`.
    Auto {
        /// Smallest size, 1 GiB by default.
        at_least_bytes: u64,
    },
    /// This many bytes, rounded down to whole blocks.
    Bytes(u64),
}

impl ImageSize {
    /// The default: content × 1.25, at least 1 GiB.
    pub const DEFAULT: Self = Self::Auto { at_least_bytes: 1 << 30 };

    /// Returns the number of bytes asked for; `None` if the content decides.
    pub const fn exact_bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Auto { .. } => None,
        }
    }

    /// Returns the smallest size that this allows.
    pub const fn least_bytes(self) -> u64 {
        match self {
            Self::Auto { at_least_bytes: bytes } | Self::Bytes(bytes) => bytes,
        }
    }
}

impl Default for ImageSize {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Default for Ext4Options {
    /// Default size, no label, all else zero.
    fn default() -> Self {
        Self {
            size: ImageSize::DEFAULT,
            inodes: None,
            uuid: [0; 16],
            hash_seed: [0; 16],
            label: String::new(),
            timestamp: Timestamp::default(),
            budget: Budget::unlimited(),
            cancellation: Cancellation::default(),
            writer_thread: true,
        }
    }
}
