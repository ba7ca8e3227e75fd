//! The console of a machine on the terminal of the user.

use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use banger::Error;
use banger::vm::{ConsoleHandler, Machine, VmRequest};

use crate::commands::guest::session_end::SignalFlag;
use crate::commands::guest::terminal;
use crate::failure::CommandError;
use crate::printer::raw_output;

/// Returns the request with the console on standard output and input.
pub(super) fn attached(request: VmRequest) -> VmRequest {
    let handler = ConsoleHandler::new(|bytes| {
        let mut out = raw_output();
        // The machine goes on when nobody looks.
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    });
    request.with_console(Some(handler)).with_console_input(true)
}

/// Lets the user type at the console until the machine is off, or the keys for it end the session.
pub(super) fn attach(machine: &mut Machine, flag: &SignalFlag) -> Result<(), CommandError> {
    let Some(mut input) = machine.console_input() else { return Ok(()) };
    let raw = terminal::RawMode::begin();
    let (is_terminal, cancellation) = (raw.is_some(), flag.cancellation().clone());
    // The thread ends with the process: nothing can take back a read that waits for somebody to type.
    std::thread::spawn(move || {
        let mut escape = terminal::Escape::default();
        let mut buffer = [0; 4096];
        loop {
            let bytes = match io::stdin().read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            if is_terminal && escape.is_pressed(bytes, Instant::now()) {
                cancellation.cancel();
                return;
            }
            if input.write_all(bytes).and_then(|()| input.flush()).is_err() {
                return;
            }
        }
    });
    let status = machine.wait(None);
    drop(raw);
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(machine.ended_early(status).into()),
        Err(Error::Cancelled) if is_terminal => Ok(()),
        Err(error) => Err(error.into()),
    }
}
