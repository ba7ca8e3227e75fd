//! The terminal that `banger guest exec --tty` lends to a guest.

use banger::guest::Pty;
use rustix::stdio;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// Standard input as the program in the guest wants it: every byte as it is typed. As it was on
/// drop.
#[derive(Debug)]
pub(super) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Begins it; `None` where standard input is no terminal.
    pub(super) fn begin() -> Option<Self> {
        let input = stdio::stdin();
        if !isatty(input) {
            return None;
        }
        let before = tcgetattr(input).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(input, OptionalActions::Now, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The size of the terminal that standard output or input is; 80 by 24 where neither is one.
pub(super) fn size() -> Pty {
    [stdio::stdout(), stdio::stdin()]
        .into_iter()
        .find_map(|file| tcgetwinsize(file).ok())
        .filter(|size| size.ws_row > 0 && size.ws_col > 0)
        .map_or(Pty { rows: 24, columns: 80 }, |size| Pty { rows: size.ws_row, columns: size.ws_col })
}
