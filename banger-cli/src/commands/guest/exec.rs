//! `banger guest exec`.

use std::io::{self, Read as _, Write as _};
use std::sync::mpsc::{TrySendError, sync_channel};
use std::time::{Duration, Instant};

use banger::guest::{
    AnswerDocument, Exec, ExecEvent, ExecInput, ExecSession, ExitStatus, GuestClient, OutputAnswer,
};

use super::answer::ended;
use super::session_end::SessionEnd;
use super::terminal;
use crate::args::guest::{ExecArguments, SessionArguments};
use crate::failure::{CommandError, output};
use crate::printer::{Printer, raw_error_output, raw_output};
use crate::units::Size;

/// How often the terminal's size is looked at.
const SIZE_INTERVAL: Duration = Duration::from_millis(200);
/// How many pieces of standard input wait for a guest that does not take them.
const INPUT_PIECES: usize = 1024;

pub(super) fn exec(
    arguments: &ExecArguments,
    guest: &GuestClient,
    printer: &Printer,
) -> Result<(), CommandError> {
    let request = Exec::default()
        .with_argv(arguments.command.clone())
        .with_env(arguments.session.env.clone())
        .with_user(arguments.user.clone())
        .with_working_dir(arguments.workdir.clone())
        .with_timeout_ms(arguments.timeout.map(|seconds| seconds.saturating_mul(1000)));
    ended(run(request, &arguments.session, arguments.max_output, guest, &SessionEnd::Process, printer)?)
}

/// Runs a program in a guest, with its streams on those of this one. With `--json`, its output is at most `max_output`.
pub(in crate::commands) fn run(
    mut request: Exec,
    options: &SessionArguments,
    max_output: Size,
    guest: &GuestClient,
    end: &SessionEnd,
    printer: &Printer,
) -> Result<ExitStatus, CommandError> {
    if options.tty
        && !request.env.iter().any(|(name, _)| name == "TERM")
        && let Ok(term) = std::env::var("TERM")
    {
        request.env.push(("TERM".to_owned(), term));
    }
    request.stdin = options.stdin && !options.tty;
    request.pty = options.tty.then(terminal::size);
    let session = guest.exec(&request)?;
    let raw = (options.tty && !printer.is_json()).then(terminal::RawMode::begin).flatten();
    if options.tty || options.stdin {
        send_standard_input(session.input(), raw.is_some(), end.clone());
    }
    if printer.is_json() {
        let result = session.output_up_to(max_output.0)?;
        let status = result.status;
        output(printer.result(&AnswerDocument::new(OutputAnswer::from(result)), ""))?;
        return Ok(status);
    }
    if raw.is_some() {
        follow_size(session.input());
        // What is typed goes to the guest: an interrupt comes from outside.
        end.on_interrupt(None);
    } else {
        end.on_interrupt(Some(session.input()));
    }
    print(session)
}

/// Prints what the program writes until it ends.
fn print(mut session: ExecSession) -> Result<ExitStatus, CommandError> {
    loop {
        match session.next_event()? {
            ExecEvent::Output(bytes) => {
                let mut out = raw_output();
                output(out.write_all(&bytes).and_then(|()| out.flush()))?;
            }
            ExecEvent::ErrorOutput(bytes) => {
                // Nobody is left to tell when standard error is gone.
                let _ = raw_error_output().write_all(&bytes);
            }
            ExecEvent::Ended(status) => return Ok(status),
            _ => {}
        }
    }
}

/// Sends standard input to its end, on threads that end with the process: nothing can take back a
/// read that waits for somebody to type. One reads and one sends, so that the key that ends a session
/// on a terminal is seen also while the guest takes nothing.
fn send_standard_input(mut input: ExecInput, is_terminal: bool, end: SessionEnd) {
    let (sender, receiver) = sync_channel::<Vec<u8>>(if is_terminal { INPUT_PIECES } else { 0 });
    std::thread::spawn(move || {
        for bytes in receiver {
            // What the program does not take any more is not wanted.
            if input.write_all(&bytes).is_err() {
                return;
            }
        }
        // It fails where the program has ended.
        let _ = input.close();
    });
    std::thread::spawn(move || {
        let mut escape = terminal::Escape::default();
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let bytes = match io::stdin().read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => buffer[..read].to_vec(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            if !is_terminal {
                if sender.send(bytes).is_err() {
                    return;
                }
                continue;
            }
            if escape.is_pressed(&bytes, Instant::now()) {
                end.end();
            }
            // What is typed into a queue that is full is lost, as in the terminal's own.
            if let Err(TrySendError::Disconnected(_)) = sender.try_send(bytes) {
                return;
            }
        }
    });
}

/// Tells the program when the terminal has another size.
fn follow_size(input: ExecInput) {
    std::thread::spawn(move || {
        let mut last = terminal::size();
        loop {
            std::thread::sleep(SIZE_INTERVAL);
            let size = terminal::size();
            if size != last && input.resize(size).is_err() {
                return;
            }
            last = size;
        }
    });
}
