//! `grow`: grows the root file system to the size of its block device.

use std::fs::File;
use std::path::PathBuf;

use banger_guest::protocol::{ErrorCode, Grown};
use rustix::fs::{fstat, fstatfs, major, minor};
use rustix::io::Errno;

use super::error::OperationError;
use crate::sys::resize::resize_ext4;

/// `EXT4_SUPER_MAGIC`, as statfs(2) has it.
const EXT4_MAGIC: u64 = 0xef53;

/// The unit of `size` in sysfs, for any sector size of the device.
const SECTOR_BYTES: u64 = 512;

/// Grows the ext4 that `/` is on to the size of its device.
pub(crate) fn grow_root() -> Result<Grown, OperationError> {
    let failed = |what: &str, error: Errno| OperationError::of_io(what, &error.into());
    let root = File::open("/").map_err(|error| OperationError::of_io("/", &error))?;
    let before = fstatfs(&root).map_err(|error| failed("/", error))?;
    if u64::try_from(before.f_type).ok() != Some(EXT4_MAGIC) {
        return Err(OperationError::new(ErrorCode::Unsupported, "the root file system is not ext4"));
    }
    let device = fstat(&root).map_err(|error| failed("/", error))?.st_dev;
    let sysfs = PathBuf::from(format!("/sys/dev/block/{}:{}", major(device), minor(device)));
    // SCSI disks check their size on request; virtio disks do so by themselves.
    let _ = std::fs::write(sysfs.join("device/rescan"), "1");
    let size = sysfs.join("size");
    let sectors: u64 = std::fs::read_to_string(&size)
        .map_err(|error| OperationError::of_io(&size.display().to_string(), &error))?
        .trim()
        .parse()
        .map_err(|_| OperationError::new(ErrorCode::Failed, format!("{}: not a number", size.display())))?;
    let block_bytes = u64::try_from(before.f_bsize).ok().filter(|bytes| *bytes > 0).unwrap_or(4096);
    let device_bytes = sectors.saturating_mul(SECTOR_BYTES);
    resize_ext4(&root, device_bytes / block_bytes).map_err(|error| match error {
        Errno::INVAL => OperationError::new(
            ErrorCode::Invalid,
            format!("the device has only {device_bytes} bytes, less than the file system"),
        ),
        Errno::OPNOTSUPP | Errno::NOTTY => OperationError::new(
            ErrorCode::Unsupported,
            format!("the guest's kernel cannot grow this file system: {error}"),
        ),
        error => failed("growing the root file system", error),
    })?;
    let after = fstatfs(&root).map_err(|error| failed("/", error))?;
    Ok(Grown::default()
        .with_before_bytes(before.f_blocks.saturating_mul(block_bytes))
        .with_after_bytes(after.f_blocks.saturating_mul(block_bytes)))
}
