//! Odd facts about a compressed stream that are not errors: zeros behind it.

use std::io::{self, BufRead};
use std::sync::atomic::{AtomicBool, Ordering};

/// Odd facts about a compressed stream.
#[derive(Debug, Default)]
pub(crate) struct DecodeNotes {
    zeros_behind: AtomicBool,
}

impl DecodeNotes {
    /// Returns whether zeros follow the compressed bytes, up to the end.
    pub(crate) fn has_zeros_behind(&self) -> bool {
        self.zeros_behind.load(Ordering::Acquire)
    }

    pub(crate) fn note_zeros_behind(&self) {
        self.zeros_behind.store(true, Ordering::Release);
    }
}

/// Passes over zeros up to the end of `input`.
///
/// # Errors
///
/// The input fails, or something else is among them: `other` is returned.
pub(crate) fn pass_zeros(input: &mut impl BufRead, other: fn() -> io::Error) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(other());
        }
        let length = bytes.len();
        input.consume(length);
    }
}
