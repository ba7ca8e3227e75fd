//! When and how a blob is divided among several connections.

use std::time::Duration;

use crate::registry::options::PullOptions;

/// Connections of one blob.
const MAX_CONNECTIONS: u64 = 8;
/// Pieces are at most so many times as large as the smallest one.
const LARGEST: u64 = 4;
/// Pieces that wait for their turn are lost when the process is killed: together at most this part of a blob.
const WAITING_PART: u64 = 8;

/// The options of a pull for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SplitRules {
    pub(crate) after: Duration,
    min_piece: u64,
    is_limited: bool,
}

/// How one blob is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobSplit {
    pub(crate) connections: usize,
    pub(crate) piece_len: u64,
}

impl SplitRules {
    pub(crate) fn new(options: &PullOptions) -> Self {
        Self {
            after: options.split_after,
            min_piece: options.min_piece_bytes,
            // More connections would not be faster.
            is_limited: options.limit_rate_bytes > 0,
        }
    }

    /// Returns how the rest of a blob is divided, if that is worth it.
    pub(crate) fn of(self, received: u64, size: u64, jobs: usize) -> Option<BlobSplit> {
        let min_rest = self.min_piece.max(1).saturating_mul(2 * WAITING_PART);
        if self.is_limited || size.saturating_sub(received) < min_rest {
            return None;
        }
        let fit = 1 + size / WAITING_PART / self.min_piece.max(1);
        let connections = fit.min(MAX_CONNECTIONS).min(jobs as u64);
        let waiting = connections.checked_sub(1).filter(|waiting| *waiting > 0)?;
        let most = self.min_piece.saturating_mul(LARGEST);
        let piece_len = (size / WAITING_PART / waiting).clamp(self.min_piece.max(1), most.max(1));
        Some(BlobSplit { connections: usize::try_from(connections).unwrap_or(1), piece_len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn pieces_that_wait_are_an_eighth_at_most() {
        let rules = SplitRules::new(&PullOptions::default());
        for size in (MIB..600 * MIB).step_by(777_777) {
            for jobs in 1..20 {
                let Some(split) = rules.of(0, size, jobs) else {
                    assert!(jobs == 1 || size < 16 * MIB, "{size} {jobs}");
                    continue;
                };
                assert!(split.connections > 1 && split.connections <= jobs.min(8), "{split:?}");
                assert!(split.piece_len >= MIB && split.piece_len <= 4 * MIB, "{split:?}");
                assert!((split.connections as u64 - 1) * split.piece_len <= size / 8, "{size} {split:?}");
            }
        }
    }

    #[test]
    fn small_rests_and_limited_pulls_are_not_divided() {
        let rules = SplitRules::new(&PullOptions::default());
        assert_eq!(rules.of(100 * MIB, 100 * MIB, 4), None);
        assert_eq!(rules.of(90 * MIB, 100 * MIB, 4), None);
        assert!(rules.of(0, u64::MAX, usize::MAX).is_some());
        for options in [
            PullOptions::default().with_limit_rate_bytes(1 << 30),
            PullOptions::default().with_min_piece_bytes(u64::MAX),
        ] {
            assert_eq!(SplitRules::new(&options).of(0, 100 * MIB, 4), None);
        }
        let smallest = PullOptions::default().with_min_piece_bytes(0);
        assert!(SplitRules::new(&smallest).of(0, 100 * MIB, 4).is_some());
    }
}
