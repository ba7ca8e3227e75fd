//! Points in time as file systems store them.

use serde::{Deserialize, Serialize};

/// A point in time: whole seconds since 1970-01-01 UTC, rounded down, and nanoseconds after that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp {
    /// Seconds since the epoch; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, 0 to 999,999,999.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nanoseconds: u32,
}

fn is_zero(nanoseconds: &u32) -> bool {
    *nanoseconds == 0
}

impl Timestamp {
    /// The first instant ext4 can store with 256-byte inodes: -2^31 s, in December 1901.
    pub const EXT4_MIN: Self = Self { seconds: -(1 << 31), nanoseconds: 0 };
    /// The last instant ext4 can store with 256-byte inodes, in May 2446.
    pub const EXT4_MAX: Self = Self { seconds: (1 << 34) - (1 << 31) - 1, nanoseconds: 999_999_999 };

    /// Returns the whole second `seconds` after the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }

    /// Returns this instant moved into the range that ext4 can store.
    pub fn clamped_to_ext4(self) -> Self {
        self.clamp(Self::EXT4_MIN, Self::EXT4_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamps_only_outside_the_range() {
        for (seconds, want) in [
            (0, 0),
            (-1, -1),
            (-2_147_483_648, -2_147_483_648),
            (-2_147_483_649, -2_147_483_648),
            (15_032_385_535, 15_032_385_535),
            (15_032_385_536, 15_032_385_535),
            (i64::MAX, 15_032_385_535),
        ] {
            assert_eq!(Timestamp::from_seconds(seconds).clamped_to_ext4().seconds, want, "{seconds}");
        }
    }
}
