//! Files that are not a tar, recognised by their magic numbers.

use std::fmt;
use std::io::{self, Cursor, Read};

use crate::decompress::{Compression, decompressor, detect};
use crate::tar::is_header;

/// Number of bytes at the start of a file that identify every format. The magic number of btrfs is the last
/// one.
pub const FOREIGN_MAGIC_LEN: usize = 0x1_0040 + 8;

/// A format that holds files and is not a tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForeignFormat {
    /// An ext4 file system.
    Ext4,
    /// A file system that can be mounted: its name.
    FileSystem(&'static str),
    /// A compressed file system that a tool unpacks: its name, and the command.
    Packed(&'static str, &'static str),
    /// A disk with a partition table: `MBR` or `GPT`.
    Disk(&'static str),
    /// A disk image format of virtual machines: its name.
    VirtualDisk(&'static str),
    /// An archive that is not a tar: its name, and the command that unpacks it.
    Archive(&'static str, &'static str),
    /// A format without files, for example a program: its name.
    Other(&'static str),
}

impl ForeignFormat {
    /// Returns the format of a file that starts with `head`, if it is known and not tar.
    ///
    /// `head` should have [`FOREIGN_MAGIC_LEN`] bytes; a shorter one is the whole file.
    pub fn of(head: &[u8]) -> Option<Self> {
        // Files in a tar may look like anything, also at the offsets below.
        if is_header(head) {
            return None;
        }
        let has =
            |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
        MAGICS
            .iter()
            .find(|(offset, magic, _)| has(*offset, magic))
            .map(|(_, _, format)| *format)
            .or_else(|| extended(head))
            .or_else(|| partitioned(head))
    }

    /// Returns the format of the file that `head` unpacks to, and its compression, if it is not tar. `head`
    /// may end anywhere: 1 MiB of a compressed file is enough.
    pub fn of_compressed(head: &[u8]) -> Option<(Self, &'static str)> {
        let compression = match detect(head) {
            Ok(Compression::None) | Err(_) => return Self::of(head).map(|format| (format, "")),
            Ok(compression) => compression,
        };
        let mut start = Vec::new();
        let unpacked = decompressor(Cursor::new(head.to_vec()));
        // Only the bytes before the end of the head, or before damage, can be checked.
        let _ = unpacked.and_then(|unpacked| read_start(unpacked, &mut start));
        Self::of(&start).map(|format| (format, compression.name()))
    }

    /// Returns advice how to get its files, as a sentence.
    pub fn advice(self, path: &str) -> String {
        match self {
            Self::Ext4 => {
                format!("`banger rootfs ls {path}` looks into it, `banger rootfs put {path}` writes to it")
            }
            Self::FileSystem(_) => format!("mount it (`mount -o loop,ro {path} DIR`) and build from DIR"),
            Self::Packed(_, command) | Self::Archive(_, command) => {
                format!("unpack it (`{command}`) and build from that directory")
            }
            Self::Disk(_) => {
                format!(
                    "attach it (`losetup -rP --find --show {path}`), mount its root partition and build from there"
                )
            }
            Self::VirtualDisk(_) => {
                format!(
                    "convert it (`qemu-img convert -O raw {path} disk.raw`), mount its root partition and build \
                         from there"
                )
            }
            Self::Other(_) => "give a directory or a tar of a root file system".to_owned(),
        }
    }
}

impl fmt::Display for ForeignFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ext4 => formatter.write_str("an ext4 file system"),
            Self::Disk(table) => write!(formatter, "a disk image with a partition table ({table})"),
            Self::VirtualDisk(name) => write!(formatter, "a {name} disk image"),
            Self::FileSystem(name) | Self::Packed(name, _) | Self::Archive(name, _) | Self::Other(name) => {
                formatter.write_str(name)
            }
        }
    }
}

const CPIO: ForeignFormat = ForeignFormat::Archive("a cpio archive", "mkdir DIR; cpio -idm -D DIR <FILE");
const ZIP: ForeignFormat = ForeignFormat::Archive("a zip archive", "unzip -d DIR FILE");
const SQUASHFS: ForeignFormat = ForeignFormat::Packed("a squashfs file system", "unsquashfs -d DIR FILE");
const EROFS: ForeignFormat = ForeignFormat::Packed("an EROFS file system", "fsck.erofs --extract=DIR FILE");
const ISO: ForeignFormat = ForeignFormat::FileSystem("an ISO 9660 file system");
const VMDK: ForeignFormat = ForeignFormat::VirtualDisk("VMDK");

/// Offset, magic number, format. The first that fits is meant: an ISO 9660 image may have a partition
/// table, too, so that comes after these.
const MAGICS: &[(usize, &[u8], ForeignFormat)] = &[
    (0, b"QFI\xfb", ForeignFormat::VirtualDisk("qcow2")),
    (0, b"KDMV", VMDK),
    (0, b"COWD", VMDK),
    (0, b"# Disk DescriptorFile", VMDK),
    (0, b"vhdxfile", ForeignFormat::VirtualDisk("VHDX")),
    (0, b"conectix", ForeignFormat::VirtualDisk("VHD")),
    (0x40, b"\x7f\x10\xda\xbe", ForeignFormat::VirtualDisk("VDI")),
    (0, b"QED\0", ForeignFormat::VirtualDisk("QED")),
    (0, b"\x3a\xff\x26\xed", ForeignFormat::Other("an Android sparse image")),
    (0, b"hsqs", SQUASHFS),
    (0, b"sqsh", SQUASHFS),
    (1024, b"\xe2\xe1\xf5\xe0", EROFS),
    (0x8001, b"CD001", ISO),
    (0x8001, b"BEA01", ForeignFormat::FileSystem("a UDF file system")),
    (0, b"XFSB", ForeignFormat::FileSystem("an XFS file system")),
    (0x1_0040, b"_BHRfS_M", ForeignFormat::FileSystem("a Btrfs file system")),
    (1024, b"\x10\x20\xf5\xf2", ForeignFormat::FileSystem("an F2FS file system")),
    (0, b"\x45\x3d\xcd\x28", ForeignFormat::FileSystem("a cramfs file system")),
    (0, b"-rom1fs-", ForeignFormat::FileSystem("a romfs file system")),
    (0x1_0034, b"ReIsErFs", ForeignFormat::FileSystem("a ReiserFS file system")),
    (0x1_0034, b"ReIsEr2Fs", ForeignFormat::FileSystem("a ReiserFS file system")),
    (0x8000, b"JFS1", ForeignFormat::FileSystem("a JFS file system")),
    (0, b"LUKS\xba\xbe", ForeignFormat::FileSystem("an encrypted LUKS volume")),
    (3, b"NTFS    ", ForeignFormat::FileSystem("an NTFS file system")),
    (3, b"EXFAT   ", ForeignFormat::FileSystem("an exFAT file system")),
    (0x36, b"FAT", ForeignFormat::FileSystem("a FAT file system")),
    (0x52, b"FAT32", ForeignFormat::FileSystem("a FAT file system")),
    (0x200, b"LABELONE", ForeignFormat::Other("an LVM physical volume")),
    (0xff6, b"SWAPSPACE2", ForeignFormat::Other("swap space")),
    (0, b"070701", CPIO),
    (0, b"070702", CPIO),
    (0, b"070707", CPIO),
    (0, b"\xc7\x71", CPIO),
    (0, b"\x71\xc7", CPIO),
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"PK\x07\x08", ZIP),
    (0, b"7z\xbc\xaf\x27\x1c", ForeignFormat::Archive("a 7z archive", "7z x -oDIR FILE")),
    (0, b"Rar!\x1a\x07", ForeignFormat::Archive("a RAR archive", "unrar x FILE DIR/")),
    (0, b"!<arch>\n", ForeignFormat::Archive("an ar archive", "dpkg-deb -x FILE DIR")),
    (0, b"\xed\xab\xee\xdb", ForeignFormat::Archive("an RPM package", "rpm2cpio FILE | cpio -idm -D DIR")),
    (0, b"\x7fELF", ForeignFormat::Other("an ELF program")),
];

/// Offsets of the magic number and features in the superblock of ext2, ext3 and ext4.
const EXT_MAGIC: usize = 1024 + 0x38;
const EXT_COMPAT: usize = 1024 + 0x5c;
const EXT_INCOMPAT: usize = 1024 + 0x60;
const EXT_BLOCK_SIZE: usize = 1024 + 0x18;
const HAS_JOURNAL: u32 = 0x4;
/// Extents, 64-bit numbers or flexible groups: only ext4 has them.
const EXT4_ONLY: u32 = 0x40 | 0x80 | 0x200;
/// The kernel knows no larger blocks than 64 KiB.
const EXT_MAX_LOG_BLOCK_SIZE: u32 = 6;

fn extended(head: &[u8]) -> Option<ForeignFormat> {
    let is_ext = head.get(EXT_MAGIC..).is_some_and(|rest| rest.starts_with(&[0x53, 0xef]));
    if !is_ext || number(head, EXT_BLOCK_SIZE)? > EXT_MAX_LOG_BLOCK_SIZE {
        return None;
    }
    Some(match (number(head, EXT_INCOMPAT)? & EXT4_ONLY, number(head, EXT_COMPAT)? & HAS_JOURNAL) {
        (0, 0) => ForeignFormat::FileSystem("an ext2 file system"),
        (0, _) => ForeignFormat::FileSystem("an ext3 file system"),
        _ => ForeignFormat::Ext4,
    })
}

fn number(head: &[u8], offset: usize) -> Option<u32> {
    let bytes = head.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

/// Returns the partition table of a disk. Sectors have 512 or 4096 bytes.
fn partitioned(head: &[u8]) -> Option<ForeignFormat> {
    const PARTITIONS: usize = 446;
    const SIGNATURE: usize = 510;
    let has_gpt =
        [512, 4096].iter().any(|at| head.get(*at..).is_some_and(|rest| rest.starts_with(b"EFI PART")));
    if has_gpt {
        return Some(ForeignFormat::Disk("GPT"));
    }
    if head.get(SIGNATURE..SIGNATURE + 2)? != [0x55, 0xaa] {
        return None;
    }
    let partitions = head[PARTITIONS..SIGNATURE].as_chunks::<16>().0;
    let is_status = |status: u8| status == 0 || status == 0x80;
    let is_table = partitions.iter().all(|partition| is_status(partition[0]));
    match is_table && partitions.iter().any(|partition| partition[4] != 0) {
        true => Some(ForeignFormat::Disk("MBR")),
        false => Some(ForeignFormat::Other("a boot sector")),
    }
}

fn read_start(mut reader: impl Read, start: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = vec![0; FOREIGN_MAGIC_LEN];
    while start.len() < FOREIGN_MAGIC_LEN {
        let count = reader.read(&mut buffer[..FOREIGN_MAGIC_LEN - start.len()])?;
        if count == 0 {
            break;
        }
        start.extend_from_slice(&buffer[..count]);
    }
    Ok(())
}

/// Names at the top of almost every root file system, and of no image.
pub(crate) const ROOT_NAMES: [&str; 5] = ["etc", "usr", "bin", "sbin", "lib"];

/// A directory or tar with a container image instead of a root file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageContainer {
    /// An OCI image layout.
    OciLayout,
    /// The output of `docker save`.
    DockerSave,
    /// The output of `skopeo copy` to `dir:`.
    SkopeoDirectory,
}

impl ImageContainer {
    /// The most bytes that `read` must return of a file.
    pub const MAX_FILE_BYTES: u64 = 4 << 20;

    /// Returns the kind of image in a tree with these files in its top directory, or `None` for a root file
    /// system. `read` returns `None` if no regular file has the name.
    pub fn of(has: &dyn Fn(&str) -> bool, read: &dyn Fn(&str) -> Option<Vec<u8>>) -> Option<Self> {
        // An image that was unpacked into a root file system does not make that an image.
        if ROOT_NAMES.iter().any(|name| has(name)) {
            return None;
        }
        let contains = |name: &str, words: &[&str]| {
            read(name).is_some_and(|content| {
                let text = String::from_utf8_lossy(&content);
                words.iter().all(|word| text.contains(word))
            })
        };
        if has("index.json") && contains("oci-layout", &["imageLayoutVersion"]) {
            return Some(Self::OciLayout);
        }
        // Archives from before docker 1.10 have `repositories` instead.
        let is_saved = contains("manifest.json", &["\"Config\"", "\"Layers\""])
            || read("repositories").is_some_and(|content| content.trim_ascii_start().starts_with(b"{"));
        if is_saved {
            return Some(Self::DockerSave);
        }
        (contains("version", &["Directory Transport Version"]) && has("manifest.json"))
            .then_some(Self::SkopeoDirectory)
    }

    /// Returns advice for it, as a sentence.
    pub fn advice(self, path: &str, is_directory: bool) -> String {
        match (self, is_directory) {
            (Self::OciLayout, true) => format!("use `banger image pull oci:{path}`"),
            (Self::OciLayout, false) => format!("use `banger image pull oci-archive:{path}`"),
            (Self::DockerSave, false) => format!("use `banger image pull docker-archive:{path}`"),
            (Self::DockerSave, true) => {
                format!(
                    "pack it (`tar -C {path} -cf image.tar .`) and use `banger image pull docker-archive:image.tar`"
                )
            }
            (Self::SkopeoDirectory, _) => {
                format!("use `skopeo copy dir:{path} oci:layout:latest` and `banger image pull oci:layout`")
            }
        }
    }
}

impl fmt::Display for ImageContainer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OciLayout => "a container image (an OCI layout)",
            Self::DockerSave => "a container image (what `docker save` writes)",
            Self::SkopeoDirectory => "a container image (what skopeo writes to `dir:`)",
        })
    }
}

#[cfg(test)]
mod tests {
    use banger_testkit::{LayerBuilder, gzip, zstd};

    use super::*;

    fn with(offset: usize, magic: &[u8]) -> Vec<u8> {
        let mut head = vec![0; FOREIGN_MAGIC_LEN];
        head[offset..offset + magic.len()].copy_from_slice(magic);
        head
    }

    fn ext(compat: u32, incompat: u32) -> Vec<u8> {
        let mut head = with(EXT_MAGIC, &[0x53, 0xef]);
        head[EXT_COMPAT..][..4].copy_from_slice(&compat.to_le_bytes());
        head[EXT_INCOMPAT..][..4].copy_from_slice(&incompat.to_le_bytes());
        head
    }

    #[test]
    fn formats_are_told_by_their_magic_also_when_compressed() {
        let mut mbr = with(SIGNATURE_AT, &[0x55, 0xaa]);
        mbr[446] = 0x80;
        mbr[450] = 0x83;
        let mut hybrid = mbr.clone();
        hybrid[0x8001..0x8006].copy_from_slice(b"CD001");
        let cases = [
            (ext(0, 2), "an ext2 file system"),
            (ext(4, 2), "an ext3 file system"),
            (ext(4, 0x2c2), "an ext4 file system"),
            (mbr, "a disk image with a partition table (MBR)"),
            (with(512, b"EFI PART"), "a disk image with a partition table (GPT)"),
            (hybrid, "an ISO 9660 file system"),
            (with(0x1_0040, b"_BHRfS_M"), "a Btrfs file system"),
            (with(0, b"QFI\xfb"), "a qcow2 disk image"),
            (b"070701".to_vec(), "a cpio archive"),
        ];
        for (head, want) in cases {
            let found = ForeignFormat::of(&head).unwrap_or_else(|| panic!("{want} is not recognised"));
            assert_eq!(found.to_string(), want);
            for (compressed, how) in [(gzip(&head), "gzip"), (zstd(&head), "zstd")] {
                assert_eq!(ForeignFormat::of_compressed(&compressed), Some((found, how)), "{want}");
            }
        }
        for (offset, magic, format) in MAGICS {
            assert_eq!(ForeignFormat::of(&with(*offset, magic)), Some(*format), "{magic:?}");
        }
    }

    const SIGNATURE_AT: usize = 510;

    #[test]
    fn a_tar_is_a_tar_whatever_its_files_are() {
        for (name, content) in [("disk", ext(4, 0x2c2)), ("070701", b"PK\x03\x04".to_vec())] {
            let tar = LayerBuilder::new().file(name, content).finish();
            assert_eq!(ForeignFormat::of_compressed(&tar), None, "{name}");
            assert_eq!(ForeignFormat::of_compressed(&gzip(&tar)), None, "{name}");
        }
        for head in [&b""[..], b"x", &[0; 1024], &[0; 10_240], b"\x1f\x8b", &[0xff; 2048]] {
            assert_eq!(ForeignFormat::of_compressed(head), None, "{head:?}");
        }
    }

    #[test]
    fn images_are_told_from_root_file_systems() {
        let of = |files: &[(&str, &str)]| {
            let find = |name: &str| files.iter().find(|(found, _)| *found == name);
            let read = |name: &str| find(name).map(|(_, content)| content.as_bytes().to_vec());
            ImageContainer::of(&|name| find(name).is_some(), &read)
        };
        let layout = [("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#), ("index.json", "{}")];
        let saved = [("manifest.json", r#"[{"Config": "c.json", "Layers": []}]"#)];
        assert_eq!(of(&layout), Some(ImageContainer::OciLayout));
        // `docker save` of today writes both.
        assert_eq!(of(&[layout, [saved[0], ("blobs", "")]].concat()), Some(ImageContainer::OciLayout));
        assert_eq!(of(&saved), Some(ImageContainer::DockerSave));
        assert_eq!(of(&[saved[0], ("etc", "")]), None);
        assert_eq!(of(&[("manifest.json", r#"{"name": "app"}"#)]), None);
        assert_eq!(of(&[("index.json", "{}"), ("oci-layout", "")]), None);
    }
}
