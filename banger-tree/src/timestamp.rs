//! Points in time as file systems store them.

use std::time::{SystemTime, UNIX_EPOCH};

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

    /// Returns the host's time. The library itself never calls this: images do not depend on a clock.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Returns this instant moved into the range that ext4 can store.
    pub fn clamped_to_ext4(self) -> Self {
        self.clamp(Self::EXT4_MIN, Self::EXT4_MAX)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let whole = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self { seconds: whole(after.as_secs()), nanoseconds: after.subsec_nanos() },
            Err(error) => {
                let before = error.duration();
                match before.subsec_nanos() {
                    0 => Self::from_seconds(-whole(before.as_secs())),
                    // Seconds are rounded down.
                    nanoseconds => Self {
                        seconds: -whole(before.as_secs()) - 1,
                        nanoseconds: 1_000_000_000 - nanoseconds,
                    },
                }
            }
        }
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

    #[test]
    fn system_times_are_rounded_down() {
        let at = |seconds, nanoseconds| Timestamp { seconds, nanoseconds };
        let quarter = std::time::Duration::from_millis(250);
        assert_eq!(Timestamp::from(UNIX_EPOCH), at(0, 0));
        assert_eq!(Timestamp::from(UNIX_EPOCH + quarter), at(0, 250_000_000));
        assert_eq!(Timestamp::from(UNIX_EPOCH - quarter), at(-1, 750_000_000));
        assert_eq!(Timestamp::from(UNIX_EPOCH - 4 * quarter), at(-1, 0));
        // After this line was written.
        assert!(Timestamp::now() > at(1_700_000_000, 0));
    }
}
