//! Inodes in their tables.

use banger_tree::{Attributes, FileType, RootfsError};

use super::Ext4Editor;
use super::blocks::View;
use crate::format::crc32c::is_wrong;
use crate::format::inode::{EXTENTS_FL, EXTRA_ISIZE, FAST_SYMLINK_MAX, Inode, LINK_MAX, is_extra_isize};
use crate::format::timestamp::EncodedTime;
use crate::format::{Block, INODE_SIZE, InodeNumber, hi16, lo16};

/// `i_flags` that change what the other fields mean, with their names.
const UNKNOWN_FLAGS: [(u32, &str); 5] = [
    (0x800, "encrypted"),
    (0x10_0000, "protected by verity"),
    (0x20_0000, "the value of an extended attribute"),
    (0x1000_0000, "stored inside its inode"),
    (0x4000_0000, "a directory without letter case"),
];
/// `i_flags`: `i_blocks` counts blocks.
const HUGE_FILE_FL: u32 = 0x4_0000;

impl Ext4Editor {
    fn inode_place(&self, number: InodeNumber) -> Result<(Block, usize), RootfsError> {
        let volume = &self.volume;
        let index = number.0.checked_sub(1).filter(|index| *index < volume.inodes_count);
        let index = index.ok_or_else(|| volume.corrupt(format!("something refers to inode {}", number.0)))?;
        let desc = self.group_desc(View::Now, index / volume.inodes_per_group)?;
        let offset = (index % volume.inodes_per_group) as usize * INODE_SIZE;
        let block = desc.inode_table().0 + (offset / volume.block_size) as u64;
        Ok((Block(block), offset % volume.block_size))
    }

    /// Returns an inode in use, checked.
    pub(super) fn inode(&self, number: InodeNumber) -> Result<Inode, RootfsError> {
        let corrupt = |what: String| Err(self.volume.corrupt(format!("inode {} {what}", number.0)));
        let (block, offset) = self.inode_place(number)?;
        let block = self.blocks.read(View::Now, block)?;
        let bytes: &[u8; INODE_SIZE] =
            block[offset..offset + INODE_SIZE].try_into().expect("an inode's length");
        let inode = Inode::decode(bytes);
        if !is_extra_isize(inode.i_extra_isize) {
            return corrupt(format!("has {} bytes of extra fields", inode.i_extra_isize));
        }
        if self.volume.seed.is_some() && is_wrong(bytes, &self.sealed_inode(number, &inode)) {
            return corrupt("has a wrong checksum".to_owned());
        }
        if inode.i_links_count == 0 || FileType::from_mode_bits(inode.i_mode).is_none() {
            return corrupt(format!("is not in use: mode {:o}, {} links", inode.i_mode, inode.i_links_count));
        }
        if let Some((_, what)) = UNKNOWN_FLAGS.iter().find(|(flag, _)| inode.i_flags & flag != 0) {
            return Err(self.volume.unsupported(format!("inode {} is {what}", number.0)));
        }
        Ok(inode)
    }

    /// Checks an inode that is kept for the file system's own use: its checksum, unless it is zeros.
    pub(super) fn check_reserved_inode(&self, number: InodeNumber) -> Result<(), RootfsError> {
        let (block, offset) = self.inode_place(number)?;
        let block = self.blocks.read(View::Now, block)?;
        let bytes: &[u8; INODE_SIZE] =
            block[offset..offset + INODE_SIZE].try_into().expect("an inode's length");
        let is_sealed =
            self.volume.seed.is_none() || self.sealed_inode(number, &Inode::decode(bytes)) == *bytes;
        match is_sealed || bytes.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(self.volume.corrupt(format!("inode {} has a wrong checksum", number.0))),
        }
    }

    /// Returns the bytes of an inode with the checksum they have to have.
    fn sealed_inode(&self, number: InodeNumber, inode: &Inode) -> [u8; INODE_SIZE] {
        let mut bytes = inode.encode();
        let Some(seed) = self.volume.seed_of(number, inode.i_generation) else { return bytes };
        let has_upper_half = inode.i_extra_isize >= 4;
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
    pub(super) fn put_inode(&mut self, number: InodeNumber, inode: &Inode) -> Result<(), RootfsError> {
        let bytes = self.sealed_inode(number, inode);
        self.put_inode_bytes(number, &bytes)
    }

    /// Makes an inode that is not in use any more zeros.
    pub(super) fn erase_inode(&mut self, number: InodeNumber) -> Result<(), RootfsError> {
        self.put_inode_bytes(number, &[0; INODE_SIZE])
    }

    fn put_inode_bytes(&mut self, number: InodeNumber, inode: &[u8; INODE_SIZE]) -> Result<(), RootfsError> {
        let (block, offset) = self.inode_place(number)?;
        let mut bytes = self.blocks.read(View::Now, block)?.to_vec();
        bytes[offset..offset + INODE_SIZE].copy_from_slice(inode);
        self.blocks.write(block, bytes)
    }

    /// Returns where the blocks of an inode best lie.
    pub(super) fn goal_of(&self, number: InodeNumber) -> Block {
        Block(self.volume.first_block((number.0.saturating_sub(1)) / self.volume.inodes_per_group))
    }

    /// Returns a symlink's target.
    pub(super) fn target_of(&self, number: InodeNumber, inode: &Inode) -> Result<Vec<u8>, RootfsError> {
        let size = usize::try_from(inode.size()).unwrap_or(usize::MAX);
        if size == 0 || size >= self.volume.block_size.max(FAST_SYMLINK_MAX + 1) {
            return Err(self.volume.corrupt(format!("inode {} is a symlink of {size} bytes", number.0)));
        }
        if size <= FAST_SYMLINK_MAX && inode.i_flags & EXTENTS_FL == 0 {
            return Ok(inode.i_block[..size].to_vec());
        }
        let runs = self.mapping(number, inode, 0..1)?.runs;
        match runs.first() {
            Some(run) if run.written => Ok(self.blocks.read(View::Now, Block(run.start))?[..size].to_vec()),
            _ => Err(self.volume.corrupt(format!("inode {} is a symlink without target", number.0))),
        }
    }

    /// Adds to `i_blocks`, or takes away.
    pub(super) fn change_block_count(&self, inode: &mut Inode, blocks: u64, more: bool) {
        let unit = if inode.i_flags & HUGE_FILE_FL != 0 { 1 } else { self.volume.block_size as u64 / 512 };
        let count = inode.blocks();
        let change = blocks * unit;
        inode.set_blocks(if more { count.saturating_add(change) } else { count.saturating_sub(change) });
    }

    /// Takes one more name of an inode into account.
    pub(super) fn add_link(&mut self, number: InodeNumber) -> Result<(), RootfsError> {
        let mut inode = self.inode(number)?;
        let is_dir = FileType::from_mode_bits(inode.i_mode) == Some(FileType::Directory);
        // A directory that stopped counting has 1.
        let counts = !is_dir || inode.i_links_count > 1;
        if counts && u32::from(inode.i_links_count) >= LINK_MAX {
            if !(is_dir && self.volume.dir_nlink) {
                return Err(self.limit(format!("it would have more than {LINK_MAX} links")));
            }
            inode.i_links_count = 1;
        } else if counts {
            inode.i_links_count += 1;
        }
        self.put_inode(number, &inode)
    }
}

/// Sets what `attributes` say but the xattrs; the times are all the mtime.
pub(super) fn set_attributes(inode: &mut Inode, attributes: &Attributes) {
    inode.i_mode = (inode.i_mode & 0o170_000) | (attributes.mode & 0o7777);
    inode.set_owner(attributes.uid, attributes.gid);
    inode.set_times(EncodedTime::new(attributes.mtime));
}

/// Returns a new inode with one link.
pub(super) fn new_inode(file_type: FileType, attributes: &Attributes) -> Inode {
    let mut inode = Inode::zeroed();
    inode.i_mode = file_type.mode_bits();
    inode.i_links_count = 1;
    inode.i_extra_isize = EXTRA_ISIZE;
    set_attributes(&mut inode, attributes);
    inode
}
