//! Owners, modes, times, xattrs and devices of a whole file system, put in after the fact.

use std::collections::{HashMap, HashSet};

use banger_tree::{
    AttributeChange, FileType, GuestPath, Metadata, MetadataEntry, MetadataKind, NodeKind, Rootfs,
    RootfsError, Stat,
};
use serde::{Deserialize, Serialize};

/// Paths that a report names at most; all are counted.
const NAMED_MAX: usize = 100;

/// Result of [`apply_ownership`]. Every entry counts once: as changed, unchanged, a further hard link of a
/// counted inode, or a mismatch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OwnershipReport {
    /// Entries of the metadata.
    pub entries: u64,
    /// Inodes with changed attributes, including the remade ones.
    pub changed: u64,
    /// Inodes that had the right attributes already.
    pub unchanged: u64,
    /// Further hard links of an inode that was handled under its first name.
    pub further_names: u64,
    /// Devices, FIFOs and sockets that replaced a placeholder.
    pub remade: u64,
    /// Entries that could not be applied.
    pub mismatches: u64,
    /// The first of these, 100 at most.
    pub first_mismatches: Vec<Mismatch>,
}

/// An entry that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Its path.
    pub path: GuestPath,
    /// Why.
    pub reason: MismatchReason,
}

/// Why an entry could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MismatchReason {
    /// The path does not exist, or a component is not a directory. Entries have real paths, so a symlink in
    /// the place of a directory is not followed.
    Missing,
    /// Another file with content is at the path; it was left alone.
    OtherType,
    /// It is a hard link of an earlier path with other attributes.
    SharedInode,
}

/// Gives every path of `metadata` its mode, owner, time and xattrs.
///
/// An unprivileged copy of a tree leaves a placeholder in the place of a device, FIFO or socket. It is an
/// empty regular file or a wrong special file. This function replaces it. Names that share an inode are
/// handled once, and share the new node too. Missing paths and paths of another type are reported and left
/// alone. The caller commits.
///
/// # Errors
/// The root file system cannot be read or changed.
pub fn apply_ownership(rootfs: &mut dyn Rootfs, metadata: &Metadata) -> Result<OwnershipReport, RootfsError> {
    let mut report = OwnershipReport { entries: metadata.entries.len() as u64, ..Default::default() };
    let remade = remake_nodes(rootfs, metadata)?;
    report.remade = remade.len() as u64;
    // Nothing is made or removed from here on, so that inodes keep their numbers.
    let mut parents = RealDirectories::default();
    let mut done: HashMap<u64, &MetadataEntry> = HashMap::new();
    for entry in &metadata.entries {
        let reason = match parents.stat(rootfs, &entry.path)? {
            None => MismatchReason::Missing,
            Some(stat) if !is_of(&stat, &entry.kind) => MismatchReason::OtherType,
            Some(stat) => match done.insert(stat.inode, entry) {
                Some(first) if first.attributes == entry.attributes => {
                    report.further_names += 1;
                    continue;
                }
                Some(first) => {
                    done.insert(stat.inode, first);
                    MismatchReason::SharedInode
                }
                None => {
                    let is_same = stat.attributes == entry.attributes;
                    if !is_same {
                        rootfs.set_attributes(&entry.path, &AttributeChange::from(&entry.attributes))?;
                    }
                    let counter = match is_same && !remade.contains(&entry.path) {
                        true => &mut report.unchanged,
                        false => &mut report.changed,
                    };
                    *counter += 1;
                    continue;
                }
            },
        };
        report.mismatches += 1;
        if report.first_mismatches.len() < NAMED_MAX {
            report.first_mismatches.push(Mismatch { path: entry.path.clone(), reason });
        }
    }
    Ok(report)
}

/// Makes the special files of `metadata` whose names are held by placeholders; returns their paths.
fn remake_nodes<'a>(
    rootfs: &mut dyn Rootfs,
    metadata: &'a Metadata,
) -> Result<HashSet<&'a GuestPath>, RootfsError> {
    let mut parents = RealDirectories::default();
    let mut wrong = Vec::new();
    for entry in &metadata.entries {
        if let Some(kind) = node_kind(&entry.kind)
            && let Some(stat) = parents.stat(rootfs, &entry.path)?
            && !is_of(&stat, &entry.kind)
            && is_placeholder(&stat)
        {
            wrong.push((entry, kind, stat.inode));
        }
    }
    let mut remade = HashSet::new();
    let mut firsts: HashMap<(u64, MetadataKind), &GuestPath> = HashMap::new();
    for (entry, kind, inode) in wrong {
        rootfs.remove(&entry.path)?;
        let first = *firsts.entry((inode, entry.kind.clone())).or_insert(&entry.path);
        if *first == entry.path {
            rootfs.mknod(&entry.path, &kind, &entry.attributes)?;
        } else {
            rootfs.hard_link(first, &entry.path)?;
        }
        remade.insert(&entry.path);
    }
    Ok(remade)
}

fn is_of(stat: &Stat, kind: &MetadataKind) -> bool {
    let device = match kind {
        MetadataKind::CharDevice { major, minor } | MetadataKind::BlockDevice { major, minor } => {
            Some((*major, *minor))
        }
        _ => None,
    };
    stat.file_type == kind.file_type() && stat.device == device
}

/// Returns whether the file can be replaced without loss: it has no bytes, no entries, no target.
fn is_placeholder(stat: &Stat) -> bool {
    match stat.file_type {
        FileType::Regular => stat.size_bytes == 0,
        FileType::Directory | FileType::Symlink => false,
        FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => true,
    }
}

fn node_kind(kind: &MetadataKind) -> Option<NodeKind> {
    match *kind {
        MetadataKind::CharDevice { major, minor } => Some(NodeKind::CharDevice { major, minor }),
        MetadataKind::BlockDevice { major, minor } => Some(NodeKind::BlockDevice { major, minor }),
        MetadataKind::Fifo => Some(NodeKind::Fifo),
        MetadataKind::Socket => Some(NodeKind::Socket),
        MetadataKind::File | MetadataKind::Directory | MetadataKind::Symlink => None,
    }
}

/// Which paths are directories without a symlink on the way to them, as far as was asked.
#[derive(Default)]
struct RealDirectories(HashMap<GuestPath, bool>);

impl RealDirectories {
    /// Returns the state of exactly `path`.
    fn stat(&mut self, rootfs: &dyn Rootfs, path: &GuestPath) -> Result<Option<Stat>, RootfsError> {
        if let Some(parent) = path.parent() {
            let is_real = match self.0.get(&parent) {
                Some(is_real) => *is_real,
                None => {
                    let is_real = is_real_directory(rootfs, &parent)?;
                    self.0.insert(parent, is_real);
                    is_real
                }
            };
            if !is_real {
                return Ok(None);
            }
        }
        rootfs.stat(path)
    }
}

fn is_real_directory(rootfs: &dyn Rootfs, path: &GuestPath) -> Result<bool, RootfsError> {
    match rootfs.resolve(path) {
        Ok(resolved) => {
            let stat = rootfs.stat(path)?;
            Ok(resolved == *path && stat.is_some_and(|stat| stat.file_type == FileType::Directory))
        }
        Err(RootfsError::NotFound { .. } | RootfsError::NotADirectory { .. } | RootfsError::Symlinks(_)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
