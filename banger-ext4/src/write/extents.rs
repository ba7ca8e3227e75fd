//! The blocks of a file, and their extent tree.

use super::mapped_run::MappedRun;
use super::output::Output;
use crate::error::Ext4Error;
use crate::format::crc32c::Checksum;
use crate::format::extent::{BLOCK_ENTRIES, Extent, ExtentIndex, ROOT_ENTRIES, encode_block, encode_root};

/// The fields of an inode about its blocks.
#[derive(Debug)]
pub(crate) struct ExtentTree {
    /// The root.
    pub(crate) i_block: [u8; 60],
    /// Blocks of the file and of the tree.
    pub(crate) blocks: u64,
}

/// Writes the extent tree of a file with `runs`, as deep as needed. `seed` is that of the inode.
///
/// # Errors
/// No room is left for its blocks, or the host refuses.
pub(crate) fn write_extent_tree(
    output: &mut Output<'_>,
    seed: Checksum,
    runs: impl Iterator<Item = MappedRun>,
) -> Result<ExtentTree, Ext4Error> {
    let mut blocks = 0;
    // Most files have one extent: no list for them.
    let mut few = [[0; 12]; ROOT_ENTRIES];
    let mut count = 0;
    let mut level: Vec<(u32, [u8; 12])> = Vec::new();
    for run in runs {
        blocks += u64::from(run.len);
        let entry = run.extent().encode();
        if count < ROOT_ENTRIES {
            few[count] = entry;
        } else if count == ROOT_ENTRIES {
            let logical = |entry: &[u8; 12]| Extent::decode(entry).ee_block;
            level.extend(few.iter().map(|entry| (logical(entry), *entry)));
        }
        if count >= ROOT_ENTRIES {
            level.push((run.logical, entry));
        }
        count += 1;
    }
    if count <= ROOT_ENTRIES {
        return Ok(ExtentTree { i_block: encode_root(0, &few[..count]), blocks });
    }
    let mut depth = 0;
    while level.len() > ROOT_ENTRIES {
        let mut above = Vec::with_capacity(level.len().div_ceil(BLOCK_ENTRIES));
        let mut entries = Vec::with_capacity(BLOCK_ENTRIES);
        for node in level.chunks(BLOCK_ENTRIES) {
            entries.clear();
            entries.extend(node.iter().map(|(_, entry)| *entry));
            let block = output.put_block(&encode_block(seed, depth, &entries))?;
            above.push((node[0].0, ExtentIndex::new(node[0].0, block).encode()));
            blocks += 1;
        }
        level = above;
        depth += 1;
    }
    let entries: Vec<_> = level.iter().map(|(_, entry)| *entry).collect();
    Ok(ExtentTree { i_block: encode_root(depth, &entries), blocks })
}
