//! The directories for state and cache.

use std::fs::File;
use std::io::{self, Write as _};

use banger_ext4::shares_blocks;
use camino::Utf8Path;
use rustix::fs::statvfs;

use super::host::DoctorHost;
use super::item::{DoctorItem, DoctorStatus};
use crate::kernel::KernelStore;
use crate::store::{ImageStore, StoreError};

/// Less free space than this holds few images.
const LITTLE_SPACE_BYTES: u64 = 2 << 30;
const STATE: &str = "images and kernels";
const CACHE: &str = "downloaded layers";

/// Returns whether the directories can be used.
pub(super) fn directories(host: &DoctorHost) -> Vec<DoctorItem> {
    let dirs = &host.dirs;
    let mut items = vec![
        writable("state directory", &dirs.state, STATE, "XDG_STATE_HOME"),
        writable("cache directory", &dirs.cache, CACHE, "XDG_CACHE_HOME"),
    ];
    if items[0].status == DoctorStatus::Ok
        && let Err(error) = stores(&dirs.state)
    {
        let advice = banger_tree::Failure::advice(&error).map(|advice| advice.to_string());
        let item = DoctorItem::new("state directory", DoctorStatus::Unusable, error.to_string(), STATE);
        items[0] = DoctorItem { advice, ..item };
    }
    items
}

/// Lists the stores: they refuse directories that other users can write to.
fn stores(state: &Utf8Path) -> Result<(), StoreError> {
    ImageStore::new(state).list()?;
    KernelStore::new(state).list()?;
    Ok(())
}

/// Makes a file without a name in the directory, or in the one in which it will be made.
fn writable(
    name: &'static str,
    directory: &Utf8Path,
    needed_for: &'static str,
    variable: &'static str,
) -> DoctorItem {
    let place = existing(directory);
    let item = |status, found: String| DoctorItem::new(name, status, found, needed_for);
    if let Err(error) = tempfile::tempfile_in(place) {
        return item(DoctorStatus::Unusable, format!("cannot write to {place}: {error}"))
            .with_advice(format!("set {variable} to a directory that you can write to"));
    }
    let missing = if place == directory { "" } else { " (not made yet)" };
    match free_bytes(place) {
        Ok(free) => {
            let text = format!("{directory}{missing}, {} MiB free", free >> 20);
            let item = item(DoctorStatus::Ok, text);
            match free < LITTLE_SPACE_BYTES {
                true => item.with_advice("there is little space: `banger image cache prune` frees some"),
                false => item,
            }
        }
        Err(error) => item(DoctorStatus::Ok, format!("{directory}{missing}, free space unknown: {error}")),
    }
}

/// Returns the directory, or the nearest one above it that exists.
fn existing(directory: &Utf8Path) -> &Utf8Path {
    directory.ancestors().find(|place| place.is_dir()).unwrap_or(directory)
}

fn free_bytes(directory: &Utf8Path) -> io::Result<u64> {
    let state = statvfs(directory.as_std_path())?;
    Ok(state.f_bavail.saturating_mul(state.f_frsize))
}

/// Returns whether copies of images can share blocks: by sharing those of a file.
pub(super) fn reflink(host: &DoctorHost) -> DoctorItem {
    let place = existing(&host.dirs.state);
    let needed_for = "clones and exports that take no time and no space; without it they are copied";
    let item = |status, found: &str| DoctorItem::new("reflinks", status, found, needed_for);
    match shares(place) {
        Ok(true) => item(DoctorStatus::Ok, &format!("the file system of {place} shares blocks")),
        Ok(false) => item(DoctorStatus::Missing, &format!("the file system of {place} cannot share blocks"))
            .with_advice("set XDG_STATE_HOME to a directory on btrfs, XFS or bcachefs"),
        Err(error) => item(DoctorStatus::Unusable, &format!("cannot write to {place}: {error}")),
    }
}

fn shares(directory: &Utf8Path) -> io::Result<bool> {
    let file = || -> io::Result<File> { tempfile::tempfile_in(directory) };
    let (mut from, to) = (file()?, file()?);
    from.write_all(&[1; 64 << 10])?;
    Ok(shares_blocks(&from, &to))
}
