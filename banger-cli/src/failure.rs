//! Why a command failed.

use std::fmt;
use std::io;

use banger::{ErrorContext, ErrorKind};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The library says why.
    Banger(banger::Error),
    /// An argument of this program has a value that makes no sense.
    Argument {
        /// The option or command, as it is written.
        name: &'static str,
        value: String,
        reason: String,
        advice: Option<String>,
    },
    /// What ran in a guest ended with this status, and so does this program, without a word.
    Ended(u8),
    /// The command did what it was for, and told what is wrong.
    Unsound,
    /// Whoever read standard output has gone, which ends a command quietly.
    ClosedOutput,
    /// Standard output, or a file that the command writes itself, failed.
    Output(io::Error),
}

impl CommandError {
    /// Returns the error of an argument of this program.
    pub(crate) fn argument(name: &'static str, value: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Argument { name, value: value.into(), reason: reason.into(), advice: None }
    }

    /// Returns the error with what the user can do.
    pub(crate) fn advised(mut self, text: &str) -> Self {
        if let Self::Argument { advice, .. } = &mut self {
            *advice = Some(text.to_owned());
        }
        self
    }

    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Banger(error) => error.code(),
            Self::Argument { .. } => 502,
            Self::Ended(_) | Self::Unsound | Self::ClosedOutput | Self::Output(_) => {
                banger::Error::OUTPUT_CODE
            }
        }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Banger(error) => error.kind(),
            Self::Argument { .. } => ErrorKind::Argument,
            Self::Output(error) => ErrorKind::of_io(error),
            Self::Ended(_) | Self::Unsound | Self::ClosedOutput => ErrorKind::Internal,
        }
    }

    pub(crate) fn context(&self) -> ErrorContext {
        match self {
            Self::Banger(error) => error.context(),
            Self::Argument { name, value, .. } => {
                ErrorContext::default().with("option", name).with("value", value)
            }
            _ => ErrorContext::default(),
        }
    }

    /// Returns 130 where the command was interrupted, else 1: every error names something outside this
    /// program.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Ended(status) => *status,
            _ if self.kind() == ErrorKind::Cancelled => 130,
            _ => 1,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Banger(error) => error.fmt(formatter),
            Self::Argument { name, value, reason, .. } => {
                let gap = if value.is_empty() { "" } else { " " };
                write!(formatter, "{name}{gap}{value}: {reason}")
            }
            Self::Ended(status) => write!(formatter, "the program in the guest ended with status {status}"),
            Self::Unsound => formatter.write_str("something is wrong"),
            Self::ClosedOutput => formatter.write_str("standard output is closed"),
            Self::Output(error) => write!(formatter, "cannot write the output: {error}"),
        }
    }
}

impl<E: Into<banger::Error>> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self::Banger(error.into())
    }
}

/// Returns the outcome of writing to standard output.
pub(crate) fn output(result: io::Result<()>) -> Result<(), CommandError> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CommandError::ClosedOutput,
        _ => CommandError::Output(error),
    })
}
