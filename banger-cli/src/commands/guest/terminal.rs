//! The terminal that `banger guest exec --tty` lends to a guest.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use banger::guest::Pty;
use rustix::stdio;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// The key that ends the session when it is pressed [`ESCAPE_PRESSES`] times: Ctrl-].
const ESCAPE_KEY: u8 = 0x1d;
const ESCAPE_PRESSES: usize = 3;
/// Within this time.
const ESCAPE_TIME: Duration = Duration::from_secs(1);

/// How the terminal was before a guest got it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Standard input as the program in the guest wants it: every byte as it is typed. As it was on
/// drop.
#[derive(Debug)]
pub(in crate::commands) struct RawMode(());

impl RawMode {
    /// Begins it; `None` where standard input is no terminal.
    pub(in crate::commands) fn begin() -> Option<Self> {
        let input = stdio::stdin();
        if !isatty(input) {
            return None;
        }
        let before = tcgetattr(input).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        tcsetattr(input, OptionalActions::Now, &raw).ok()?;
        Some(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal as it was; also for threads that end the process.
pub(in crate::commands) fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // The terminal may be gone.
        let _ = tcsetattr(stdio::stdin(), OptionalActions::Now, &before);
    }
}

/// Notices the key that ends a session, which works also where the guest takes no input.
#[derive(Debug, Default)]
pub(in crate::commands) struct Escape {
    presses: usize,
    first: Option<Instant>,
}

impl Escape {
    /// Whether the session is to end after these bytes were typed.
    pub(in crate::commands) fn is_pressed(&mut self, bytes: &[u8], now: Instant) -> bool {
        for byte in bytes {
            if *byte != ESCAPE_KEY {
                *self = Self::default();
                continue;
            }
            match self.first {
                Some(first) if now.duration_since(first) <= ESCAPE_TIME => self.presses += 1,
                _ => *self = Self { presses: 1, first: Some(now) },
            }
            if self.presses == ESCAPE_PRESSES {
                return true;
            }
        }
        false
    }
}

/// The size of the terminal that standard output or input is; 80 by 24 where neither is one.
pub(in crate::commands) fn size() -> Pty {
    [stdio::stdout(), stdio::stdin()]
        .into_iter()
        .find_map(|file| tcgetwinsize(file).ok())
        .filter(|size| size.ws_row > 0 && size.ws_col > 0)
        .map_or(Pty::new(24, 80), |size| Pty::new(size.ws_row, size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_presses_within_a_second_end_a_session() {
        let start = Instant::now();
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        /// What is typed, and after how many milliseconds.
        type Typed = &'static [(&'static [u8], u64)];
        let cases: [(Typed, bool); 6] = [
            (&[(b"\x1d\x1d\x1d", 0)], true),
            (&[(b"a\x1d", 0), (b"\x1d", 400), (b"\x1d", 900)], true),
            (&[(b"\x1d", 0), (b"\x1d", 400), (b"\x1d", 1500)], false),
            (&[(b"\x1d\x1da\x1d", 0)], false),
            (&[(b"\x1d", 0), (b"\x1d\x1d", 2000), (b"\x1d", 2500)], true),
            (&[(b"\x1d\x1d", 0)], false),
        ];
        for (typed, ends) in cases {
            let mut escape = Escape::default();
            let pressed = typed.iter().any(|(bytes, when)| escape.is_pressed(bytes, after(*when)));
            assert_eq!(pressed, ends, "{typed:?}");
        }
    }
}
