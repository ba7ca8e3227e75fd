//! The space that files take in an ext4 file.

use std::collections::BTreeSet;
use std::str::FromStr;

use banger_ext4::Ext4Editor;
use banger_tree::{Cancellation, DirEntry, FileType, GuestPath, Rootfs as _};
use serde::Serialize;

use super::edit::{Operand, WalkedDirs};
use super::error::EditError;
use super::look::View;
use super::tar::{join, stat};

/// Which lines are reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageDetail {
    /// One for each path that was asked for.
    Summary,
    /// One for each directory.
    #[default]
    Directories,
    /// One for each file and directory.
    All,
}

impl FromStr for UsageDetail {
    type Err = String;

    /// Parses `summary`, `directories` or `all`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "summary" => Ok(Self::Summary),
            "directories" => Ok(Self::Directories),
            "all" => Ok(Self::All),
            _ => Err("it is \"summary\", \"directories\" or \"all\"".to_owned()),
        }
    }
}

/// The space that a path takes, with all that is below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PathUsage {
    /// The path.
    pub path: GuestPath,
    /// Allocated bytes.
    pub allocated_bytes: u64,
}

/// The space that paths take. Its JSON form is the output of `banger rootfs du --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UsageReport {
    /// The paths, each behind those below it.
    pub paths: Vec<PathUsage>,
    /// Allocated bytes of all paths that were asked for together.
    pub total_bytes: u64,
}

struct OpenDirectory {
    path: GuestPath,
    allocated_bytes: u64,
    entries: std::vec::IntoIter<DirEntry>,
}

/// Returns the space that `paths` take. A file with several hard links counts once, at the first of them, and so does
/// a path that is named twice. Symlinks are not followed.
///
/// # Errors
/// A path does not exist, the file system is damaged, or the caller asks to stop.
pub fn disk_usage(
    rootfs: &Ext4Editor,
    paths: &[Operand],
    detail: UsageDetail,
    cancellation: &Cancellation,
) -> Result<UsageReport, EditError> {
    let view = View::new(rootfs)?;
    let mut report = UsageReport::default();
    let mut counted = BTreeSet::new();
    for operand in paths {
        let top = view.operand(operand)?;
        // An error that says what to do.
        view.entry(&top)?;
        let allocated_bytes = usage_of(rootfs, &top, detail, cancellation, &mut counted, &mut report.paths)?;
        report.total_bytes = report.total_bytes.saturating_add(allocated_bytes);
        if detail == UsageDetail::Summary {
            report.paths.push(PathUsage { path: top, allocated_bytes });
        }
    }
    Ok(report)
}

/// Returns the space of one path, and adds the lines of a detail that is no summary.
fn usage_of(
    rootfs: &Ext4Editor,
    top: &GuestPath,
    detail: UsageDetail,
    cancellation: &Cancellation,
    counted: &mut BTreeSet<u64>,
    lines: &mut Vec<PathUsage>,
) -> Result<u64, EditError> {
    let mut walked = WalkedDirs::default();
    let mut stack: Vec<OpenDirectory> = Vec::new();
    let mut next = Some(top.clone());
    loop {
        let (path, allocated_bytes, is_shown) = match next.take() {
            Some(path) => {
                let found = stat(rootfs, &path, cancellation)?;
                let is_new = counted.insert(found.inode);
                let allocated_bytes = if is_new { rootfs.allocated_bytes(&path)? } else { 0 };
                if found.file_type == FileType::Directory && is_new {
                    walked.enter(found.inode, &path)?;
                    let entries = rootfs.read_dir(&path)?.into_iter();
                    stack.push(OpenDirectory { path, allocated_bytes, entries });
                    next = next_name(&mut stack)?;
                    continue;
                }
                // As du prints a file that it was asked for.
                let is_asked_for = detail == UsageDetail::Directories && stack.is_empty();
                (path, allocated_bytes, is_new && (detail == UsageDetail::All || is_asked_for))
            }
            None => {
                let done = stack.pop().expect("the walk ends with its top");
                (done.path, done.allocated_bytes, detail != UsageDetail::Summary)
            }
        };
        if is_shown {
            lines.push(PathUsage { path, allocated_bytes });
        }
        let Some(above) = stack.last_mut() else { return Ok(allocated_bytes) };
        above.allocated_bytes = above.allocated_bytes.saturating_add(allocated_bytes);
        next = next_name(&mut stack)?;
    }
}

/// Returns the next path in the current directory.
fn next_name(stack: &mut [OpenDirectory]) -> Result<Option<GuestPath>, EditError> {
    let next = stack.last_mut().and_then(|dir| dir.entries.next().map(|entry| (&dir.path, entry)));
    next.map(|(dir, entry)| join(dir, &entry.name)).transpose()
}
