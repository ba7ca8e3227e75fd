//! Leaves the initramfs: the root file system becomes `/`, and its init process 1.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chdir, chroot};
use thiserror::Error;

use crate::init::console::Console;
use crate::mounts;
use crate::sys::{exec, signal};

/// The inits that the kernel tries, in its order.
const INITS: [&str; 4] = ["/sbin/init", "/etc/init", "/bin/init", "/bin/sh"];

/// No deeper directories are removed: an initramfs of banger has two levels.
const DEPTH_MAX: u32 = 16;

/// A step to the root file system failed.
#[derive(Debug, Error)]
#[error("cannot move to the root file system: {step}: {source}")]
pub(super) struct SwitchError {
    step: &'static str,
    source: Errno,
}

/// Why no init of the root file system runs.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum InitError {
    #[error("cannot start init={init}: {reason}")]
    Requested { init: String, reason: String },
    #[error("the root file system has no init that runs: {tried}; give init= with the path of a program")]
    None { tried: String },
}

/// Makes the file system on a directory `/`, with the mounts of the initramfs in it, and frees the initramfs.
pub(super) fn switch_root(new_root: &str) -> Result<(), SwitchError> {
    let failed = |step| move |source| SwitchError { step, source };
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old_root = openat(CWD, "/", directory, Mode::empty()).map_err(failed("/"))?;
    for target in mounts::EARLY {
        let place = format!("{new_root}{target}");
        let is_directory = std::fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir());
        if !is_directory || mount_move(target, place.as_str()).is_err() {
            // An image may lack the directory. Its init has to mount it then.
            let _ = unmount(target, UnmountFlags::DETACH);
        }
    }
    chdir(new_root).map_err(failed("chdir"))?;
    mount_move(".", "/").map_err(failed("mount"))?;
    chroot(".").map_err(failed("chroot"))?;
    chdir("/").map_err(failed("chdir"))?;
    // The streams are on the node of the initramfs.
    let _ = Console::open();
    // What stays only costs memory.
    let _ = fstat(&old_root).and_then(|metadata| remove_content(&old_root, metadata.st_dev, 0));
    Ok(())
}

/// Empties a directory. Files of other file systems stay.
fn remove_content(directory: &OwnedFd, device: u64, depth: u32) -> Result<(), Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    for (name, kind) in names {
        if kind == FileType::Directory {
            if depth < DEPTH_MAX {
                remove_directory(directory, &name, device, depth)?;
            }
        } else {
            unlinkat(directory, name.as_c_str(), AtFlags::empty())?;
        }
    }
    Ok(())
}

fn remove_directory(parent: impl AsFd, name: &CStr, device: u64, depth: u32) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(&parent, name, flags, Mode::empty())?;
    if fstat(&directory)?.st_dev == device {
        remove_content(&directory, device, depth + 1)?;
        // The new root covers the old one, but some directory may still be a mount point.
        let _ = unlinkat(&parent, name, AtFlags::REMOVEDIR);
    }
    Ok(())
}

/// Becomes the requested init, or the first one of the kernel's list that runs; returns only if that fails.
pub(super) fn become_init(requested: Option<&str>) -> InitError {
    if let Some(init) = requested {
        let path = format!("/{}", init.trim_start_matches('/'));
        return InitError::Requested { init: init.to_owned(), reason: start(&path) };
    }
    let tried = INITS.map(|init| format!("{init}: {}", start(init)));
    InitError::None { tried: tried.join(", ") }
}

/// Becomes a program with the arguments and variables that the kernel gave this one; returns why that fails.
fn start(path: &str) -> String {
    // It would inherit what this process ignores.
    let _ = signal::reset_all();
    reason(path, exec::exec(path, std::env::args_os().skip(1)))
}

/// Words the reason why a program does not start.
fn reason(path: &str, error: Errno) -> String {
    let exists = std::fs::symlink_metadata(Path::new(path)).is_ok();
    match error {
        Errno::NOENT if exists => {
            "the file exists, but its loader, its interpreter or the target of the symlink does not"
                .to_owned()
        }
        Errno::NOENT | Errno::NOTDIR => "there is no such file".to_owned(),
        Errno::ACCESS => "the file is not executable".to_owned(),
        Errno::NOEXEC => "the file is not a program for this processor".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inits_that_do_not_run_have_a_reason() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let write = |name: &str, content: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt;
            std::fs::write(path(name), content).expect("it can be written");
            std::fs::set_permissions(path(name), PermissionsExt::from_mode(mode)).expect("it has a mode");
            path(name)
        };
        std::os::unix::fs::symlink("/no/such/file", path("dangling")).expect("a symlink");
        let cases = [
            (path("none"), "there is no such file"),
            (path("dangling"), "the file exists, but its loader"),
            (write("script", "#!/no/such/shell\n", 0o755), "the file exists, but its loader"),
            (write("plain", "text", 0o644), "the file is not executable"),
            (write("text", "\0\0\0\0", 0o755), "the file is not a program for this processor"),
            (format!("{}/more", write("file", "", 0o644)), "there is no such file"),
        ];
        for (path, expected) in cases {
            let why = start(&path);
            assert!(why.starts_with(expected), "{path}: {why}");
            let error = become_init(Some(&path));
            assert_eq!(error.to_string(), format!("cannot start init={path}: {why}"));
        }
    }

    #[test]
    fn directories_are_emptied_and_links_are_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, other) = (directory.path().join("old"), directory.path().join("other"));
        std::fs::create_dir_all(old.join("a/b")).expect("a directory");
        std::fs::create_dir_all(&other).expect("a directory");
        for file in [old.join("a/b/file"), old.join("file"), other.join("kept")] {
            std::fs::write(file, "").expect("it can be written");
        }
        std::os::unix::fs::symlink(&other, old.join("link")).expect("a symlink");
        let opened = openat(CWD, &old, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("it opens");
        let device = fstat(&opened).expect("it is there").st_dev;
        remove_content(&opened, device + 1, 0).expect("files go");
        assert!(old.join("a").exists(), "it is on another file system");
        remove_content(&opened, device, 0).expect("everything goes");
        assert_eq!(std::fs::read_dir(&old).expect("it is there").count(), 0);
        assert!(other.join("kept").exists());
    }
}
