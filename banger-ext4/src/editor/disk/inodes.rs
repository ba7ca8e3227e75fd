//! Inodes in their tables.

use banger_tree::{Attributes, FileType, RootfsError};

use super::Disk;
use super::blocks::View;
use super::groups::bit;
use super::whole_inode::WholeInode;
use crate::editor::disk::corruption::{CorruptionKind, InodeFault};
use crate::format::crc32c::is_wrong;
use crate::format::group_desc::INODE_UNINIT;
use crate::format::inode::{
    ENCRYPT_FL, EXTENTS_FL, EXTRA_ISIZE, FAST_SYMLINK_MAX, GOOD_OLD_SIZE, HUGE_FILE_FL, INLINE_DATA_FL,
    Inode, LINK_MAX, is_extra_isize,
};
use crate::format::timestamp::EncodedTime;
use crate::format::{Block, InodeNumber, hi16, lo16};

/// Returns the inodes of a group that are in use.
pub(crate) fn in_use(disk: &Disk, group: u32) -> Result<Vec<InodeNumber>, RootfsError> {
    let volume = &disk.volume;
    let desc = disk.group_desc(View::Now, group)?;
    if volume.has_uninit() && desc.bg_flags & INODE_UNINIT != 0 {
        return Ok(Vec::new());
    }
    let bitmap = disk.inode_bitmap(group, &desc)?;
    let per_group = volume.inodes_per_group;
    let numbers = (0..per_group).filter(|at| bit(&bitmap, u64::from(*at)));
    Ok(numbers.map(|at| InodeNumber(group * per_group + at + 1)).collect())
}

/// Returns whether an inode has content in blocks, or could have it there. Device numbers and short targets
/// of symlinks are in the place of the block numbers.
pub(crate) fn has_content(inode: &Inode) -> bool {
    match FileType::from_mode_bits(inode.i_mode) {
        Some(FileType::Regular | FileType::Directory) => true,
        Some(FileType::Symlink) => {
            inode.i_flags & (EXTENTS_FL | INLINE_DATA_FL) != 0 || inode.size() > FAST_SYMLINK_MAX as u64
        }
        _ => false,
    }
}

/// Gives back an inode, whose blocks are given back already.
pub(crate) fn release(disk: &mut Disk, number: InodeNumber, is_dir: bool) -> Result<(), RootfsError> {
    disk.free_inode(number, is_dir)?;
    erase(disk, number)
}

/// Sets all `attributes` but the xattrs; all times are the mtime.
pub(crate) fn set_attributes(inode: &mut Inode, attributes: &Attributes) {
    inode.i_mode = (inode.i_mode & 0o170_000) | (attributes.mode & 0o7777);
    inode.set_owner(attributes.uid, attributes.gid);
    inode.set_times(EncodedTime::new(attributes.mtime));
}

/// Returns a new inode with one link.
pub(crate) fn new_inode(file_type: FileType, attributes: &Attributes) -> WholeInode {
    let mut inode = WholeInode::zeroed();
    inode.i_mode = file_type.mode_bits();
    inode.i_links_count = 1;
    inode.i_extra_isize = EXTRA_ISIZE;
    set_attributes(&mut inode, attributes);
    inode
}

/// Returns an inode of 128 bytes, which has no room for the upper bits of times. A time after 2038 becomes
/// the last possible one, as in the kernel.
fn without_extra_fields(inode: &WholeInode) -> WholeInode {
    let mut small = WholeInode::decode(&inode.encode(GOOD_OLD_SIZE));
    let clamped = |seconds, extra| {
        let whole = EncodedTime { seconds, extra }.decode().seconds;
        i32::try_from(whole).unwrap_or(i32::MAX).cast_unsigned()
    };
    small.i_atime = clamped(inode.i_atime, inode.i_atime_extra);
    small.i_ctime = clamped(inode.i_ctime, inode.i_ctime_extra);
    small.i_mtime = clamped(inode.i_mtime, inode.i_mtime_extra);
    small
}

/// Returns the block of the inode tables with an inode, and the inode's offset in there.
pub(crate) fn place(disk: &Disk, number: InodeNumber) -> Result<(Block, usize), RootfsError> {
    let volume = &disk.volume;
    let index = number.0.checked_sub(1).filter(|index| *index < volume.inodes_count);
    let index = index.ok_or_else(|| volume.corrupt(CorruptionKind::NoInode(number)))?;
    let desc = disk.group_desc(View::Now, index / volume.inodes_per_group)?;
    let offset = (index % volume.inodes_per_group) as usize * volume.inode_size;
    let block = desc.inode_table().0 + (offset / volume.block_size) as u64;
    Ok((Block(block), offset % volume.block_size))
}

/// Returns the bytes of an inode.
pub(crate) fn bytes_of(disk: &Disk, number: InodeNumber) -> Result<Vec<u8>, RootfsError> {
    let (block, offset) = place(disk, number)?;
    let block = disk.blocks.read(View::Now, block)?;
    Ok(block[offset..offset + disk.volume.inode_size].to_vec())
}

/// Returns the number of hard links that the bytes of an inode have, whatever else is wrong with it.
pub(crate) fn unchecked_links(disk: &Disk, number: InodeNumber) -> Result<u16, RootfsError> {
    Ok(WholeInode::decode(&bytes_of(disk, number)?).i_links_count)
}

/// Returns an inode in use, checked.
pub(crate) fn read(disk: &Disk, number: InodeNumber) -> Result<WholeInode, RootfsError> {
    let inode = read_unlinked(disk, number)?;
    if inode.i_links_count == 0 {
        let fault = InodeFault::NotInUse { mode: inode.i_mode, links: 0 };
        return Err(disk.volume.corrupt(CorruptionKind::Inode { inode: number, fault }));
    }
    Ok(inode)
}

/// Returns an inode in use, checked, which may have lost its last name and be still open.
pub(crate) fn read_unlinked(disk: &Disk, number: InodeNumber) -> Result<WholeInode, RootfsError> {
    let corrupt = |fault| Err(disk.volume.corrupt(CorruptionKind::Inode { inode: number, fault }));
    let bytes = bytes_of(disk, number)?;
    let inode = WholeInode::decode(&bytes);
    if !is_extra_isize(inode.i_extra_isize, disk.volume.inode_size) {
        return corrupt(InodeFault::ExtraSize(inode.i_extra_isize));
    }
    if disk.volume.seed.is_some() && is_wrong(&bytes, &sealed(disk, number, &inode)) {
        return corrupt(InodeFault::Checksum);
    }
    if FileType::from_mode_bits(inode.i_mode).is_none() {
        return corrupt(InodeFault::NotInUse { mode: inode.i_mode, links: inode.i_links_count });
    }
    let foreign = disk.volume.foreign_flags.iter().find(|(flag, _)| inode.i_flags & flag != 0);
    if let Some((_, feature)) = foreign {
        return corrupt(InodeFault::ForeignFlag(feature));
    }
    Ok(inode)
}

/// Refuses encrypted data: banger has no key.
pub(crate) fn check_not_encrypted(
    disk: &Disk,
    number: InodeNumber,
    inode: &Inode,
) -> Result<(), RootfsError> {
    match inode.i_flags & ENCRYPT_FL != 0 {
        true => Err(disk.volume.unreadable(format!(
            "inode {} is encrypted (feature encrypt), and only a kernel with the key reads it",
            number.0
        ))),
        false => Ok(()),
    }
}

/// Checks an inode that is kept for the file system's own use: its checksum, unless it is zeros.
pub(crate) fn check_reserved(disk: &Disk, number: InodeNumber) -> Result<(), RootfsError> {
    let bytes = bytes_of(disk, number)?;
    let is_sealed = disk.volume.seed.is_none() || sealed(disk, number, &WholeInode::decode(&bytes)) == bytes;
    match is_sealed || bytes.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => {
            Err(disk.volume.corrupt(CorruptionKind::Inode { inode: number, fault: InodeFault::Checksum }))
        }
    }
}

/// Returns the bytes of an inode with the right checksum.
fn sealed(disk: &Disk, number: InodeNumber, inode: &WholeInode) -> Vec<u8> {
    let mut bytes = inode.encode(disk.volume.inode_size);
    let Some(seed) = disk.volume.seed_of(number, inode.i_generation) else { return bytes };
    let has_upper_half = bytes.len() > GOOD_OLD_SIZE && inode.i_extra_isize >= 4;
    bytes[0x7c..0x7e].fill(0);
    if has_upper_half {
        bytes[0x82..0x84].fill(0);
    }
    let csum = seed.with(&bytes).value();
    bytes[0x7c..0x7e].copy_from_slice(&lo16(csum).to_le_bytes());
    if has_upper_half {
        bytes[0x82..0x84].copy_from_slice(&hi16(csum).to_le_bytes());
    }
    bytes
}

/// Replaces an inode.
pub(crate) fn write(disk: &mut Disk, number: InodeNumber, inode: &WholeInode) -> Result<(), RootfsError> {
    let bytes = match disk.volume.inode_size {
        GOOD_OLD_SIZE => sealed(disk, number, &without_extra_fields(inode)),
        _ => sealed(disk, number, inode),
    };
    put_bytes(disk, number, &bytes)
}

/// Makes an inode that is not in use any more zeros.
pub(crate) fn erase(disk: &mut Disk, number: InodeNumber) -> Result<(), RootfsError> {
    put_bytes(disk, number, &vec![0; disk.volume.inode_size])
}

fn put_bytes(disk: &mut Disk, number: InodeNumber, inode: &[u8]) -> Result<(), RootfsError> {
    let (block, offset) = place(disk, number)?;
    let mut bytes = disk.blocks.read(View::Now, block)?.to_vec();
    bytes[offset..offset + inode.len()].copy_from_slice(inode);
    disk.blocks.write(block, bytes)
}

/// Returns the best place for the blocks of an inode.
pub(crate) fn goal_of(disk: &Disk, number: InodeNumber) -> Block {
    Block(disk.volume.first_block((number.0.saturating_sub(1)) / disk.volume.inodes_per_group))
}

/// Adds to `i_blocks`, or subtracts.
pub(crate) fn change_block_count(disk: &Disk, inode: &mut Inode, blocks: u64, more: bool) {
    let unit = if inode.i_flags & HUGE_FILE_FL != 0 { 1 } else { disk.volume.block_size as u64 / 512 };
    let count = inode.blocks();
    let change = blocks * unit;
    inode.set_blocks(if more { count.saturating_add(change) } else { count.saturating_sub(change) });
}

/// Counts one more hard link of an inode.
pub(crate) fn add_link(disk: &mut Disk, number: InodeNumber) -> Result<(), RootfsError> {
    let mut inode = read(disk, number)?;
    let is_dir = FileType::from_mode_bits(inode.i_mode) == Some(FileType::Directory);
    // A directory that stopped counting has 1.
    let counts = !is_dir || inode.i_links_count > 1;
    if counts && u32::from(inode.i_links_count) >= LINK_MAX {
        if !(is_dir && disk.volume.dir_nlink) {
            return Err(disk.limit(format!("it would have more than {LINK_MAX} links")));
        }
        inode.i_links_count = 1;
    } else if counts {
        inode.i_links_count += 1;
    }
    write(disk, number, &inode)
}
