//! Questions on the terminal.

use std::io::{self, BufRead as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::stdio;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::failure::CommandError;
use crate::printer::raw_error_output;

/// Asks for a line. `option` gives the answer without a terminal.
pub(super) fn line(question: &str, option: &'static str) -> Result<String, CommandError> {
    if !isatty(stdio::stdin()) {
        return Err(CommandError::argument(
            option,
            "",
            "it is needed, as there is no terminal to ask on".to_owned(),
        ));
    }
    ask(question).map_err(|error| CommandError::argument(option, "", error.to_string()))
}

/// Asks for a line that the terminal does not show. `option` gives the answer without a terminal.
pub(super) fn hidden(question: &str, option: &'static str) -> Result<String, CommandError> {
    let Some(_silence) = Silence::begin() else {
        return Err(CommandError::argument(
            option,
            "",
            "it is needed, as there is no terminal to ask on".to_owned(),
        ));
    };
    let answer = ask(question);
    // The newline was not shown either.
    let _ = writeln!(raw_error_output());
    answer.map_err(|error| CommandError::argument(option, "", error.to_string()))
}

fn ask(question: &str) -> io::Result<String> {
    let mut error_output = raw_error_output();
    error_output.write_all(question.as_bytes())?;
    error_output.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    let answer = answer.trim_end_matches(['\r', '\n']).to_owned();
    match answer.is_empty() {
        true => Err(io::Error::other("the answer is empty")),
        false => Ok(answer),
    }
}

/// Signals that end or stop a command that waits for an answer.
const SIGNALS: [i32; 5] = [SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP];

/// The terminal as it was, while it has no echo.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal without echo. It is as it was on drop, and when a signal ends or stops the process.
struct Silence;

impl Silence {
    fn begin() -> Option<Self> {
        if !isatty(stdio::stdin()) {
            return None;
        }
        watch_signals().ok()?;
        let mut before = before();
        let found = tcgetattr(stdio::stdin()).ok()?;
        silence(&found).ok()?;
        *before = Some(found);
        Some(Self)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        restore(before().take().as_ref());
    }
}

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn silence(before: &Termios) -> io::Result<()> {
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    Ok(tcsetattr(stdio::stdin(), OptionalActions::Flush, &silent)?)
}

fn restore(before: Option<&Termios>) {
    if let Some(before) = before {
        // The terminal may be gone.
        let _ = tcsetattr(stdio::stdin(), OptionalActions::Flush, before);
    }
}

/// Gives a terminal its echo back before a signal does what it does without a handler. The handlers stay for the
/// rest of the process; what a command does at an interrupt later takes their place.
fn watch_signals() -> io::Result<()> {
    let mut signals = Signals::new(SIGNALS)?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let before = before();
            restore(before.as_ref());
            let _ = emulate_default_handler(signal);
            // It was stopped, and goes on.
            if let Some(before) = before.as_ref() {
                let _ = silence(before);
            }
        }
    });
    Ok(())
}
