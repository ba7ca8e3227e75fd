//! Mounts the root file system.

use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use thiserror::Error;

use super::disks::BlockDevice;
use super::request::RootRequest;
use crate::root::Root;

/// Why the root file system is not mounted.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum RootMountError {
    #[error("{} is read-only, but the command line asks for rw; give ro, or attach the disk writable", device.display())]
    ReadOnlyDisk { device: PathBuf },
    #[error("the file system of {} can only be read, but the command line asks for rw: {reason}", device.display())]
    ReadOnlyFileSystem { device: PathBuf, reason: String },
    #[error(
        "{} has ext4, and this kernel has no driver for it: ext4 is neither in this initramfs nor in the kernel",
        device.display()
    )]
    NoExt4 { device: PathBuf },
    #[error("{} has no file system that the kernel mounts{}; it tried {tried}", device.display(), with_flags(flags))]
    Unknown { device: PathBuf, tried: String, flags: String },
    #[error("cannot mount {}{}: {source}", device.display(), with_flags(flags))]
    Mount { device: PathBuf, flags: String, source: Errno },
}

fn with_flags(flags: &str) -> String {
    if flags.is_empty() { String::new() } else { format!(" with rootflags={flags}") }
}

/// A mounted root file system: its type and how it is mounted.
#[derive(Debug)]
pub(super) struct MountedRoot {
    kind: String,
    writable: bool,
}

impl fmt::Display for MountedRoot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {}", self.kind, if self.writable { "rw" } else { "ro" })
    }
}

/// Mounts the root file system on a directory.
pub(super) fn mount_root(
    root: &Root,
    device: &BlockDevice,
    request: &RootRequest,
    target: &str,
) -> Result<MountedRoot, RootMountError> {
    let path = || device.path().to_path_buf();
    if request.writable && device.is_read_only(root) {
        return Err(RootMountError::ReadOnlyDisk { device: path() });
    }
    let (mut flags, data) = split_flags(&request.flags);
    flags.set(MountFlags::RDONLY, !request.writable);
    let data = CString::new(data).unwrap_or_default();
    let known = known_types(&root.text("/proc/filesystems").unwrap_or_default());
    let types = if request.types.is_empty() { &known } else { &request.types };
    for kind in types {
        match mount(device.path(), target, kind.as_str(), flags, Some(data.as_c_str())) {
            Ok(()) => return check_mode(device, request, kind, target),
            // Another file system, or one that the kernel does not have.
            Err(Errno::INVAL | Errno::NODEV) => {}
            Err(Errno::ROFS | Errno::ACCESS) if request.writable => {
                return Err(read_only(path(), "the kernel refuses to write to it"));
            }
            Err(source) => {
                return Err(RootMountError::Mount { device: path(), flags: request.flags.clone(), source });
            }
        }
    }
    if device.superblock().is_some() && !known.iter().any(|kind| kind == "ext4") {
        return Err(RootMountError::NoExt4 { device: path() });
    }
    Err(RootMountError::Unknown { device: path(), tried: types.join(", "), flags: request.flags.clone() })
}

/// A file system with errors may be read-only although it was to be writable.
fn check_mode(
    device: &BlockDevice,
    request: &RootRequest,
    kind: &str,
    target: &str,
) -> Result<MountedRoot, RootMountError> {
    let is_read_only = statvfs(target).is_ok_and(|root| root.f_flag.contains(StatVfsMountFlags::RDONLY));
    if request.writable && is_read_only {
        let _ = unmount(target, UnmountFlags::empty());
        return Err(read_only(device.path().to_path_buf(), "the kernel mounted it read-only"));
    }
    Ok(MountedRoot { kind: kind.to_owned(), writable: !is_read_only })
}

fn read_only(device: PathBuf, what: &str) -> RootMountError {
    let reason = format!("{what}, and its messages say why");
    RootMountError::ReadOnlyFileSystem { device, reason }
}

/// The file systems of `/proc/filesystems` that are on disks, ext4 first.
fn known_types(filesystems: &str) -> Vec<String> {
    let on_disks = filesystems.lines().filter(|line| !line.starts_with("nodev"));
    let mut types: Vec<_> =
        on_disks.map(|line| line.trim().to_owned()).filter(|kind| !kind.is_empty()).collect();
    types.sort_by_key(|kind| kind != "ext4");
    types
}

/// Splits `rootflags=`: options of every file system are flags of mount(2), the rest goes to the file system.
fn split_flags(options: &str) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        flags |= match option {
            "noatime" => MountFlags::NOATIME,
            "nodiratime" => MountFlags::NODIRATIME,
            "relatime" => MountFlags::RELATIME,
            "strictatime" => MountFlags::STRICTATIME,
            "lazytime" => MountFlags::LAZYTIME,
            "sync" => MountFlags::SYNCHRONOUS,
            "dirsync" => MountFlags::DIRSYNC,
            "nosuid" => MountFlags::NOSUID,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            // They are words of their own on the command line.
            "ro" | "rw" | "defaults" => MountFlags::empty(),
            option => {
                data.push(option);
                MountFlags::empty()
            }
        };
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_mount_are_told_from_options_of_the_file_system() {
        let cases = [
            ("", MountFlags::empty(), ""),
            ("noatime,data=journal,ro", MountFlags::NOATIME, "data=journal"),
            ("subvol=/a,,lazytime,nodev", MountFlags::LAZYTIME.union(MountFlags::NODEV), "subvol=/a"),
        ];
        for (options, flags, data) in cases {
            assert_eq!(split_flags(options), (flags, data.to_owned()), "{options}");
        }
    }

    #[test]
    fn ext4_is_tried_first() {
        let text = "nodev\tsysfs\nnodev\tproc\n\text3\n\text2\n\text4\n\tvfat\n";
        assert_eq!(known_types(text), ["ext4", "ext3", "ext2", "vfat"]);
        assert_eq!(known_types("nodev\tsysfs"), [""; 0]);
    }
}
