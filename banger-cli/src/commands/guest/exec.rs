//! `banger guest exec`.

use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use banger::guest::{Exec, ExecEvent, ExecInput, ExecSession, ExitStatus, GuestClient};
use serde::Serialize;

use super::{Document, ended, terminal};
use crate::args::guest::ExecArguments;
use crate::commands::{Failure, output};
use crate::printer::Printer;

/// How often the terminal's size is looked at.
const SIZE_INTERVAL: Duration = Duration::from_millis(200);
/// `SIGINT` on Linux, which the guest runs.
const INTERRUPT: i32 = 2;

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

pub(super) fn exec(arguments: &ExecArguments, guest: &GuestClient, printer: &Printer) -> Result<(), Failure> {
    let mut env = arguments.env.clone();
    if arguments.tty
        && !env.iter().any(|(name, _)| name == "TERM")
        && let Ok(term) = std::env::var("TERM")
    {
        env.push(("TERM".to_owned(), term));
    }
    let request = Exec {
        argv: arguments.command.clone(),
        env,
        clear_env: false,
        user: arguments.user.clone(),
        working_dir: arguments.workdir.clone(),
        stdin: arguments.stdin && !arguments.tty,
        pty: arguments.tty.then(terminal::size),
        timeout_ms: arguments.timeout.map(|seconds| seconds.saturating_mul(1000)),
    };
    let session = guest.exec(&request)?;
    if arguments.tty || arguments.stdin {
        send_standard_input(session.input());
    }
    let status = if printer.is_json() {
        let result = session.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let answer =
            Answer { status: result.status, stdout: text(&result.stdout), stderr: text(&result.stderr) };
        output(printer.result(&Document::new(answer), ""))?;
        result.status
    } else {
        let raw = arguments.tty.then(terminal::RawMode::begin).flatten();
        if raw.is_some() {
            follow_size(session.input());
        } else {
            pass_interrupts_on(session.input());
        }
        print(session)?
    };
    ended(status)
}

/// Prints what the program writes until it ends.
fn print(mut session: ExecSession) -> Result<ExitStatus, Failure> {
    loop {
        match session.next_event()? {
            ExecEvent::Output(bytes) => {
                let mut out = io::stdout().lock();
                output(out.write_all(&bytes).and_then(|()| out.flush()))?;
            }
            ExecEvent::ErrorOutput(bytes) => {
                // Nobody is left to tell when standard error is gone.
                let _ = io::stderr().write_all(&bytes);
            }
            ExecEvent::Ended(status) => return Ok(status),
            _ => {}
        }
    }
}

/// Sends standard input to its end, on a thread that ends with the process: nothing can take back a
/// read that waits for somebody to type.
fn send_standard_input(mut input: ExecInput) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            match io::stdin().read(&mut buffer) {
                Ok(0) => break,
                // What the program does not take any more is not wanted.
                Ok(read) => match input.write_all(&buffer[..read]) {
                    Ok(()) => {}
                    Err(_) => return,
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // It fails where the program has ended.
        let _ = input.close();
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

/// Sends the first interrupt to the program; the second ends this one, and the program with it.
fn pass_interrupts_on(input: ExecInput) {
    let interrupted = AtomicBool::new(false);
    let handler = move || {
        if interrupted.swap(true, Ordering::Relaxed) || input.signal(INTERRUPT).is_err() {
            std::process::exit(130);
        }
    };
    // Without a handler an interrupt ends this program, and the connection's end the other one.
    let _ = ctrlc::set_handler(handler);
}
