//! The requests of one connection, one after the other.

use std::time::Duration;

use banger_guest::protocol::{ErrorCode, FrameKind, Message, Operation, Outcome, ProtocolError, Request};

use super::connection::{Connection, ConnectionError};
use super::context::Agent;
use super::error::OperationError;
use super::slots::Slot;
use super::{copy, exec, grow, info, shutdown, wait};
use crate::network;
use crate::run_state::RunState;

/// How long a connection may wait for its next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Serves a connection until it ends, and returns the reason. A connection without a slot is a device, which
/// may be silent for ever.
pub(crate) fn serve(agent: &Agent, mut connection: Connection, slot: Option<&Slot>) -> ConnectionError {
    let idle = slot.map(|_| IDLE_TIMEOUT);
    // A device does not show whether a peer is connected; init need not wait for it.
    let _connected = slot.and_then(|_| RunState::of_guest(&agent.root).mark_connected().ok());
    let error = loop {
        let frame = match connection.next_frame(idle) {
            Ok(frame) => frame,
            Err(error) => break error,
        };
        match frame.kind {
            // They crossed the reply of the operation that they were for.
            FrameKind::Control | FrameKind::Input | FrameKind::InputEnd => continue,
            _ => {}
        }
        let request = match Request::from_frame(&frame) {
            Ok(request) => request,
            Err(error) => break ConnectionError::Message(error),
        };
        set_busy(slot, true);
        let done = operate(agent, &mut connection, &request);
        set_busy(slot, false);
        if let Err(error) = done {
            break error;
        }
    };
    let malformed = matches!(
        error,
        ConnectionError::Frame(_)
            | ConnectionError::Credit
            | ConnectionError::Message(ProtocolError::Message { .. } | ProtocolError::Unexpected { .. })
    );
    if malformed {
        let _ = connection.reply_error(0, ErrorCode::Malformed, error.to_string());
    }
    if slot.is_none() && malformed {
        drain(&mut connection);
    }
    error
}

/// Drops the rest of bytes that were not a frame: a device stays open when its peer leaves.
fn drain(connection: &mut Connection) {
    while connection.wait_readable(Duration::from_millis(200)).is_ok_and(|readable| readable) {
        if connection.receive().is_err() {
            return;
        }
        connection.forget_received();
    }
}

fn set_busy(slot: Option<&Slot>, busy: bool) {
    if let Some(slot) = slot {
        slot.set_busy(busy);
    }
}

fn operate(agent: &Agent, connection: &mut Connection, request: &Request) -> Result<(), ConnectionError> {
    let root = &agent.root;
    let id = request.id;
    let outcome = match &request.operation {
        Operation::Health => Ok(Outcome::Health(info::health())),
        Operation::Info => Ok(Outcome::Info(Box::new(info::info(root)))),
        Operation::Exec(program) => exec::run(root, connection, program).map(Outcome::Exec),
        Operation::CopyIn(target) => copy::copy_in(connection, target).map(Outcome::CopyIn),
        Operation::CopyOut(source) => copy::copy_out(connection, source).map(Outcome::CopyOut),
        Operation::SetNetwork(set) => network::set(root, set)
            .map(Outcome::SetNetwork)
            .map_err(|error| OperationError::new(error.code(), error.to_string())),
        Operation::Grow => shutdown::check_guest(root).and_then(|()| grow::grow_root()).map(Outcome::Grow),
        Operation::Shutdown(shutdown) => {
            if let Err(error) = shutdown::check_guest(root) {
                return refuse(connection, id, error);
            }
            // The reply first: the agent may be gone afterwards.
            connection.reply(id, Outcome::Shutdown)?;
            shutdown::shut_down(root, shutdown.action);
            return Ok(());
        }
        Operation::Wait(wait) => wait::wait(root, connection, *wait).map(Outcome::Wait),
        // An operation of a later version does not get past the parser.
        _ => Err(OperationError::new(
            ErrorCode::Unsupported,
            "this agent does not know the operation; it is older than the host's banger",
        )),
    };
    match outcome {
        Ok(outcome) => connection.reply(id, outcome),
        Err(error) => refuse(connection, id, error),
    }
}

fn refuse(connection: &mut Connection, id: u64, error: OperationError) -> Result<(), ConnectionError> {
    match error {
        OperationError::Refused { code, message } => connection.reply_error(id, code, message),
        OperationError::Connection(error) => Err(error),
    }
}
