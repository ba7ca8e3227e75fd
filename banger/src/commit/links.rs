//! Files with several names: a layer has all names of such a file, or none.

use std::collections::{HashMap, HashSet};

use banger_tree::{FileType, GuestPath, Stat};

use super::failure::DiffFailure;
use super::left_out::LeftOut;
use super::names::{names_of, too_long};
use crate::rootfs::WalkedDirs;
use crate::rootfs::pair::Pair;

/// Returns the inodes of the disk of which a layer must have all names. It is one of:
/// - a name is new, or its file changed;
/// - its names lead to different inodes of the base;
/// - another inode of the disk has a name of the same inode of the base.
pub(super) fn changed_links(pair: Pair<'_>, left_out: &LeftOut) -> Result<HashSet<u64>, DiffFailure> {
    let mut links = Links { pair, base_of: HashMap::new(), disk_of: HashMap::new(), changed: HashSet::new() };
    let mut walked = WalkedDirs::default();
    let mut pending = vec![(GuestPath::root(), true)];
    while let Some((dir, is_in_base)) = pending.pop() {
        walked.enter(pair.new_stat(&dir)?.inode, &dir).map_err(DiffFailure::Disk)?;
        for (name, (base, disk)) in names_of(pair, left_out, &dir, is_in_base)? {
            let Some(entry) = disk else { continue };
            let path = dir.join(&name).map_err(too_long)?;
            let is_dir = entry.file_type == FileType::Directory;
            let base = match base {
                // Only the type matters of a directory.
                Some(base) if is_dir => {
                    pending.push((path, base.file_type == FileType::Directory));
                    continue;
                }
                None if is_dir => {
                    pending.push((path, false));
                    continue;
                }
                Some(_) => Some(pair.old_stat(&path)?),
                None => None,
            };
            let disk = pair.new_stat(&path)?;
            if disk.nlink > 1 || base.as_ref().is_some_and(|base| base.nlink > 1) {
                links.name(&path, base.as_ref(), &disk)?;
            }
        }
    }
    Ok(links.changed)
}

struct Links<'a> {
    pair: Pair<'a>,
    /// The inode of the base that an inode of the disk was, and whether it is the same still.
    base_of: HashMap<u64, (u64, bool)>,
    /// The first inode of the disk that has a name of an inode of the base.
    disk_of: HashMap<u64, u64>,
    changed: HashSet<u64>,
}

impl Links<'_> {
    fn name(&mut self, path: &GuestPath, base: Option<&Stat>, disk: &Stat) -> Result<(), DiffFailure> {
        let is_kept = match base {
            Some(base) if base.file_type != FileType::Directory => {
                let is_first = *self.disk_of.entry(base.inode).or_insert(disk.inode) == disk.inode;
                let (known, is_same) = match self.base_of.get(&disk.inode) {
                    Some(known) => *known,
                    // All names have the same bytes: they are compared once.
                    None => (base.inode, self.pair.is_same(path, base, disk)?),
                };
                self.base_of.insert(disk.inode, (known, is_same));
                is_first && is_same && known == base.inode
            }
            _ => false,
        };
        if !is_kept {
            self.changed.insert(disk.inode);
        }
        Ok(())
    }
}
