//! Checksums of the `metadata_csum` feature: CRC-32C without the final inversion.

use super::{Block, Group, InodeNumber};

/// Returns whether a checksum differs from the expected one. Always false in a fuzzer, which would otherwise
/// find only wrong checksums.
pub(crate) fn is_wrong<T: ?Sized + PartialEq<U>, U: ?Sized>(found: &T, want: &U) -> bool {
    !cfg!(fuzzing) && found != want
}

/// A running checksum. Copies go on separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum(u32);

impl Checksum {
    /// Returns the checksum of no bytes: the seed of the superblock's checksum.
    pub(crate) const EMPTY: Self = Self(!0);

    /// Returns the seed of every checksum but the superblock's.
    pub(crate) fn of_filesystem(s_uuid: &[u8; 16]) -> Self {
        Self::EMPTY.with(s_uuid)
    }

    /// Returns the checksum that was stored as `value`, for example `s_checksum_seed`.
    pub(crate) fn of_stored(value: u32) -> Self {
        Self(value)
    }

    /// Returns the seed for an inode and its blocks.
    pub(crate) fn of_inode(self, number: InodeNumber, i_generation: u32) -> Self {
        self.with(&number.0.to_le_bytes()).with(&i_generation.to_le_bytes())
    }

    /// Returns the seed for a group descriptor.
    pub(crate) fn of_group(self, group: Group) -> Self {
        self.with(&group.0.to_le_bytes())
    }

    /// Returns the seed for an xattr block.
    pub(crate) fn of_block(self, block: Block) -> Self {
        self.with(&block.0.to_le_bytes())
    }

    /// Returns the checksum with `bytes` added.
    pub(crate) fn with(self, bytes: &[u8]) -> Self {
        // The library inverts before and after; on disk nothing is inverted after.
        Self(!::crc32c::crc32c_append(!self.0, bytes))
    }

    /// Returns the number that is stored.
    pub(crate) fn value(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t02_seeds_and_no_final_inversion() {
        // The check value of CRC-32C is 0xe3069283 with the final inversion.
        assert_eq!(Checksum::EMPTY.with(b"123456789").value(), !0xe306_9283);
        let parts = Checksum::EMPTY.with(b"1234").with(b"56789");
        assert_eq!(parts, Checksum::EMPTY.with(b"123456789"));
        let seed = Checksum::of_filesystem(&[7; 16]);
        assert_eq!(
            seed.of_inode(InodeNumber(0x0102), 3).value(),
            seed.with(&[2, 1, 0, 0, 3, 0, 0, 0]).value()
        );
        assert_eq!(seed.of_group(Group(1)).value(), seed.with(&[1, 0, 0, 0]).value());
        assert_eq!(seed.of_block(Block(1)).value(), seed.with(&[1, 0, 0, 0, 0, 0, 0, 0]).value());
    }
}
