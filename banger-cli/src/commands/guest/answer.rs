//! What came of a call to a guest.

use banger::guest::ExitStatus;

use crate::failure::CommandError;

/// Ends this program as another one ended.
pub(in crate::commands) fn ended(status: ExitStatus) -> Result<(), CommandError> {
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
