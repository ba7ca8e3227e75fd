//! `banger guest exec`.

use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

use banger::guest::{AnswerDocument, Exec, ExecEvent, ExecInput, ExecSession, ExitStatus, GuestClient};
use serde::Serialize;

use super::answer::ended;
use super::terminal;
use crate::args::guest::ExecArguments;
use crate::failure::{CommandError, output};
use crate::printer::{Printer, raw_error_output, raw_output};

/// How often the terminal's size is looked at.
const SIZE_INTERVAL: Duration = Duration::from_millis(200);
/// How many pieces of standard input wait for a guest that does not take them.
const INPUT_PIECES: usize = 1024;
/// `SIGINT` on Linux, which the guest runs.
const INTERRUPT: i32 = 2;

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

pub(super) fn exec(
    arguments: &ExecArguments,
    guest: &GuestClient,
    printer: &Printer,
) -> Result<(), CommandError> {
    let mut env = arguments.env.clone();
    if arguments.tty
        && !env.iter().any(|(name, _)| name == "TERM")
        && let Ok(term) = std::env::var("TERM")
    {
        env.push(("TERM".to_owned(), term));
    }
    let request = Exec::default()
        .with_argv(arguments.command.clone())
        .with_env(env)
        .with_user(arguments.user.clone())
        .with_working_dir(arguments.workdir.clone())
        .with_stdin(arguments.stdin && !arguments.tty)
        .with_pty(arguments.tty.then(terminal::size))
        .with_timeout_ms(arguments.timeout.map(|seconds| seconds.saturating_mul(1000)));
    let session = guest.exec(&request)?;
    let raw = (arguments.tty && !printer.is_json()).then(terminal::RawMode::begin).flatten();
    if arguments.tty || arguments.stdin {
        send_standard_input(session.input(), raw.is_some());
    }
    let status = if printer.is_json() {
        let result = session.output_up_to(arguments.max_output.0)?;
        let answer =
            Answer { status: result.status, stdout: text(result.stdout), stderr: text(result.stderr) };
        output(printer.result(&AnswerDocument::new(answer), ""))?;
        result.status
    } else {
        if raw.is_some() {
            follow_size(session.input());
            // From outside: what is typed goes to the guest. Without a handler the terminal stays raw.
            let _ = ctrlc::set_handler(|| end_at_once());
        } else {
            pass_interrupts_on(session.input());
        }
        print(session)?
    };
    ended(status)
}

/// Text of output, without a copy where it is text.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Ends this process, and with its connection the program in the guest.
fn end_at_once() -> ! {
    terminal::restore();
    std::process::exit(130);
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
fn send_standard_input(mut input: ExecInput, is_terminal: bool) {
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
                end_at_once();
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

/// Sends the first interrupt to the program; the second ends this one, and the program with it. The
/// first is sent by a thread of its own: a guest that takes nothing does not keep the second away.
fn pass_interrupts_on(input: ExecInput) {
    let (sender, receiver) = channel::<()>();
    std::thread::spawn(move || {
        for () in receiver {
            if input.signal(INTERRUPT).is_err() {
                end_at_once();
            }
        }
    });
    let interrupted = AtomicBool::new(false);
    let handler = move || {
        if interrupted.swap(true, Ordering::Relaxed) || sender.send(()).is_err() {
            end_at_once();
        }
    };
    // Without a handler an interrupt ends this program, and the connection's end the other one.
    let _ = ctrlc::set_handler(handler);
}
