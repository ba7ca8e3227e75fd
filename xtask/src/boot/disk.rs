//! The disks of machines that are off.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use banger_ext4::Ext4Editor;
use banger_testkit::{copy_sparse, tools};
use banger_tree::{Attributes, GuestPath, Rootfs as _};
use camino::Utf8Path;

/// Writes a file into a disk that has not been mounted since it was made.
pub(crate) fn write_file(disk: &Path, path: &str, content: &str, mode: u16) -> anyhow::Result<()> {
    let disk = Utf8Path::from_path(disk).context("the disk has a name in UTF-8")?;
    let mut rootfs = Ext4Editor::open(disk)?;
    rootfs.write_file(&GuestPath::parse(path)?, &mut content.as_bytes(), &Attributes::with_mode(mode))?;
    rootfs.commit()?;
    Ok(())
}

/// Removes what is at `path`, where there is something, in a disk that has not been mounted.
pub(crate) fn remove(disk: &Path, path: &str) -> anyhow::Result<()> {
    let disk = Utf8Path::from_path(disk).context("the disk has a name in UTF-8")?;
    let mut rootfs = Ext4Editor::open(disk)?;
    let path = GuestPath::parse(path)?;
    if rootfs.stat(&path)?.is_some() {
        rootfs.remove(&path)?;
        rootfs.commit()?;
    }
    Ok(())
}

/// Makes the file longer, as a VM manager does before it asks the guest to grow.
pub(crate) fn enlarge(disk: &Path, size_bytes: u64) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(disk)
        .and_then(|file| file.set_len(size_bytes))
        .with_context(|| disk.display().to_string())
}

/// A copy beside `disk`, with its holes.
pub(crate) fn clone(disk: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let copy = disk.with_file_name(format!("{name}.ext4"));
    copy_sparse(disk, &copy);
    Ok(copy)
}

/// Has e2fsck recover the journal of a disk whose power was cut. The guest's kernel does that as well
/// (the case `first-boot-cut`), but a long journal makes the emulated NVMe of QEMU 7.2 hang at times.
pub(crate) fn recover(disk: &Path) -> anyhow::Result<()> {
    let e2fsck = tools::tool("e2fsck").map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    let output = Command::new(e2fsck).arg("-p").arg(disk).output()?;
    // 1 says that something was written.
    if !matches!(output.status.code(), Some(0 | 1)) {
        bail!("e2fsck -p: {}\n{}", output.status, String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}

/// `e2fsck -fn` finds nothing.
pub(crate) fn check(disk: &Path) -> anyhow::Result<()> {
    let e2fsck = tools::tool("e2fsck").map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    let output = Command::new(e2fsck).arg("-fn").arg(disk).output()?;
    if !output.status.success() {
        bail!(
            "e2fsck -fn: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
