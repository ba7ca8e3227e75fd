//! What the superblock says, and whether the image can be edited.

use banger_tree::RootfsError;

use super::storage::Storage;
use crate::format::crc32c::{Checksum, is_wrong};
use crate::format::hash::Signedness;
use crate::format::superblock::{self as sb, Superblock, compat, incompat, ro_compat};
use crate::format::{Block, INODE_SIZE, InodeNumber};

/// Incompatible features that are known here.
const KNOWN_INCOMPAT: u32 = incompat::FILETYPE
    | incompat::RECOVER
    | incompat::EXTENTS
    | incompat::BIT64
    | incompat::FLEX_BG
    | incompat::CSUM_SEED;
/// Features that ask those who write for something, and are known here.
const KNOWN_RO_COMPAT: u32 = ro_compat::SPARSE_SUPER
    | ro_compat::LARGE_FILE
    | ro_compat::HUGE_FILE
    | ro_compat::GDT_CSUM
    | ro_compat::DIR_NLINK
    | ro_compat::EXTRA_ISIZE
    | ro_compat::METADATA_CSUM;
/// Compatible features that change what an edit has to keep right.
const REFUSED_COMPAT: u32 = compat::SPARSE_SUPER2 | compat::FAST_COMMIT;

/// Names of features, for refusals.
const COMPAT_NAMES: [(u32, &str); 2] =
    [(compat::SPARSE_SUPER2, "sparse_super2"), (compat::FAST_COMMIT, "fast_commit")];
const INCOMPAT_NAMES: [(u32, &str); 11] = [
    (0x1, "compression"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x100, "mmp"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
    (0x4_0000, "incompatible feature 18"),
];
const RO_COMPAT_NAMES: [(u32, &str); 9] = [
    (0x80, "has_snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
    (0x1_0000, "orphan_present (unlinked files are left over)"),
];

/// How group descriptors are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroupChecksum {
    /// Not at all; then no group has bitmaps that are not written.
    None,
    /// By CRC-16 (`uninit_bg`).
    Crc16,
    /// By CRC-32C, as all metadata (`metadata_csum`).
    Crc32c,
}

/// The fixed facts of a file system.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub(super) image: String,
    pub(super) block_size: usize,
    pub(super) blocks_count: u64,
    pub(super) first_data_block: u64,
    pub(super) blocks_per_group: u64,
    pub(super) inodes_count: u32,
    pub(super) inodes_per_group: u32,
    pub(super) first_inode: u32,
    pub(super) groups: u32,
    pub(super) desc_size: usize,
    pub(super) reserved_gdt_blocks: u64,
    pub(super) sparse_super: bool,
    pub(super) resize_inode: bool,
    pub(super) dir_index: bool,
    pub(super) dir_nlink: bool,
    pub(super) group_checksum: GroupChecksum,
    /// What checksums start from, if metadata has any.
    pub(super) seed: Option<Checksum>,
    pub(super) uuid: [u8; 16],
    pub(super) hash_seed: [u8; 16],
    pub(super) signedness: Signedness,
    pub(super) journal: Option<InodeNumber>,
    /// Whether it is mounted, or was not unmounted. As long as nothing has been written since the
    /// mount, only this flag tells.
    pub(super) needs_recovery: bool,
}

impl Volume {
    /// Reads the superblock of `storage`.
    ///
    /// # Errors
    /// It is no ext4 file system, is damaged, or has what is not known here.
    pub(super) fn open(storage: &dyn Storage, image: &str) -> Result<Self, RootfsError> {
        let io = |source| RootfsError::Io { action: "read", image: image.to_owned(), source };
        let corrupt = |reason: String| RootfsError::Corrupt { image: image.to_owned(), reason };
        let unsupported = |reason: String| RootfsError::Unsupported { image: image.to_owned(), reason };

        let size_bytes = storage.size_bytes().map_err(io)?;
        if size_bytes < (sb::PRIMARY_OFFSET + Superblock::SIZE) as u64 {
            return Err(unsupported("it is too short to be a file system".to_owned()));
        }
        let mut bytes = [0; Superblock::SIZE];
        storage.read_at(sb::PRIMARY_OFFSET as u64, &mut bytes).map_err(io)?;
        let superblock = Superblock::decode(&bytes);
        if superblock.s_magic != sb::MAGIC {
            return Err(unsupported("it is no ext4 file system".to_owned()));
        }
        check_features(&superblock).map_err(unsupported)?;
        let has = |bit: u32| superblock.s_feature_ro_compat & bit != 0;
        let metadata_csum = has(ro_compat::METADATA_CSUM);
        if metadata_csum {
            if superblock.s_checksum_type != sb::CHECKSUM_CRC32C {
                let reason = format!("its checksums are of unknown type {}", superblock.s_checksum_type);
                return Err(unsupported(reason));
            }
            if is_wrong(&bytes, &superblock.encode_with_checksum()) {
                return Err(corrupt("the checksum of the superblock is wrong".to_owned()));
            }
        }
        check_state(&superblock).map_err(unsupported)?;
        let volume = Self::with_geometry(&superblock, image, metadata_csum).map_err(|error| match error {
            Refusal::Corrupt(reason) => corrupt(reason),
            Refusal::Unsupported(reason) => unsupported(reason),
        })?;
        let needed = u128::from(volume.blocks_count) * volume.block_size as u128;
        if u128::from(size_bytes) < needed {
            return Err(corrupt(format!(
                "the file is cut off: it has {size_bytes} bytes and the file system {needed}"
            )));
        }
        Ok(volume)
    }

    fn with_geometry(superblock: &Superblock, image: &str, metadata_csum: bool) -> Result<Self, Refusal> {
        let corrupt = |reason: &str| Err(Refusal::Corrupt(format!("the superblock has {reason}")));
        let block_size: usize = match superblock.s_log_block_size {
            log @ 0..=2 => 1024 << log,
            log => {
                return Err(Refusal::Unsupported(format!(
                    "it has blocks of 2^{} bytes",
                    10_u64 + u64::from(log)
                )));
            }
        };
        if superblock.s_log_cluster_size != superblock.s_log_block_size {
            return corrupt("a wrong size of clusters");
        }
        if usize::from(superblock.s_inode_size) != INODE_SIZE {
            let reason = format!("it has inodes of {} bytes, not 256", superblock.s_inode_size);
            return Err(Refusal::Unsupported(reason));
        }
        let first_data_block = u64::from(superblock.s_first_data_block);
        if first_data_block != u64::from(block_size == 1024) {
            return corrupt("a wrong first data block");
        }
        let is_64bit = superblock.s_feature_incompat & incompat::BIT64 != 0;
        if is_64bit && superblock.s_desc_size != 64 {
            return corrupt("a wrong size of group descriptors");
        }
        let blocks_count = match is_64bit {
            true => superblock.blocks_count(),
            false => u64::from(superblock.s_blocks_count_lo),
        };
        let blocks_per_group = u64::from(superblock.s_blocks_per_group);
        let bits = 8 * block_size as u64;
        if blocks_per_group == 0 || blocks_per_group > bits || !blocks_per_group.is_multiple_of(8) {
            return corrupt("a wrong number of blocks in a group");
        }
        if superblock.s_clusters_per_group != superblock.s_blocks_per_group {
            return corrupt("a wrong number of clusters in a group");
        }
        if blocks_count <= first_data_block || blocks_count > 1 << 48 {
            return corrupt("a wrong number of blocks");
        }
        let inodes_per_group = superblock.s_inodes_per_group;
        let per_block = u32::try_from(block_size / INODE_SIZE).expect("at most 16");
        if inodes_per_group == 0 || u64::from(inodes_per_group) > bits || !inodes_per_group.is_multiple_of(8)
        {
            return corrupt("a wrong number of inodes in a group");
        }
        if !inodes_per_group.is_multiple_of(per_block) {
            return corrupt("a number of inodes in a group that fills no whole blocks");
        }
        let groups = (blocks_count - first_data_block).div_ceil(blocks_per_group);
        let Ok(groups) = u32::try_from(groups) else { return corrupt("too many groups") };
        if u64::from(groups) * u64::from(inodes_per_group) != u64::from(superblock.s_inodes_count) {
            return corrupt("a wrong number of inodes");
        }
        if superblock.s_first_ino < InodeNumber::FIRST.0 || superblock.s_first_ino > superblock.s_inodes_count
        {
            return corrupt("a wrong first inode");
        }
        let has_crc16 = superblock.s_feature_ro_compat & ro_compat::GDT_CSUM != 0;
        let seed = match superblock.s_feature_incompat & incompat::CSUM_SEED {
            0 => Checksum::of_filesystem(&superblock.s_uuid),
            _ => Checksum::of_stored(superblock.s_checksum_seed),
        };
        let has_journal = superblock.s_feature_compat & compat::HAS_JOURNAL != 0;
        Ok(Self {
            image: image.to_owned(),
            block_size,
            blocks_count,
            first_data_block,
            blocks_per_group,
            inodes_count: superblock.s_inodes_count,
            inodes_per_group,
            first_inode: superblock.s_first_ino,
            groups,
            desc_size: if is_64bit { 64 } else { 32 },
            reserved_gdt_blocks: u64::from(superblock.s_reserved_gdt_blocks),
            resize_inode: superblock.s_feature_compat & compat::RESIZE_INODE != 0,
            sparse_super: superblock.s_feature_ro_compat & ro_compat::SPARSE_SUPER != 0,
            dir_index: superblock.s_feature_compat & compat::DIR_INDEX != 0,
            dir_nlink: superblock.s_feature_ro_compat & ro_compat::DIR_NLINK != 0,
            group_checksum: match (metadata_csum, has_crc16) {
                (true, _) => GroupChecksum::Crc32c,
                (false, true) => GroupChecksum::Crc16,
                (false, false) => GroupChecksum::None,
            },
            seed: metadata_csum.then_some(seed),
            uuid: superblock.s_uuid,
            hash_seed: superblock.s_hash_seed,
            signedness: match superblock.s_flags & sb::FLAGS_UNSIGNED_HASH {
                0 => Signedness::Signed,
                _ => Signedness::Unsigned,
            },
            needs_recovery: superblock.s_feature_incompat & incompat::RECOVER != 0,
            journal: has_journal.then_some(InodeNumber(superblock.s_journal_inum)),
        })
    }

    pub(super) fn corrupt(&self, reason: impl Into<String>) -> RootfsError {
        RootfsError::Corrupt { image: self.image.clone(), reason: reason.into() }
    }

    /// Returns that the file system cannot be made `size_bytes` large.
    pub(super) fn refused_size(&self, size_bytes: u64, reason: impl Into<String>) -> RootfsError {
        RootfsError::Size { image: self.image.clone(), size_bytes, reason: reason.into() }
    }

    pub(super) fn unsupported(&self, reason: impl Into<String>) -> RootfsError {
        RootfsError::Unsupported { image: self.image.clone(), reason: reason.into() }
    }

    /// Returns where the primary superblock is.
    pub(super) fn superblock_place(&self) -> (Block, usize) {
        if self.block_size == 1024 { (Block(1), 0) } else { (Block(0), sb::PRIMARY_OFFSET) }
    }

    /// Returns a group's first block.
    pub(super) fn first_block(&self, group: u32) -> u64 {
        self.first_data_block + u64::from(group) * self.blocks_per_group
    }

    /// Returns how many blocks a group has.
    pub(super) fn blocks_of(&self, group: u32) -> u64 {
        self.blocks_per_group.min(self.blocks_count - self.first_block(group))
    }

    /// Returns the group of a block and its place in there; `None` if no group has it.
    pub(super) fn group_of(&self, block: Block) -> Option<(u32, u64)> {
        let index = block.0.checked_sub(self.first_data_block)?;
        let group = u32::try_from(index / self.blocks_per_group).ok()?;
        (block.0 < self.blocks_count).then_some((group, index % self.blocks_per_group))
    }

    /// Returns the blocks of an inode table.
    pub(super) fn inode_table_blocks(&self) -> u64 {
        (u64::from(self.inodes_per_group) * INODE_SIZE as u64).div_ceil(self.block_size as u64)
    }

    /// Returns the blocks that all group descriptors take.
    pub(super) fn descriptor_blocks(&self) -> u64 {
        (u64::from(self.groups) * self.desc_size as u64).div_ceil(self.block_size as u64)
    }

    /// Returns what the checksums of an inode and its blocks start from.
    pub(super) fn seed_of(&self, number: InodeNumber, i_generation: u32) -> Option<Checksum> {
        self.seed.map(|seed| seed.of_inode(number, i_generation))
    }
}

enum Refusal {
    Corrupt(String),
    Unsupported(String),
}

/// Returns the names of features, and the bits of those without.
pub(super) fn names_of_features(bits: u32, known: &[(u32, &str)]) -> String {
    let mut names: Vec<String> =
        known.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect();
    let unnamed = known.iter().fold(bits, |rest, (bit, _)| rest & !bit);
    if unnamed != 0 {
        names.push(format!("{unnamed:#x}"));
    }
    names.join(", ")
}

fn check_features(superblock: &Superblock) -> Result<(), String> {
    if superblock.s_rev_level != sb::REV_DYNAMIC {
        return Err(format!("it is of revision {}, before ext3", superblock.s_rev_level));
    }
    for (unknown, known, kind) in [
        (superblock.s_feature_compat & REFUSED_COMPAT, &COMPAT_NAMES[..], "feature"),
        (superblock.s_feature_incompat & !KNOWN_INCOMPAT, &INCOMPAT_NAMES, "incompatible feature"),
        (superblock.s_feature_ro_compat & !KNOWN_RO_COMPAT, &RO_COMPAT_NAMES, "read-only compatible feature"),
    ] {
        if unknown != 0 {
            return Err(format!(
                "it has the {kind} {}, which is not known here",
                names_of_features(unknown, known)
            ));
        }
    }
    for (bit, name) in [(incompat::FILETYPE, "filetype"), (incompat::EXTENTS, "extents")] {
        if superblock.s_feature_incompat & bit == 0 {
            return Err(format!("it lacks the feature {name}: it is no ext4 but an older file system"));
        }
    }
    Ok(())
}

fn check_state(superblock: &Superblock) -> Result<(), String> {
    if superblock.s_state & sb::STATE_ERROR != 0 {
        return Err("the kernel has found errors in it; run e2fsck on it".to_owned());
    }
    if superblock.s_state & sb::STATE_VALID == 0 {
        return Err("it was not unmounted cleanly; run e2fsck on it".to_owned());
    }
    if superblock.s_last_orphan != 0 {
        let inode = superblock.s_last_orphan;
        return Err(format!(
            "unlinked files are left over, from inode {inode} on; mount it once or run e2fsck on it"
        ));
    }
    let has_journal = superblock.s_feature_compat & compat::HAS_JOURNAL != 0;
    if superblock.s_feature_incompat & incompat::RECOVER != 0 && !has_journal {
        return Err("a journal is to be looked into, and there is none; run e2fsck on it".to_owned());
    }
    if superblock.s_journal_dev != 0 {
        return Err("its journal is on another device".to_owned());
    }
    Ok(())
}
