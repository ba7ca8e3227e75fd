//! The initramfs of the tests: busybox and a few modules, as a cpio archive in "newc" format.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// What the initramfs says on the console when the drivers have all their devices.
pub(crate) const DEVICES_ARE_UP: &str = "initramfs: the devices are up";

/// Loads the modules, mounts the disk and goes over to its init: what the initramfs of a
/// distribution does, and no more. Like a kernel that mounts devtmpfs by itself, it leaves only
/// `/dev` behind: everything else is the init's own work.
pub(crate) const DISK_INIT: &str = r#"#!/bin/busybox sh
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
$bb mount -t proc proc /proc
for module in /modules/*.ko; do
    $bb insmod "$module" || echo "initramfs: cannot load $module"
done
init=/sbin/init
for word in $($bb cat /proc/cmdline); do
    case $word in
        init=*) init=${word#init=} ;;
        boot-test.nothing) nothing=1 ;;
        boot-test.probe)
            echo "initramfs: probe reached user space"
            $bb poweroff -f
            ;;
    esac
done
tries=0
until [ -b /dev/nvme0n1 ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || break
    $bb usleep 100000
done
$bb mount -t ext4 -o rw /dev/nvme0n1 /root || {
    echo "initramfs: cannot mount the root file system"
    $bb poweroff -f
}
$bb umount /proc
# Or leaves nothing, like a kernel without CONFIG_DEVTMPFS_MOUNT.
if [ "$nothing" ]; then $bb umount /dev; else $bb mount -o move /dev /root/dev; fi
echo "initramfs: the devices are up"
exec $bb switch_root /root "$init"
"#;

/// Writes an archive with `busybox`, `modules` named in the order given, and the script `init` to `path`.
pub(crate) fn write(path: &Path, busybox: &Path, modules: &[PathBuf], init: &str) -> anyhow::Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let mut archive = Vec::new();
    for directory in ["bin", "dev", "proc", "root", "modules"] {
        add(&mut archive, directory, 0o040_755, (0, 0), &[])?;
    }
    // The kernel opens it for the first process, before anything is mounted.
    add(&mut archive, "dev/console", 0o020_600, (5, 1), &[])?;
    add(&mut archive, "bin/busybox", 0o100_755, (0, 0), &read(busybox)?)?;
    add(&mut archive, "init", 0o100_755, (0, 0), init.as_bytes())?;
    for (number, module) in modules.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        add(&mut archive, &format!("modules/{number:02}-{name}"), 0o100_644, (0, 0), &read(module)?)?;
    }
    std::fs::write(path, cpio::newc::trailer(archive)?).with_context(|| path.display().to_string())
}

fn add(
    archive: &mut Vec<u8>,
    name: &str,
    mode: u32,
    (major, minor): (u32, u32),
    data: &[u8],
) -> anyhow::Result<()> {
    let entry = cpio::NewcBuilder::new(name).mode(mode).rdev_major(major).rdev_minor(minor);
    let mut writer = entry.write(archive, u32::try_from(data.len())?);
    writer.write_all(data)?;
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{DEVICES_ARE_UP, DISK_INIT};

    #[test]
    fn the_script_says_what_is_waited_for() {
        assert!(DISK_INIT.lines().any(|line| line == format!("echo \"{DEVICES_ARE_UP}\"")));
    }
}
