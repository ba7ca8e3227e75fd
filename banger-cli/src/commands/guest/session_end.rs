//! How a session with a program in a guest ends from outside: by an interrupt, or by the keys for it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use banger::Cancellation;
use banger::guest::ExecInput;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::terminal;

/// `SIGINT` on Linux, which the guest runs.
const INTERRUPT: i32 = 2;

/// What ends a session.
#[derive(Clone, Debug)]
pub(in crate::commands) enum SessionEnd {
    /// The end of this process, and with its connection the program's.
    Process,
    /// A flag, for a caller that has something to clean up.
    Flag(SignalFlag),
}

impl SessionEnd {
    /// Ends the session.
    pub(super) fn end(&self) {
        match self {
            Self::Process => end_at_once(),
            Self::Flag(flag) => flag.cancellation.cancel(),
        }
    }

    /// Sends the first interrupt to the program, if it has no terminal; the next one ends the session.
    pub(super) fn on_interrupt(&self, program: Option<ExecInput>) {
        let sender = program.map(|input| interrupts_for(input, self.clone()));
        match self {
            Self::Flag(flag) => *flag.program.lock().unwrap_or_else(PoisonError::into_inner) = sender,
            Self::Process => {
                let interrupted = AtomicBool::new(false);
                let handler = move || {
                    let is_first = !interrupted.swap(true, Ordering::Relaxed);
                    let is_sent = is_first && sender.as_ref().is_some_and(|sender| sender.send(()).is_ok());
                    if !is_sent {
                        end_at_once();
                    }
                };
                // Without a handler an interrupt ends this program, and the connection's end the other one.
                let _ = ctrlc::set_handler(handler);
            }
        }
    }
}

/// Ends this process, and with its connection the program in the guest.
fn end_at_once() -> ! {
    terminal::restore();
    std::process::exit(130);
}

/// Returns the sender of interrupts to a program. Another thread sends them: if the guest takes nothing, the second
/// interrupt still ends the session.
fn interrupts_for(input: ExecInput, end: SessionEnd) -> Sender<()> {
    let (sender, receiver) = channel::<()>();
    std::thread::spawn(move || {
        for () in receiver {
            if input.signal(INTERRUPT).is_err() {
                end.end();
            }
        }
    });
    sender
}

/// A flag that signals set. The first SIGINT goes to the program of a session instead, if there is one.
#[derive(Clone, Debug)]
pub(in crate::commands) struct SignalFlag {
    cancellation: Cancellation,
    /// Takes one interrupt for the program.
    program: Arc<Mutex<Option<Sender<()>>>>,
}

impl SignalFlag {
    /// Watches SIGINT, SIGTERM and SIGHUP, which a closed terminal sends, from now on. A signal after the flag is
    /// set ends the process at once; the next command removes what it left.
    pub(in crate::commands) fn watch() -> io::Result<Self> {
        let flag = Self { cancellation: Cancellation::default(), program: Arc::default() };
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let watched = flag.clone();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if watched.cancellation.is_cancelled() {
                    end_at_once();
                }
                let program = watched.program.lock().unwrap_or_else(PoisonError::into_inner).take();
                let is_sent = signal == SIGINT && program.is_some_and(|program| program.send(()).is_ok());
                if !is_sent {
                    watched.cancellation.cancel();
                }
            }
        });
        Ok(flag)
    }

    /// Returns the flag.
    pub(in crate::commands) fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }
}
