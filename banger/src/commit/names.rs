//! The names of a directory, in the base and on the disk.

use std::collections::BTreeMap;

use banger_tree::{DirEntry, GuestPath, Rootfs};

use super::failure::DiffFailure;
use super::left_out::LeftOut;
use super::same::{Pair, too_long};
use crate::rootfs::EditError;

/// The names of a directory, each with its entry in the base and on the disk.
pub(super) type Names = BTreeMap<Vec<u8>, (Option<DirEntry>, Option<DirEntry>)>;

/// Returns the names of a directory that a layer may have.
pub(super) fn names_of(
    pair: Pair<'_>,
    left_out: &LeftOut,
    dir: &GuestPath,
    is_in_base: bool,
) -> Result<Names, DiffFailure> {
    let read = |rootfs: &dyn Rootfs| rootfs.read_dir(dir).map_err(EditError::from);
    let mut names = Names::new();
    for entry in read(pair.disk).map_err(DiffFailure::Disk)? {
        let name = entry.name.clone();
        names.entry(name).or_default().1 = Some(entry);
    }
    if is_in_base {
        for entry in read(pair.base).map_err(DiffFailure::Base)? {
            let name = entry.name.clone();
            names.entry(name).or_default().0 = Some(entry);
        }
    }
    let mut failure = None;
    names.retain(|name, _| match dir.join(name) {
        Ok(path) => !left_out.contains(&path),
        Err(error) => {
            failure = Some(error);
            true
        }
    });
    failure.map_or(Ok(names), |error| Err(too_long(error)))
}
