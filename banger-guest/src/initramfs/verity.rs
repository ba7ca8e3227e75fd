//! A root file system that dm-verity verifies: the device that shows only bytes with the right hash.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use banger_guest::config::VerityRoot;
use rustix::io::Errno;
use thiserror::Error;

use super::disks::BlockDevice;
use super::numbers::{le16, le32, le64};
use crate::root::Root;
use crate::sys::device_mapper::{self, Target};

/// The control device, which devtmpfs makes.
const CONTROL: &str = "/dev/mapper/control";

/// The name of the device in the device mapper.
const NAME: &str = "banger-root";

/// Bytes of a block of data, and of a block of hashes.
const BLOCK_BYTES: u64 = 4096;

/// Sectors of 512 bytes in a block.
const BLOCK_SECTORS: u64 = 8;

/// Bytes of the superblock of a tree: `struct verity_sb` of cryptsetup.
const SUPERBLOCK_BYTES: usize = 512;

/// What the kernel does when it reads a changed block: it says so and resets the machine. A panic would hide the reason
/// behind the state of the processor.
const RESTART: &str = " 1 restart_on_corruption";

/// Why a root file system cannot be verified.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum VerityError {
    #[error(
        "this kernel has no device mapper: dm_mod is neither in this initramfs nor in the kernel ({source})"
    )]
    NoDeviceMapper { source: Errno },
    #[error("{device} cannot be read: {source}")]
    Unreadable { device: String, source: Errno },
    #[error("{device} has no hash tree of dm-verity at byte {offset}: {reason}")]
    NoTree { device: String, offset: u64, reason: String },
    #[error(
        "the kernel refuses to verify {device}: {source}; it needs dm_verity and sha256, and its messages say why"
    )]
    NoVerity { device: String, source: Errno },
    #[error(
        "{device} was changed: its bytes or its hash tree do not have the root hash {root_hash} of the kernel \
         command line"
    )]
    Changed { device: String, root_hash: String },
}

/// The device of a verified root file system.
#[derive(Debug)]
pub(super) struct VerifiedDisk {
    control: File,
    table: String,
    sectors: u64,
    disk: String,
    root_hash: String,
}

impl VerifiedDisk {
    /// Makes the device over `data` with the hash tree on `tree`, and reads its first block.
    pub(super) fn open(
        root: &Root,
        wanted: &VerityRoot,
        data: &BlockDevice,
        tree: &BlockDevice,
    ) -> Result<(Self, BlockDevice), VerityError> {
        let salt = salt_of(tree, wanted)?;
        let control = File::options().read(true).write(true).open(root.path(CONTROL));
        let control = control.map_err(|error| VerityError::NoDeviceMapper { source: errno(&error) })?;
        let disk = Self {
            control,
            table: table(wanted, data.path(), tree.path(), &salt),
            sectors: wanted.data_blocks.saturating_mul(BLOCK_SECTORS),
            disk: data.path().display().to_string(),
            root_hash: wanted.root_hash.clone(),
        };
        let minor = device_mapper::create(&disk.control, NAME).map_err(|error| disk.refused(error))?;
        disk.activate("").map_err(|error| disk.refused(error))?;
        let name = format!("dm-{minor}");
        let device = BlockDevice::all(root).into_iter().find(|device| device.name() == name);
        let device = device.ok_or_else(|| disk.refused(Errno::NODEV))?;
        let mut block = vec![0; 4096];
        let read = File::open(device.path()).and_then(|file| file.read_exact_at(&mut block, 0));
        match read.map_err(|error| errno(&error)) {
            Ok(()) => Ok((disk, device)),
            Err(Errno::IO) => Err(disk.changed()),
            Err(source) => {
                Err(VerityError::Unreadable { device: device.path().display().to_string(), source })
            }
        }
    }

    /// Returns the error of a disk with other bytes than those of the root hash.
    pub(super) fn changed(&self) -> VerityError {
        VerityError::Changed { device: self.disk.clone(), root_hash: self.root_hash.clone() }
    }

    /// From now on the kernel resets the machine when it reads a changed block, and says so.
    pub(super) fn restart_on_change(&self) -> Result<(), VerityError> {
        self.activate(RESTART).map_err(|error| self.refused(error))
    }

    fn activate(&self, option: &str) -> Result<(), Errno> {
        let parameters = format!("{}{option}", self.table);
        let target = Target { kind: "verity", sectors: self.sectors, parameters: &parameters };
        device_mapper::load(&self.control, NAME, target)?;
        device_mapper::resume(&self.control, NAME)
    }

    fn refused(&self, source: Errno) -> VerityError {
        VerityError::NoVerity { device: self.disk.clone(), source }
    }
}

/// The parameters of the target (`Documentation/admin-guide/device-mapper/verity.rst`).
fn table(wanted: &VerityRoot, data: &Path, tree: &Path, salt: &str) -> String {
    let VerityRoot { root_hash, data_blocks, offset_bytes, .. } = wanted;
    // The superblock has a block of its own in front of the hashes.
    let first_hash_block = (offset_bytes / BLOCK_BYTES).saturating_add(1);
    let (data, tree) = (data.display(), tree.display());
    format!(
        "1 {data} {tree} {BLOCK_BYTES} {BLOCK_BYTES} {data_blocks} {first_hash_block} sha256 {root_hash} {salt}"
    )
}

/// Reads the salt from the superblock of a tree. Nobody vouches for the superblock: the root hash covers salt and
/// hashes, and the command line has the number of blocks.
fn salt_of(tree: &BlockDevice, wanted: &VerityRoot) -> Result<String, VerityError> {
    let device = || tree.path().display().to_string();
    let mut bytes = vec![0; SUPERBLOCK_BYTES];
    let read = File::open(tree.path()).and_then(|file| file.read_exact_at(&mut bytes, wanted.offset_bytes));
    let no_tree =
        |reason: String| VerityError::NoTree { device: device(), offset: wanted.offset_bytes, reason };
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(no_tree("the device ends before".to_owned()));
        }
        Err(error) => return Err(VerityError::Unreadable { device: device(), source: errno(&error) }),
        Ok(()) => {}
    }
    salt_in(&bytes, wanted.data_blocks).map_err(no_tree)
}

/// Reads the salt in a superblock for a file system of so many blocks, as hexadecimal digits.
fn salt_in(bytes: &[u8], data_blocks: u64) -> Result<String, String> {
    if !bytes.starts_with(b"verity\0\0") {
        return Err("there is no superblock".to_owned());
    }
    // Version and type of the hash, then the sizes of blocks.
    let numbers = [8, 12, 64, 68].map(|at| le32(bytes, at));
    let algorithm = bytes.get(32..64).unwrap_or_default();
    if numbers != [Some(1), Some(1), Some(4096), Some(4096)] || !algorithm.starts_with(b"sha256\0") {
        return Err("it is not of version 1 with sha256 and blocks of 4096 bytes".to_owned());
    }
    let found = le64(bytes, 72).unwrap_or(0);
    if found != data_blocks {
        return Err(format!("it is for {found} blocks, and the command line has {data_blocks}"));
    }
    let salt_bytes = le16(bytes, 80).map(usize::from).filter(|length| *length <= 256);
    let salt = salt_bytes.and_then(|length| bytes.get(88..)?.get(..length));
    match salt.ok_or_else(|| "its salt is too long".to_owned())? {
        // The table has a word for no salt.
        [] => Ok("-".to_owned()),
        salt => Ok(salt.iter().map(|byte| format!("{byte:02x}")).collect()),
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock() -> Vec<u8> {
        let mut bytes = vec![0; SUPERBLOCK_BYTES];
        bytes[..6].copy_from_slice(b"verity");
        for at in [8, 12] {
            bytes[at] = 1;
        }
        bytes[32..38].copy_from_slice(b"sha256");
        for at in [64, 68] {
            bytes[at..at + 4].copy_from_slice(&4096_u32.to_le_bytes());
        }
        bytes[72..80].copy_from_slice(&129_u64.to_le_bytes());
        bytes[80] = 3;
        bytes[88..91].copy_from_slice(&[0, 0xab, 0x7f]);
        bytes
    }

    #[test]
    fn the_salt_is_in_the_superblock() {
        assert_eq!(salt_in(&superblock(), 129).as_deref(), Ok("00ab7f"));
        let with = |at: usize, byte: u8| {
            let mut bytes = superblock();
            bytes[at] = byte;
            bytes
        };
        assert_eq!(salt_in(&with(80, 0), 129).as_deref(), Ok("-"));
        for (at, byte, reason) in [
            (0, b'V', "no superblock"),
            (8, 2, "version 1"),
            (12, 0, "version 1"),
            (37, b'7', "sha256"),
            (65, 8, "blocks of 4096"),
            (72, 1, "it is for 1 blocks, and the command line has 129"),
            (81, 2, "too long"),
        ] {
            let error = salt_in(&with(at, byte), 129).expect_err("it is wrong");
            assert!(error.contains(reason), "{at}: {error}");
        }
        assert!(salt_in(b"verity\0\0", 129).is_err(), "cut off");
    }

    #[test]
    fn tables_are_those_of_the_kernel() {
        let hash = "0a".repeat(32);
        let text = format!("{hash}:/dev/vda:/dev/vdb:8192:129");
        let wanted: VerityRoot = text.parse().expect("it is right");
        assert_eq!(
            table(&wanted, Path::new("/dev/vda"), Path::new("/dev/vdb"), "00ab7f"),
            format!("1 /dev/vda /dev/vdb 4096 4096 129 3 sha256 {hash} 00ab7f")
        );
    }
}
