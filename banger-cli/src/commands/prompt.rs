//! Questions on the terminal.

use std::io::{self, BufRead as _, Write as _};

use rustix::stdio;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

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

/// A terminal without echo; as it was on drop. An interrupt ends the process by its default action, as nothing has
/// begun yet: the shell restores the terminal.
struct Silence(Termios);

impl Silence {
    fn begin() -> Option<Self> {
        let input = stdio::stdin();
        if !isatty(input) {
            return None;
        }
        let before = tcgetattr(input).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(input, OptionalActions::Flush, &silent).ok()?;
        Some(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(stdio::stdin(), OptionalActions::Flush, &self.0);
    }
}
