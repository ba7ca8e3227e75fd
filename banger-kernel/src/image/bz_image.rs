//! The setup header of a bzImage, as in the kernel's "Linux/x86 Boot Protocol".

use super::{u16_at, u32_at};
use crate::find::is_release;

/// Bytes of a sector, the unit of `setup_sects`.
const SECTOR: u64 = 512;
/// The first version with `payload_offset` and `payload_length`.
const PAYLOAD_VERSION: u16 = 0x0208;
/// The first version with `xloadflags`.
const XLOADFLAGS_VERSION: u16 = 0x020c;
/// In `xloadflags`: the kernel has a 64-bit entry point.
const XLF_KERNEL_64: u16 = 1;

/// The needed fields of a setup header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SetupHeader {
    /// Position of the payload in the file.
    pub(super) payload_offset: u64,
    /// Bytes of the payload.
    pub(super) payload_length: u64,
    /// Whether the kernel runs in 64-bit mode.
    pub(super) is_64: bool,
}

impl SetupHeader {
    /// Returns whether a file with these first bytes has a setup header.
    pub(super) fn is_there(head: &[u8]) -> bool {
        // boot_flag, header
        u16_at(head, 0x1fe) == Some(0xaa55) && head.get(0x202..0x206) == Some(b"HdrS")
    }

    /// Returns the header of a bzImage of `length` bytes.
    pub(super) fn parse(head: &[u8], length: u64) -> Result<Self, String> {
        let cut = || "the bzImage ends inside its setup header".to_owned();
        let version = u16_at(head, 0x206).ok_or_else(cut)?;
        if version < PAYLOAD_VERSION {
            let (major, minor) = (version >> 8, version & 0xff);
            return Err(format!(
                "version {major}.{minor:02} of the boot protocol gives no place of the payload"
            ));
        }
        let setup_sects = match head.get(0x1f1).copied().ok_or_else(cut)? {
            0 => 4,
            sectors => u64::from(sectors),
        };
        let protected_mode = (setup_sects + 1) * SECTOR;
        let payload_offset = protected_mode + u64::from(u32_at(head, 0x248).ok_or_else(cut)?);
        let payload_length = u64::from(u32_at(head, 0x24c).ok_or_else(cut)?);
        if payload_length == 0 {
            return Err("the bzImage has no payload".to_owned());
        }
        if payload_offset + payload_length > length {
            return Err(format!(
                "the bzImage has {length} bytes, and its payload ends at byte {}",
                payload_offset + payload_length
            ));
        }
        let is_64 = version >= XLOADFLAGS_VERSION
            && u16_at(head, 0x236).is_some_and(|flags| flags & XLF_KERNEL_64 != 0);
        Ok(Self { payload_offset, payload_length, is_64 })
    }
}

/// Returns the release in the header of a bzImage: the first word of the text that `kernel_version` leads to.
pub(crate) fn release_in_head(head: &[u8]) -> Option<String> {
    if !SetupHeader::is_there(head) {
        return None;
    }
    let at = match u16_at(head, 0x20e)? {
        0 => return None,
        pointer => usize::from(pointer) + 0x200,
    };
    let text = head.get(at..)?;
    let end = text.iter().position(|byte| matches!(byte, 0 | b' '))?;
    let release = str::from_utf8(&text[..end]).ok()?;
    is_release(release).then(|| release.to_owned())
}
