//! The file of an initramfs: a cpio archive in the format "newc" of
//! `Documentation/driver-api/early-userspace/buffer-format.rst`.

use std::io;

use banger_guest::config::paths;

use super::error::InitramfsError;
use super::module_file::ModuleFile;
use super::options::InitramfsCompression;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// The device number of `/dev/console`.
const CONSOLE: (u32, u32) = (5, 1);

/// The highest level that takes milliseconds. The highest one saves a tenth and takes 20 times as long.
const ZSTD_LEVEL: i32 = 9;

/// Writes the archive.
pub(super) fn write(
    release: &str,
    guest: &[u8],
    modules: &[ModuleFile],
    compression: InitramfsCompression,
) -> Result<Vec<u8>, InitramfsError> {
    let archive = archive(release, guest, modules).and_then(|archive| match compression {
        InitramfsCompression::None => Ok(archive),
        InitramfsCompression::Zstd => zstd::bulk::compress(&archive, ZSTD_LEVEL),
    });
    archive.map_err(|source| InitramfsError::Write { source })
}

fn archive(release: &str, guest: &[u8], modules: &[ModuleFile]) -> io::Result<Vec<u8>> {
    let mut archive = Archive { bytes: Vec::with_capacity(guest.len() + (1 << 20)), inode: 0 };
    for directory in ["dev", "proc", "sys", "root", "banger"] {
        archive.add(directory, DIRECTORY, (0, 0), &[])?;
    }
    archive.add(relative(paths::INITRAMFS_MODULES), DIRECTORY, (0, 0), &[])?;
    // The kernel opens it for process 1, before anything is mounted.
    archive.add("dev/console", CHARACTER_DEVICE, CONSOLE, &[])?;
    archive.add("init", PROGRAM, (0, 0), guest)?;
    archive.add(relative(paths::INITRAMFS_KERNEL), FILE, (0, 0), format!("{release}\n").as_bytes())?;
    for (number, module) in modules.iter().enumerate() {
        let name = format!("{}/{number:03}-{}.ko", relative(paths::INITRAMFS_MODULES), module.name);
        archive.add(&name, FILE, (0, 0), &module.bytes)?;
    }
    cpio::newc::trailer(archive.bytes)
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        use io::Write as _;
        self.inode += 1;
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let mut writer = cpio::newc::Builder::new(name)
            .ino(self.inode)
            .mode(mode)
            .rdev_major(device.0)
            .rdev_minor(device.1)
            .write(&mut self.bytes, size);
        writer.write_all(content)?;
        writer.finish().map(drop)
    }
}
