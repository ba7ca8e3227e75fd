//! Disks and partitions, as sysfs lists them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::partitions::{self, ReadAt};
use super::superblock::{LENGTH, OFFSET, Superblock};
use crate::root::Root;

/// Where sysfs lists block devices. The entry of a disk has a directory for each of its partitions.
const BLOCK_DEVICES: &str = "/sys/class/block";

/// sysfs counts the size of a disk in these.
const SECTOR_BYTES: u64 = 512;

/// A disk or a partition with a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BlockDevice {
    /// The name under `/dev`.
    name: String,
    /// Its node.
    path: PathBuf,
    /// Its directory in sysfs.
    sysfs: String,
    size_bytes: u64,
}

impl BlockDevice {
    /// All disks and partitions, in the order of their names.
    pub(super) fn all(root: &Root) -> Vec<Self> {
        let entries = std::fs::read_dir(root.path(BLOCK_DEVICES)).into_iter().flatten().flatten();
        let mut devices: Vec<_> = entries
            .filter_map(|entry| Self::open(root, entry.file_name().to_str()?))
            // An empty drive for floppy disks answers after seconds.
            .filter(|device| !device.name.starts_with("fd"))
            .collect();
        devices.sort_by(|one, other| one.name.cmp(&other.name));
        devices
    }

    fn open(root: &Root, entry: &str) -> Option<Self> {
        let sysfs = format!("{BLOCK_DEVICES}/{entry}");
        let size_bytes = number(root, &format!("{sysfs}/size"))?.checked_mul(SECTOR_BYTES)?;
        // sysfs writes `!` for a slash.
        let name = entry.replace('!', "/");
        let path = root.path(&format!("/dev/{name}"));
        (size_bytes > 0 && path.exists()).then_some(Self { name, path, sysfs, size_bytes })
    }

    /// The name under `/dev`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The device node.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the device refuses writes.
    pub(super) fn is_read_only(&self, root: &Root) -> bool {
        number(root, &format!("{}/ro", self.sysfs)) == Some(1)
    }

    /// The superblock of its ext4; `None` without one.
    pub(super) fn superblock(&self) -> Option<Superblock> {
        let mut bytes = vec![0; LENGTH];
        self.reader()?.read_exact_at(&mut bytes, OFFSET).ok()?;
        Superblock::parse(&bytes)
    }

    /// The device of the partition with a UUID on this disk.
    pub(super) fn partition(&self, root: &Root, uuid: &str) -> Option<Self> {
        if self.is_partition(root) {
            return None;
        }
        let block_bytes = number(root, &format!("{}/queue/logical_block_size", self.sysfs)).unwrap_or(512);
        let wanted = partitions::find(&self.reader()?, self.size_bytes, block_bytes, uuid)?;
        let entries = std::fs::read_dir(root.path(&self.sysfs)).ok()?.flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let name =
            names.find(|name| number(root, &format!("{}/{name}/partition", self.sysfs)) == Some(wanted))?;
        Self::open(root, &name)
    }

    fn is_partition(&self, root: &Root) -> bool {
        number(root, &format!("{}/partition", self.sysfs)).is_some()
    }

    fn reader(&self) -> Option<File> {
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path).ok()
    }
}

/// The device with its size and its file system, for a list of disks.
impl fmt::Display for BlockDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/dev/{} ({} MiB", self.name, self.size_bytes >> 20)?;
        if let Some(Superblock { uuid, label }) = self.superblock() {
            write!(formatter, ", ext4, UUID={uuid}")?;
            if !label.is_empty() {
                write!(formatter, ", LABEL={}", label.escape_debug())?;
            }
        }
        formatter.write_str(")")
    }
}

/// The number in a file of sysfs.
fn number(root: &Root, path: &str) -> Option<u64> {
    root.text(path)?.parse().ok()
}

/// A guest's `/sys` and `/dev` in a directory, for tests.
#[cfg(test)]
pub(super) mod fake {
    use super::*;

    pub(in crate::initramfs) struct Machine {
        directory: tempfile::TempDir,
    }

    impl Machine {
        pub(in crate::initramfs) fn new() -> Self {
            Self { directory: tempfile::tempdir().expect("a directory") }
        }

        pub(in crate::initramfs) fn root(&self) -> Root {
            Root::at(self.directory.path().into())
        }

        pub(in crate::initramfs) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
            let path = self.root().path(path);
            std::fs::create_dir_all(path.parent().expect("it is in a directory")).expect("it can be made");
            std::fs::write(path, content).expect("it can be written");
        }

        /// Adds a disk, or the partition of a disk.
        pub(in crate::initramfs) fn disk(
            &self,
            name: &str,
            partition_of: Option<(&str, u64)>,
            content: &[u8],
        ) {
            let entry = name.replace('/', "!");
            self.write(&format!("/dev/{name}"), content);
            let sectors = (content.len() as u64).div_ceil(SECTOR_BYTES);
            self.write(&format!("{BLOCK_DEVICES}/{entry}/size"), format!("{sectors}\n"));
            self.write(&format!("{BLOCK_DEVICES}/{entry}/ro"), "0\n");
            if let Some((disk, number)) = partition_of {
                self.write(&format!("{BLOCK_DEVICES}/{entry}/partition"), format!("{number}\n"));
                self.write(&format!("{BLOCK_DEVICES}/{disk}/{entry}/partition"), format!("{number}\n"));
            }
        }
    }

    /// The first bytes of an ext4 whose UUID has one digit, many times.
    pub(in crate::initramfs) fn ext4(digit: u8, label: &str) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        bytes[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        bytes[1024 + 0x68..1024 + 0x78].fill(digit << 4 | digit);
        bytes[1024 + 0x78..1024 + 0x78 + label.len()].copy_from_slice(label.as_bytes());
        bytes
    }
}
