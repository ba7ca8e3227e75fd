//! Every call of the guest client ends when the caller cancels, whatever the guest does, and leaves nothing.

use std::io::{Read, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use banger::Cancellation;
use banger::guest::{CopyIn, Exec, ExecEvent, GuestAddress, GuestClient, GuestError, GuestTimeouts};
use banger_guest::protocol::{Accepted, CopyTarget, FrameKind, write_frame, write_message};
use camino::Utf8PathBuf;

use crate::hostile_guest::{CALLS, GuestCall, Hostile, Script, accept_exec, health, reply, request, silence};

/// A cancelled call ends within 200 ms; the rest is for a machine that is busy with other tests. The limits of
/// the calls are 30 s or more.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn a_cancelled_call_ends_though_the_guest_is_silent() {
    let guest = Hostile::new(silence);
    // No deadline ends these within the time of a test.
    let more: [(&str, GuestCall); 3] = [
        ("grow", |guest| guest.grow().map(drop)),
        ("wait for ever", |guest| guest.wait(None).map(drop)),
        ("wait_until_ready", |guest| guest.wait_until_ready(Duration::from_secs(600)).map(drop)),
    ];
    for (name, call) in CALLS.into_iter().chain(more) {
        let cancellation = Cancellation::default();
        let timeouts = GuestTimeouts::default()
            .with_connect(Duration::from_secs(60))
            .with_reply(Duration::from_secs(60));
        let client = guest.client().with_timeouts(timeouts).with_cancellation(cancellation.clone());
        let called = std::thread::spawn(move || call(&client));
        std::thread::sleep(Duration::from_millis(20));
        let started = Instant::now();
        cancellation.cancel();
        let error = called.join().unwrap().expect_err(name);
        assert!(matches!(error, GuestError::Cancelled), "{name}: {error}");
        assert!(started.elapsed() < SLACK, "{name}: {:?}", started.elapsed());
        assert_eq!(banger::Error::from(error).kind(), banger::ErrorKind::Cancelled);
    }
    // Also between two attempts, and where nobody even takes the connection.
    let directory = tempfile::tempdir().unwrap();
    let nowhere = Utf8PathBuf::from_path_buf(directory.path().join("none")).unwrap();
    let full = Utf8PathBuf::from_path_buf(directory.path().join("full")).unwrap();
    let _listener = UnixListener::bind(&full).unwrap();
    let mut queued = Vec::new();
    for path in [nowhere, full.clone()] {
        if path == full {
            // Until the queue takes no more.
            let socket = || socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
            loop {
                let socket = socket();
                socket.set_nonblocking(true).unwrap();
                if socket.connect(&socket2::SockAddr::unix(full.as_std_path()).unwrap()).is_err() {
                    break;
                }
                queued.push(socket);
            }
        }
        let cancellation = Cancellation::default();
        let client = GuestClient::new(GuestAddress::Unix(path)).with_cancellation(cancellation.clone());
        let called = std::thread::spawn(move || client.wait_until_ready(Duration::from_secs(600)));
        std::thread::sleep(Duration::from_millis(150));
        let started = Instant::now();
        cancellation.cancel();
        assert!(matches!(called.join().unwrap(), Err(GuestError::Cancelled)));
        assert!(started.elapsed() < SLACK);
    }
}

/// Streams that a guest has begun and never goes on with, as one that the VMM has paused.
#[test]
fn a_cancelled_stream_ends_though_the_guest_is_paused() {
    fn begun(stream: &mut UnixStream, accepted: &Accepted) -> Option<()> {
        request(stream)?;
        write_message(stream, FrameKind::Accepted, accepted).ok()
    }
    fn paused(_: &mut UnixStream) -> Option<()> {
        std::thread::sleep(Duration::from_secs(600));
        None
    }
    let cases: [(&str, Script, GuestCall); 5] = [
        (
            "a program without output",
            |stream| accept_exec(stream).and_then(|_| paused(stream)),
            |guest| guest.exec(&program())?.next_event().map(drop),
        ),
        (
            "a program that stops in a frame",
            |stream| {
                accept_exec(stream)?;
                write_frame(stream, FrameKind::Output, b"once").ok()?;
                stream.write_all(b"BG\x01\x07\xff\0\0\0half").ok()?;
                paused(stream)
            },
            |guest| {
                let mut session = guest.exec(&program())?;
                assert_eq!(session.next_event()?, ExecEvent::Output(b"once".to_vec()));
                session.next_event().map(drop)
            },
        ),
        (
            "a program whose output is collected",
            |stream| accept_exec(stream).and_then(|_| paused(stream)),
            |guest| guest.run(&program()).map(drop),
        ),
        (
            "a copy that is not taken",
            |stream| begun(stream, &Accepted::CopyIn).and_then(|()| paused(stream)),
            |guest| guest.copy_in(&CopyIn::default(), &mut std::io::repeat(1).take(1 << 30)).map(drop),
        ),
        (
            "a copy that does not come",
            |stream| {
                let target = CopyTarget::default()
                    .with_size_bytes(1 << 20)
                    .with_mode(0o600)
                    .with_uid(0)
                    .with_gid(0)
                    .with_mtime_seconds(0);
                begun(stream, &Accepted::CopyOut(target))?;
                write_frame(stream, FrameKind::Output, &[0; 1000]).ok()?;
                paused(stream)
            },
            |guest| guest.copy_out("/x", &mut std::io::sink()).map(drop),
        ),
    ];
    for (name, script, call) in cases {
        let guest = Hostile::new(script);
        let cancellation = Cancellation::new();
        let client = guest.client().with_timeouts(GuestTimeouts::default());
        let client = client.with_cancellation(cancellation.child());
        let called = std::thread::spawn(move || call(&client));
        std::thread::sleep(Duration::from_millis(30));
        let started = Instant::now();
        cancellation.cancel();
        let error = called.join().unwrap().expect_err(name);
        assert!(matches!(error, GuestError::Cancelled), "{name}: {error}");
        assert!(started.elapsed() < SLACK, "{name}: {:?}", started.elapsed());
    }
}

fn program() -> Exec {
    Exec::default().with_argv(vec!["true".into()]).with_stdin(true)
}

/// One thread waits for credit, another for the program; the session is not dropped.
#[test]
fn a_cancelled_session_ends_its_writers() {
    let guest = Hostile::new(|stream| accept_exec(stream).and_then(|_| silence(stream)));
    let cancellation = Cancellation::new();
    let client = guest.client().with_cancellation(cancellation.clone());
    let mut session = client.exec(&program()).unwrap();
    let mut input = session.input();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || input.write_all(&vec![0; 1 << 20]));
        let reader = scope.spawn(move || (session.next_event(), session));
        std::thread::sleep(Duration::from_millis(30));
        cancellation.cancel();
        assert_eq!(writer.join().unwrap().unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        let (event, session) = reader.join().unwrap();
        assert!(matches!(event, Err(GuestError::Cancelled)), "{event:?}");
        assert_eq!(session.input().signal(15).unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    });
    // What begins afterwards does not begin.
    assert!(matches!(client.health(), Err(GuestError::Cancelled)));
}

/// A flag may live as long as a VM manager: calls must leave no callback, socket or thread with it.
#[test]
fn ten_thousand_calls_leave_nothing_with_their_flag() {
    const CALLS: usize = 10_000;
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().join("agent")).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let agent = std::thread::spawn(move || {
        for _ in 0..CALLS {
            let mut stream = listener.accept().unwrap().0;
            let id = request(&mut stream).unwrap().id;
            reply(&mut stream, id, health()).unwrap();
        }
    });
    let cancellation = Cancellation::new();
    let client = GuestClient::new(GuestAddress::Unix(path)).with_cancellation(cancellation.clone());
    for call in 0..CALLS {
        client.health().unwrap_or_else(|error| panic!("call {call}: {error}"));
    }
    agent.join().unwrap();
    // Other tests have descriptors, too, but not thousands: a callback holds its socket.
    #[cfg(target_os = "linux")]
    assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() < CALLS / 2);
    cancellation.cancel();
}
