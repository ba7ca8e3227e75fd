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
    /// So long from now on; for ever where that is beyond what a clock can tell.
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

    /// What is left; `None` without a limit.
    pub(super) fn left(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// What is left of a pause that is over with the deadline.
    pub(super) fn cut(self, pause: Duration) -> Duration {
        self.left().map_or(pause, |left| left.min(pause))
    }
}
