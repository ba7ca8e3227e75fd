//! Files that lost their last name while they were open, or have a pending truncation; the next recovery
//! finishes that. Readers ignore them. The first edit frees them, as the next mount would.

use banger_tree::{FileType, RootfsError};

use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::corruption::{CorruptionKind, InodeFault};
use crate::editor::disk::extents;
use crate::editor::disk::inodes;
use crate::editor::disk::orphans;
use crate::editor::disk::removal;
use crate::editor::disk::runs::{LOGICAL_END, Run};
use crate::editor::disk::whole_inode::WholeInode;
use crate::format::inode::VERITY_FL;
use crate::format::superblock::ro_compat;
use crate::format::{Block, InodeNumber, orphan};

/// Frees inodes without a name, and does pending truncations. These are ordinary changes, which stay in
/// memory until the next commit.
pub(crate) fn settle(disk: &mut Disk) -> Result<(), RootfsError> {
    if !disk.volume.has_orphans() {
        return Ok(());
    }
    for number in orphans::list(disk)? {
        if number.0 < disk.volume.first_inode {
            return Err(disk
                .volume
                .corrupt(CorruptionKind::Inode { inode: number, fault: InodeFault::Unlinked }));
        }
        let mut inode = inodes::read_unlinked(disk, number)?;
        inode.i_dtime = 0;
        match inode.i_links_count {
            0 => removal::free(disk, number, &mut inode)?,
            _ => cut_off(disk, number, &mut inode)?,
        }
    }
    empty_orphan_file(disk)?;
    disk.update_superblock(|superblock| {
        superblock.s_last_orphan = 0;
        superblock.s_feature_ro_compat &= !ro_compat::ORPHAN_PRESENT;
    })?;
    (disk.volume.last_orphan, disk.volume.orphan_present) = (0, false);
    Ok(())
}

/// Frees the blocks behind the end of a file that is shorter than it was.
pub(super) fn cut_off(
    disk: &mut Disk,
    number: InodeNumber,
    inode: &mut WholeInode,
) -> Result<(), RootfsError> {
    let is_file = FileType::from_mode_bits(inode.i_mode) == Some(FileType::Regular);
    if is_file && !inode.is_inline() && inode.i_flags & VERITY_FL == 0 {
        let mapping = extents::mapping(disk, number, inode, 0..LOGICAL_END)?;
        let end = inode.size().div_ceil(disk.volume.block_size as u64);
        let mut kept: Vec<Run> = Vec::new();
        for run in mapping.runs {
            let len = end.saturating_sub(run.logical).min(run.len);
            if len > 0 {
                kept.push(Run { len, ..run });
            }
            if len < run.len {
                disk.free_blocks(Block(run.start + len), run.len - len)?;
            }
        }
        extents::set_mapping(disk, number, inode, &kept, &mapping.index_blocks)?;
    }
    inodes::write(disk, number, inode)
}

pub(super) fn empty_orphan_file(disk: &mut Disk) -> Result<(), RootfsError> {
    let Some(number) = disk.volume.orphan_file else { return Ok(()) };
    let generation = inodes::read(disk, number)?.i_generation;
    let seed = disk.volume.seed_of(number, generation);
    for block in orphans::blocks(disk)? {
        let mut bytes = disk.blocks.read(View::Now, block)?.to_vec();
        let entries = &mut bytes[..disk.volume.block_size - orphan::TAIL_SIZE];
        if entries.iter().all(|byte| *byte == 0) {
            continue;
        }
        entries.fill(0);
        if let Some(seed) = seed {
            orphans::seal(seed, block, &mut bytes);
        }
        disk.blocks.write(block, bytes)?;
    }
    Ok(())
}
