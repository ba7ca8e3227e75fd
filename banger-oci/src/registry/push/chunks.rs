//! Whether blobs are sent in one request or in parts, as the registry and the proxies before it take them.

use std::sync::atomic::{AtomicU64, Ordering};

/// The smallest part: who refuses this refuses the blob.
const MIN_CHUNK: u64 = 64 << 10;
/// The largest part after attempts that broke off: a proxy may end the connection before it answers 413.
const CHUNK_AFTER_BREAKS: u64 = 1 << 20;
/// Attempts in a row that break off, after which a blob is sent in parts.
const BREAKS: u32 = 2;

/// How blobs are sent, learned from the answers so far: 0 is a request for a whole blob, another number is the
/// largest part.
#[derive(Debug, Default)]
pub(super) struct UploadMode(AtomicU64);

/// How one blob is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlobMode {
    /// In one PUT.
    Whole,
    /// In several PATCH of at most so many bytes.
    Parts(u64),
}

impl UploadMode {
    /// The mode for the next blob.
    pub(super) fn now(&self) -> BlobMode {
        match self.0.load(Ordering::Acquire) {
            0 => BlobMode::Whole,
            most => BlobMode::Parts(most),
        }
    }

    /// Remembers a mode that led to success.
    pub(super) fn learn(&self, mode: BlobMode) {
        if let BlobMode::Parts(most) = mode {
            self.0.store(most, Ordering::Release);
        }
    }
}

impl BlobMode {
    /// The next mode to try after 413. `None` if no smaller part is left.
    pub(super) fn smaller(self, blob_bytes: u64, min_chunk: u64) -> Option<Self> {
        let tried = match self {
            Self::Whole => blob_bytes,
            Self::Parts(most) => most.min(blob_bytes),
        };
        let least = MIN_CHUNK.max(min_chunk);
        (tried > least).then(|| Self::Parts((tried / 4).max(least)))
    }

    /// The next mode to try where one request for a whole blob is refused.
    pub(super) fn without_whole(self) -> Option<Self> {
        (self == Self::Whole).then_some(Self::Parts(u64::MAX))
    }

    /// The mode after `breaks` attempts that broke off.
    pub(super) fn after_breaks(self, breaks: u32) -> Self {
        match self {
            Self::Whole if breaks >= BREAKS => Self::Parts(CHUNK_AFTER_BREAKS),
            mode => mode,
        }
    }
}

/// Returns whether a registry may take a blob in parts after it answered so to a whole one.
pub(super) fn may_want_parts(status: u16) -> bool {
    matches!(status, 400 | 405 | 411 | 415 | 416 | 501)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_get_smaller_until_none_is_left() {
        let size = 16 << 20;
        let mut modes = vec![BlobMode::Whole];
        while let Some(next) = modes[modes.len() - 1].smaller(size, 0) {
            modes.push(next);
        }
        let parts = [4 << 20, 1 << 20, 256 << 10, 64 << 10].map(BlobMode::Parts);
        assert_eq!(modes[1..], parts);
        assert_eq!(BlobMode::Whole.smaller(MIN_CHUNK, 0), None);
        assert_eq!(BlobMode::Whole.smaller(size, 5 << 20), Some(BlobMode::Parts(5 << 20)));
        assert_eq!(BlobMode::Parts(5 << 20).smaller(size, 5 << 20), None);
        assert_eq!(BlobMode::Parts(u64::MAX).smaller(size, 0), Some(BlobMode::Parts(4 << 20)));
    }

    #[test]
    fn what_worked_is_used_again() {
        let mode = UploadMode::default();
        assert_eq!(mode.now(), BlobMode::Whole);
        mode.learn(BlobMode::Parts(5));
        mode.learn(BlobMode::Whole);
        assert_eq!(mode.now(), BlobMode::Parts(5));
        assert_eq!(BlobMode::Whole.after_breaks(1), BlobMode::Whole);
        assert_eq!(BlobMode::Whole.after_breaks(2), BlobMode::Parts(CHUNK_AFTER_BREAKS));
        assert_eq!(BlobMode::Parts(7).after_breaks(2), BlobMode::Parts(7));
    }
}
