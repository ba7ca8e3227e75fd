//! Waiting for the entry point that init runs.

use std::time::{Duration, Instant};

use banger_guest::protocol::{EntrypointState, ErrorCode, ExitStatus, FrameKind, ProtocolError, Wait};

use super::connection::{Connection, ConnectionError};
use super::error::OperationError;
use crate::root::Root;
use crate::run_state::RunState;

/// Interval of checks of the state that init writes.
const PERIOD: Duration = Duration::from_millis(20);

pub(crate) fn wait(
    root: &Root,
    connection: &mut Connection,
    wait: Wait,
) -> Result<ExitStatus, OperationError> {
    let state = RunState::of_guest(root);
    let deadline = wait.timeout_ms.map(|timeout| Instant::now().checked_add(Duration::from_millis(timeout)));
    loop {
        match state.entrypoint() {
            Some(EntrypointState::Ended(status)) => return Ok(status),
            Some(EntrypointState::Failed) => {
                return Err(OperationError::new(ErrorCode::Failed, "the entry point failed to start"));
            }
            Some(_) => {}
            None => {
                return Err(OperationError::new(
                    ErrorCode::NoEntrypoint,
                    "there is no entry point: only banger-init runs one",
                ));
            }
        }
        if deadline.flatten().is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(OperationError::new(ErrorCode::TimedOut, "the entry point still runs"));
        }
        // A peer that leaves gives up its slot.
        if connection.wait_readable(PERIOD)? {
            connection.receive()?;
            while let Some(frame) = connection.arrived_frame()? {
                if frame.kind == FrameKind::Request {
                    let (found, expected) = (frame.kind, FrameKind::Control);
                    return Err(
                        ConnectionError::Message(ProtocolError::Unexpected { found, expected }).into()
                    );
                }
            }
        }
    }
}
