//! Headers of arm64 kernels: the `Image`, as in the kernel's "Booting AArch64 Linux", and the EFI program that
//! holds a compressed one (`CONFIG_EFI_ZBOOT`).

use super::u32_at;

/// Returns whether a file with these first bytes is an `Image`.
pub(super) fn is_image(head: &[u8]) -> bool {
    head.get(56..60) == Some(b"ARM\x64")
}

/// The place of a compressed `Image` in an EFI program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ZbootHeader {
    pub(super) payload_offset: u64,
    pub(super) payload_length: u64,
    /// The name of the compression: `gzip`, `zstd`.
    pub(super) compression: String,
}

impl ZbootHeader {
    /// Returns the header in the first bytes of a file, if it has one.
    pub(super) fn parse(head: &[u8]) -> Option<Self> {
        // drivers/firmware/efi/libstub/zboot-header.S
        if !head.starts_with(b"MZ") || head.get(4..8) != Some(b"zimg") {
            return None;
        }
        let name = head.get(24..56)?;
        let end = name.iter().position(|byte| *byte == 0)?;
        Some(Self {
            payload_offset: u32_at(head, 8)?.into(),
            payload_length: u32_at(head, 12)?.into(),
            compression: String::from_utf8_lossy(&name[..end]).into_owned(),
        })
    }
}
