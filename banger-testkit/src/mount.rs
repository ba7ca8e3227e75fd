//! ext4 images mounted by the kernel.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::{Skip, tools};

/// Whether a mounted image may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing is written, the journal not replayed.
    ReadOnly,
    /// As a guest has it.
    ReadWrite,
}

/// An ext4 image mounted over a loop device; dropping it unmounts.
#[derive(Debug)]
pub struct Mounted {
    dir: TempDir,
    mounted: bool,
}

impl Mounted {
    /// Mounts `image`.
    ///
    /// # Errors
    ///
    /// A [`Skip`] without root or loop devices.
    ///
    /// # Panics
    ///
    /// When the kernel refuses the file system.
    #[track_caller]
    pub fn new(image: &Path, access: Access) -> Result<Self, Skip> {
        tools::root("mounting an image")?;
        if !Path::new("/dev/loop-control").exists() {
            return Err(Skip::new("this machine has no loop devices"));
        }
        let dir = tempfile::Builder::new()
            .prefix("banger-mount-")
            .tempdir()
            .expect("a temporary directory can be made");
        let options = match access {
            Access::ReadOnly => "loop,ro,noload",
            Access::ReadWrite => "loop,rw",
        };
        let mut mount = tools::command("mount")?;
        mount.args(["-t", "ext4", "-o", options]).arg(image).arg(dir.path());
        tools::run(&mut mount);
        Ok(Self { dir, mounted: true })
    }

    /// The root of the mounted file system.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Unmounts, so that the image file is complete when this returns.
    ///
    /// # Panics
    ///
    /// When something below is still open.
    pub fn unmount(mut self) {
        // A program that another test is just starting may hold a descriptor for a moment.
        let is_unmounted = (0..50).any(|_| {
            let done = tools::try_run(Command::new("umount").arg(self.dir.path())).is_ok();
            if !done {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            done
        });
        if !is_unmounted {
            tools::run(Command::new("umount").arg(self.dir.path()));
        }
        self.mounted = false;
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !self.mounted {
            return;
        }
        let unmount = |option: &[&str]| {
            tools::try_run(Command::new("umount").args(option).arg(self.dir.path())).is_ok()
        };
        // A lazy one rather than a mount that outlives the test run.
        let _ = unmount(&[]) || unmount(&["-l"]);
    }
}
