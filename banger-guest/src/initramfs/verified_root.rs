//! Mounts a root file system that dm-verity verifies, with memory over it for changes.

use rustix::io::Errno;

use super::devices;
use super::diagnosis::{self, Failure};
use super::disks::BlockDevice;
use super::modules::Loading;
use super::mount_root::{self, RootMountError};
use super::overlay;
use super::request::{RootRequest, VerifiedRoot};
use super::verity::VerifiedDisk;
use crate::root::Root;

/// Mounts the file system of `data` on `target`; returns how it is mounted. Not a byte of it is used that does not have
/// its hash.
pub(super) fn mount_verified(
    root: &Root,
    data: &BlockDevice,
    verity: &VerifiedRoot,
    request: &RootRequest,
    target: &str,
    loading: &Loading,
) -> Result<String, Failure> {
    // Nobody writes to the disk.
    let request = RootRequest { name: verity.tree.clone(), writable: false, ..request.clone() };
    let tree = devices::wait_for_root(root, &request)
        .map_err(|missing| diagnosis::root_not_found(root, &request, &missing, loading))?;
    let opened = VerifiedDisk::open(root, &verity.root, data, &tree);
    let (disk, device) = opened.map_err(|error| diagnosis::not_verified(&error, loading))?;
    overlay::make_lower().map_err(|error| Failure::new(error.to_string()))?;
    let mounted = mount_root::mount_root(root, &device, &request, overlay::LOWER);
    let mounted = mounted.map_err(|error| match error {
        // The kernel has said which block.
        RootMountError::Mount { source: Errno::IO | Errno::UCLEAN, .. } => {
            diagnosis::not_verified(&disk.changed(), loading)
        }
        error => diagnosis::not_mounted(root, &error, loading),
    })?;
    disk.restart_on_change().map_err(|error| diagnosis::not_verified(&error, loading))?;
    overlay::cover(target).map_err(|error| Failure::new(error.to_string()))?;
    Ok(format!("{mounted}, verified; changes are in memory"))
}
