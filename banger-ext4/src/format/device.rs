//! Device numbers in `i_block`.

pub(crate) use banger_tree::{DEVICE_MAJOR_MAX as MAJOR_MAX, DEVICE_MINOR_MAX as MINOR_MAX};

/// Returns the `i_block` of a device, or `None` if its number does not fit. If both numbers are below 256,
/// the first word has the old encoding; else the second word has the new one.
pub(crate) fn encode(major: u32, minor: u32) -> Option<[u8; 60]> {
    if major > MAJOR_MAX || minor > MINOR_MAX {
        return None;
    }
    let (old, new) = if major < 256 && minor < 256 {
        ((major << 8) | minor, 0)
    } else {
        (0, (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
    };
    let mut i_block = [0; 60];
    i_block[0..4].copy_from_slice(&old.to_le_bytes());
    i_block[4..8].copy_from_slice(&new.to_le_bytes());
    Some(i_block)
}

/// Returns major and minor number from the `i_block` of a device.
pub(crate) fn decode(i_block: &[u8; 60]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h, ..] = *i_block;
    let (old, new) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    if old != 0 {
        ((old >> 8) & 0xff, old & 0xff)
    } else {
        ((new >> 8) & MAJOR_MAX, (new & 0xff) | ((new >> 12) & 0xf_ff00))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t13_old_encoding_only_below_256() {
        for (major, minor, old, new) in [
            (1, 3, 0x103, 0),
            (255, 255, 0xffff, 0),
            (256, 0, 0, 0x1_0000),
            (8, 256, 0, 0x10_0800),
            (4095, 1_048_575, 0, 0xffff_ffff),
        ] {
            let i_block = encode(major, minor).unwrap();
            assert_eq!(i_block[..4], u32::to_le_bytes(old), "{major}:{minor}");
            assert_eq!(i_block[4..8], u32::to_le_bytes(new), "{major}:{minor}");
            assert_eq!(decode(&i_block), (major, minor));
        }
        assert_eq!(decode(&encode(0, 0).unwrap()), (0, 0));
        assert_eq!((encode(4096, 0), encode(0, 1 << 20)), (None, None));
    }
}
