//! The hash tree in the record of an image.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The hash tree of an image, and what a virtual machine needs to use it. Blocks of data and of hashes have 4096 bytes,
/// and the hash is SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VerityRecord {
    /// The hash that stands for all bytes of the file system, 64 hexadecimal digits.
    pub root_hash: String,
    /// The salt, 64 hexadecimal digits.
    pub salt: String,
    /// UUID of the tree.
    pub uuid: Uuid,
    /// Blocks of the file system.
    pub data_blocks: u64,
    /// Where the superblock of the tree begins in its file.
    pub hash_offset_bytes: u64,
    /// Name of the file with the tree, in the directory of the ext4 file: another file, or the ext4 file itself.
    pub file: String,
}

/// Digits of a hash and of a salt.
const DIGITS: usize = 64;

impl VerityRecord {
    /// Checks a record that was read: its hashes are hashes, and its file is in the directory of the image.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (what, text) in [("root hash", &self.root_hash), ("salt", &self.salt)] {
            if text.len() != DIGITS || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(format!("the {what} of dm-verity is {text:?}, not {DIGITS} hexadecimal digits"));
            }
        }
        let is_name = !["", ".", ".."].contains(&self.file.as_str()) && !self.file.contains('/');
        if !is_name {
            return Err(format!("the hash tree {:?} is not in the directory of the image", self.file));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_others_are_checked() {
        let sound = VerityRecord {
            root_hash: "0".repeat(64),
            salt: "a".repeat(64),
            uuid: Uuid::nil(),
            data_blocks: 1,
            hash_offset_bytes: 0,
            file: "rootfs.verity".to_owned(),
        };
        assert_eq!(sound.check(), Ok(()));
        for file in ["", "..", "../../etc/passwd", "/etc/passwd"] {
            assert!(VerityRecord { file: file.to_owned(), ..sound.clone() }.check().is_err(), "{file:?}");
        }
        for text in ["", "0", &"g".repeat(64), &"A".repeat(64), &"0".repeat(66)] {
            assert!(VerityRecord { root_hash: text.to_owned(), ..sound.clone() }.check().is_err(), "{text}");
            assert!(VerityRecord { salt: text.to_owned(), ..sound.clone() }.check().is_err(), "{text}");
        }
    }
}
