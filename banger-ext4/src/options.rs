//! Options of a new file system.

use banger_tree::{Budget, Cancellation, Timestamp, Tree};

use crate::error::Ext4Error;
use crate::format::BLOCK_BYTES;
use crate::format::journal::default_blocks;
use crate::tree_cost;

/// Bytes of `s_volume_name`.
const LABEL_MAX: usize = 16;
/// Blocks of the smallest journal that kernels take.
const JOURNAL_BLOCKS_MIN: u64 = 1024;
/// Blocks of the largest journal that mke2fs makes.
const JOURNAL_BLOCKS_MAX: u64 = 10_240_000;

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
    /// How large the journal is.
    pub journal: JournalSize,
    /// Blocks that only root can fill (`s_r_blocks_count`). By default none: all users of the guest can use the
    /// free space.
    pub reserved_blocks: u64,
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
        with_journal => journal: JournalSize,
        with_reserved_blocks => reserved_blocks: u64,
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

    /// Fails for values that no file system can have, whatever its size and content.
    ///
    /// # Errors
    /// The label has more than 16 bytes or a NUL, or no journal can have the size.
    pub fn check(&self) -> Result<(), Ext4Error> {
        if self.label.len() > LABEL_MAX || self.label.contains('\0') {
            return Err(Ext4Error::InvalidLabel { label: self.label.clone() });
        }
        self.journal.check()
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
    /// The smallest that holds the content and leaves `headroom_bytes` free: no quarter more, and no smallest size.
    Fit {
        /// Bytes that stay free.
        headroom_bytes: u64,
    },
    /// This many bytes, rounded down to whole blocks.
    Bytes(u64),
}

/// Size of the journal of a new file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalSize {
    /// The usual one for the size of the file system, as mke2fs makes it.
    #[default]
    Usual,
    /// No journal. After a crash of the guest, such a file system needs e2fsck. The editor changes it only while 1024
    /// blocks are free.
    None,
    /// This many bytes, rounded down to whole blocks; at least 1024 blocks.
    Bytes(u64),
}

impl JournalSize {
    /// Returns the size for a journal of `bytes` bytes; 0 means no journal.
    pub const fn of_bytes(bytes: u64) -> Self {
        match bytes {
            0 => Self::None,
            bytes => Self::Bytes(bytes),
        }
    }

    /// Returns the blocks of the journal in a file system of `blocks` blocks; 0 for none.
    pub fn blocks(self, blocks: u64) -> u32 {
        match self {
            Self::Usual => default_blocks(blocks),
            Self::None => 0,
            // More is refused before.
            Self::Bytes(bytes) => u32::try_from(bytes / BLOCK_BYTES).unwrap_or(u32::MAX),
        }
    }

    fn check(self) -> Result<(), Ext4Error> {
        let (least_bytes, most_bytes) = (JOURNAL_BLOCKS_MIN * BLOCK_BYTES, JOURNAL_BLOCKS_MAX * BLOCK_BYTES);
        match self {
            Self::Bytes(size_bytes) if !(least_bytes..=most_bytes).contains(&size_bytes) => {
                Err(Ext4Error::InvalidJournal { size_bytes, least_bytes, most_bytes })
            }
            _ => Ok(()),
        }
    }
}

/// Fails if more of `blocks` blocks are to be kept for root than half of them, the most that mke2fs keeps.
///
/// # Errors
/// It is so.
pub fn check_reserved(reserved: u64, blocks: u64) -> Result<(), Ext4Error> {
    let most = blocks / 2;
    match reserved <= most {
        true => Ok(()),
        false => Err(Ext4Error::InvalidReserved { blocks: reserved, most }),
    }
}

impl ImageSize {
    /// The default: content × 1.25, at least 1 GiB.
    pub const DEFAULT: Self = Self::Auto { at_least_bytes: 1 << 30 };

    /// Returns the number of bytes asked for; `None` if the content decides.
    pub const fn exact_bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Auto { .. } | Self::Fit { .. } => None,
        }
    }

    /// Returns the smallest size that this allows.
    pub const fn least_bytes(self) -> u64 {
        match self {
            Self::Auto { at_least_bytes: bytes }
            | Self::Fit { headroom_bytes: bytes }
            | Self::Bytes(bytes) => bytes,
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
            journal: JournalSize::Usual,
            reserved_blocks: 0,
            timestamp: Timestamp::default(),
            budget: Budget::unlimited(),
            cancellation: Cancellation::default(),
            writer_thread: true,
        }
    }
}
