//! The superblock of a hash tree: `struct verity_sb` of cryptsetup's `lib/verity/verity.c`, drawn in the kernel's
//! `Documentation/admin-guide/device-mapper/verity.rst` and cryptsetup's wiki page "DMVerity". All numbers are
//! little-endian.

use uuid::Uuid;

/// Bytes of a block of data, and of a block of hashes.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// The same, as a length.
pub(super) const BLOCK: usize = 4096;
/// Bytes of a salt that banger makes.
pub(super) const SALT_BYTES: usize = 32;

/// The superblock has a block of its own in front of the hashes.
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const VERSION: u32 = 1;
/// The salt is hashed before the block.
const HASH_TYPE: u32 = 1;
const ALGORITHM: &[u8] = b"sha256";

const SIGNATURE_AT: usize = 0;
const VERSION_AT: usize = 8;
const HASH_TYPE_AT: usize = 12;
const UUID_AT: usize = 16;
const ALGORITHM_AT: usize = 32;
const ALGORITHM_BYTES: usize = 32;
const DATA_BLOCK_SIZE_AT: usize = 64;
const HASH_BLOCK_SIZE_AT: usize = 68;
const DATA_BLOCKS_AT: usize = 72;
const SALT_SIZE_AT: usize = 80;
const SALT_AT: usize = 88;

/// The superblock of a tree with blocks of 4096 bytes, SHA-256 and a salt of 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VeritySuperblock {
    pub(super) uuid: Uuid,
    pub(super) salt: [u8; SALT_BYTES],
    pub(super) data_blocks: u64,
}

impl VeritySuperblock {
    /// Returns its block.
    pub(super) fn to_block(self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(SIGNATURE_AT, SIGNATURE);
        put(VERSION_AT, &VERSION.to_le_bytes());
        put(HASH_TYPE_AT, &HASH_TYPE.to_le_bytes());
        put(UUID_AT, self.uuid.as_bytes());
        put(ALGORITHM_AT, ALGORITHM);
        put(DATA_BLOCK_SIZE_AT, &4096_u32.to_le_bytes());
        put(HASH_BLOCK_SIZE_AT, &4096_u32.to_le_bytes());
        put(DATA_BLOCKS_AT, &self.data_blocks.to_le_bytes());
        put(SALT_SIZE_AT, &32_u16.to_le_bytes());
        put(SALT_AT, &self.salt);
        block
    }

    /// Returns whether a block begins as a superblock does.
    pub(super) fn is_in(block: &[u8]) -> bool {
        block.starts_with(SIGNATURE)
    }

    /// Reads a superblock. Trees of other kinds than banger makes are refused.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, String> {
        if !Self::is_in(block) {
            return Err("it has no superblock of dm-verity".to_owned());
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&block[UUID_AT..UUID_AT + 16]);
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&block[SALT_AT..SALT_AT + SALT_BYTES]);
        let mut data_blocks = [0; 8];
        data_blocks.copy_from_slice(&block[DATA_BLOCKS_AT..DATA_BLOCKS_AT + 8]);
        let uuid = Uuid::from_bytes(uuid);
        let found = Self { uuid, salt, data_blocks: u64::from_le_bytes(data_blocks) };
        let is_known = block[..] == found.to_block();
        let algorithm = &block[ALGORITHM_AT..ALGORITHM_AT + ALGORITHM_BYTES];
        let algorithm = algorithm.split(|byte| *byte == 0).next().unwrap_or_default();
        match is_known {
            true => Ok(found),
            false => Err(format!(
                "its superblock is not one of version 1 with sha256, blocks of 4096 bytes and a salt of 32 bytes: it \
                 names {:?}",
                String::from_utf8_lossy(algorithm)
            )),
        }
    }
}
