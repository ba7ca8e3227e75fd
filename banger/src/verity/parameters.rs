//! Salt and UUID of a hash tree. They depend on the file system alone: the same image has the same tree.

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::superblock::SALT_BYTES;

/// Salt and UUID of a hash tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VerityParameters {
    pub(super) salt: [u8; SALT_BYTES],
    pub(super) uuid: Uuid,
}

impl VerityParameters {
    /// Returns those of the tree over a file system with this UUID.
    pub(super) fn of(file_system: Uuid) -> Self {
        let derived = |purpose: &str| -> [u8; 32] {
            let hash = Sha256::new().chain_update("banger/").chain_update(purpose).chain_update([0]);
            hash.chain_update(file_system.as_bytes()).finalize().into()
        };
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&derived("verity-uuid")[..16]);
        Self { salt: derived("verity-salt"), uuid: Builder::from_custom_bytes(uuid).into_uuid() }
    }
}
