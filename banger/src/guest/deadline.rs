//! Until when a call may go on.

use std::time::{Duration, Instant};

/// Until when something may go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Option<Instant>,
    /// How long that was at the beginning, for messages.
    pub(super) limit: Duration,
}

impl Deadline {
    /// Returns the deadline after this time; no limit if a clock cannot represent it.
    pub(super) fn after(limit: Duration) -> Self {
        Self { at: Instant::now().checked_add(limit), limit }
    }

    /// No limit.
    pub(super) const NEVER: Self = Self { at: None, limit: Duration::MAX };

    /// Whichever comes first.
    pub(super) fn earlier(self, other: Self) -> Self {
        match (self.at, other.at) {
            (Some(one), Some(two)) if two < one => other,
            (None, Some(_)) => other,
            _ => self,
        }
    }

    /// Returns the time left; `None` without a limit.
    pub(super) fn left(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Returns the pause, cut at the deadline.
    pub(super) fn cut(self, pause: Duration) -> Duration {
        self.left().map_or(pause, |left| left.min(pause))
    }
}
