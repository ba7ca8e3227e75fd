//! Files that hold a disk in another form.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Beginnings of files, their format, and the next step.
const FORMATS: [(&[u8], &str, &str); 10] = [
    (b"QFI\xfb", "a qcow2 image", CONVERT),
    (b"KDMV", "a VMDK image", CONVERT),
    (b"# Disk Descript", "the description of a VMDK image", CONVERT),
    (b"vhdxfile", "a VHDX image", CONVERT),
    (b"conectix", "a VHD image", CONVERT),
    (b"<<< Oracle VM VirtualBox", "a VDI image", CONVERT),
    (b"\x1f\x8b", "compressed with gzip", "unpack it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it with zstd -d"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it with xz -d"),
    (b"\x3a\xff\x26\xed", "a sparse image of Android", "convert it with simg2img"),
];

const CONVERT: &str = "convert it with `qemu-img convert -O raw`";

/// Returns the format of a file that is not the bytes of a disk, and what to do.
pub(super) fn format_of(disk: &File) -> Option<(&'static str, &'static str)> {
    let mut head = [0; 64];
    let length = disk.read_at(&mut head, 0).ok()?;
    let known = FORMATS.iter().find(|(magic, ..)| head[..length].starts_with(magic));
    known.map(|(_, format, advice)| (*format, *advice))
}
