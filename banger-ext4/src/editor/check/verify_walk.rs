//! Results of a walk of a file system.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use banger_tree::{FileType, RootfsError};
use serde::{Serialize, Serializer};

use crate::editor::disk::Disk;
use crate::editor::disk::groups::{ones, set_bits};
use crate::editor::disk::runs::Mapping;
use crate::format::group_desc::GroupDesc;
use crate::format::{Block, InodeNumber};

/// Number of problems with a text; later ones are only counted.
const PROBLEMS_MAX: usize = 100;

/// What a file system says of itself, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// UUID; in JSON in its usual form.
    #[serde(serialize_with = "uuid_text")]
    pub uuid: [u8; 16],
    /// Bytes of the file system.
    pub size_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Number of inodes.
    pub inodes: u32,
    /// Inodes in use.
    pub used_inodes: u32,
    /// The first hundred problems, one sentence each.
    pub problems: Vec<String>,
    /// Number of all problems.
    pub problem_count: u64,
}

fn uuid_text<S: Serializer>(uuid: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
    let hex = |range: std::ops::Range<usize>| -> String {
        uuid[range].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    serializer.serialize_str(&[hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16)].join("-"))
}

/// What is known of an inode in use.
pub(super) struct Known {
    pub(super) file_type: FileType,
    pub(super) links: u16,
    /// Names that lead to it.
    pub(super) names: u32,
    /// Of a directory: the inode of its `..`, and the number of directories in it.
    pub(super) parent: u32,
    pub(super) directories: Vec<u32>,
}

pub(super) struct VerifyWalk<'a> {
    pub(super) disk: &'a Disk,
    /// Internal files of the file system, which have no name.
    pub(super) nameless: Vec<InodeNumber>,
    /// Left-over inodes without names, and inodes with a pending truncation.
    pub(super) unlinked: BTreeSet<u32>,
    pub(super) report: VerifyReport,
    /// Groups with nothing but metadata of their own, which is in use without being claimed.
    pub(super) plain: HashMap<u32, GroupDesc>,
    /// Blocks that something uses, by group, as a bitmap.
    pub(super) used: HashMap<u32, Vec<u8>>,
    /// Number of blocks that were claimed or read. It is hardly more than the number of all blocks, unless
    /// inodes share blocks.
    pub(super) work: u64,
    pub(super) inodes: HashMap<u32, Known>,
    /// Directories in each group.
    pub(super) directories: HashMap<u32, u64>,
    /// Names by the inode they lead to and the directory they are in, with their type.
    pub(super) names: Vec<(u32, u32, u8)>,
    /// Blocks of xattrs, with how many inodes have them.
    pub(super) xattr_blocks: BTreeMap<Block, u32>,
    /// Inodes that xattrs name for their values, and inodes that hold values.
    pub(super) value_inodes: BTreeSet<u32>,
    pub(super) values: BTreeSet<u32>,
    /// Whether the file system has files of 2 GiB and more.
    pub(super) large_files: bool,
    pub(super) has_imagic: bool,
    pub(super) has_flex_bg: bool,
    /// Whether files may have blocks that others have, too.
    pub(super) has_shared_blocks: bool,
    /// Whether some inodes were not checked.
    pub(super) is_cut_short: bool,
    /// Bad blocks, which nothing uses. What lies in them means nothing.
    pub(super) bad: Mapping,
}

impl VerifyWalk<'_> {
    pub(super) fn problem(&mut self, what: String) {
        self.report.problem_count += 1;
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(what);
        }
    }

    /// Records faults of the image; returns errors of the host.
    pub(super) fn noted<T>(&mut self, result: Result<T, RootfsError>) -> Result<Option<T>, RootfsError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(RootfsError::Corrupt { damage, .. }) => {
                self.problem(damage.to_string());
                Ok(None)
            }
            Err(RootfsError::Unsupported { reason, .. } | RootfsError::Unreadable { reason, .. }) => {
                self.problem(reason);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes blocks as used by `user`.
    pub(super) fn claim(&mut self, user: &dyn Fn() -> String, start: Block, count: u64) {
        let shared = self.mark(user, start, count);
        self.shared(user, start, shared);
    }

    /// Takes blocks down as in use; returns how many were already.
    pub(super) fn mark(&mut self, user: &dyn Fn() -> String, start: Block, count: u64) -> u64 {
        self.work = self.work.saturating_add(count);
        let volume = &self.disk.volume;
        let (mut next, end) = (start.0, start.0.saturating_add(count));
        let mut shared = 0;
        while next < end {
            let Some((group, at)) = volume.group_of(Block(next)) else {
                self.problem(format!("{} refers to block {next}, which there is not", user()));
                return shared;
            };
            let len = (end - next).min(volume.blocks_of(group) - at);
            let bitmap = self.used.entry(group).or_insert_with(|| match self.plain.get(&group) {
                Some(desc) => volume.empty_block_bitmap(group, desc),
                None => vec![0; volume.block_size],
            });
            shared += ones(bitmap, at..at + len);
            set_bits(bitmap, at..at + len, true);
            next += len;
        }
        shared
    }

    pub(super) fn shared(&mut self, user: &dyn Fn() -> String, start: Block, shared: u64) {
        if shared > 0 && !self.has_shared_blocks {
            let (what, start) = (user(), start.0);
            self.problem(format!("{what} has {shared} blocks, from {start} on, that something else has too"));
        }
    }
}
