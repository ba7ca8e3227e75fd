//! The client and guests that mean it ill: every call ends by its deadline, in bounded memory.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use banger::guest::{
    CopyIn, Exec, GuestAddress, GuestClient, GuestError, GuestTimeouts, NetworkConfig, ShutdownAction,
};
use banger::{Failure as _, Setting};
use banger_guest::protocol::{
    Accepted, CopyTarget, FrameKind, Health, Message as _, Outcome, Reply, Request, read_frame, write_frame,
    write_message,
};
use banger_testkit::{AgentScript, ScriptedAgent};
use camino::Utf8PathBuf;

/// The limit of the calls in these tests, and how late they may end.
const LIMIT: Duration = Duration::from_millis(600);
const SLACK: Duration = Duration::from_secs(5);

/// An agent that follows a script, and clients of it.
pub(crate) struct Hostile(ScriptedAgent);

pub(crate) type Script = AgentScript;

impl Hostile {
    pub(crate) fn new(script: Script) -> Self {
        Self(ScriptedAgent::new(script))
    }

    fn path(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.0.path().to_owned()).unwrap()
    }

    pub(crate) fn client(&self) -> GuestClient {
        let timeouts = GuestTimeouts::default().with_connect(LIMIT).with_reply(LIMIT);
        GuestClient::new(GuestAddress::Unix(self.path())).with_timeouts(timeouts)
    }

    pub(crate) fn vmm(&self) -> GuestClient {
        let address = GuestAddress::Hybrid { path: self.path(), port: 5000 };
        GuestClient::new(address)
            .with_timeouts(GuestTimeouts::default().with_connect(LIMIT).with_reply(LIMIT))
    }
}

pub(crate) fn request(stream: &mut UnixStream) -> Option<Request> {
    Request::from_frame(&read_frame(stream).ok()??).ok()
}

pub(crate) fn reply(stream: &mut UnixStream, id: u64, outcome: Outcome) -> Option<()> {
    write_message(stream, FrameKind::Reply, &Reply { id, outcome }).ok()
}

pub(crate) fn health() -> Outcome {
    Outcome::Health(Health::default().with_agent_version("1".to_owned()).with_protocol(1).with_uptime_ms(1))
}

pub(crate) fn silence(stream: &mut UnixStream) -> Option<()> {
    std::io::copy(stream, &mut std::io::sink()).ok().map(drop)
}

fn output_for_ever(stream: &mut UnixStream) -> Option<()> {
    loop {
        write_frame(stream, FrameKind::Output, &[b'x'; 1000]).ok()?;
    }
}

fn credit_for_ever(stream: &mut UnixStream) -> Option<()> {
    loop {
        write_frame(stream, FrameKind::Credit, &[255; 4]).ok()?;
    }
}

fn foreign_replies_for_ever(stream: &mut UnixStream) -> Option<()> {
    loop {
        reply(stream, 77, health())?;
    }
}

fn byte_by_byte(stream: &mut UnixStream) -> Option<()> {
    let mut wire = Vec::new();
    write_message(&mut wire, FrameKind::Reply, &Reply { id: 1, outcome: health() }).ok()?;
    for byte in wire.iter().cycle() {
        stream.write_all(&[*byte]).ok()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

fn half_a_frame(stream: &mut UnixStream) -> Option<()> {
    stream.write_all(b"BG\x01\x02\xff\x00\x00\x00{").ok()?;
    silence(stream)
}

fn half_a_header(stream: &mut UnixStream) -> Option<()> {
    stream.write_all(b"BG\x01").ok()?;
    silence(stream)
}

const STALLS: [(&str, Script); 7] = [
    ("silence", silence),
    ("output", output_for_ever),
    ("credit", credit_for_ever),
    ("foreign replies", foreign_replies_for_ever),
    ("a byte at a time", byte_by_byte),
    ("half a frame", half_a_frame),
    ("half a header", half_a_header),
];

pub(crate) type GuestCall = fn(&GuestClient) -> Result<(), GuestError>;

/// Those that are answered at once, and the beginnings of the others.
pub(crate) const CALLS: [(&str, GuestCall); 8] = [
    ("health", |guest| guest.health().map(drop)),
    ("info", |guest| guest.info().map(drop)),
    ("set_network", |guest| guest.set_network(&NetworkConfig::default(), false).map(drop)),
    ("shutdown", |guest| guest.shutdown(ShutdownAction::PowerOff)),
    ("exec", |guest| guest.run(&Exec::default().with_argv(vec!["true".into()])).map(drop)),
    ("copy_in", |guest| guest.copy_in(&CopyIn::default(), &mut &b"x"[..]).map(drop)),
    ("copy_out", |guest| guest.copy_out("/x", &mut Vec::new()).map(drop)),
    ("wait", |guest| guest.wait(Some(Duration::ZERO)).map(drop)),
];

#[test]
fn every_call_has_a_deadline_as_a_whole() {
    for (what, script) in STALLS {
        let guest = Hostile::new(script);
        // At the same time: each of them only waits.
        std::thread::scope(|scope| {
            for (name, call) in CALLS {
                let client = guest.client();
                scope.spawn(move || {
                    let started = Instant::now();
                    let error = call(&client).expect_err(name);
                    let took = started.elapsed();
                    assert!(matches!(error, GuestError::TimedOut { .. }), "{what}, {name}: {error}");
                    assert_eq!(error.code(), 903);
                    assert!(
                        took >= LIMIT - Duration::from_millis(1) && took < LIMIT + SLACK,
                        "{what}, {name}: {took:?}"
                    );
                    assert!(error.to_string().contains("0.6 s"), "{error}");
                });
            }
        });
    }
}

#[test]
fn a_wait_for_a_guest_ends_when_it_was_to_end() {
    let timeout = Duration::from_secs(1);
    let ends_in_time = |what: &str, client: GuestClient| {
        let started = Instant::now();
        let error = client.wait_until_ready(timeout).expect_err(what);
        let took = started.elapsed();
        assert!(took >= timeout - Duration::from_millis(150), "{what}: {took:?}, {error}");
        assert!(took < timeout + Duration::from_millis(500), "{what}: {took:?}, {error}");
    };
    for (what, script) in STALLS {
        let guest = Hostile::new(script);
        // With limits of its own, and with the default ones, which are longer than the wait.
        let patient = guest.vmm().with_timeouts(GuestTimeouts::default());
        std::thread::scope(|scope| {
            for client in [guest.client(), guest.vmm(), patient] {
                scope.spawn(move || ends_in_time(what, client));
            }
        });
    }
    ends_in_time("nobody listens", GuestClient::new("unix:/nonexistent/agent".parse().unwrap()));
}

/// What a VMM answers to CONNECT has the deadline of connecting, also byte by byte.
#[test]
fn a_vmm_that_answers_byte_by_byte_is_given_up() {
    let guest = Hostile::new(|stream| {
        for byte in b"OK 5000".iter().chain(std::iter::repeat(&b'0')) {
            stream.write_all(&[*byte]).ok()?;
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    });
    let started = Instant::now();
    let error = guest.vmm().health().unwrap_err();
    assert!(matches!(error, GuestError::VmmSilent { .. }), "{error}");
    assert!(started.elapsed() < LIMIT + SLACK);
}

/// On a virtio port there may be what an earlier peer left: the second attempt finds the agent.
#[test]
fn a_wait_goes_on_after_what_makes_no_sense_on_a_line() {
    static ATTEMPTS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let guest = Hostile::new(|stream| {
        let id = request(stream)?.id;
        match ATTEMPTS.fetch_add(1, Ordering::Relaxed) {
            0 => stream.write_all(b"ld of a payload }\n\n\n").ok(),
            1 => stream.write_all(b"BG\x01\x02\x03\0\0\0abc").ok(),
            2 => stream.write_all(b"BG\x01\x63\0\0\0\0").ok(),
            3 => reply(stream, id, Outcome::Shutdown),
            _ => reply(stream, id, health()),
        }
    });
    let found = guest.client().wait_until_ready(Duration::from_secs(60)).unwrap();
    assert_eq!(found.protocol, 1);
    assert_eq!(ATTEMPTS.load(Ordering::Relaxed), 5);
    // Not for one attempt only, and not for an agent of another version.
    let guest = Hostile::new(|stream| {
        request(stream)?;
        stream.write_all(b"BG\x07\x02\0\0\0\0").ok()
    });
    let error = guest.client().wait_until_ready(Duration::from_secs(60)).unwrap_err();
    assert!(error.to_string().contains("version 7"), "{error}");
}

pub(crate) fn accept_exec(stream: &mut UnixStream) -> Option<u64> {
    let id = request(stream)?.id;
    write_message(stream, FrameKind::Accepted, &Accepted::Exec { pid: 1 }).ok()?;
    Some(id)
}

#[test]
fn output_that_is_kept_has_a_limit() {
    let guest = Hostile::new(|stream| {
        accept_exec(stream)?;
        output_for_ever(stream)
    });
    let session = guest.client().exec(&Exec::default().with_argv(vec!["yes".into()])).unwrap();
    let error = session.output_up_to(100_000).unwrap_err();
    assert!(matches!(error, GuestError::TooMuchOutput { max_bytes: 100_000 }), "{error}");
    assert_eq!(error.code(), 920);
    assert_eq!(
        error.advice().and_then(|advice| advice.setting()),
        Some(Setting("max_output_bytes")),
        "{error}"
    );
    // What is exactly as long is no more than allowed; both streams count.
    let guest = Hostile::new(|stream| {
        let id = accept_exec(stream)?;
        write_frame(stream, FrameKind::Output, b"abc").ok()?;
        write_frame(stream, FrameKind::ErrorOutput, b"def").ok()?;
        reply(stream, id, Outcome::Exec(banger::guest::ExitStatus::Exited { status: 0 }))
    });
    let run = || guest.client().exec(&Exec::default()).unwrap();
    assert_eq!(run().output_up_to(6).unwrap().stderr, b"def");
    assert!(matches!(run().output_up_to(5), Err(GuestError::TooMuchOutput { max_bytes: 5 })));
}

/// A program may be silent for ever, but a program with a time limit ends by it, and half a frame does not
/// hold anybody.
#[test]
fn a_program_with_a_limit_ends_by_it() {
    let guest = Hostile::new(|stream| {
        accept_exec(stream)?;
        silence(stream)
    });
    let started = Instant::now();
    let exec = Exec::default().with_timeout_ms(Some(300));
    let error = guest.client().run(&exec).unwrap_err();
    assert!(matches!(error, GuestError::TimedOut { .. }), "{error}");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900) && took < LIMIT + SLACK, "{took:?}");
}

/// The agent takes nothing any more: what is written to it fails, and so does the session.
#[test]
fn signals_to_an_agent_that_reads_nothing_have_a_deadline() {
    let guest = Hostile::new(|stream| {
        accept_exec(stream)?;
        loop {
            write_frame(stream, FrameKind::Credit, &u32::MAX.to_le_bytes()).ok()?;
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let mut session = guest.client().exec(&Exec::default().with_stdin(true)).unwrap();
    let mut input = session.input();
    let signals = session.input();
    let writer = std::thread::spawn(move || input.write_all(&vec![0; 64 << 20]));
    let reader = std::thread::spawn(move || session.next_event());
    std::thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    assert!(signals.signal(15).is_err());
    assert!(writer.join().unwrap().is_err());
    assert!(reader.join().unwrap().is_err());
    assert!(started.elapsed() < 2 * LIMIT + SLACK, "{:?}", started.elapsed());
}

fn copy_out_of(size_bytes: u64, stream: &mut UnixStream) -> Option<u64> {
    let id = request(stream)?.id;
    let target = CopyTarget::default()
        .with_size_bytes(size_bytes)
        .with_mode(u32::MAX)
        .with_uid(0)
        .with_gid(0)
        .with_mtime_seconds(i64::MIN);
    write_message(stream, FrameKind::Accepted, &Accepted::CopyOut(target)).ok()?;
    Some(id)
}

/// Takes what comes and counts it.
struct Counted(u64);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += u64::try_from(bytes.len()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_copy_is_no_larger_than_it_may_be() {
    // Announced as larger: nothing is taken.
    let guest = Hostile::new(|stream| {
        copy_out_of(1 << 50, stream)?;
        output_for_ever(stream)
    });
    let mut taken = Counted(0);
    let error = guest.client().copy_out("/x", &mut taken).unwrap_err();
    assert!(matches!(error, GuestError::CopyTooLarge { .. }) && error.code() == 921, "{error}");
    assert_eq!(
        error.advice().and_then(|advice| advice.setting()),
        Some(Setting("max_copy_bytes")),
        "{error}"
    );
    assert_eq!(taken.0, 0);
    // Within what was announced, but more than allowed.
    let guest = Hostile::new(|stream| {
        copy_out_of(50_000, stream)?;
        output_for_ever(stream)
    });
    let error = guest.client().with_max_copy_bytes(100_000).copy_out("/x", &mut taken).unwrap_err();
    assert!(matches!(error, GuestError::CopyTooLarge { max_bytes: 100_000, .. }), "{error}");
    assert_eq!(taken.0, 100_000);
    // Announced as small, and without an end.
    let guest = Hostile::new(|stream| {
        copy_out_of(5, stream)?;
        loop {
            write_frame(stream, FrameKind::Output, &[b'x'; 100_000]).ok()?;
        }
    });
    let mut taken = Counted(0);
    let error = guest.client().copy_out("/x", &mut taken).unwrap_err();
    assert!(
        matches!(error, GuestError::CopyGrew { announced_bytes: 5, .. }) && error.code() == 922,
        "{error}"
    );
    assert!(taken.0 <= (64 << 20) + 5, "{}", taken.0);
}

#[test]
fn a_request_that_is_too_long_is_not_sent() {
    let guest = Hostile::new(silence);
    let million =
        Exec::default().with_argv(vec!["true".into()]).with_env(vec![("A".into(), "b".into()); 1_000_000]);
    let long = Exec::default().with_argv(vec!["x".repeat(200_000)]);
    for exec in [million, long] {
        let error = guest.client().exec(&exec).unwrap_err();
        assert!(matches!(error, GuestError::RequestTooLarge { .. }) && error.code() == 909, "{error}");
        assert!(!error.is_transient());
    }
}

/// Frames of 4 GiB and of later versions cost nothing and are told by name.
#[test]
fn frames_that_are_none_are_told_by_name() {
    let cases: [(Script, &str); 3] = [
        (
            |stream| stream.write_all(b"BG\x01\x02\xff\xff\xff\xff").ok().and_then(|()| silence(stream)),
            "4294967295 bytes",
        ),
        (|stream| stream.write_all(b"BG\x02\x02\0\0\0\0").ok().and_then(|()| silence(stream)), "version 2"),
        (|stream| stream.write_all(b"BG\x01\x01\x02\0\0\0{}").ok().and_then(|()| silence(stream)), "Request"),
    ];
    for (script, words) in cases {
        let guest = Hostile::new(script);
        let started = Instant::now();
        let error = guest.client().health().unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert!(started.elapsed() < SLACK);
    }
}
