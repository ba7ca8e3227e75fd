//! A flag ends every call to a guest, whatever the guest or the VMM does.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::ptr::null;
use std::time::{Duration, Instant};

use ::banger_guest::protocol::{Accepted, CopyTarget, FrameKind, write_frame};
use banger_testkit::ScriptedAgent;

use super::agent::{accept, request};
use super::guest::{Guest, Session};
use super::*;
use crate::cancel::*;
use crate::guest::*;

/// A cancelled call ends within 200 ms; the rest is for a machine that is busy with other tests. The limits of
/// the calls are 10 s or more.
const SLACK: Duration = Duration::from_secs(2);

fn silence(stream: &mut UnixStream) -> Option<()> {
    std::io::copy(stream, &mut std::io::sink()).ok().map(drop)
}

/// Flag that is freed.
struct Flag(*mut banger_cancel);

/// Any thread may set it, as the header says.
unsafe impl Sync for Flag {}

impl Flag {
    fn new() -> Self {
        Self(banger_cancel_new())
    }

    fn set(&self) {
        unsafe { banger_cancel_cancel(self.0) };
    }

    fn get(&self) -> *const banger_cancel {
        self.0
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        unsafe { banger_cancel_free(self.0) };
    }
}

/// Cancels `call` while it waits, and checks that it ends for that reason, soon.
fn cancelled(name: &str, flag: &Flag, call: impl FnOnce() -> Result<(), CallError> + Send) {
    std::thread::scope(|scope| {
        let called = scope.spawn(call);
        std::thread::sleep(Duration::from_millis(40));
        let started = Instant::now();
        flag.set();
        let error = called.join().unwrap().expect_err(name);
        assert_eq!(error.code, BANGER_ERROR_CANCELLED, "{name}: {}", error.message);
        assert_eq!(error.kind, banger_failure_kind::BANGER_KIND_CANCELLED as c_int);
        assert!(started.elapsed() < SLACK, "{name}: {:?}", started.elapsed());
    });
}

type GuestCall = fn(&Guest, &Flag) -> Result<(), CallError>;

const CALLS: [(&str, GuestCall); 11] = [
    ("health", |guest, flag| unsafe {
        json(|out, error| banger_guest_health(guest.get(), flag.get(), out, error)).map(drop)
    }),
    ("wait_ready", |guest, flag| unsafe {
        json(|out, error| banger_guest_wait_ready(guest.get(), 600_000, flag.get(), out, error)).map(drop)
    }),
    ("info", |guest, flag| unsafe {
        json(|out, error| banger_guest_info(guest.get(), flag.get(), out, error)).map(drop)
    }),
    ("set_network", |guest, flag| unsafe {
        json(|out, error| banger_guest_set_network(guest.get(), null(), flag.get(), out, error)).map(drop)
    }),
    ("grow", |guest, flag| unsafe {
        json(|out, error| banger_guest_grow(guest.get(), flag.get(), out, error)).map(drop)
    }),
    ("shutdown", |guest, flag| unsafe {
        done(|error| banger_guest_shutdown(guest.get(), false, flag.get(), error))
    }),
    ("wait", |guest, flag| unsafe {
        let size = size_of::<banger_exit>();
        answer(|out, error| banger_guest_wait(guest.get(), BANGER_FOREVER, flag.get(), out, size, error))
            .map(drop)
    }),
    ("copy_in", |guest, flag| unsafe {
        let file = tempfile::tempfile().unwrap();
        let fd = file.as_raw_fd();
        answer(|out, error| {
            banger_guest_copy_in_fd(guest.get(), c"/x".as_ptr(), fd, null(), flag.get(), out, error)
        })
        .map(drop)
    }),
    ("copy_out", |guest, flag| unsafe {
        let file = tempfile::tempfile().unwrap();
        let fd = file.as_raw_fd();
        json(|out, error| banger_guest_copy_out_fd(guest.get(), c"/x".as_ptr(), fd, flag.get(), out, error))
            .map(drop)
    }),
    ("run", |guest, flag| unsafe {
        let options = Options::new().list(banger_option::BANGER_OPT_EXEC_ARGV, &["true"]);
        let size = size_of::<banger_exit>();
        answer(|out, error| {
            banger_guest_run(guest.get(), options.0, flag.get(), null_mut(), null_mut(), out, size, error)
        })
        .map(drop)
    }),
    ("exec_start", |guest, flag| unsafe {
        let options = Options::new().list(banger_option::BANGER_OPT_EXEC_ARGV, &["true"]);
        answer(|out, error| crate::exec::banger_exec_start(guest.get(), options.0, flag.get(), out, error))
            .map(drop)
    }),
];

#[test]
fn every_call_ends_while_the_guest_or_the_vmm_is_silent() {
    let agent = ScriptedAgent::new(silence);
    let path = agent.path().display();
    for address in [format!("unix:{path}"), format!("{path}:5000")] {
        let guest = Guest::at(&address, None);
        for (name, call) in CALLS {
            let flag = Flag::new();
            cancelled(&format!("{address}: {name}"), &flag, || call(&guest, &flag));
            // What begins afterwards does not begin.
            assert_eq!(call(&guest, &flag).unwrap_err().code, BANGER_ERROR_CANCELLED, "{name}");
        }
    }
}

/// One thread waits for the program, another for room for its input; then the session is freed.
#[test]
fn a_session_ends_with_its_flag() {
    let agent = ScriptedAgent::new(|stream| {
        request(stream)?;
        accept(stream, &Accepted::Exec { pid: 1 })?;
        silence(stream)
    });
    let guest = Guest::of(&agent);
    let flag = Flag::new();
    let session = Session::start(&guest, flag.get());
    let input = session.input();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let written = input.write(&vec![0; 1 << 20]);
            (written, input)
        });
        cancelled("next", &flag, || session.next(BANGER_FOREVER).map(drop));
        let (written, input) = writer.join().unwrap();
        assert_eq!(written.unwrap_err().code, BANGER_ERROR_CANCELLED);
        assert_eq!(input.signal(15).unwrap_err().code, BANGER_ERROR_CANCELLED);
    });
}

/// The descriptors of the caller are silent, not the guest.
#[test]
fn a_copy_ends_though_its_pipe_is_silent() {
    let agent = ScriptedAgent::new(|stream| {
        request(stream)?;
        accept(stream, &Accepted::CopyIn)?;
        silence(stream)
    });
    let guest = Guest::of(&agent);
    let (reader, _silent) = std::io::pipe().unwrap();
    let (flag, fd) = (Flag::new(), reader.as_raw_fd());
    cancelled("copy_in", &flag, || unsafe {
        answer(|out, error| {
            banger_guest_copy_in_fd(guest.get(), c"/x".as_ptr(), fd, null(), flag.get(), out, error)
        })
        .map(drop)
    });
    let agent = ScriptedAgent::new(output_for_ever);
    let guest = Guest::of(&agent);
    let (_full, writer) = std::io::pipe().unwrap();
    let (flag, fd) = (Flag::new(), writer.as_raw_fd());
    cancelled("copy_out", &flag, || unsafe {
        json(|out, error| banger_guest_copy_out_fd(guest.get(), c"/x".as_ptr(), fd, flag.get(), out, error))
            .map(drop)
    });
}

fn output_for_ever(stream: &mut UnixStream) -> Option<()> {
    request(stream)?;
    accept(stream, &Accepted::CopyOut(CopyTarget::default().with_size_bytes(1 << 30)))?;
    loop {
        write_frame(stream, FrameKind::Output, &[7; 100_000]).ok()?;
    }
}

/// Where the agent of [`a_pipe_that_nobody_reads_is_an_error_and_no_death`] listens.
const ADDRESS: &str = "BANGER_TEST_SIGPIPE_ADDRESS";

/// The host program; an ordinary run of the tests has nothing to do here.
#[test]
fn host_with_sigpipe() {
    let Ok(address) = std::env::var(ADDRESS) else { return };
    // As C programs have it; Rust ignores the signal at its start.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let guest = Guest::at(&address, None);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let fd = writer.as_raw_fd();
    let copied = json(|out, error| unsafe {
        banger_guest_copy_out_fd(guest.get(), c"/x".as_ptr(), fd, null(), out, error)
    });
    assert_eq!(copied.unwrap_err().code, 907);
    println!("the host is alive");
    // It would not be without the library: the signal has its effect.
    let _ = (&writer).write(b"x");
    println!("never");
}

#[test]
fn a_pipe_that_nobody_reads_is_an_error_and_no_death() {
    let agent = ScriptedAgent::new(output_for_ever);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::guest_cancel::host_with_sigpipe", "--nocapture"])
        .env(ADDRESS, format!("unix:{}", agent.path().display()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("the host is alive") && !text.contains("never"), "{text}{output:?}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(libc::SIGPIPE));
}
