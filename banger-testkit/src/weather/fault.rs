//! Faults of answers, drawn from a seed.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};

/// A fault of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A reset of the connection in the place of an answer.
    NoAnswer,
    /// A reset of the connection within the body.
    Reset,
    /// An orderly end of the connection within the body.
    Truncated,
    /// Nothing more from some byte of the body on.
    Stall,
    /// A few bytes at a time, with pauses.
    Drip,
    /// One bit of the body is another one.
    WrongByte,
    /// The body ends early, and the stated length fits that.
    Shorter,
    /// The body has bytes behind its end, and the stated length fits that.
    Longer,
    /// 429 without more.
    TooMany,
    /// 429 with a Retry-After in seconds.
    TooManySeconds,
    /// 429 with a Retry-After as a date.
    TooManyDate,
    /// 500, 502, 503 or 504.
    ServerError,
    /// The connection ends within the body, and the token is not accepted any more.
    ExpiredToken,
    /// A redirect to another host, which has the blob.
    OtherHost,
    /// A redirect from https to plain http.
    PlainHttp,
    /// A `Content-Range` that is not the range asked for.
    LyingRange,
    /// The whole blob, although a part was asked for.
    IgnoredRange,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 17] = [
        Self::NoAnswer,
        Self::Reset,
        Self::Truncated,
        Self::Stall,
        Self::Drip,
        Self::WrongByte,
        Self::Shorter,
        Self::Longer,
        Self::TooMany,
        Self::TooManySeconds,
        Self::TooManyDate,
        Self::ServerError,
        Self::ExpiredToken,
        Self::OtherHost,
        Self::PlainHttp,
        Self::LyingRange,
        Self::IgnoredRange,
    ];

    /// Whether the bytes after this fault may be worth nothing: the client cannot know which are right.
    #[must_use]
    pub fn spoils_bytes(self) -> bool {
        matches!(self, Self::WrongByte | Self::Shorter | Self::Longer | Self::LyingRange | Self::IgnoredRange)
    }
}

/// The faults that may come, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The number that everything is drawn from.
    pub seed: u64,
    /// The faults that may come.
    pub faults: Vec<Fault>,
    /// So many of a hundred answers have a fault.
    pub percent: u64,
}

impl Forecast {
    /// No faults.
    #[must_use]
    pub fn fine() -> Self {
        Self { seed: 0, faults: Vec::new(), percent: 0 }
    }

    /// Draws one: a few kinds of faults, in a tenth to two thirds of the answers.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let kinds = 1 + drawn((seed, "kinds")) % 5;
        let mut faults: Vec<Fault> = (0..kinds)
            .map(|kind| {
                let count = Fault::ALL.len() as u64;
                let index = usize::try_from(drawn((seed, "fault", kind)) % count).unwrap_or(0);
                Fault::ALL[index]
            })
            .collect();
        faults.sort_unstable();
        faults.dedup();
        Self { seed, faults, percent: 10 + drawn((seed, "percent")) % 57 }
    }

    /// Returns the fault of the answer to the `count`th request for `target`. It does not depend on the
    /// order in which requests for different targets come.
    pub(crate) fn fault(&self, target: &str, count: u64) -> Option<Fault> {
        let number = self.number(target, count, "fault");
        if self.faults.is_empty() || number % 100 >= self.percent {
            return None;
        }
        let index = usize::try_from(number / 100 % self.faults.len() as u64).unwrap_or(0);
        self.faults.get(index).copied()
    }

    /// Returns a number for a decision about that answer.
    pub(crate) fn number(&self, target: &str, count: u64, decision: &str) -> u64 {
        drawn((self.seed, target, count, decision))
    }
}

/// Returns a number that `from` determines.
pub(crate) fn drawn(from: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(from)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn five_hundred_forecasts_have_every_fault() {
        let forecasts: Vec<Forecast> = (0..500).map(Forecast::draw).collect();
        let seen: BTreeSet<Fault> = forecasts.iter().flat_map(|forecast| forecast.faults.clone()).collect();
        assert_eq!(seen.len(), Fault::ALL.len());
        assert_eq!(Forecast::draw(7), Forecast::draw(7));
        assert_eq!(Forecast::fine().fault("/v2/", 0), None);
        let hits = (0..1000).filter(|count| forecasts[3].fault("/v2/", *count).is_some()).count() as u64;
        assert!(hits.abs_diff(forecasts[3].percent * 10) < 80, "{hits} of {:?}", forecasts[3]);
    }
}
