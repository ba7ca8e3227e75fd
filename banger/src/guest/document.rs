//! Documents with answers of an agent, as programs get them: the command line and the C library print the same.

use banger_guest::protocol::{ExitStatus, ShutdownAction};
use serde::Serialize;

use super::exec::ExecOutput;

/// What an agent answered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct AnswerDocument<T> {
    version: u32,
    #[serde(flatten)]
    answer: T,
}

impl<T> AnswerDocument<T> {
    /// Returns the document of `answer`.
    pub fn new(answer: T) -> Self {
        Self { version: 1, answer }
    }
}

/// How a program ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputAnswer {
    /// How it ended.
    #[serde(flatten)]
    pub status: ExitStatus,
    /// Its standard output. Bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl From<ExecOutput> for OutputAnswer {
    fn from(output: ExecOutput) -> Self {
        let ExecOutput { status, stdout, stderr } = output;
        Self { status, stdout: text(stdout), stderr: text(stderr) }
    }
}

/// Returns the text of output, without a copy where it is text.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The interface that a network was given to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceAnswer {
    /// Its name in the guest.
    pub interface: String,
}

/// How many bytes were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CopyAnswer {
    /// Bytes of content.
    pub bytes: u64,
}

/// How a guest was asked to go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ShutdownAnswer {
    /// Off, or up again.
    pub action: ShutdownAction,
}
