//! Another UUID for a file system.

use banger_tree::{GuestPath, RootfsError};

use super::Ext4Editor;
use crate::editor::disk::Disk;
use crate::editor::disk::blocks::View;
use crate::editor::disk::features::feature_names;
use crate::editor::disk::groups::superblock_copy;
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::disk::volume::GroupChecksum;
use crate::format::Block;
use crate::format::group_desc::GroupDesc;
use crate::format::superblock::{Superblock, compat, incompat};

impl Ext4Editor {
    /// Gives the file system the UUID `uuid`, with the next commit. The copies of the superblock get it, too.
    ///
    /// The checksums of all metadata start from the UUID. So that they stay as they are, the superblock gets the old
    /// start, and the feature `metadata_csum_seed`, which Linux 4.4 and e2fsprogs 1.43 know. With `uninit_bg` the group
    /// descriptors get new checksums; a kernel does not mount the file system read-write after a crash in the middle of
    /// that commit, until e2fsck has run.
    ///
    /// # Errors
    /// The file system cannot be changed. Or it has the feature `stable_inodes`: keys of encrypted files depend on the
    /// UUID. Or it has `uninit_bg` and `meta_bg`.
    pub fn set_uuid(&mut self, uuid: [u8; 16]) -> Result<(), RootfsError> {
        let before = self.disk.volume.clone();
        if uuid == before.uuid {
            return Ok(());
        }
        let changed = self.operation(&GuestPath::root(), |editor| change(&mut editor.disk, uuid));
        if changed.is_err() {
            self.disk.volume = before;
        }
        changed
    }
}

fn change(disk: &mut Disk, uuid: [u8; 16]) -> Result<(), RootfsError> {
    let refused = |reason: &str| Err(disk.volume.unsupported(Obstacle::new(reason)));
    let superblock = disk.superblock()?;
    if superblock.s_feature_compat & compat::STABLE_INODES != 0 {
        return refused("it has the feature stable_inodes: its encrypted files depend on its UUID");
    }
    let has_crc16 = disk.volume.group_checksum == GroupChecksum::Crc16;
    if has_crc16 && disk.volume.first_meta_bg.is_some() {
        return refused("it has the features uninit_bg and meta_bg; tune2fs -U changes its UUID");
    }
    // The old checksums are checked before the new ones are made.
    let groups = if has_crc16 { disk.volume.groups } else { 0 };
    let descriptors =
        (0..groups).map(|group| disk.group_desc(View::Now, group)).collect::<Result<Vec<_>, _>>()?;
    let seed = disk.volume.seed.map(|seed| seed.value());
    disk.update_superblock(|superblock| {
        superblock.s_uuid = uuid;
        if let Some(seed) = seed {
            superblock.s_checksum_seed = seed;
            superblock.s_feature_incompat |= incompat::CSUM_SEED;
        }
    })?;
    disk.volume.uuid = uuid;
    let changed = disk.superblock()?;
    disk.volume.features = feature_names(&changed);
    put_descriptors(disk, &descriptors)?;
    put_copies(disk, has_crc16)
}

fn put_descriptors(disk: &mut Disk, descriptors: &[GroupDesc]) -> Result<(), RootfsError> {
    for (group, descriptor) in (0..).zip(descriptors) {
        disk.check_cancelled()?;
        disk.put_group_desc(group, descriptor)?;
    }
    Ok(())
}

/// Writes the copies of the superblock, and of the descriptors if they changed.
fn put_copies(disk: &mut Disk, with_descriptors: bool) -> Result<(), RootfsError> {
    let (place, offset) = disk.volume.superblock_place();
    let primary = disk.blocks.read(View::Now, place)?[offset..offset + Superblock::SIZE].to_vec();
    let groups: Vec<u32> = disk.volume.groups_with_copies().collect();
    let descriptor_blocks = if with_descriptors { disk.volume.descriptor_blocks() } else { 0 };
    for group in groups {
        disk.check_cancelled()?;
        let first = disk.volume.first_block(group);
        let mut bytes = disk.blocks.read(View::Now, Block(first))?.to_vec();
        bytes[..Superblock::SIZE].copy_from_slice(&superblock_copy(
            &primary,
            group,
            disk.volume.seed.is_some(),
        ));
        disk.blocks.write(Block(first), bytes)?;
        for at in 1..=descriptor_blocks {
            let bytes = disk.blocks.read(View::Now, Block(place.0 + at))?.to_vec();
            disk.blocks.write(Block(first + at), bytes)?;
        }
    }
    Ok(())
}
