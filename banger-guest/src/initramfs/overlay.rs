//! A root whose changes are in memory: an overlay of a tmpfs over a file system that is only read.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use thiserror::Error;

/// Where the file system that is only read is mounted.
pub(super) const LOWER: &str = "/banger/lower";

/// Where the tmpfs is mounted. The overlay needs two directories of one file system.
const MEMORY: &str = "/banger/memory";
const UPPER: &str = "/banger/memory/upper";
const WORK: &str = "/banger/memory/work";

/// A step to the overlay failed.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the root file system cannot be covered by memory: {step}: {source}{}", hint(step, *source))]
pub(super) struct OverlayError {
    step: &'static str,
    source: Errno,
}

fn hint(step: &str, source: Errno) -> &'static str {
    match (step, source) {
        ("mount overlay", Errno::NODEV) => "; overlay is neither in this initramfs nor in the kernel",
        _ => "",
    }
}

/// Makes the directory for the lower file system.
pub(super) fn make_lower() -> Result<(), OverlayError> {
    make_directory(LOWER)
}

/// Mounts on `target` the file system on [`LOWER`] with a tmpfs over it.
pub(super) fn cover(target: &str) -> Result<(), OverlayError> {
    let failed = |step| move |source| OverlayError { step, source };
    make_directory(MEMORY)?;
    mount("tmpfs", MEMORY, "tmpfs", MountFlags::empty(), Some(c"mode=0700"))
        .map_err(failed("mount tmpfs"))?;
    make_directory(UPPER)?;
    make_directory(WORK)?;
    // The root directory of the overlay has the attributes of the upper one.
    copy_attributes(Path::new(LOWER), Path::new(UPPER))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
        .map_err(failed("the attributes of /"))?;
    let options = std::ffi::CString::new(format!("lowerdir={LOWER},upperdir={UPPER},workdir={WORK}"));
    let options = options.map_err(|_| Errno::INVAL).map_err(failed("mount overlay"))?;
    mount("overlay", target, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        .map_err(failed("mount overlay"))?;
    // The overlay keeps both; their own mounts would be out of reach.
    for place in [LOWER, MEMORY] {
        unmount(place, UnmountFlags::DETACH).map_err(failed("unmount"))?;
    }
    Ok(())
}

fn make_directory(path: &str) -> Result<(), OverlayError> {
    let made = DirBuilder::new().mode(0o755).recursive(true).create(path);
    made.map_err(|error| OverlayError {
        step: "make a directory",
        source: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })
}

fn copy_attributes(from: &Path, to: &Path) -> std::io::Result<()> {
    let metadata = std::fs::metadata(from)?;
    chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    std::fs::set_permissions(to, PermissionsExt::from_mode(metadata.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_directory_keeps_its_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        for (path, mode) in [(&from, 0o1751), (&to, 0o700)] {
            std::fs::create_dir(path).expect("a directory");
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it has a mode");
        }
        copy_attributes(&from, &to).expect("it is possible");
        assert_eq!(std::fs::metadata(&to).expect("it is there").mode() & 0o7777, 0o1751);
    }

    #[test]
    fn a_kernel_without_overlay_is_named() {
        let error = OverlayError { step: "mount overlay", source: Errno::NODEV };
        assert!(error.to_string().ends_with("overlay is neither in this initramfs nor in the kernel"));
        let error = OverlayError { step: "mount tmpfs", source: Errno::NODEV };
        assert!(!error.to_string().contains("overlay is"), "{error}");
    }
}
