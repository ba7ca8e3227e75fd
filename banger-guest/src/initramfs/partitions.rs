//! Partition tables: GPT (UEFI 2.10, chapter 5) and the signature of an MBR.
//!
//! The kernel makes the devices of the partitions. These parsers only find the number of the partition that has a
//! UUID.

use std::io;

use super::numbers::{le32, le64, uuid_text};

/// The largest logical block of a disk.
const BLOCK_MAX: u64 = 64 * 1024;

/// The longest list of GPT entries; 128 entries of 128 bytes are usual.
const ENTRIES_BYTES: u64 = 1 << 20;

/// The number of the last partition of a disk that the kernel makes.
const PARTITIONS_MAX: u64 = 4096;

/// A disk that can be read anywhere.
pub(super) trait ReadAt {
    /// Fills `bytes` from an offset.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

impl ReadAt for std::fs::File {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, bytes, offset)
    }
}

/// Returns the number of the partition with a UUID, as text in lower case; `None` if the disk has none with it.
///
/// The UUID of a partition in an MBR is that of the kernel: the signature of the disk, a hyphen and the number
/// of the partition, both hexadecimal.
pub(super) fn find(disk: &impl ReadAt, size_bytes: u64, block_bytes: u64, uuid: &str) -> Option<u64> {
    if !(512..=BLOCK_MAX).contains(&block_bytes) {
        return None;
    }
    let mut first = vec![0; 512];
    disk.read_exact_at(&mut first, 0).ok()?;
    // The kernel does not read a table without this mark, and a GPT has a protective MBR.
    if first.get(510..)? != [0x55, 0xaa] {
        return None;
    }
    let last = (size_bytes / block_bytes).checked_sub(1)?;
    [1, last]
        .into_iter()
        .find_map(|block| Gpt::read(disk, block, block_bytes))
        .map_or_else(|| find_in_mbr(&first, uuid), |gpt| gpt.find(uuid))
}

/// A GPT whose checksums are right.
struct Gpt {
    entries: Vec<u8>,
    entry_bytes: usize,
}

impl Gpt {
    /// Reads the table whose header is in a block: the first one is in block 1, its copy in the last block.
    fn read(disk: &impl ReadAt, block: u64, block_bytes: u64) -> Option<Self> {
        let mut header = vec![0; usize::try_from(block_bytes).ok()?];
        disk.read_exact_at(&mut header, block.checked_mul(block_bytes)?).ok()?;
        let length = usize::try_from(le32(&header, 12)?).ok()?;
        if !header.starts_with(b"EFI PART") || length < 92 || le64(&header, 24)? != block {
            return None;
        }
        let sum = le32(&header, 16)?;
        header.get_mut(16..20)?.fill(0);
        if crc32(header.get(..length)?) != sum {
            return None;
        }
        let (count, entry_bytes) = (u64::from(le32(&header, 80)?), u64::from(le32(&header, 84)?));
        let length = count.checked_mul(entry_bytes).filter(|length| *length <= ENTRIES_BYTES)?;
        if entry_bytes < 128 {
            return None;
        }
        let mut entries = vec![0; usize::try_from(length).ok()?];
        disk.read_exact_at(&mut entries, le64(&header, 72)?.checked_mul(block_bytes)?).ok()?;
        let entry_bytes = usize::try_from(entry_bytes).ok()?;
        (crc32(&entries) == le32(&header, 88)?).then_some(Self { entries, entry_bytes })
    }

    fn find(&self, uuid: &str) -> Option<u64> {
        let place = self.entries.chunks_exact(self.entry_bytes).position(|entry| {
            // An entry without a type is not used.
            let is_used = entry.iter().take(16).any(|byte| *byte != 0);
            is_used && entry.get(16..32).is_some_and(|id| guid_text(id) == uuid)
        })?;
        u64::try_from(place).ok()?.checked_add(1)
    }
}

/// Returns a GUID as text: the first three numbers are little-endian.
fn guid_text(bytes: &[u8]) -> String {
    let mut bytes = bytes.to_vec();
    for range in [0..4, 4..6, 6..8] {
        if let Some(number) = bytes.get_mut(range) {
            number.reverse();
        }
    }
    uuid_text(&bytes)
}

fn find_in_mbr(first: &[u8], uuid: &str) -> Option<u64> {
    let (signature, number) = uuid.split_once('-')?;
    if signature.len() != 8 || number.len() != 2 {
        return None;
    }
    let signature = u32::from_str_radix(signature, 16).ok()?;
    let number =
        u64::from_str_radix(number, 16).ok().filter(|number| (1..=PARTITIONS_MAX).contains(number))?;
    // A disk without a signature has zeros there, also in other tables.
    (signature != 0 && le32(first, 0x1b8)? == signature).then_some(number)
}

/// The checksum of GPT: CRC-32 with the polynomial 0x04c11db7, reflected.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use banger_testkit::property_config;
    use proptest::prelude::*;

    use super::*;

    const GUID: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
    /// The same on a disk (UEFI 2.10, appendix A).
    const GUID_BYTES: [u8; 16] =
        [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

    impl ReadAt for Vec<u8> {
        fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let range = start..start.checked_add(bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.copy_from_slice(self.get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }
    }

    fn put(disk: &mut [u8], offset: usize, bytes: &[u8]) {
        disk[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// A disk of 64 blocks with a GPT and its copy; the partition 3 has [`GUID`].
    fn gpt_disk(block: usize) -> Vec<u8> {
        let mut disk = vec![0; 64 * block];
        put(&mut disk, 510, &[0x55, 0xaa]);
        let mut entries = vec![0; 4 * 128];
        // Not used, but with the same bytes behind the type.
        put(&mut entries, 128 + 16, &GUID_BYTES);
        put(&mut entries, 2 * 128, &[1; 16]);
        put(&mut entries, 2 * 128 + 16, &GUID_BYTES);
        for (at, entries_at) in [(1, 2), (63, 62)] {
            let mut header = vec![0; 92];
            put(&mut header, 0, b"EFI PART\0\0\x01\0\x5c\0\0\0");
            put(&mut header, 24, &(at as u64).to_le_bytes());
            put(&mut header, 72, &(entries_at as u64).to_le_bytes());
            put(&mut header, 80, &4_u32.to_le_bytes());
            put(&mut header, 84, &128_u32.to_le_bytes());
            put(&mut header, 88, &crc32(&entries).to_le_bytes());
            let sum = crc32(&header);
            put(&mut header, 16, &sum.to_le_bytes());
            put(&mut disk, at * block, &header);
            put(&mut disk, entries_at * block, &entries);
        }
        disk
    }

    fn find_on(disk: &Vec<u8>, block: usize, uuid: &str) -> Option<u64> {
        find(disk, disk.len() as u64, block as u64, uuid)
    }

    proptest! {
        #![proptest_config(property_config(500))]

        /// Whatever is on a disk, a partition that is found has a number.
        #[test]
        fn random_disks_end(
            changes in prop::collection::vec((0_usize..32 * 512, any::<u8>()), 0..20),
            fix_sums: bool,
            block in prop::sample::select(vec![0_u64, 1, 511, 512, 4096, 1 << 16, u64::MAX]),
            size in prop::sample::select(vec![0_u64, 1, 512, 32 * 512, u64::MAX]),
        ) {
            let mut disk = gpt_disk(512);
            for (at, value) in changes {
                disk[at] = value;
            }
            if fix_sums {
                put(&mut disk, 512 + 16, &[0; 4]);
                let sum = crc32(&disk[512..512 + 92]);
                put(&mut disk, 512 + 16, &sum.to_le_bytes());
            }
            for uuid in [GUID, "deadbeef-01", "-", ""] {
                prop_assert_ne!(find(&disk, size, block, uuid), Some(0));
            }
            let _ = super::super::superblock::Superblock::parse(&disk[..2048]);
        }
    }

    #[test]
    fn checksums_are_those_of_the_specification() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn partitions_of_a_gpt_are_found() {
        for block in [512, 4096] {
            let disk = gpt_disk(block);
            assert_eq!(find_on(&disk, block, GUID), Some(3), "blocks of {block}");
            assert_eq!(find_on(&disk, block, "00000000-0000-0000-0000-000000000000"), None);
        }
        assert_eq!(find_on(&gpt_disk(512), 4096, GUID), None, "the header is in another place");
    }

    #[test]
    fn the_copy_is_read_where_the_first_table_is_damaged() {
        for damaged in [512, 512 + 30, 1024 + 2 * 128 + 16] {
            let mut disk = gpt_disk(512);
            disk[damaged] ^= 1;
            assert_eq!(find_on(&disk, 512, GUID), Some(3), "byte {damaged}");
            disk[63 * 512 + 30] ^= 1;
            assert_eq!(find_on(&disk, 512, GUID), None, "both are damaged");
        }
        let mut disk = gpt_disk(512);
        disk[510] = 0;
        assert_eq!(find_on(&disk, 512, GUID), None, "no mark");
    }

    #[test]
    fn partitions_of_an_mbr_are_found() {
        let mut disk = vec![0; 4096];
        put(&mut disk, 510, &[0x55, 0xaa]);
        put(&mut disk, 0x1b8, &0xdead_beef_u32.to_le_bytes());
        let cases = [
            ("deadbeef-01", Some(1)),
            ("deadbeef-0a", Some(10)),
            ("deadbeef-00", None),
            ("deadbeef-1", None),
            ("deadbeee-01", None),
            ("deadbeef", None),
            (GUID, None),
        ];
        for (uuid, number) in cases {
            assert_eq!(find_on(&disk, 512, uuid), number, "{uuid}");
        }
        put(&mut disk, 0x1b8, &[0; 4]);
        assert_eq!(find_on(&disk, 512, "00000000-01"), None, "no signature");
    }

    #[test]
    fn damaged_tables_end() {
        let whole = gpt_disk(512);
        for at in (512..604).chain(63 * 512..63 * 512 + 92) {
            for value in [0, 1, 0x80, 0xff] {
                let mut disk = whole.clone();
                disk[at] = value;
                // With the right sum, so that the other fields are read.
                let start = at / 512 * 512;
                put(&mut disk, start + 16, &[0; 4]);
                let sum = crc32(&disk[start..start + 92]);
                put(&mut disk, start + 16, &sum.to_le_bytes());
                let found = find_on(&disk, 512, GUID);
                assert!([None, Some(3)].contains(&found), "byte {at} is {value}: {found:?}");
            }
        }
        for length in [0, 1, 511, 512, 1024, 1535] {
            assert_eq!(find_on(&whole[..length].to_vec(), 512, GUID), None, "{length} bytes");
        }
    }
}
