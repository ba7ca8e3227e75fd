//! The difference between two root file systems, as a layer.

use std::io::Write;

use banger_tree::{FileType, GuestPath, Stat};

use super::failure::DiffFailure;
use super::left_out::LeftOut;
use super::links::changed_links;
use super::names::{names_of, too_long};
use crate::rootfs::pair::{Pair, PairNames, has_same_attributes};
use crate::rootfs::tar::{RootfsTar, is_whiteout};
use crate::rootfs::{TarReport, WalkedDirs};

/// Writes the changes from the base to the disk as a layer: entries for new and changed paths and for directories
/// above them, whiteouts for paths that are gone. If one name of a file with hard links changed, the layer has all its
/// names: a layer never links to a file of a lower one.
pub(super) fn write_diff(
    pair: Pair<'_>,
    left_out: &LeftOut,
    output: &mut dyn Write,
) -> Result<TarReport, DiffFailure> {
    let root = GuestPath::root();
    let mut walk = DiffWalk {
        pair,
        left_out,
        changed_links: changed_links(pair, left_out)?,
        tar: RootfsTar::new(pair.new, output, pair.cancellation),
        walked: WalkedDirs::default(),
        stack: Vec::new(),
    };
    let (base, disk) = (pair.old_stat(&root)?, pair.new_stat(&root)?);
    let is_changed = !has_same_attributes(&base, &disk);
    // Entries in it do not need an entry of the root.
    walk.enter(root, disk, true, !is_changed)?;
    if is_changed {
        walk.write_directories()?;
    }
    while let Some(dir) = walk.stack.last_mut() {
        match dir.names.pop_first() {
            Some((name, (base, disk))) => walk.name(&name, base.is_some(), disk.is_some())?,
            None => drop(walk.stack.pop()),
        }
    }
    Ok(walk.tar.finish()?)
}

struct DiffWalk<'a> {
    pair: Pair<'a>,
    left_out: &'a LeftOut,
    /// Inodes of the disk with several names, of which the layer has all names.
    changed_links: std::collections::HashSet<u64>,
    tar: RootfsTar<'a, &'a mut dyn Write>,
    walked: WalkedDirs,
    /// The directories from the root to the current one.
    stack: Vec<OpenDirectory>,
}

/// A directory of the disk, with the names that are left.
struct OpenDirectory {
    path: GuestPath,
    stat: Stat,
    names: PairNames,
    /// Whether the layer has its entry, or does not need it.
    is_written: bool,
}

impl DiffWalk<'_> {
    /// Opens a directory of the disk. Names of the base count if it is a directory there, too.
    fn enter(
        &mut self,
        path: GuestPath,
        stat: Stat,
        is_in_base: bool,
        is_written: bool,
    ) -> Result<(), DiffFailure> {
        self.walked.enter(stat.inode, &path).map_err(DiffFailure::Disk)?;
        let mut names = names_of(self.pair, self.left_out, &path, is_in_base)?;
        let gone = names.values().filter(|(base, disk)| base.is_some() && disk.is_none()).count();
        let stays = names.values().any(|(base, disk)| base.is_some() && disk.is_some());
        let is_opaque = gone > 1 && !stays && !path.is_root();
        if is_opaque {
            names.retain(|_, (_, disk)| disk.is_some());
        }
        self.stack.push(OpenDirectory { path: path.clone(), stat, names, is_written });
        if is_opaque {
            self.write_directories()?;
            self.tar.opaque(&path)?;
        }
        Ok(())
    }

    /// Compares one name of the current directory.
    fn name(&mut self, name: &[u8], is_in_base: bool, is_on_disk: bool) -> Result<(), DiffFailure> {
        let dir = self.stack.last().expect("a name has a directory").path.clone();
        let path = dir.join(name).map_err(too_long)?;
        let base = if is_in_base { Some(self.pair.old_stat(&path)?) } else { None };
        let disk = if is_on_disk { Some(self.pair.new_stat(&path)?) } else { None };
        let is_same = match (&base, &disk) {
            (Some(base), Some(disk)) => self.is_same(&path, base, disk)?,
            _ => false,
        };
        if is_same && disk.as_ref().is_some_and(|disk| disk.file_type != FileType::Directory) {
            return Ok(());
        }
        match disk.filter(|disk| self.tar.can_have(&path, disk)) {
            None if base.is_none() || is_whiteout(name) => Ok(()),
            None => {
                self.write_directories()?;
                Ok(self.tar.whiteout(&dir, name)?)
            }
            Some(disk) if disk.file_type == FileType::Directory => {
                let is_in_base = base.is_some_and(|base| base.file_type == FileType::Directory);
                self.enter_changed(path, disk, is_in_base, is_same)
            }
            Some(disk) => {
                self.write_directories()?;
                Ok(self.tar.entry(&path, &disk)?)
            }
        }
    }

    fn enter_changed(
        &mut self,
        path: GuestPath,
        disk: Stat,
        is_in_base: bool,
        is_same: bool,
    ) -> Result<(), DiffFailure> {
        self.enter(path, disk, is_in_base, false)?;
        if is_same { Ok(()) } else { self.write_directories() }
    }

    fn is_same(&self, path: &GuestPath, base: &Stat, disk: &Stat) -> Result<bool, DiffFailure> {
        let is_file = disk.file_type != FileType::Directory;
        if is_file && (base.nlink > 1 || disk.nlink > 1) {
            return Ok(!self.changed_links.contains(&disk.inode));
        }
        Ok(self.pair.is_same(path, base, disk)?)
    }

    /// Writes the entries of the open directories that the layer does not have.
    fn write_directories(&mut self) -> Result<(), DiffFailure> {
        for dir in self.stack.iter_mut().filter(|dir| !dir.is_written) {
            self.tar.entry(&dir.path, &dir.stat)?;
            dir.is_written = true;
        }
        Ok(())
    }
}
