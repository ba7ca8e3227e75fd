//! Documents with answers of an agent, as programs get them: the command line and the C library print the same.

use banger_guest::protocol::ShutdownAction;
use serde::Serialize;

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
