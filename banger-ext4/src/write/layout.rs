//! The places of the fixed parts of a file system, decided before the first byte of content.
//!
//! Each group starts with its own metadata: copies of superblock and descriptors if it has them, then its
//! bitmaps and its inode table. So the group number alone decides the place of everything fixed, and content
//! can be placed before the size of the file system is known. A group with only its metadata needs only its
//! descriptor on the disk.

use crate::error::Ext4Error;
use crate::format::{BLOCK_BYTES, BLOCKS_PER_GROUP, Block, DESCS_PER_BLOCK, Group, INODES_PER_BLOCK};
use crate::options::{Ext4Options, ImageSize, JournalSize, check_reserved};

/// Bytes of size for each inode, by default.
const BYTES_PER_INODE: u64 = 16384;
/// Blocks of size for each inode, by default.
pub(crate) const BLOCKS_PER_INODE: u64 = BYTES_PER_INODE / BLOCK_BYTES;
/// Most inodes of a group: the number of bits in one block of bitmap.
pub(crate) const INODES_PER_GROUP_MAX: u64 = 32768;
/// Block numbers above 32 bits cannot be in the resize inode.
const BLOCKS_MAX: u64 = (1 << 32) - 1;
/// Entries of the resize inode's one block.
const RESERVED_GDT_MAX: u64 = 1024;
/// How many times its size a file system can grow to, by custom.
const GROWTH: u64 = 1024;
/// Number of free blocks from which a short last group is worth its metadata.
const LAST_GROUP_FREE_MIN: u64 = 50;
/// Descriptor blocks to leave room for when the size is not known: enough for 1 TiB.
const AUTO_GDT_BLOCKS: u64 = 128;
/// Blocks of `lost+found`, which e2fsck uses if no other space is left.
pub(crate) const LOST_FOUND_BLOCKS: u64 = 4;

/// The places that depend on a group's number alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Blocks for group descriptors, in use or reserved, in each group that has copies of them.
    pub(crate) gdt_blocks: u64,
    /// Inodes of a group.
    pub(crate) inodes_per_group: u32,
    /// The size if it is given, else the largest that `gdt_blocks` can describe.
    pub(crate) blocks_max: u64,
    /// Whether `blocks_max` is the size.
    pub(crate) size_is_fixed: bool,
    /// Blocks at least, if the size is not fixed.
    pub(crate) blocks_min: u64,
    /// Room beside the content, if the size is not fixed.
    pub(crate) room: Room,
    /// Size of the journal.
    pub(crate) journal: JournalSize,
    /// Blocks that only root can fill.
    pub(crate) reserved_blocks: u64,
}

/// Room that a file system has beside its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// A quarter of the content.
    Quarter,
    /// This many blocks.
    Blocks(u64),
}

impl Layout {
    /// Returns the layout for `options`.
    ///
    /// # Errors
    /// The size is too small for a file system, or too large for ext4.
    pub(crate) fn new(options: &Ext4Options) -> Result<Self, Ext4Error> {
        let size_bytes = options.size.least_bytes();
        let room = match options.size {
            ImageSize::Fit { headroom_bytes } => Room::Blocks(headroom_bytes.div_ceil(BLOCK_BYTES)),
            ImageSize::Auto { .. } | ImageSize::Bytes(_) => Room::Quarter,
        };
        let size_is_fixed = options.size.exact_bytes().is_some();
        let mut blocks = size_bytes / BLOCK_BYTES;
        if blocks == BLOCKS_MAX + 1 {
            // Users ask for exactly 16 TiB.
            blocks = BLOCKS_MAX;
        }
        if blocks > BLOCKS_MAX {
            let reason = "16 TiB is the largest".to_owned();
            return Err(Ext4Error::InvalidSize { size_bytes, reason });
        }
        let growable = blocks.max(1).saturating_mul(GROWTH).min(BLOCKS_MAX);
        let used = descriptor_blocks(group_count(blocks));
        let reserved = (descriptor_blocks(group_count(growable)) - used).clamp(0, RESERVED_GDT_MAX);
        let mut gdt_blocks = used + reserved;
        if !size_is_fixed {
            gdt_blocks = gdt_blocks.max(AUTO_GDT_BLOCKS);
        }
        let mut layout = Self {
            gdt_blocks,
            inodes_per_group: inodes_per_group(blocks, options.inodes, size_is_fixed)?,
            blocks_max: (gdt_blocks * DESCS_PER_BLOCK * BLOCKS_PER_GROUP).min(BLOCKS_MAX),
            size_is_fixed,
            blocks_min: 0,
            room,
            journal: options.journal,
            reserved_blocks: options.reserved_blocks,
        };
        let blocks = layout.trimmed(blocks);
        if size_is_fixed {
            layout.blocks_max = blocks;
            layout.check_smallest(size_bytes)?;
        } else {
            layout.blocks_min = blocks;
        }
        Ok(layout)
    }

    fn check_smallest(&self, size_bytes: u64) -> Result<(), Ext4Error> {
        let journal = u64::from(self.journal.blocks(self.blocks_max));
        let least = self.own_blocks_of_all(self.blocks_max) + journal + LOST_FOUND_BLOCKS + 2;
        if self.blocks_max >= least {
            return check_reserved(self.reserved_blocks, self.blocks_max);
        }
        let of_journal = match journal {
            0 => String::new(),
            blocks => format!(", {} of them the journal", blocks * BLOCK_BYTES),
        };
        let reason = format!("its own structures need {} bytes{of_journal}", least * BLOCK_BYTES);
        Err(Ext4Error::InvalidSize { size_bytes, reason })
    }

    /// Returns `content` and the room that shall be beside it.
    pub(crate) fn with_room(&self, content: u64) -> u64 {
        match self.room {
            Room::Quarter => content + content.div_ceil(4),
            Room::Blocks(blocks) => content.saturating_add(blocks).saturating_add(self.reserved_blocks),
        }
    }

    /// Returns `blocks`, less a last group that has hardly room for its metadata.
    pub(crate) fn trimmed(&self, blocks: u64) -> u64 {
        let rest = blocks % BLOCKS_PER_GROUP;
        let last = Group(u32::try_from(blocks / BLOCKS_PER_GROUP).unwrap_or(u32::MAX));
        if last.0 > 0 && rest > 0 && rest < self.own_blocks(last) + LAST_GROUP_FREE_MIN {
            blocks - rest
        } else {
            blocks
        }
    }

    /// Returns `blocks`, or more if the last group would hardly have room for its metadata.
    pub(crate) fn rounded_up(&self, blocks: u64) -> u64 {
        match blocks - self.trimmed(blocks) {
            0 => blocks,
            rest => {
                let last = Block(blocks).group();
                blocks - rest + self.own_blocks(last) + LAST_GROUP_FREE_MIN
            }
        }
    }

    /// Returns the number of blocks of a file system with `content` blocks besides its own metadata and its
    /// journal.
    pub(crate) fn size_for(&self, content: u64) -> u64 {
        let mut blocks = content;
        loop {
            let larger = self.rounded_up(
                content + self.own_blocks_of_all(blocks) + u64::from(self.journal.blocks(blocks)) + 1,
            );
            if larger <= blocks {
                return blocks;
            }
            blocks = larger;
        }
    }

    /// Returns the number of blocks for the metadata of all groups.
    pub(crate) fn own_blocks_of_all(&self, blocks: u64) -> u64 {
        (0..group_count(blocks)).map(|group| self.own_blocks(Group(group))).sum()
    }

    /// Returns the blocks of an inode table.
    pub(crate) fn inode_table_blocks(&self) -> u64 {
        u64::from(self.inodes_per_group / INODES_PER_BLOCK)
    }

    /// Returns the blocks at the start of a group for superblock and descriptors.
    pub(crate) fn base_blocks(&self, group: Group) -> u64 {
        if group.has_super() { 1 + self.gdt_blocks } else { 0 }
    }

    /// Returns the number of metadata blocks at the start of a group: superblock and descriptors, two
    /// bitmaps, the inode table.
    pub(crate) fn own_blocks(&self, group: Group) -> u64 {
        self.base_blocks(group) + 2 + self.inode_table_blocks()
    }

    /// Returns the block of a group's block bitmap; the inode bitmap follows, then the inode table.
    pub(crate) fn block_bitmap(&self, group: Group) -> Block {
        Block(group.first_block().0 + self.base_blocks(group))
    }

    /// Returns the blocks of a group in a file system of `blocks` blocks.
    pub(crate) fn group_blocks(group: Group, blocks: u64) -> u64 {
        (blocks - group.first_block().0).min(BLOCKS_PER_GROUP)
    }
}

/// Returns the number of groups of a file system of `blocks` blocks.
pub(crate) fn group_count(blocks: u64) -> u32 {
    u32::try_from(blocks.div_ceil(BLOCKS_PER_GROUP)).expect("at most 2^32 blocks")
}

/// Returns the blocks that the descriptors of `groups` groups take.
pub(crate) fn descriptor_blocks(groups: u32) -> u64 {
    u64::from(groups).div_ceil(DESCS_PER_BLOCK)
}

/// Returns the inodes of a group for `wanted` inodes in all, or by default one for every [`BYTES_PER_INODE`];
/// rounded up to whole blocks.
fn inodes_per_group(blocks: u64, wanted: Option<u32>, size_is_fixed: bool) -> Result<u32, Ext4Error> {
    let groups = u64::from(group_count(blocks)).max(1);
    let inodes = match wanted {
        Some(inodes) => u64::from(inodes).div_ceil(groups),
        None if groups == 1 && size_is_fixed => blocks * BLOCK_BYTES / BYTES_PER_INODE,
        // The same in every group, also where the last one is short: the size may still change.
        None => BLOCKS_PER_GROUP * BLOCK_BYTES / BYTES_PER_INODE,
    };
    let inodes = inodes.max(u64::from(INODES_PER_BLOCK)).next_multiple_of(u64::from(INODES_PER_BLOCK));
    let most = INODES_PER_GROUP_MAX.min(u64::from(u32::MAX) / groups);
    if inodes > most && size_is_fixed {
        let needed = u64::from(wanted.unwrap_or_default());
        return Err(Ext4Error::NoInodes { inodes: most * groups, needed });
    }
    // An open size grows until the inodes are enough.
    Ok(u32::try_from(inodes.min(most)).expect("at most 32768"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ImageSize;

    fn layout(size: ImageSize) -> Result<Layout, Ext4Error> {
        Layout::new(&Ext4Options::default().with_size(size))
    }

    #[test]
    fn t14_room_to_grow() {
        for (size_bytes, gdt_blocks) in [(8 << 20, 1), (1 << 30, 128), (4 << 40, 512 + 1024), (1 << 44, 2048)]
        {
            let layout = layout(ImageSize::Bytes(size_bytes)).unwrap();
            assert_eq!(layout.gdt_blocks, gdt_blocks, "{size_bytes}");
        }
        assert_eq!(layout(ImageSize::DEFAULT).unwrap().gdt_blocks, 128);
    }

    #[test]
    fn t15_inodes_by_ratio() {
        assert_eq!(layout(ImageSize::DEFAULT).unwrap().inodes_per_group, 8192);
        assert_eq!(layout(ImageSize::Bytes(8 << 20)).unwrap().inodes_per_group, 512);
        let options = Ext4Options::default().with_size(ImageSize::Bytes(1 << 30)).with_inodes(Some(100_000));
        assert_eq!(Layout::new(&options).unwrap().inodes_per_group, 12512);
        let options = options.with_size(ImageSize::Bytes(8 << 20)).with_inodes(Some(40_000));
        assert!(matches!(Layout::new(&options), Err(Ext4Error::NoInodes { inodes: 32768, needed: 40_000 })));
    }

    #[test]
    fn sizes_that_make_no_file_system() {
        for bytes in [0, 4096, 4 << 20, (1 << 44) + 4096, u64::MAX] {
            assert!(matches!(layout(ImageSize::Bytes(bytes)), Err(Ext4Error::InvalidSize { .. })), "{bytes}");
        }
        assert_eq!(layout(ImageSize::Bytes(1 << 44)).unwrap().blocks_max, (1 << 32) - 1);
        // Three groups and 10 blocks: the 10 blocks are given up.
        assert_eq!(layout(ImageSize::Bytes((3 * 32768 + 10) * 4096)).unwrap().blocks_max, 3 * 32768);
    }
}
