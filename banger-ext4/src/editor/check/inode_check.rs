//! Faults of an inode that do not prevent reads and writes.

use banger_tree::FileType;

use crate::editor::disk::runs::{LOGICAL_END, Mapping};
use crate::format::inode::{EXTENTS_FL, IMAGIC_FL, INDEX_FL, Inode};

/// Returns the faults of the fields of an inode in use, each as the rest of a sentence about the inode.
pub(crate) fn problems_of(inode: &Inode, file_type: FileType, has_imagic: bool) -> Vec<&'static str> {
    let has = |flag: u32| inode.i_flags & flag != 0;
    [
        (inode.i_dtime != 0, "is in use and has a time of deletion"),
        (inode.i_obso_faddr != 0, "refers to a fragment, which ext4 has not"),
        (has(INDEX_FL) && file_type != FileType::Directory, "has the index of a directory, and is none"),
        (has(IMAGIC_FL) && !has_imagic, "is marked for AFS, which the file system is not for"),
    ]
    .into_iter()
    .filter_map(|(is_wrong, what)| is_wrong.then_some(what))
    .collect()
}

/// Returns the fault of the size of a file with the blocks of `mapping`. Preallocated blocks may lie behind
/// its end.
pub(crate) fn problem_of_size(inode: &Inode, mapping: &Mapping, block_size: u64) -> Option<&'static str> {
    let size = inode.size();
    let end = mapping.runs.iter().rev().find(|run| run.written).map_or(0, |run| run.logical + run.len);
    // A tree of extents with index blocks ends with the file; others may have one block more.
    let is_tree = inode.i_flags & EXTENTS_FL != 0 && !mapping.index_blocks.is_empty();
    let blocks = if is_tree { size.div_ceil(block_size) } else { size / block_size + 1 };
    if end > blocks {
        return Some("has blocks behind its end");
    }
    let is_too_long = inode.i_flags & EXTENTS_FL != 0 && size > LOGICAL_END * block_size;
    is_too_long.then_some("is longer than a file can be")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::editor::disk::runs::Run;
    use crate::format::{Block, INODE_SIZE};

    #[test]
    fn each_field_is_told() {
        let cases: [(usize, u8, &str); 4] =
            [(0x15, 1, "deletion"), (0x70, 1, "fragment"), (0x21, 0x10, "index"), (0x21, 0x20, "AFS")];
        for (at, value, want) in cases {
            let mut bytes = [0; INODE_SIZE];
            bytes[at] = value;
            let inode = Inode::decode(&bytes);
            let problems = problems_of(&inode, FileType::Regular, false);
            assert!(problems.len() == 1 && problems[0].contains(want), "{problems:?} lacks {want}");
            let allowed = usize::from(matches!(want, "index" | "AFS"));
            assert_eq!(problems_of(&inode, FileType::Directory, true).len(), 1 - allowed);
        }
    }

    #[test]
    fn sizes_go_with_blocks() {
        let mut inode = Inode::decode(&[0; INODE_SIZE]);
        inode.i_flags = EXTENTS_FL;
        let run = |logical, written| Run { logical, len: 4, start: 100, written };
        for (size, runs, index_blocks, is_right) in [
            (16384, vec![run(0, true)], 0, true),
            (12288, vec![run(0, true)], 0, true),
            (12287, vec![run(0, true)], 0, false),
            (12289, vec![run(0, true)], 1, true),
            (12288, vec![run(0, true)], 1, false),
            (0, vec![run(0, false)], 1, true),
            (12288, vec![run(0, true), run(4, false)], 0, true),
            ((1 << 44) - 4096, vec![], 0, true),
            ((1 << 44) - 4095, vec![], 0, false),
        ] {
            inode.set_size(size);
            let mapping = Mapping { runs, index_blocks: vec![Block(99); index_blocks] };
            assert_eq!(problem_of_size(&inode, &mapping, 4096).is_none(), is_right, "{size} {mapping:?}");
        }
        // Journals of old e2fsprogs are lists with a block too much.
        inode.i_flags = 0;
        inode.set_size(12288);
        let mapping = Mapping { runs: vec![run(0, true)], index_blocks: vec![Block(99)] };
        assert_eq!(problem_of_size(&inode, &mapping, 4096), None);
    }
}
