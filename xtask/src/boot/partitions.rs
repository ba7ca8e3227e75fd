//! Disks with one partition: a GPT (UEFI 2.10, chapter 5), or an MBR.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Context as _;

const BLOCK: u64 = 512;

/// The first block of the partition: 1 MiB.
const FIRST: u64 = 2048;

/// "Linux filesystem data", 0fc63daf-8483-4772-8e79-3d69d8477de4, as a disk has it.
const LINUX: [u8; 16] =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];

/// The UUID of the partition of [`write_gpt`], and the bytes of a disk.
pub(crate) const PARTITION_UUID: &str = "33221100-5544-7766-8899-aabbccddeeff";
const PARTITION_BYTES: [u8; 16] =
    [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];

/// The UUID of the partition of [`write_mbr`].
pub(crate) const MBR_PARTITION_UUID: &str = "deadbeef-02";

/// Writes a disk with a GPT whose third entry is a partition with the content of `content`.
pub(crate) fn write_gpt(disk: &Path, content: &Path) -> anyhow::Result<()> {
    let (file, blocks) = with_content(disk, content)?;
    let end = FIRST + blocks - 1;
    let last = end + 34;
    file.set_len((last + 1) * BLOCK)?;
    let mut entries = vec![0; 128 * 128];
    let entry = &mut entries[2 * 128..3 * 128];
    entry[..16].copy_from_slice(&LINUX);
    entry[16..32].copy_from_slice(&PARTITION_BYTES);
    entry[32..40].copy_from_slice(&FIRST.to_le_bytes());
    entry[40..48].copy_from_slice(&end.to_le_bytes());
    for (own, other, entries_at) in [(1, last, 2), (last, 1, last - 32)] {
        let mut header = b"EFI PART\0\0\x01\0\x5c\0\0\0".to_vec();
        header.resize(92, 0);
        let fields = [(24, own), (32, other), (40, 34), (48, last - 33), (72, entries_at)];
        for (at, value) in fields {
            header[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
        }
        header[56..72].copy_from_slice(&[0x42; 16]);
        for (at, value) in [(80, 128), (84, 128), (88, crc32(&entries))] {
            header[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
        }
        let sum = crc32(&header);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        file.write_all_at(&header, own * BLOCK)?;
        file.write_all_at(&entries, entries_at * BLOCK)?;
    }
    // The MBR says that the disk is not free.
    write_mbr_entry(&file, 0, 0xee, 1, last)
}

/// Writes a disk with an MBR whose second entry is a partition with the content of `content`.
pub(crate) fn write_mbr(disk: &Path, content: &Path) -> anyhow::Result<()> {
    let (file, blocks) = with_content(disk, content)?;
    file.write_all_at(&0xdead_beef_u32.to_le_bytes(), 0x1b8)?;
    write_mbr_entry(&file, 1, 0x83, FIRST, blocks)
}

fn write_mbr_entry(file: &File, number: u64, kind: u8, first: u64, blocks: u64) -> anyhow::Result<()> {
    let mut entry = [0; 16];
    entry[4] = kind;
    entry[8..12].copy_from_slice(&u32::try_from(first)?.to_le_bytes());
    entry[12..16].copy_from_slice(&u32::try_from(blocks)?.to_le_bytes());
    file.write_all_at(&entry, 446 + number * 16)?;
    file.write_all_at(&[0x55, 0xaa], 510)?;
    Ok(())
}

/// Makes `disk` with `content` behind its first MiB; returns the blocks of the content.
fn with_content(disk: &Path, content: &Path) -> anyhow::Result<(File, u64)> {
    let bytes = std::fs::read(content).with_context(|| content.display().to_string())?;
    let file = File::create(disk).with_context(|| disk.display().to_string())?;
    let blocks = u64::try_from(bytes.len())?.div_ceil(BLOCK);
    file.set_len((FIRST + blocks) * BLOCK)?;
    // Zeros stay holes.
    for (number, piece) in bytes.chunks(64 << 10).enumerate() {
        if piece.iter().any(|byte| *byte != 0) {
            file.write_all_at(piece, FIRST * BLOCK + (u64::try_from(number)? << 16))?;
        }
    }
    Ok((file, blocks))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
