//! How slow a server may be, how fast a download may be, and how long a server may let us wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::registry::options::PullOptions;

/// The lowest rate of a transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MinRate {
    bytes_per_second: u64,
    window: Duration,
}

impl MinRate {
    pub(crate) fn new(options: &PullOptions) -> Self {
        Self { bytes_per_second: options.min_rate_bytes, window: options.rate_window }
    }

    pub(crate) fn meter(self) -> RateMeter {
        RateMeter { rate: self, waited: Duration::ZERO, received: 0 }
    }
}

/// Measures one transfer. Only the time of waits for the server counts.
#[derive(Debug)]
pub(crate) struct RateMeter {
    rate: MinRate,
    waited: Duration,
    received: u64,
}

impl RateMeter {
    /// Notes a piece of the transfer and how long it took to come.
    ///
    /// # Errors
    ///
    /// Returns the rate, if it is too low.
    pub(crate) fn note(&mut self, len: usize, waited: Duration) -> Result<(), String> {
        self.received = self.received.saturating_add(len as u64);
        self.waited += waited;
        if self.waited < self.rate.window {
            return Ok(());
        }
        let needed = u128::from(self.rate.bytes_per_second) * self.waited.as_millis() / 1000;
        if u128::from(self.received) < needed {
            return Err(format!(
                "{} bytes moved in {:.1} s, at least {} a second are expected",
                self.received,
                self.waited.as_secs_f64(),
                self.rate.bytes_per_second
            ));
        }
        (self.waited, self.received) = (Duration::ZERO, 0);
        Ok(())
    }
}

/// The highest rate of all transfers of a pull together.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    bytes_per_second: u64,
    /// The time at which all bytes so far are due at that rate.
    due: Arc<Mutex<Option<Instant>>>,
}

impl RateLimit {
    /// With 0 there is no limit.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, due: Arc::default() }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.bytes_per_second > 0
    }

    /// Notes a piece of a transfer. Returns how long the transfer must wait for the next one. The server notices
    /// it, as nobody reads what it sends.
    pub(crate) fn note(&self, now: Instant, len: usize) -> Duration {
        if !self.is_set() {
            return Duration::ZERO;
        }
        let nanos = (len as u128).saturating_mul(1_000_000_000) / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // The state is changed by one assignment.
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let from = due.map_or(now, |due| due.max(now));
        let Some(until) = from.checked_add(cost) else { return cost };
        *due = Some(until);
        until.saturating_duration_since(now)
    }
}

/// Sums up the pauses of all requests of a pull. Pauses at the same time count once.
#[derive(Debug)]
pub(crate) struct Pauses {
    limit: Duration,
    state: Mutex<PauseState>,
}

#[derive(Debug, Default)]
struct PauseState {
    total: Duration,
    until: Option<Instant>,
}

impl Pauses {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// How long they may be together.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Notes a pause from `now` on. Returns whether all of them together stay below the limit.
    pub(crate) fn note(&self, now: Instant, delay: Duration) -> bool {
        // The state is changed by two assignments that cannot panic.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let from = state.until.map_or(now, |until| until.max(now));
        let end = now + delay;
        if end > from {
            state.total += end - from;
            state.until = Some(end);
        }
        state.total <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(bytes_per_second: u64) -> MinRate {
        MinRate { bytes_per_second, window: Duration::from_secs(30) }
    }

    #[test]
    fn a_drip_is_noticed_after_the_window() {
        let mut meter = rate(1024).meter();
        let second = Duration::from_secs(1);
        let notes: Vec<bool> = (0..30).map(|_| meter.note(1, second).is_ok()).collect();
        assert!(notes[..29].iter().all(|ok| *ok) && !notes[29], "{notes:?}");
    }

    #[test]
    fn a_slow_server_above_the_rate_is_let_be() {
        let mut meter = rate(1024).meter();
        for _ in 0..1000 {
            assert_eq!(meter.note(1100, Duration::from_secs(1)), Ok(()));
        }
        // A fast beginning does not excuse a slow rest.
        assert_eq!(meter.note(1 << 30, Duration::from_secs(30)), Ok(()));
        assert!(meter.note(10, Duration::from_secs(30)).is_err());
        assert_eq!(rate(0).meter().note(0, Duration::from_secs(3600)), Ok(()));
    }

    #[test]
    fn all_transfers_share_the_limit() {
        let limit = RateLimit::new(1000);
        let (now, ms) = (Instant::now(), Duration::from_millis);
        assert_eq!(limit.note(now, 100), ms(100));
        // Another transfer at the same time waits for the bytes of both.
        assert_eq!(limit.note(now, 300), ms(400));
        assert_eq!(limit.note(now + ms(100), 1), ms(301));
        // Time without transfers is not saved up.
        assert_eq!(limit.note(now + ms(5000), 10), ms(10));
        assert!(limit.note(now, usize::MAX) > Duration::from_secs(1 << 30));
        assert_eq!(RateLimit::new(0).note(now, usize::MAX), Duration::ZERO);
    }

    #[test]
    fn pauses_at_the_same_time_count_once() {
        let pauses = Pauses::new(Duration::from_secs(100));
        let now = Instant::now();
        for _ in 0..50 {
            assert!(pauses.note(now, Duration::from_secs(60)));
        }
        assert!(pauses.note(now + Duration::from_secs(30), Duration::from_secs(60)), "90 s");
        assert!(!pauses.note(now + Duration::from_secs(200), Duration::from_secs(11)), "101 s");
    }
}
