//! Times in inodes: 34 bits of seconds and 30 of nanoseconds, in two fields.

use banger_tree::Timestamp;

/// A time as an inode holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EncodedTime {
    /// The lower 32 bits of the seconds.
    pub(crate) seconds: u32,
    /// Two epoch bits, then the nanoseconds.
    pub(crate) extra: u32,
}

impl EncodedTime {
    /// Returns `time`, moved into the range of ext4, as an inode holds it.
    pub(crate) fn new(time: Timestamp) -> Self {
        let time = time.clamped_to_ext4();
        let [a, b, c, d, ..] = time.seconds.to_le_bytes();
        // The lower field reads as signed, so the epoch counts from half a period earlier.
        let epoch = (time.seconds.saturating_add(1 << 31) >> 32) & 3;
        let epoch = u32::try_from(epoch).expect("two bits");
        Self { seconds: u32::from_le_bytes([a, b, c, d]), extra: (time.nanoseconds << 2) | epoch }
    }

    /// Returns the time.
    pub(crate) fn decode(self) -> Timestamp {
        let low = i64::from(i32::from_le_bytes(self.seconds.to_le_bytes()));
        let epoch = i64::from(self.extra & 3) << 32;
        Timestamp { seconds: low.saturating_add(epoch), nanoseconds: self.extra >> 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t07_epoch_bits_and_nanoseconds() {
        for (seconds, nanoseconds, low, extra) in [
            (0, 0, 0, 0),
            (-1, 999_999_999, 0xffff_ffff, 999_999_999 << 2),
            (-(1 << 31), 0, 0x8000_0000, 0),
            ((1 << 31) - 1, 1, 0x7fff_ffff, 4),
            (1 << 31, 0, 0x8000_0000, 1),
            ((1 << 32) - 1, 0, 0xffff_ffff, 1),
            (1 << 32, 0, 0, 1),
            (3 << 32, 5, 0, 20 | 3),
            ((1 << 34) - (1 << 31) - 1, 999_999_999, 0x7fff_ffff, (999_999_999 << 2) | 3),
        ] {
            let time = Timestamp { seconds, nanoseconds };
            let encoded = EncodedTime::new(time);
            assert_eq!(encoded, EncodedTime { seconds: low, extra }, "{time:?}");
            assert_eq!(encoded.decode(), time);
        }
        for (outside, want) in [(i64::MIN, Timestamp::EXT4_MIN), (i64::MAX, Timestamp::EXT4_MAX)] {
            assert_eq!(EncodedTime::new(Timestamp::from_seconds(outside)).decode().seconds, want.seconds);
        }
    }
}
