//! The superblock of ext4: `struct ext4_super_block` of the kernel's `fs/ext4/ext4.h`.

use super::numbers::{le16, le32, uuid_text};

/// Where the superblock is on the disk.
pub(super) const OFFSET: u64 = 1024;

/// Its length.
pub(super) const LENGTH: usize = 1024;

/// `EXT4_SUPER_MAGIC`, at offset 0x38.
const MAGIC: u16 = 0xef53;

/// The needed fields of a superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Superblock {
    /// `s_uuid`, as text in lower case.
    pub(super) uuid: String,
    /// `s_volume_name`, without its zeros.
    pub(super) label: String,
}

impl Superblock {
    /// Reads a superblock; `None` for bytes that are not one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        // `s_log_block_size`: 64 KiB at most. Other file systems have the magic at this place, too.
        if bytes.len() < LENGTH || le16(bytes, 0x38)? != MAGIC || le32(bytes, 0x18)? > 6 {
            return None;
        }
        let label = bytes.get(0x78..0x88)?.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(Self {
            uuid: uuid_text(bytes.get(0x68..0x78)?),
            label: String::from_utf8_lossy(label).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superblocks_have_a_uuid_and_a_label() {
        let mut bytes = vec![0; LENGTH];
        bytes[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        bytes[0x18] = 2;
        for (index, byte) in bytes[0x68..0x78].iter_mut().enumerate() {
            *byte = u8::try_from(index).expect("below 16") * 0x11;
        }
        bytes[0x78..0x7f].copy_from_slice(b"my root");
        let superblock = Superblock::parse(&bytes).expect("it is one");
        assert_eq!(superblock.uuid, "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(superblock.label, "my root");
        bytes[0x78..0x88].copy_from_slice(b"sixteen letters.");
        assert_eq!(Superblock::parse(&bytes).expect("it is one").label, "sixteen letters.");
        assert_eq!(Superblock::parse(&bytes[..LENGTH - 1]), None, "cut off");
        bytes[0x18] = 7;
        assert_eq!(Superblock::parse(&bytes), None, "no such block size");
        assert_eq!(Superblock::parse(&[0; LENGTH]), None);
    }
}
