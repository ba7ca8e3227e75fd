//! The names of a directory, in the base and on the disk.

use banger_tree::{GuestPath, RootfsError};

use super::failure::DiffFailure;
use super::left_out::LeftOut;
use crate::rootfs::pair::{Pair, PairNames};

/// Returns the names of a directory that a layer may have.
pub(super) fn names_of(
    pair: Pair<'_>,
    left_out: &LeftOut,
    dir: &GuestPath,
    is_in_base: bool,
) -> Result<PairNames, DiffFailure> {
    let mut names = pair.names(dir, is_in_base, true)?;
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

/// Returns the failure of a path that is too long.
pub(super) fn too_long(error: banger_tree::PathError) -> DiffFailure {
    DiffFailure::Disk(RootfsError::from(error).into())
}
