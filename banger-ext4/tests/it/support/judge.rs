//! The judges of an image: e2fsck and the kernel.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use banger_ext4::Ext4Editor;
use banger_tree::{ContentStore, Tree};
use camino::Utf8Path;

use super::compare::compare_root;
use super::{is_root, skip};

/// Fails unless `e2fsck -fn` has no complaint about `image`, a walk through it finds nothing and, mounted by the kernel, it holds
/// exactly what `tree` says with the contents of `store`. Without root the mount is skipped.
pub(crate) fn check_image(image: &Utf8Path, tree: &Tree, store: &dyn ContentStore) {
    e2fsck(image);
    assert_eq!(Ext4Editor::open(image).unwrap().verify().unwrap().problems, [""; 0], "{image}");
    with_mounted(image, |root| {
        let differences = compare_root(root, tree, store);
        assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    });
}

/// Fails unless `e2fsck -fn` has no complaint about `image`; skips where there is no e2fsck.
pub(crate) fn e2fsck(image: &Utf8Path) {
    let path = ["/sbin/e2fsck", "/usr/sbin/e2fsck"].into_iter().find(|path| Path::new(path).exists());
    let Some(path) = path else { return skip("no e2fsck on this machine") };
    let output = Command::new(path).env("LC_ALL", "C").arg("-fn").arg(image).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The last line is the count of files and blocks; each pass has one line before it.
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let complaints: Vec<&&str> =
        lines[..lines.len().saturating_sub(1)].iter().filter(|line| !line.starts_with("Pass ")).collect();
    assert!(output.status.success() && complaints.is_empty(), "e2fsck -fn {image}:\n{text}");
}

/// Mounts `image` read-only, calls `check` with the root directory, unmounts. Skips without root.
pub(crate) fn with_mounted(image: &Utf8Path, check: impl FnOnce(&Path)) {
    if !is_root() {
        return skip("only root can mount the image");
    }
    let mount = Mount::new(image);
    check(&mount.0);
}

/// As [`with_mounted`], where the kernel mounts the image; returns whether it does.
pub(crate) fn try_mounted(image: &Utf8Path, check: impl FnOnce(&Path)) -> bool {
    let mount = Mount::attempt(image);
    if let Some(mount) = &mount {
        check(&mount.0);
    }
    mount.is_some()
}

/// A mount that goes when dropped, also when a check panics.
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Utf8Path) -> Self {
        Self::attempt(image).unwrap_or_else(|| panic!("the kernel does not mount {image}"))
    }

    fn attempt(image: &Utf8Path) -> Option<Self> {
        let point = tempfile::Builder::new().prefix("banger-mount-").tempdir().unwrap();
        let output =
            Command::new("mount").args(["-o", "loop,ro"]).arg(image).arg(point.path()).output().unwrap();
        output.status.success().then(|| Self(point.keep()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A program that another test is just starting may hold a descriptor for a moment.
        let unmounted = (0..50).any(|_| {
            let done = Command::new("umount")
                .arg("-q")
                .arg(&self.0)
                .output()
                .is_ok_and(|output| output.status.success());
            if !done {
                std::thread::sleep(Duration::from_millis(20));
            }
            done
        });
        if unmounted {
            let _ = std::fs::remove_dir(&self.0);
        } else if !std::thread::panicking() {
            panic!("{} cannot be unmounted", self.0.display());
        }
    }
}
