//! The known features of a file system: which can be read, and which can be edited.
//!
//! `docs/ext4.md` has the same as a table.

use super::obstacle::Obstacle;
use crate::format::superblock::{Superblock, compat, incompat, ro_compat};

/// The possible operations on a file system with a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Support {
    /// It is read and edited.
    Edited,
    /// It is read; why it is not edited.
    Read(&'static str),
    /// It is read; why it is not edited, and what to do.
    ReadUnless(&'static str, &'static str),
    /// It is not read; why not.
    Refused(&'static str),
}

use Support::{Edited, Read, ReadUnless, Refused};

type Table = [(u32, &'static str, Support)];

/// Compatible features: one who does not know them may write.
const COMPAT: [(u32, &str); 10] = [
    (compat::DIR_PREALLOC, "dir_prealloc"),
    (compat::IMAGIC_INODES, "imagic_inodes"),
    (compat::HAS_JOURNAL, "has_journal"),
    (compat::EXT_ATTR, "ext_attr"),
    (compat::RESIZE_INODE, "resize_inode"),
    (compat::DIR_INDEX, "dir_index"),
    (compat::SPARSE_SUPER2, "sparse_super2"),
    (compat::FAST_COMMIT, "fast_commit"),
    (compat::STABLE_INODES, "stable_inodes"),
    (compat::ORPHAN_FILE, "orphan_file"),
];

/// Incompatible features; others are not known here.
const INCOMPAT: [(u32, &str, Support); 17] = [
    (0x1, "compression", Refused("no current kernel reads it either")),
    (incompat::FILETYPE, "filetype", Edited),
    (incompat::RECOVER, "needs_recovery", Edited),
    (incompat::JOURNAL_DEV, "journal_dev", Refused("it is the journal of another file system")),
    (incompat::META_BG, "meta_bg", Edited),
    (incompat::EXTENTS, "extent", Edited),
    (incompat::BIT64, "64bit", Edited),
    (incompat::MMP, "mmp", Edited),
    (incompat::FLEX_BG, "flex_bg", Edited),
    (incompat::EA_INODE, "ea_inode", Edited),
    (0x1000, "dirdata", Refused("only Lustre reads it")),
    (incompat::CSUM_SEED, "metadata_csum_seed", Edited),
    (incompat::LARGE_DIR, "large_dir", Edited),
    (incompat::INLINE_DATA, "inline_data", Edited),
    (incompat::ENCRYPT, "encrypt", Edited),
    (incompat::CASEFOLD, "casefold", Edited),
    (0x4_0000, "incompatible feature 18", Refused("it is not known here")),
];

/// Read-only compatible features; who does not know others must not write.
const RO_COMPAT: [(u32, &str, Support); 17] = [
    (ro_compat::SPARSE_SUPER, "sparse_super", Edited),
    (ro_compat::LARGE_FILE, "large_file", Edited),
    (ro_compat::HUGE_FILE, "huge_file", Edited),
    (ro_compat::GDT_CSUM, "uninit_bg", Edited),
    (ro_compat::DIR_NLINK, "dir_nlink", Edited),
    (ro_compat::EXTRA_ISIZE, "extra_isize", Edited),
    (ro_compat::METADATA_CSUM, "metadata_csum", Edited),
    (0x80, "has_snapshot", Read("its snapshots would change with it")),
    (
        ro_compat::QUOTA,
        "quota",
        ReadUnless(
            "its quota files would become wrong",
            "remove them with tune2fs -O ^quota; -O quota counts again",
        ),
    ),
    (
        ro_compat::BIGALLOC,
        "bigalloc",
        ReadUnless("clusters of several blocks are only read here", "mount it to change it"),
    ),
    (0x800, "replica", Read("it is a replica")),
    (0x1000, "read-only", ReadUnless("it is marked so", "remove the mark with tune2fs -O ^read-only")),
    (ro_compat::PROJECT, "project", Edited),
    (
        ro_compat::SHARED_BLOCKS,
        "shared_blocks",
        ReadUnless("its files share blocks", "make copies with e2fsck -E unshare_blocks"),
    ),
    (ro_compat::VERITY, "verity", Edited),
    (ro_compat::ORPHAN_PRESENT, "orphan_present", Edited),
    (0x4, "btree_dir", Read("it is not known here")),
];

/// The result for all features and the state of a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Why it cannot even be read.
    pub(crate) unreadable: Option<Obstacle>,
    /// Why it cannot be edited, the first reason.
    pub(crate) uneditable: Option<Obstacle>,
    /// What one who reads it should know.
    pub(crate) notes: Vec<String>,
}

impl Verdict {
    fn refuse_to_read(&mut self, reason: String) {
        self.unreadable.get_or_insert(reason.into());
    }

    fn refuse_to_edit(&mut self, obstacle: impl Into<Obstacle>) {
        self.uneditable.get_or_insert(obstacle.into());
    }

    fn look_up(&mut self, bits: u32, table: &Table, kind: &str) {
        for (_, name, support) in table.iter().filter(|(bit, ..)| bits & bit != 0) {
            match support {
                Edited => {}
                Read(reason) => self.refuse_to_edit(format!("it has the feature {name}: {reason}")),
                ReadUnless(reason, advice) => self.refuse_to_edit(
                    Obstacle::new(format!("it has the feature {name}: {reason}")).with_advice(*advice),
                ),
                Refused(reason) => self.refuse_to_read(format!("it has the {kind} {name}: {reason}")),
            }
        }
    }
}

/// Returns the names of features, and the bits of features without a name.
pub(crate) fn names_of_features(bits: u32, known: &[(u32, &str)]) -> String {
    let mut names: Vec<String> =
        known.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect();
    let unnamed = known.iter().fold(bits, |rest, (bit, _)| rest & !bit);
    if unnamed != 0 {
        names.push(format!("{unnamed:#x}"));
    }
    names.join(", ")
}

/// Returns the features by the names of mke2fs, and those without a name as `dumpe2fs` prints them.
pub(crate) fn feature_names(superblock: &Superblock) -> Vec<String> {
    let compat = COMPAT.iter().copied();
    let of = |table: &'static Table| table.iter().map(|(bit, name, _)| (*bit, *name));
    let mut names = named_bits(superblock.s_feature_compat, compat, 'C');
    names.extend(named_bits(superblock.s_feature_incompat, of(&INCOMPAT), 'I'));
    names.extend(named_bits(superblock.s_feature_ro_compat, of(&RO_COMPAT), 'R'));
    names
}

fn named_bits(bits: u32, table: impl Iterator<Item = (u32, &'static str)>, kind: char) -> Vec<String> {
    let mut unnamed = bits;
    let mut names = Vec::new();
    for (bit, name) in table.filter(|(bit, _)| bits & bit != 0) {
        names.push(name.to_owned());
        unnamed &= !bit;
    }
    let bits = (0..u32::BITS).filter(|bit| unnamed & 1 << bit != 0);
    names.extend(bits.map(|bit| format!("FEATURE_{kind}{bit}")));
    names
}

fn unknown_of(bits: u32, table: &Table) -> u32 {
    table.iter().fold(bits, |rest, (bit, ..)| rest & !bit)
}

/// Returns the possible operations on a file system with these features.
pub(crate) fn verdict_of(superblock: &Superblock) -> Verdict {
    let mut verdict = Verdict::default();
    let incompat = superblock.s_feature_incompat;
    verdict.look_up(incompat, &INCOMPAT, "incompatible feature");
    let unknown = unknown_of(incompat, &INCOMPAT);
    if unknown != 0 {
        verdict
            .refuse_to_read(format!("it has the incompatible feature {unknown:#x}, which is not known here"));
    }
    let ro_compat = superblock.s_feature_ro_compat;
    verdict.look_up(ro_compat, &RO_COMPAT, "feature");
    let unknown = unknown_of(ro_compat, &RO_COMPAT);
    if unknown != 0 {
        let reason = format!("it has the read-only compatible feature {unknown:#x}, which is not known here");
        verdict.notes.push(format!("{reason}; what is read may lack what the feature adds"));
        verdict.refuse_to_edit(reason);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_the_names_of_mke2fs() {
        let superblock = Superblock {
            s_feature_compat: compat::HAS_JOURNAL | compat::ORPHAN_FILE | 1 << 30,
            s_feature_incompat: incompat::EXTENTS | incompat::BIT64,
            s_feature_ro_compat: ro_compat::METADATA_CSUM,
            ..Superblock::zeroed()
        };
        let want = ["has_journal", "orphan_file", "FEATURE_C30", "extent", "64bit", "metadata_csum"];
        assert_eq!(feature_names(&superblock), want);
    }

    #[test]
    fn each_bit_has_one_line() {
        for table in [&INCOMPAT[..], &RO_COMPAT] {
            let all = table.iter().fold(0, |all, (bit, name, _)| {
                assert!(bit.is_power_of_two() && all & bit == 0, "{name}");
                all | bit
            });
            assert_eq!(unknown_of(u32::MAX, table), !all);
        }
    }
}
