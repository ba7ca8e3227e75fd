//! The host's side of the protocol, against agents that follow a script.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use banger::Failure as _;
use banger::guest::{
    CopyIn, ErrorCode, Exec, ExecEvent, ExitStatus, GuestAddress, GuestClient, GuestError, GuestTimeouts, Pty,
};
use banger_guest::protocol::{
    Accepted, Control, CopyTaken, CopyTarget, FrameKind, Health, INPUT_WINDOW_BYTES, Message as _, Operation,
    Outcome, Refusal, Reply, Request, read_frame, write_frame, write_message,
};
use camino::Utf8PathBuf;
use tempfile::TempDir;

/// A socket where a script answers, and the client for it.
struct Scripted {
    client: GuestClient,
    agent: Option<JoinHandle<()>>,
    _directory: TempDir,
}

/// Serves one connection with `script`.
fn scripted(script: impl FnOnce(UnixStream) + Send + 'static) -> Scripted {
    scripted_at(GuestAddress::Unix, script)
}

fn scripted_at(
    address: impl FnOnce(Utf8PathBuf) -> GuestAddress,
    script: impl FnOnce(UnixStream) + Send + 'static,
) -> Scripted {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().join("agent")).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let agent = std::thread::spawn(move || script(listener.accept().unwrap().0));
    let timeouts = GuestTimeouts::default()
        .with_connect(Duration::from_millis(500))
        .with_reply(Duration::from_millis(500));
    Scripted {
        client: GuestClient::new(address(path)).with_timeouts(timeouts),
        agent: Some(agent),
        _directory: directory,
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        // A script that fails fails its test.
        let agent = self.agent.take().expect("it is taken here only");
        if let Err(panic) = agent.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

fn request(stream: &mut UnixStream) -> Request {
    Request::from_frame(&read_frame(stream).unwrap().unwrap()).unwrap()
}

fn reply(stream: &mut UnixStream, id: u64, outcome: Outcome) {
    write_message(stream, FrameKind::Reply, &Reply::new(id, outcome)).unwrap();
}

fn failure(code: ErrorCode) -> Outcome {
    Outcome::Error(Refusal::new(code, "as the script says"))
}

fn health() -> Health {
    Health::default().with_agent_version("1.2.3".to_owned()).with_protocol(1).with_uptime_ms(77)
}

#[test]
fn the_vmm_is_asked_for_the_port_and_nothing_of_the_agent_is_lost() {
    let guest = scripted_at(
        |path| GuestAddress::Hybrid { path, port: 5123 },
        |mut stream| {
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "CONNECT 5123\n");
            // The answer of the VMM and the first half of a frame of the agent in one piece.
            let mut wire = b"OK 1073741824\n".to_vec();
            let line = wire.len();
            write_frame(&mut wire, FrameKind::Output, b"for an earlier host").unwrap();
            let (first, rest) = wire.split_at(line + 7);
            stream.write_all(first).unwrap();
            let asked = request(&mut stream);
            assert_eq!(asked.operation, Operation::Health);
            stream.write_all(rest).unwrap();
            reply(&mut stream, asked.id, Outcome::Health(health()));
        },
    );
    assert_eq!(guest.client.health().unwrap(), health());
}

#[test]
fn a_vmm_without_an_agent_is_told_apart() {
    for answer in ["", "OK", "OK 5000", "NO\n", "OKAY\n", &"x".repeat(100)] {
        let text = answer.to_owned();
        let guest = scripted_at(
            |path| GuestAddress::Hybrid { path, port: 5000 },
            move |mut stream| {
                let mut line = [0; 13];
                stream.read_exact(&mut line).unwrap();
                stream.write_all(text.as_bytes()).unwrap();
            },
        );
        let error = guest.client.health().unwrap_err();
        assert!(matches!(error, GuestError::NoAgent { .. }), "{answer:?}: {error}");
        assert!(error.is_transient());
    }
}

/// The connection is taken, as by a device whose guest has no driver yet, and nothing follows.
#[test]
fn a_vmm_that_is_silent_is_given_up() {
    let guest = scripted_at(
        |path| GuestAddress::Hybrid { path, port: 5000 },
        |mut stream| {
            stream.read_exact(&mut [0; 13]).unwrap();
            // Until the client has gone.
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        },
    );
    let started = Instant::now();
    let error = guest.client.wait_until_ready(Duration::ZERO).unwrap_err();
    assert!(matches!(error, GuestError::VmmSilent { .. }) && error.code() == 908, "{error}");
    assert!(error.is_transient());
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// No guest has this CID; where the kernel has no AF_VSOCK either, the words are others.
#[test]
#[cfg(target_os = "linux")]
fn a_guest_that_is_not_there_is_not_reached_over_the_hosts_vsock() {
    let client = GuestClient::new("vsock:4294967290:5000".parse().unwrap());
    let timeouts =
        GuestTimeouts::default().with_connect(Duration::from_secs(1)).with_reply(Duration::from_secs(1));
    let error = client.with_timeouts(timeouts).health().unwrap_err();
    assert!(matches!(error, GuestError::Unreachable { .. }), "{error}");
    let text = error.advice().unwrap().to_string();
    assert!(["no AF_VSOCK", "no machine", "no guest"].iter().any(|words| text.contains(words)), "{text}");
}

#[test]
fn errors_tell_what_happened() {
    let address: GuestAddress = "unix:/nonexistent/agent".parse().unwrap();
    let error = GuestClient::new(address).health().unwrap_err();
    assert!(matches!(error, GuestError::Unreachable { .. }), "{error}");

    type Script = fn(UnixStream);
    let cases: [(&str, u32, Script); 8] = [
        ("silence", 903, |mut stream| {
            request(&mut stream);
            std::thread::sleep(Duration::from_millis(800));
        }),
        ("the connection ends", 904, |mut stream| {
            request(&mut stream);
        }),
        ("it ends inside a frame", 904, |mut stream| {
            request(&mut stream);
            stream.write_all(b"BG\x01\x02\x10").unwrap();
        }),
        ("another protocol", 905, |mut stream| {
            request(&mut stream);
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        }),
        ("a frame that is too long", 905, |mut stream| {
            request(&mut stream);
            stream.write_all(b"BG\x01\x02\xff\xff\xff\xff").unwrap();
        }),
        ("another answer", 906, |mut stream| {
            let id = request(&mut stream).id;
            reply(&mut stream, id, Outcome::Shutdown);
        }),
        ("a refusal", 914, |mut stream| {
            let id = request(&mut stream).id;
            reply(&mut stream, id, failure(ErrorCode::Denied));
        }),
        ("a refusal of what was not understood", 911, |mut stream| {
            request(&mut stream);
            reply(&mut stream, 0, failure(ErrorCode::Malformed));
        }),
    ];
    for (name, code, script) in cases {
        let guest = scripted(script);
        let error = guest.client.health().unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
    }
}

#[test]
fn what_was_for_somebody_else_is_passed_over() {
    let guest = scripted(|mut stream| {
        let id = request(&mut stream).id;
        write_frame(&mut stream, FrameKind::Output, b"late").unwrap();
        reply(&mut stream, id + 7, failure(ErrorCode::Failed));
        reply(&mut stream, id, Outcome::Health(health()));
    });
    assert_eq!(guest.client.health().unwrap(), health());
}

#[test]
fn a_guest_that_is_not_there_yet_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().join("agent")).unwrap();
    let later = path.clone();
    let agent = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        let listener = UnixListener::bind(later).unwrap();
        // One that goes away before it answers.
        drop(listener.accept().unwrap());
        let mut stream = listener.accept().unwrap().0;
        let id = request(&mut stream).id;
        reply(&mut stream, id, Outcome::Health(health()));
    });
    let client = GuestClient::new(GuestAddress::Unix(path));
    assert_eq!(client.wait_until_ready(Duration::from_secs(20)).unwrap(), health());
    agent.join().unwrap();
    let started = Instant::now();
    assert!(client.wait_until_ready(Duration::from_millis(300)).is_err());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_program_gets_input_as_it_takes_it_and_signals_past_it() {
    let window = usize::try_from(INPUT_WINDOW_BYTES).unwrap();
    let guest = scripted(move |mut stream| {
        let Request { id, operation, .. } = request(&mut stream);
        let Operation::Exec(exec) = operation else { panic!("{operation:?}") };
        assert_eq!(exec.argv, ["sort"]);
        write_message(&mut stream, FrameKind::Accepted, &Accepted::Exec { pid: 42 }).unwrap();
        let (mut received, mut resized, mut signalled) = (0, false, false);
        // With the window used up, only controls may come.
        while !(resized && signalled && received == window) {
            let frame = read_frame(&mut stream).unwrap().unwrap();
            match frame.kind {
                FrameKind::Input => received += frame.payload.len(),
                FrameKind::Control => match Control::from_frame(&frame).unwrap() {
                    Control::Signal { number } => signalled = number == 15,
                    Control::Resize(size) => resized = size == Pty::new(5, 6),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            }
            assert!(received <= window, "{received} bytes against a window of {window}");
        }
        write_frame(&mut stream, FrameKind::Credit, &1000_u32.to_le_bytes()).unwrap();
        loop {
            let frame = read_frame(&mut stream).unwrap().unwrap();
            match frame.kind {
                FrameKind::Input => received += frame.payload.len(),
                FrameKind::InputEnd => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(received, window + 1000);
        write_frame(&mut stream, FrameKind::Output, b"out").unwrap();
        write_frame(&mut stream, FrameKind::ErrorOutput, b"err").unwrap();
        reply(&mut stream, id, Outcome::Exec(ExitStatus::Exited { status: 3 }));
    });
    let exec = Exec::default().with_argv(vec!["sort".to_owned()]).with_stdin(true);
    let mut session = guest.client.exec(&exec).unwrap();
    assert_eq!(session.pid(), 42);
    let mut input = session.input();
    let writer = std::thread::spawn(move || {
        input.write_all(&vec![b'x'; window + 1000]).unwrap();
        input.close().unwrap();
        input
    });
    session.input().resize(Pty::new(5, 6)).unwrap();
    session.input().signal(15).unwrap();
    let mut events = Vec::new();
    while !matches!(events.last(), Some(ExecEvent::Ended(_))) {
        events.push(session.next_event().unwrap());
    }
    assert_eq!(
        events,
        [
            ExecEvent::Output(b"out".to_vec()),
            ExecEvent::ErrorOutput(b"err".to_vec()),
            ExecEvent::Ended(ExitStatus::Exited { status: 3 }),
        ]
    );
    // Nothing reaches what may already be another program.
    let mut input = writer.join().unwrap();
    assert_eq!(input.signal(9).unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(input.write(b"more").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
fn a_session_that_is_dropped_ends_its_connection_and_its_writers() {
    let guest = scripted(|mut stream| {
        request(&mut stream);
        write_message(&mut stream, FrameKind::Accepted, &Accepted::Exec { pid: 1 }).unwrap();
        while let Ok(Some(_)) = read_frame(&mut stream) {}
    });
    let session = guest.client.exec(&Exec::default().with_stdin(true)).unwrap();
    let mut input = session.input();
    let writer = std::thread::spawn(move || input.write_all(&vec![0; 1 << 20]));
    std::thread::sleep(Duration::from_millis(50));
    drop(session);
    assert_eq!(writer.join().unwrap().unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
fn a_copy_arrives_whole_or_says_why_not() {
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let expected = content.clone();
    let guest = scripted(move |mut stream| {
        let Request { id, operation, .. } = request(&mut stream);
        assert!(matches!(operation, Operation::CopyIn(copy) if copy.path == "/etc/x"));
        write_message(&mut stream, FrameKind::Accepted, &Accepted::CopyIn).unwrap();
        let mut received = Vec::new();
        loop {
            let frame = read_frame(&mut stream).unwrap().unwrap();
            if frame.kind == FrameKind::InputEnd {
                break;
            }
            received.extend_from_slice(&frame.payload);
        }
        assert_eq!(received, expected);
        let bytes = u64::try_from(received.len()).unwrap();
        reply(&mut stream, id, Outcome::CopyIn(CopyTaken::default().with_bytes(bytes)));
    });
    let copy = CopyIn::default().with_path("/etc/x".to_owned());
    assert_eq!(guest.client.copy_in(&copy, &mut content.as_slice()).unwrap(), 3_000_000);

    // The disk is full after a while: the rest is not sent for nothing.
    let guest = scripted(|mut stream| {
        let id = request(&mut stream).id;
        write_message(&mut stream, FrameKind::Accepted, &Accepted::CopyIn).unwrap();
        read_frame(&mut stream).unwrap();
        reply(&mut stream, id, failure(ErrorCode::NoSpace));
        let mut passed_over = 0_u64;
        while let Ok(Some(frame)) = read_frame(&mut stream) {
            passed_over += u64::try_from(frame.payload.len()).unwrap();
        }
        assert!(passed_over < 64 << 20, "{passed_over} bytes after the refusal");
    });
    let error = guest.client.copy_in(&copy, &mut std::io::repeat(1).take(1 << 30)).unwrap_err();
    assert_eq!(error.code(), 915, "{error}");
}

#[test]
fn a_copy_out_that_lost_bytes_is_no_copy() {
    for (told, fine) in [(5, true), (6, false)] {
        let guest = scripted(move |mut stream| {
            let id = request(&mut stream).id;
            let target = CopyTarget::default()
                .with_size_bytes(5)
                .with_mode(0o640)
                .with_uid(0)
                .with_gid(0)
                .with_mtime_seconds(0);
            write_message(&mut stream, FrameKind::Accepted, &Accepted::CopyOut(target)).unwrap();
            write_frame(&mut stream, FrameKind::Output, b"bytes").unwrap();
            reply(&mut stream, id, Outcome::CopyOut(CopyTaken::default().with_bytes(told)));
        });
        let mut content = Vec::new();
        let copied = guest.client.copy_out("/etc/x", &mut content);
        assert_eq!(copied.is_ok(), fine, "{copied:?}");
        assert_eq!(content, b"bytes");
    }
}

/// Credit is for the client itself: it does not end a wait.
#[test]
fn a_wait_for_a_program_has_a_limit() {
    let guest = scripted(|mut stream| {
        let Request { id, .. } = request(&mut stream);
        write_message(&mut stream, FrameKind::Accepted, &Accepted::Exec { pid: 1 }).unwrap();
        for _ in 0..5 {
            write_frame(&mut stream, FrameKind::Credit, &1_u32.to_le_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        // Until it is asked to go on.
        read_frame(&mut stream).unwrap();
        write_frame(&mut stream, FrameKind::Output, b"out").unwrap();
        reply(&mut stream, id, Outcome::Exec(ExitStatus::Exited { status: 0 }));
    });
    let mut session = guest.client.exec(&Exec::new(["cat"]).with_stdin(true)).unwrap();
    for timeout_ms in [0, 30, 100] {
        let started = Instant::now();
        let timeout = Duration::from_millis(timeout_ms);
        assert_eq!(session.next_event_within(timeout).unwrap(), None);
        assert!(started.elapsed() >= timeout);
    }
    session.input().signal(10).unwrap();
    assert_eq!(session.next_event_within(Duration::MAX).unwrap(), Some(ExecEvent::Output(b"out".to_vec())));
    let ended = session.next_event_within(Duration::from_secs(60)).unwrap();
    assert_eq!(ended, Some(ExecEvent::Ended(ExitStatus::Exited { status: 0 })));
}
