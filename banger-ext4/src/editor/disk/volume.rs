//! The facts in the superblock, and whether the image can be read and edited.

use banger_tree::RootfsError;

use super::features::{Verdict, feature_names, verdict_of};
use super::storage::Storage;
use crate::editor::disk::corruption::{CorruptionKind, SuperblockField};
use crate::editor::disk::obstacle::Obstacle;
use crate::format::crc32c::{Checksum, is_wrong};
use crate::format::group_desc::GroupDesc;
use crate::format::hash::Signedness;
use crate::format::inode::{CASEFOLD_FL, EA_INODE_FL, ENCRYPT_FL, GOOD_OLD_SIZE, INLINE_DATA_FL, VERITY_FL};
use crate::format::superblock::{self as sb, Superblock, compat, incompat, ro_compat};
use crate::format::{Block, InodeNumber};

/// Bytes of a group descriptor without `64bit`.
pub(crate) const DESC_SIZE_32: usize = 32;

/// How group descriptors are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupChecksum {
    /// Not at all; then no group has bitmaps that are not written.
    None,
    /// By CRC-16 (`uninit_bg`).
    Crc16,
    /// By CRC-32C, as all metadata (`metadata_csum`).
    Crc32c,
}

/// The fixed facts of a file system.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) image: String,
    pub(crate) block_size: usize,
    pub(crate) blocks_count: u64,
    pub(crate) first_data_block: u64,
    pub(crate) blocks_per_group: u64,
    pub(crate) inodes_count: u32,
    pub(crate) inodes_per_group: u32,
    pub(crate) inode_size: usize,
    pub(crate) first_inode: u32,
    /// Blocks that a bit of a block bitmap stands for: more than one with `bigalloc`.
    pub(crate) cluster_blocks: u64,
    pub(crate) groups: u32,
    pub(crate) desc_size: usize,
    pub(crate) reserved_gdt_blocks: u64,
    pub(crate) sparse_super: bool,
    /// With `sparse_super2`: the two groups that have the only copies.
    pub(crate) backup_groups: Option<[u32; 2]>,
    /// With `meta_bg`: the first block of descriptors that lies in the groups it describes.
    pub(crate) first_meta_bg: Option<u64>,
    /// With `mmp`: the block that names the mounting host.
    pub(crate) mmp_block: Option<Block>,
    /// Whether files have extents; else they have lists of blocks.
    pub(crate) extents: bool,
    pub(crate) large_dir: bool,
    /// `i_flags` of features that it does not have, by feature.
    pub(crate) foreign_flags: Vec<(u32, &'static str)>,
    /// Whether entries of directories have types.
    pub(crate) filetype: bool,
    pub(crate) resize_inode: bool,
    pub(crate) dir_index: bool,
    pub(crate) dir_nlink: bool,
    pub(crate) group_checksum: GroupChecksum,
    /// The seed of checksums, if metadata has checksums.
    pub(crate) seed: Option<Checksum>,
    pub(crate) uuid: [u8; 16],
    /// The UUID that the committed blocks depend on.
    pub(crate) committed_uuid: [u8; 16],
    pub(crate) hash_seed: [u8; 16],
    pub(crate) signedness: Signedness,
    pub(crate) journal: Option<InodeNumber>,
    /// Files of quotas, which have no name.
    pub(crate) quota_inodes: Vec<InodeNumber>,
    /// Whether it is mounted, or was not unmounted. Before the first write after a mount, only this flag
    /// shows it.
    pub(crate) needs_recovery: bool,
    /// The first left-over unlinked file; 0 without one.
    pub(crate) last_orphan: u32,
    /// The file for unlinked files, and whether it has entries.
    pub(crate) orphan_file: Option<InodeNumber>,
    pub(crate) orphan_present: bool,
    /// Its features, by the names of mke2fs.
    pub(crate) features: Vec<String>,
    /// Why it cannot be edited although it can be read.
    pub(crate) uneditable: Option<Obstacle>,
    /// What one who reads it should know.
    pub(crate) notes: Vec<String>,
}

impl Volume {
    /// Reads the superblock of `storage`.
    ///
    /// # Errors
    /// It is not an ext4 file system, is damaged, or cannot be read here.
    pub(crate) fn open(storage: &dyn Storage, image: &str) -> Result<Self, RootfsError> {
        let io = |source| RootfsError::Io { action: "read", image: image.to_owned(), source };
        let size_bytes = storage.size_bytes().map_err(io)?;
        if size_bytes < (sb::PRIMARY_OFFSET + Superblock::SIZE) as u64 {
            let reason = "it is too short to be a file system".to_owned();
            return Err(RootfsError::Unreadable { image: image.to_owned(), reason, advice: None });
        }
        let mut bytes = [0; Superblock::SIZE];
        storage.read_at(sb::PRIMARY_OFFSET as u64, &mut bytes).map_err(io)?;
        Self::of_superblock(&bytes, size_bytes, image)
    }

    /// Returns the facts in the superblock of an image of `size_bytes`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn of_superblock(
        bytes: &[u8; Superblock::SIZE],
        size_bytes: u64,
        image: &str,
    ) -> Result<Self, RootfsError> {
        let corrupt =
            |kind: CorruptionKind| RootfsError::Corrupt { image: image.to_owned(), damage: kind.into() };
        let unreadable_for =
            |Obstacle { reason, advice }| RootfsError::Unreadable { image: image.to_owned(), reason, advice };
        let unreadable = |reason: String| unreadable_for(reason.into());
        let superblock = Superblock::decode(bytes);
        if superblock.s_magic != sb::MAGIC {
            return Err(unreadable("it is no ext4 file system, nor ext2 or ext3".to_owned()));
        }
        if superblock.s_rev_level > sb::REV_DYNAMIC {
            return Err(unreadable(format!("it is of revision {}, not known here", superblock.s_rev_level)));
        }
        let mut verdict = verdict_of(&superblock);
        if let Some(obstacle) = verdict.unreadable.take() {
            return Err(unreadable_for(obstacle));
        }
        let metadata_csum = superblock.s_feature_ro_compat & ro_compat::METADATA_CSUM != 0;
        if metadata_csum {
            if superblock.s_checksum_type != sb::CHECKSUM_CRC32C {
                let reason = format!("its checksums are of unknown type {}", superblock.s_checksum_type);
                return Err(unreadable(reason));
            }
            if is_wrong(bytes, &superblock.encode_with_checksum()) {
                return Err(corrupt(CorruptionKind::SuperblockChecksum));
            }
        }
        check_state(&superblock, &mut verdict).map_err(unreadable_for)?;
        let mut volume =
            Self::with_geometry(&superblock, image, metadata_csum).map_err(|error| match error {
                Refusal::Corrupt(field) => corrupt(CorruptionKind::Superblock(field)),
                Refusal::Unreadable(reason) => unreadable(reason),
            })?;
        (volume.uneditable, volume.notes) = (verdict.uneditable, verdict.notes);
        let needed_bytes = u128::from(volume.blocks_count) * volume.block_size as u128;
        if u128::from(size_bytes) < needed_bytes {
            return Err(corrupt(CorruptionKind::CutOff { size_bytes, needed_bytes }));
        }
        Ok(volume)
    }

    fn with_geometry(superblock: &Superblock, image: &str, metadata_csum: bool) -> Result<Self, Refusal> {
        let corrupt = |field| Err(Refusal::Corrupt(field));
        let block_size: usize = match superblock.s_log_block_size {
            log @ 0..=6 => 1024 << log,
            log => {
                return Err(Refusal::Unreadable(format!(
                    "it has blocks of 2^{} bytes",
                    10_u64 + u64::from(log)
                )));
            }
        };
        let has_bigalloc = superblock.s_feature_ro_compat & ro_compat::BIGALLOC != 0;
        // Of revision 0 the field is that of fragments, which there never were.
        let cluster_log = superblock.s_log_cluster_size.checked_sub(superblock.s_log_block_size);
        let cluster_blocks = match cluster_log {
            Some(0) => 1,
            Some(log @ 1..=20) if has_bigalloc => 1_u64 << log,
            _ => return corrupt(SuperblockField::ClusterSize),
        };
        let is_dynamic = superblock.s_rev_level == sb::REV_DYNAMIC;
        let inode_size = if is_dynamic { usize::from(superblock.s_inode_size) } else { GOOD_OLD_SIZE };
        if !inode_size.is_power_of_two() || !(GOOD_OLD_SIZE..=block_size).contains(&inode_size) {
            return corrupt(SuperblockField::InodeSize);
        }
        let first_data_block = u64::from(superblock.s_first_data_block);
        if first_data_block != u64::from(block_size == 1024 && cluster_blocks == 1) {
            return corrupt(SuperblockField::FirstDataBlock);
        }
        let is_64bit = superblock.s_feature_incompat & incompat::BIT64 != 0;
        let desc_size = if is_64bit { usize::from(superblock.s_desc_size) } else { DESC_SIZE_32 };
        if is_64bit && (!desc_size.is_power_of_two() || !(GroupDesc::SIZE..=block_size).contains(&desc_size))
        {
            return corrupt(SuperblockField::DescriptorSize);
        }
        let blocks_count = match is_64bit {
            true => superblock.blocks_count(),
            false => u64::from(superblock.s_blocks_count_lo),
        };
        let blocks_per_group = u64::from(superblock.s_blocks_per_group);
        let bits = 8 * block_size as u64;
        if blocks_per_group == 0
            || blocks_per_group > bits * cluster_blocks
            || !blocks_per_group.is_multiple_of(8 * cluster_blocks)
        {
            return corrupt(SuperblockField::BlocksPerGroup);
        }
        if u64::from(superblock.s_clusters_per_group) * cluster_blocks != blocks_per_group {
            return corrupt(SuperblockField::ClustersPerGroup);
        }
        if blocks_count <= first_data_block || blocks_count > 1 << 48 {
            return corrupt(SuperblockField::BlocksCount);
        }
        let inodes_per_group = superblock.s_inodes_per_group;
        let per_block = u32::try_from(block_size / inode_size).expect("at most 512");
        if inodes_per_group == 0 || u64::from(inodes_per_group) > bits || !inodes_per_group.is_multiple_of(8)
        {
            return corrupt(SuperblockField::InodesPerGroup);
        }
        if !inodes_per_group.is_multiple_of(per_block) {
            return corrupt(SuperblockField::PartialInodeTable);
        }
        let groups = (blocks_count - first_data_block).div_ceil(blocks_per_group);
        let Ok(groups) = u32::try_from(groups) else { return corrupt(SuperblockField::Groups) };
        if u64::from(groups) * u64::from(inodes_per_group) != u64::from(superblock.s_inodes_count) {
            return corrupt(SuperblockField::InodesCount);
        }
        let first_inode = if is_dynamic { superblock.s_first_ino } else { InodeNumber::FIRST.0 };
        if first_inode < InodeNumber::FIRST.0 || first_inode > superblock.s_inodes_count {
            return corrupt(SuperblockField::FirstInode);
        }
        let has_incompat = |bit: u32| superblock.s_feature_incompat & bit != 0;
        let first_meta_bg = has_incompat(incompat::META_BG).then(|| u64::from(superblock.s_first_meta_bg));
        let mmp_block = has_incompat(incompat::MMP).then_some(Block(superblock.s_mmp_block));
        if mmp_block.is_some_and(|block| block.0 <= first_data_block || block.0 >= blocks_count) {
            return corrupt(SuperblockField::MmpBlock);
        }
        let quotas = [superblock.s_usr_quota_inum, superblock.s_grp_quota_inum, superblock.s_prj_quota_inum];
        let has_quota = superblock.s_feature_ro_compat & ro_compat::QUOTA != 0;
        let has_crc16 = superblock.s_feature_ro_compat & ro_compat::GDT_CSUM != 0;
        let seed = match superblock.s_feature_incompat & incompat::CSUM_SEED {
            0 => Checksum::of_filesystem(&superblock.s_uuid),
            _ => Checksum::of_stored(superblock.s_checksum_seed),
        };
        let has_journal = superblock.s_feature_compat & compat::HAS_JOURNAL != 0;
        Ok(Self {
            features: feature_names(superblock),
            image: image.to_owned(),
            block_size,
            blocks_count,
            first_data_block,
            blocks_per_group,
            inodes_count: superblock.s_inodes_count,
            inodes_per_group,
            inode_size,
            first_inode,
            cluster_blocks,
            backup_groups: (superblock.s_feature_compat & compat::SPARSE_SUPER2 != 0)
                .then_some(superblock.s_backup_bgs),
            first_meta_bg,
            mmp_block,
            extents: has_incompat(incompat::EXTENTS),
            large_dir: has_incompat(incompat::LARGE_DIR),
            foreign_flags: [
                (has_incompat(incompat::ENCRYPT), ENCRYPT_FL, "encrypt"),
                (has_incompat(incompat::CASEFOLD), CASEFOLD_FL, "casefold"),
                (has_incompat(incompat::INLINE_DATA), INLINE_DATA_FL, "inline_data"),
                (has_incompat(incompat::EA_INODE), EA_INODE_FL, "ea_inode"),
                (superblock.s_feature_ro_compat & ro_compat::VERITY != 0, VERITY_FL, "verity"),
            ]
            .into_iter()
            .filter_map(|(has, flag, feature)| (!has).then_some((flag, feature)))
            .collect(),
            filetype: has_incompat(incompat::FILETYPE),
            quota_inodes: quotas
                .into_iter()
                .filter(|inode| has_quota && *inode != 0)
                .map(InodeNumber)
                .collect(),
            last_orphan: superblock.s_last_orphan,
            orphan_file: (superblock.s_feature_compat & compat::ORPHAN_FILE != 0
                && superblock.s_orphan_file_inum != 0)
                .then_some(InodeNumber(superblock.s_orphan_file_inum)),
            orphan_present: superblock.s_feature_ro_compat & ro_compat::ORPHAN_PRESENT != 0,
            uneditable: None,
            notes: Vec::new(),
            groups,
            desc_size,
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
            committed_uuid: superblock.s_uuid,
            hash_seed: superblock.s_hash_seed,
            signedness: match superblock.s_flags & sb::FLAGS_UNSIGNED_HASH {
                0 => Signedness::Signed,
                _ => Signedness::Unsigned,
            },
            needs_recovery: superblock.s_feature_incompat & incompat::RECOVER != 0,
            journal: (has_journal && superblock.s_journal_dev == 0)
                .then_some(InodeNumber(superblock.s_journal_inum)),
        })
    }

    pub(crate) fn corrupt(&self, kind: CorruptionKind) -> RootfsError {
        RootfsError::Corrupt { image: self.image.clone(), damage: kind.into() }
    }

    /// Returns that the file system cannot be made `size_bytes` large.
    pub(crate) fn refused_size(&self, size_bytes: u64, reason: impl Into<String>) -> RootfsError {
        RootfsError::Size { image: self.image.clone(), size_bytes, reason: reason.into() }
    }

    pub(crate) fn unreadable(&self, obstacle: impl Into<Obstacle>) -> RootfsError {
        let Obstacle { reason, advice } = obstacle.into();
        RootfsError::Unreadable { image: self.image.clone(), reason, advice }
    }

    pub(crate) fn unsupported(&self, obstacle: impl Into<Obstacle>) -> RootfsError {
        let Obstacle { reason, advice } = obstacle.into();
        RootfsError::Unsupported { image: self.image.clone(), reason, advice }
    }

    /// Returns the position of the primary superblock.
    pub(crate) fn superblock_place(&self) -> (Block, usize) {
        if self.block_size == 1024 { (Block(1), 0) } else { (Block(0), sb::PRIMARY_OFFSET) }
    }

    /// Returns a group's first block.
    pub(crate) fn first_block(&self, group: u32) -> u64 {
        self.first_data_block + u64::from(group) * self.blocks_per_group
    }

    /// Returns how many blocks a group has.
    pub(crate) fn blocks_of(&self, group: u32) -> u64 {
        self.blocks_per_group.min(self.blocks_count - self.first_block(group))
    }

    /// Returns the group of a block and its place in there; `None` if no group has it.
    pub(crate) fn group_of(&self, block: Block) -> Option<(u32, u64)> {
        let index = block.0.checked_sub(self.first_data_block)?;
        let group = u32::try_from(index / self.blocks_per_group).ok()?;
        (block.0 < self.blocks_count).then_some((group, index % self.blocks_per_group))
    }

    /// Returns whether unlinked files are left over.
    pub(crate) fn has_orphans(&self) -> bool {
        self.last_orphan != 0 || self.orphan_present
    }

    /// Returns how many bytes the file system has.
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks_count * self.block_size as u64
    }

    /// Returns how many levels of index blocks a directory can have below the root of its index.
    pub(crate) fn index_levels_max(&self) -> u8 {
        if self.large_dir { 2 } else { 1 }
    }

    /// Returns the blocks of an inode table.
    pub(crate) fn inode_table_blocks(&self) -> u64 {
        (u64::from(self.inodes_per_group) * self.inode_size as u64).div_ceil(self.block_size as u64)
    }

    /// Returns the blocks that all group descriptors take.
    pub(crate) fn descriptor_blocks(&self) -> u64 {
        (u64::from(self.groups) * self.desc_size as u64).div_ceil(self.block_size as u64)
    }

    /// Returns the seed of the checksums of an inode and its blocks.
    pub(crate) fn seed_of(&self, number: InodeNumber, i_generation: u32) -> Option<Checksum> {
        self.seed.map(|seed| seed.of_inode(number, i_generation))
    }
}

enum Refusal {
    Corrupt(SuperblockField),
    Unreadable(String),
}

fn check_state(superblock: &Superblock, verdict: &mut Verdict) -> Result<(), Obstacle> {
    if superblock.s_state & sb::STATE_ERROR != 0 {
        return Err(Obstacle::new("the kernel has found errors in it").with_advice("run e2fsck -f on it"));
    }
    let has_journal = superblock.s_feature_compat & compat::HAS_JOURNAL != 0;
    if superblock.s_feature_incompat & incompat::RECOVER != 0 && !has_journal {
        return Err(Obstacle::new("a journal is to be looked into, and there is none")
            .with_advice("run e2fsck on it"));
    }
    if superblock.s_journal_dev != 0 && has_journal {
        if superblock.s_feature_incompat & incompat::RECOVER != 0 {
            return Err(Obstacle::new("its journal has changes, and is on another device")
                .with_advice("mount it with that device"));
        }
        verdict.uneditable.get_or_insert("its journal is on another device".into());
    }
    if superblock.s_state & sb::STATE_VALID == 0 {
        let reason = "it was not unmounted cleanly";
        verdict.uneditable.get_or_insert(Obstacle::new(reason).with_advice("run e2fsck -p on it first"));
        if !has_journal {
            verdict.notes.push(format!("{reason} and has no journal: what is read may be half changed"));
        }
    }
    if superblock.s_rev_level != sb::REV_DYNAMIC {
        verdict.uneditable.get_or_insert(
            Obstacle::new("it is of revision 0, before ext3").with_advice("mount it to change it"),
        );
    }
    Ok(())
}
