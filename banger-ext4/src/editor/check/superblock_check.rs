//! Faults of a superblock that do not prevent reads and writes.

use crate::editor::disk::features::names_of_features;
use crate::format::inode::is_extra_isize;
use crate::format::superblock::{Superblock, compat, ro_compat};

/// Existing compatible features. Other bits are damage.
const KNOWN_COMPAT: u32 = compat::DIR_PREALLOC
    | compat::IMAGIC_INODES
    | compat::HAS_JOURNAL
    | compat::EXT_ATTR
    | compat::RESIZE_INODE
    | compat::DIR_INDEX
    | compat::SPARSE_SUPER2
    | compat::FAST_COMMIT
    | compat::STABLE_INODES
    | compat::ORPHAN_FILE;

/// Content of a file system that its superblock must declare.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Uses {
    /// Blocks of xattrs.
    pub(crate) xattr_blocks: bool,
    /// Files of 2 GiB and more.
    pub(crate) large_files: bool,
}

/// Returns the faults of the superblock of a file system that has `uses`.
pub(crate) fn problems_of(superblock: &Superblock, uses: Uses) -> Vec<String> {
    let mut problems = Vec::new();
    let mut require = |holds: bool, problem: String| {
        if !holds {
            problems.push(format!("the superblock {problem}"));
        }
    };
    let compat = superblock.s_feature_compat;
    let ro_compat = superblock.s_feature_ro_compat;
    let has = |bit: u32| compat & bit != 0;

    let unknown = compat & !KNOWN_COMPAT;
    require(unknown == 0, format!("has the unknown feature {}", names_of_features(unknown, &[])));
    require(
        !uses.xattr_blocks || has(compat::EXT_ATTR),
        "lacks the feature ext_attr, and there are blocks of xattrs".to_owned(),
    );
    require(
        !uses.large_files || ro_compat & ro_compat::LARGE_FILE != 0,
        "lacks the feature large_file, and there are files of 2 GiB and more".to_owned(),
    );
    let both = ro_compat::GDT_CSUM | ro_compat::METADATA_CSUM;
    require(ro_compat & both != both, "has both of the features uninit_bg and metadata_csum".to_owned());
    require(
        !has(compat::ORPHAN_FILE) || superblock.s_orphan_file_inum != 0,
        "has the feature orphan_file and no such file".to_owned(),
    );
    require(
        superblock.r_blocks_count() <= superblock.blocks_count() / 2,
        format!("keeps {} blocks for root, more than half", superblock.r_blocks_count()),
    );
    for (size, what) in [(superblock.s_min_extra_isize, "least"), (superblock.s_want_extra_isize, "wanted")] {
        require(
            is_extra_isize(size, superblock.s_inode_size.into()),
            format!("has {size} bytes as the {what} size of extra fields of inodes"),
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Superblock {
        let mut superblock = Superblock::decode(&[0; Superblock::SIZE]);
        superblock.set_blocks_count(100);
        superblock.s_inode_size = 256;
        superblock
    }

    #[test]
    fn each_problem_is_told() {
        let none = Uses::default();
        assert_eq!(problems_of(&sound(), none), [""; 0]);
        type Damage = fn(&mut Superblock);
        let cases: [(Damage, Uses, &str); 7] = [
            (|superblock| superblock.s_feature_compat = 0x2040, none, "unknown feature 0x2040"),
            (|_| {}, Uses { xattr_blocks: true, ..none }, "ext_attr"),
            (|_| {}, Uses { large_files: true, ..none }, "large_file"),
            (|superblock| superblock.s_feature_ro_compat = 0x410, none, "uninit_bg and metadata_csum"),
            (|superblock| superblock.s_feature_compat = 0x1000, none, "no such file"),
            (|superblock| superblock.set_r_blocks_count(51), none, "51 blocks for root"),
            (|superblock| superblock.s_want_extra_isize = 30, none, "30 bytes as the wanted size"),
        ];
        for (damage, uses, want) in cases {
            let mut superblock = sound();
            damage(&mut superblock);
            let problems = problems_of(&superblock, uses);
            assert!(problems.len() == 1 && problems[0].contains(want), "{problems:?} lacks {want}");
        }
    }
}
