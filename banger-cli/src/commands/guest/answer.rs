//! What came of a call to a guest.

use banger::guest::ExitStatus;
use serde::Serialize;

use crate::failure::CommandError;

/// What the agent answered, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct Document<T> {
    version: u32,
    #[serde(flatten)]
    answer: T,
}

impl<T> Document<T> {
    pub(super) fn new(answer: T) -> Self {
        Self { version: 1, answer }
    }
}

/// Ends this program as another one ended.
pub(super) fn ended(status: ExitStatus) -> Result<(), CommandError> {
    let number = match status {
        ExitStatus::Exited { status } => status,
        // As shells have it.
        ExitStatus::Killed { signal } => signal.saturating_add(128),
        _ => 1,
    };
    match u8::try_from(number).unwrap_or(1) {
        0 => Ok(()),
        status => Err(CommandError::Ended(status)),
    }
}
