//! The initramfs of the tests: busybox and a few modules, as a cpio archive in "newc" format.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// What the initramfs says on the console when the drivers have all their devices.
pub(crate) const DEVICES_ARE_UP: &str = "initramfs: the devices are up";

/// Loads the modules, mounts the disk and goes over to its init: what the initramfs of a
/// distribution does, and no more. Like a kernel that mounts devtmpfs by itself, it leaves only
/// `/dev` behind: everything else is the init's own work.
const INIT: &str = r#"#!/bin/busybox sh
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

/// Writes an archive with `busybox` and `modules`, loaded in the order given, to `path`.
pub(crate) fn write(path: &Path, busybox: &Path, modules: &[PathBuf]) -> anyhow::Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| path.display().to_string());
    let mut archive = Cpio::default();
    for directory in ["bin", "dev", "proc", "root", "modules"] {
        archive.add(directory, 0o040_755, (0, 0), &[]);
    }
    // The kernel opens it for the first process, before anything is mounted.
    archive.add("dev/console", 0o020_600, (5, 1), &[]);
    archive.add("bin/busybox", 0o100_755, (0, 0), &read(busybox)?);
    archive.add("init", 0o100_755, (0, 0), INIT.as_bytes());
    for (number, module) in modules.iter().enumerate() {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.add(&format!("modules/{number:02}-{name}"), 0o100_644, (0, 0), &read(module)?);
    }
    std::fs::write(path, archive.finish()).with_context(|| path.display().to_string())
}

/// A cpio archive under construction; the fields are those of
/// `Documentation/driver-api/early-userspace/buffer-format.rst`.
#[derive(Debug, Default)]
struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

impl Cpio {
    fn add(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), data: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(data.len()).expect("no file of the initramfs has 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Cpio, DEVICES_ARE_UP, INIT};

    #[test]
    fn the_script_says_what_is_waited_for() {
        assert!(INIT.lines().any(|line| line == format!("echo \"{DEVICES_ARE_UP}\"")));
    }

    #[test]
    fn entries_are_padded_to_four_bytes() {
        let mut archive = Cpio::default();
        archive.add("a", 0o100_644, (0, 0), b"hello");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[..6], b"070701");
        // 110 bytes of header and two of the name end on a multiple of four.
        assert_eq!(&bytes[112..117], b"hello");
        assert_eq!(&bytes[120..126], b"070701");
    }
}
