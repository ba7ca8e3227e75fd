//! All damage that an ext4 file system is refused for.

use banger_tree::{Corruption, escape_bytes};

use crate::format::{Block, InodeNumber};

/// The damaged structure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CorruptionKind {
    #[error("the checksum of the superblock is wrong")]
    SuperblockChecksum,
    #[error("the superblock has {0}")]
    Superblock(SuperblockField),
    #[error("the file is cut off: it has {size_bytes} bytes and the file system {needed_bytes}")]
    CutOff { size_bytes: u64, needed_bytes: u128 },

    #[error("the descriptor of group {group} has {field}")]
    GroupDescriptor { group: u32, field: DescriptorField },
    #[error("the checksum of the {bitmap} bitmap of group {group} is wrong")]
    BitmapChecksum { group: u32, bitmap: &'static str },
    #[error("group {group} has fewer free {what} than it counts")]
    FewerFree { group: u32, what: &'static str },
    #[error("group {group} has more free blocks than it counts")]
    MoreFreeBlocks { group: u32 },

    #[error("something refers to block {}, of {blocks_count}", .block.0)]
    BlockBeyond { block: Block, blocks_count: u64 },
    #[error("block {} does not exist", .0.0)]
    NoBlock(Block),
    #[error("block {} is in use and counts as free", .0.0)]
    BlockCountsAsFree(Block),

    #[error("something refers to inode {}", .0.0)]
    NoInode(InodeNumber),
    #[error("inode {} {fault}", .inode.0)]
    Inode { inode: InodeNumber, fault: InodeFault },
    #[error("inode {}, the value of an attribute of {}, is none", .value.0, .inode.0)]
    AttributeValue { value: InodeNumber, inode: InodeNumber },
    #[error("the extended attributes of inode {}, {place}, are malformed", .inode.0)]
    Attributes { inode: InodeNumber, place: &'static str },
    #[error("the xattr block of inode {} {fault}", .inode.0)]
    AttributeBlock { inode: InodeNumber, block: Block, fault: AttributeBlockFault },
    #[error("the extent tree of inode {} has {fault}", .inode.0)]
    ExtentTree { inode: InodeNumber, fault: ExtentFault },
    #[error("the list of blocks of inode {} has {fault}", .inode.0)]
    BlockList { inode: InodeNumber, fault: BlockListFault },
    #[error("directory inode {} {fault}", .inode.0)]
    Directory { inode: InodeNumber, fault: DirectoryFault },
    #[error("the resize inode {0}")]
    ResizeInode(ResizeInodeFault),

    #[error("the journal {0}")]
    Journal(JournalFault),
    #[error("transaction {sequence} of the journal has a wrong checksum")]
    Transaction { sequence: u32 },
    #[error("the journal has a copy of block {}, which there is not", .0.0)]
    CopyOfNoBlock(Block),
    #[error("the journal's copy of block {} has a wrong checksum", .0.0)]
    CopyChecksum(Block),
}

/// A field of the superblock.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum SuperblockField {
    #[error("a wrong size of clusters")]
    ClusterSize,
    #[error("a wrong size of inodes")]
    InodeSize,
    #[error("a wrong first data block")]
    FirstDataBlock,
    #[error("a wrong size of group descriptors")]
    DescriptorSize,
    #[error("a wrong number of blocks in a group")]
    BlocksPerGroup,
    #[error("a wrong number of clusters in a group")]
    ClustersPerGroup,
    #[error("a wrong number of blocks")]
    BlocksCount,
    #[error("a wrong number of inodes in a group")]
    InodesPerGroup,
    #[error("a number of inodes in a group that fills no whole blocks")]
    PartialInodeTable,
    #[error("too many groups")]
    Groups,
    #[error("a wrong number of inodes")]
    InodesCount,
    #[error("a wrong first inode")]
    FirstInode,
    #[error("a wrong place of the block that tells who has it mounted (mmp)")]
    MmpBlock,
}

/// A field of a group descriptor.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum DescriptorField {
    #[error("a wrong checksum")]
    Checksum,
    #[error("places beyond the file system")]
    Places,
    #[error("impossible counts")]
    Counts,
}

/// The fault of an inode.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum InodeFault {
    #[error("has a wrong checksum")]
    Checksum,
    #[error("has {0} bytes of extra fields")]
    ExtraSize(u16),
    #[error("is not in use: mode {mode:o}, {links} links")]
    NotInUse { mode: u16, links: u16 },
    #[error("has a flag of the feature {0}, which the file system has not")]
    ForeignFlag(&'static str),
    #[error("is among the unlinked files")]
    Unlinked,
    #[error("is in use and counts as free")]
    CountsAsFree,
    #[error("is a symlink of {0} bytes")]
    SymlinkLength(usize),
    #[error("is a symlink without target")]
    NoTarget,
    #[error("has a malformed ACL")]
    Acl,
    #[error("is said to hold its content, and does not")]
    NoInlineContent,
    #[error("is longer than what it holds")]
    InlineLength,
}

/// The fault of a block of extended attributes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum AttributeBlockFault {
    #[error("is the superblock")]
    Superblock,
    #[error("is none")]
    NotOne,
    #[error("has a wrong checksum")]
    Checksum,
}

/// The fault of an extent tree.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum ExtentFault {
    #[error("a malformed node")]
    Malformed,
    #[error("an empty index node")]
    EmptyNode,
    #[error("a node of wrong depth")]
    Depth,
    #[error("a node without checksum")]
    NoChecksum,
    #[error("a wrong checksum")]
    Checksum,
    #[error("a node that begins elsewhere than the entry above it")]
    NodeStart,
    #[error("extents out of order")]
    Order,
    #[error("an extent beyond the file system")]
    Beyond,
    #[error("more blocks than there are")]
    TooManyBlocks,
    #[error("index entries out of order")]
    IndexOrder,
    #[error("an index entry that leads to the superblock")]
    IndexToSuperblock,
}

/// The fault of a list of blocks.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum BlockListFault {
    #[error("a block beyond the file system")]
    Beyond,
    #[error("more blocks than there are")]
    TooManyBlocks,
    #[error("the same list twice")]
    ListTwice,
}

/// The fault of a directory.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum DirectoryFault {
    #[error("is none")]
    NotOne,
    #[error("is in two directories")]
    TwoParents,
    #[error("has holes")]
    Holes,
    #[error("has another size than its blocks")]
    Size,
    #[error("has a block twice")]
    BlockTwice,
    #[error("has a block with a wrong checksum")]
    BlockChecksum,
    #[error("has a malformed entry")]
    Entry,
    #[error("has the name {}", escape_bytes(.0))]
    Name(Vec<u8>),
    #[error("has an entry for inode {0}")]
    EntryOf(u32),
    #[error("does not start with . and ..")]
    NoDots,
    #[error("lost a name")]
    LostName,
    #[error("has too few blocks")]
    TooFewBlocks,
    #[error("has a malformed index")]
    Index,
    #[error("has an index block with a wrong checksum")]
    IndexChecksum,
    #[error("has an index that leads to a block twice")]
    IndexTwice,
    #[error("has an index that leads beyond its end")]
    IndexBeyond,
    #[error("has an index with an unknown flag")]
    IndexFlag,
    #[error("has an index by an unknown hash")]
    IndexHash,
    #[error("has an index out of order")]
    IndexOrder,
    #[error("has a block that its index does not lead to")]
    BlockNotIndexed,
    #[error("has a name that its index does not lead to")]
    NameNotIndexed,
}

/// The fault of the resize inode.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum ResizeInodeFault {
    #[error("is no file with lists of blocks and nothing else")]
    NotLists,
    #[error("has no block of block numbers")]
    NoList,
    #[error("has other blocks than those reserved for descriptors")]
    OtherBlocks,
    #[error("is too small")]
    TooSmall,
    #[error("does not have the reserved blocks in their order")]
    Order,
    #[error("has or counts more blocks than are reserved")]
    TooMany,
}

/// The fault of the journal.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum JournalFault {
    #[error("has no first block")]
    NoFirstBlock,
    #[error("has no superblock")]
    NoSuperblock,
    #[error("has checksums of an unknown type")]
    ChecksumType,
    #[error("has a superblock with a wrong checksum")]
    SuperblockChecksum,
    #[error("has a malformed superblock")]
    Superblock,
    #[error("has a superblock with another size of blocks")]
    BlockSize,
    #[error("starts outside its log")]
    Start,
    #[error("does not have all its blocks")]
    LostBlocks,
    #[error("has a malformed block of revoked blocks")]
    Revokes,
}

impl CorruptionKind {
    fn inode(&self) -> Option<InodeNumber> {
        match self {
            Self::NoInode(inode)
            | Self::Inode { inode, .. }
            | Self::AttributeValue { value: inode, .. }
            | Self::Attributes { inode, .. }
            | Self::AttributeBlock { inode, .. }
            | Self::ExtentTree { inode, .. }
            | Self::BlockList { inode, .. }
            | Self::Directory { inode, .. } => Some(*inode),
            Self::ResizeInode(_) => Some(InodeNumber::RESIZE),
            _ => None,
        }
    }

    fn block(&self) -> Option<Block> {
        match self {
            Self::BlockBeyond { block, .. }
            | Self::AttributeBlock { block, .. }
            | Self::NoBlock(block)
            | Self::BlockCountsAsFree(block)
            | Self::CopyOfNoBlock(block)
            | Self::CopyChecksum(block) => Some(*block),
            _ => None,
        }
    }

    fn group(&self) -> Option<u32> {
        match self {
            Self::GroupDescriptor { group, .. }
            | Self::BitmapChecksum { group, .. }
            | Self::FewerFree { group, .. }
            | Self::MoreFreeBlocks { group } => Some(*group),
            _ => None,
        }
    }
}

impl From<CorruptionKind> for Corruption {
    fn from(kind: CorruptionKind) -> Self {
        let (inode, block, group) = (kind.inode(), kind.block(), kind.group());
        Self::new(kind)
            .with_inode(inode.map(|number| number.0))
            .with_block(block.map(|block| block.0))
            .with_group(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_carries_the_numbers_of_what_is_damaged() {
        let inode = InodeNumber(12);
        let block = Block(900);
        let holes = CorruptionKind::Directory { inode, fault: DirectoryFault::Holes };
        let attributes =
            CorruptionKind::AttributeBlock { inode, block, fault: AttributeBlockFault::Checksum };
        let bitmap = CorruptionKind::BitmapChecksum { group: 3, bitmap: "inode" };
        let resize = CorruptionKind::ResizeInode(ResizeInodeFault::TooSmall);
        let journal = CorruptionKind::Journal(JournalFault::Start);
        for (kind, text, numbers) in [
            (holes, "directory inode 12 has holes", (Some(12), None, None)),
            (attributes, "the xattr block of inode 12 has a wrong checksum", (Some(12), Some(900), None)),
            (bitmap, "the checksum of the inode bitmap of group 3 is wrong", (None, None, Some(3))),
            (resize, "the resize inode is too small", (Some(7), None, None)),
            (journal, "the journal starts outside its log", (None, None, None)),
        ] {
            let damage = Corruption::from(kind);
            assert_eq!(damage.to_string(), text);
            assert_eq!((damage.inode(), damage.block(), damage.group()), numbers, "{text}");
        }
    }
}
