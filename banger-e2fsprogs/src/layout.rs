//! The needed size of a file system: blocks and inodes of a tree, and metadata of ext4.

use banger_tree::{ContentError, NodeKind, Tree};

use crate::scratch::NumberedFiles;
use crate::xattr;
use banger_ext4::on_disk::{
    BLOCK_BYTES, BLOCKS_PER_GROUP, DESC_BYTES, EXTENT_MAX_BLOCKS, EXTENTS_IN_BLOCK, EXTENTS_IN_INODE,
    FAST_SYMLINK_MAX, INODE_BYTES, has_superblock,
};
use banger_ext4::{Ext4Error, Ext4Options, JournalSize, check_reserved};

const INODES_PER_GROUP_MAX: u64 = 8 * BLOCK_BYTES;
const BYTES_PER_INODE: u64 = 16 << 10;
/// Inodes 1 to 10; `lost+found` is the 11th.
const RESERVED_INODES: u64 = 10;
const LOST_AND_FOUND_BLOCKS: u64 = 4;
/// Smallest file system that has room for a journal.
const SIZE_MIN: u64 = 2048 * BLOCK_BYTES;
/// Largest file system that `resize_inode` can describe.
const SIZE_MAX: u64 = (1 << 32) * BLOCK_BYTES - BLOCK_BYTES;

/// Blocks and inodes of a tree in any file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) blocks: u64,
    pub(crate) inodes: u64,
}

/// Parameters of the new file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) blocks: u64,
    pub(crate) inodes: u64,
    pub(crate) journal_blocks: u64,
}

impl Needs {
    /// Returns the needs of `tree`, rather too high than too low.
    ///
    /// # Errors
    /// A content is not in the store.
    pub(crate) fn of(tree: &Tree, contents: &NumberedFiles) -> Result<Self, ContentError> {
        let mut needs = Self { blocks: LOST_AND_FOUND_BLOCKS, inodes: RESERVED_INODES + 1 };
        let mut seen = vec![false; tree.inode_bound()];
        let mut pending = vec![tree.root()];
        seen[tree.root().index()] = true;
        while let Some(id) = pending.pop() {
            let inode = tree.inode(id);
            needs.inodes += 1;
            needs.blocks += match &inode.kind {
                NodeKind::Regular { content: Some(content), .. } => {
                    let content = contents.finished(*content)?;
                    content.blocks
                        + extent_blocks(content.runs + 2 * (content.blocks / u64::from(EXTENT_MAX_BLOCKS)))
                }
                NodeKind::Directory { children } => {
                    for child in children.values() {
                        if !std::mem::replace(&mut seen[child.index()], true) {
                            pending.push(*child);
                        }
                    }
                    directory_blocks(children.keys().map(|name| name.len() as u64))
                }
                NodeKind::Symlink { target } => u64::from(target.len() > FAST_SYMLINK_MAX),
                _ => 0,
            };
            needs.blocks += u64::from(xattr::needs_block(&inode.attributes.xattrs));
        }
        // The root's inode is a reserved one.
        needs.inodes -= 1;
        Ok(needs)
    }

    /// Returns the smallest size in blocks that holds `numerator / 4` of this.
    fn blocks_with_room(self, options: &Ext4Options, numerator: u64) -> u64 {
        // The metadata of ext4 grows with the size, by a few percent of it, so a few rounds are enough.
        let mut blocks = SIZE_MIN / BLOCK_BYTES;
        for _ in 0..64 {
            let overhead = overhead_blocks(blocks, self.inode_count(blocks, options.inodes), options.journal);
            let wanted = (self.blocks + overhead) * numerator / 4;
            if wanted <= blocks {
                break;
            }
            blocks = wanted;
        }
        blocks
    }

    fn inode_count(self, blocks: u64, inodes: Option<u32>) -> u64 {
        self.least_inodes(blocks, inodes).max(self.inodes + self.inodes / 4)
    }

    /// As [`inode_count`](Self::inode_count), without room for new files.
    fn least_inodes(self, blocks: u64, inodes: Option<u32>) -> u64 {
        let usual = blocks * BLOCK_BYTES / BYTES_PER_INODE;
        inodes.map_or(usual, u64::from).max(self.inodes)
    }

    /// Returns the file system that `options` ask for.
    ///
    /// # Errors
    /// It is too small or too large for ext4, or for the inodes.
    pub(crate) fn geometry(self, options: &Ext4Options) -> Result<Geometry, Ext4Error> {
        let size = options.size;
        let blocks = match size.exact_bytes() {
            Some(bytes) => bytes / BLOCK_BYTES,
            None => self.blocks_with_room(options, 5).max(size.least_bytes().div_ceil(BLOCK_BYTES)),
        };
        let size_bytes = blocks.saturating_mul(BLOCK_BYTES);
        let invalid = |reason: &str| Ext4Error::InvalidSize { size_bytes, reason: reason.to_owned() };
        if size_bytes < SIZE_MIN {
            return Err(invalid("this backend makes file systems of 8 MiB and more"));
        }
        if size_bytes > SIZE_MAX {
            return Err(invalid("banger makes file systems of less than 16 TiB"));
        }
        let most =
            blocks.div_ceil(BLOCKS_PER_GROUP).saturating_mul(INODES_PER_GROUP_MAX).min(u32::MAX.into());
        let least = self.least_inodes(blocks, options.inodes);
        // A size that is given may be too small for more inodes than there must be.
        let inodes = match size.exact_bytes() {
            Some(_) if self.blocks_with_room(options, 5) > blocks => least,
            _ => self.inode_count(blocks, options.inodes).min(most.max(least)),
        };
        if inodes > most {
            return Err(Ext4Error::NoInodes { inodes: most, needed: inodes });
        }
        check_reserved(options.reserved_blocks, blocks)?;
        Ok(Geometry { blocks, inodes, journal_blocks: options.journal.blocks(blocks).into() })
    }

    /// Returns the error that this does not fit into `geometry`.
    pub(crate) fn no_space(self, geometry: Geometry, options: &Ext4Options) -> Ext4Error {
        let size_bytes = geometry.blocks * BLOCK_BYTES;
        let needed_bytes = self.blocks_with_room(options, 4).max(geometry.blocks + 1) * BLOCK_BYTES;
        Ext4Error::NoSpace { size_bytes, needed_bytes: needed_bytes.next_multiple_of(1 << 20) }
    }
}

/// Returns the blocks of a directory that is filled name by name.
fn directory_blocks(names: impl Iterator<Item = u64>) -> u64 {
    // An entry is 8 bytes and the name, in steps of 4; a block keeps 12 bytes for its checksum and,
    // at worst, leaves the room of one longest entry unused.
    let entries: u64 = 24 + names.map(|length| (8 + length).next_multiple_of(4)).sum::<u64>();
    let blocks = entries.div_ceil(BLOCK_BYTES - 12 - 264);
    blocks + extent_blocks(blocks)
}

fn extent_blocks(extents: u64) -> u64 {
    if extents <= EXTENTS_IN_INODE { 0 } else { extents.div_ceil(EXTENTS_IN_BLOCK) + 1 }
}

/// Returns the number of blocks for ext4's own metadata.
fn overhead_blocks(blocks: u64, inodes: u64, journal: JournalSize) -> u64 {
    let groups = blocks.div_ceil(BLOCKS_PER_GROUP);
    let inodes_per_group = inodes.div_ceil(groups).next_multiple_of(BLOCK_BYTES / INODE_BYTES);
    let table_blocks = inodes_per_group * INODE_BYTES / BLOCK_BYTES;
    let descriptor_blocks = (groups * DESC_BYTES).div_ceil(BLOCK_BYTES);
    // resize_inode: room for the descriptors of a file system 1024 times as large.
    let reserved_blocks = (groups * 1024 * DESC_BYTES).div_ceil(BLOCK_BYTES).min(1024);
    let groups_end = u32::try_from(groups).expect("at most 2^32 blocks");
    let with_superblock = (0..groups_end).filter(|group| has_superblock(*group)).count() as u64;
    groups * (table_blocks + 2)
        + with_superblock * (1 + descriptor_blocks + reserved_blocks)
        + 1
        + u64::from(journal.blocks(blocks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use banger_ext4::ImageSize;

    #[test]
    fn sizes() {
        let needs = Needs { blocks: 1000, inodes: 100 };
        let geometry =
            |size, inodes| needs.geometry(&Ext4Options::default().with_size(size).with_inodes(inodes));
        assert_eq!(geometry(ImageSize::DEFAULT, None).unwrap().blocks, 262_144);
        assert_eq!(geometry(ImageSize::DEFAULT, None).unwrap().inodes, 65_536);
        // A quarter more than there are.
        assert_eq!(geometry(ImageSize::DEFAULT, Some(5)).unwrap().inodes, 125);
        assert_eq!(geometry(ImageSize::Bytes((64 << 20) + 5), None).unwrap().blocks, 16_384);
        let auto = geometry(ImageSize::Auto { at_least_bytes: 0 }, None).unwrap();
        assert!((2500..3000).contains(&auto.blocks), "{auto:?}");
        for size in [ImageSize::Bytes(0), ImageSize::Bytes((8 << 20) - 1), ImageSize::Bytes(1 << 44)] {
            assert!(matches!(geometry(size, None), Err(Ext4Error::InvalidSize { .. })), "{size:?}");
        }
        let many = Needs { blocks: 1000, inodes: 40_000 };
        let options = Ext4Options::default().with_size(ImageSize::Bytes(64 << 20));
        assert!(matches!(
            many.geometry(&options),
            Err(Ext4Error::NoInodes { inodes: 32_768, needed: 40_000 })
        ));
    }

    #[test]
    fn the_size_said_to_be_needed_is_one_that_fits() {
        for blocks in [10, 5000, 300_000, 9_000_000] {
            let needs = Needs { blocks, inodes: blocks / 2 };
            let size = needs.blocks_with_room(&Ext4Options::default(), 4);
            let overhead = overhead_blocks(size, needs.inode_count(size, None), JournalSize::Usual);
            assert!(needs.blocks + overhead <= size, "{blocks}");
        }
    }
}
