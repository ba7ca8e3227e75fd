//! A host program that leaves SIGPIPE at its default: no peer that goes away may end it.
//!
//! Rust ignores the signal at its start, so each test starts this binary again as the host program
//! ([`host`]), which gives the signal its default effect back. The peers live in the first process.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use banger::guest::{CopyIn, GuestClient};
use banger::{Cancellation, CredentialSource, Dirs, ErrorKind, EventHandler, PullRequest};
use banger_guest::protocol::{Accepted, FrameKind, read_frame, write_message};
use banger_testkit::{Answer, ScriptedServer};
use camino::Utf8PathBuf;

/// Names the case to the host program, and with it that it is one.
const CASE: &str = "BANGER_TEST_SIGPIPE_CASE";
/// What the host prints when it outlives its case.
const ALIVE: &str = "the host is alive";
/// Far more than any socket holds, so that a peer that goes away is noticed by a write.
const CONTENT_BYTES: u64 = 1 << 30;
/// How often a case is tried that depends on who is faster.
const ATTEMPTS: usize = 20;
const SIGPIPE: i32 = 13;

/// The host program; an ordinary run of the tests has nothing to do here.
#[test]
fn host() {
    let Ok(case) = std::env::var(CASE) else { return };
    let is_default = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_default(SIGPIPE, is_default).unwrap();
    let (case, argument) = case.split_once(' ').unwrap();
    match case {
        "none" => broken_pipe(),
        "copy-in" => copy_in(argument),
        "connect" => (0..ATTEMPTS).for_each(|_| connect(argument)),
        "helper" => (0..ATTEMPTS).for_each(|_| pull(argument)),
        "helper-once" => pull(argument),
        other => panic!("no case is called {other}"),
    }
    println!("{ALIVE}");
}

/// Writes where nobody reads, as a program does that knows nothing of the signal.
fn broken_pipe() {
    let (reader, mut writer) = io::pipe().unwrap();
    drop(reader);
    let _ = writer.write_all(b"x");
}

fn copy_in(address: &str) {
    let guest = GuestClient::new(address.parse().unwrap());
    let copy = CopyIn::new("/x".to_owned());
    guest.copy_in(&copy, &mut io::repeat(7).take(CONTENT_BYTES)).expect_err("the peer goes away");
}

fn connect(address: &str) {
    GuestClient::new(address.parse().unwrap()).info().expect_err("the peer goes away");
}

/// Pulls from `REGISTRY DIRECTORY`, with the configuration and the helper in the directory.
fn pull(argument: &str) {
    let (registry, dir) = argument.split_once(' ').unwrap();
    let dir = Utf8PathBuf::from(dir);
    let mut request = PullRequest::new(format!("{registry}/some/image:1").parse().unwrap());
    request.pull.plain_http = true;
    request.pull.attempts = 1;
    request.pull.credentials = CredentialSource::Files {
        files: vec![dir.join("config.json")],
        helper_dir: Some(dir.clone()),
        helper_timeout: Duration::from_secs(20),
    };
    let dirs = Dirs::new(dir.join("state"), dir.join("cache"));
    let error = banger::pull(&request, &dirs, &EventHandler::none(), &Cancellation::new()).unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Cancelled, "{error}");
}

/// Runs the host program on a case.
fn run_host(case: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["sigpipe::host", "--exact", "--nocapture"]).env(CASE, case).output().unwrap()
}

#[track_caller]
fn assert_survives(case: &str) {
    let output = run_host(case);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains(ALIVE), "{}: {out}{err}", output.status);
}

/// Reads some of what comes over `stream` and goes away.
fn read_some(stream: &mut impl Read) {
    let _ = stream.read_exact(&mut vec![0; 100_000]);
}

fn takes_a_copy<S: Read + io::Write>(mut stream: S) {
    let _request = read_frame(&mut stream).unwrap();
    write_message(&mut stream, FrameKind::Accepted, &Accepted::CopyIn).unwrap();
    read_some(&mut stream);
}

/// Without this the others would pass whatever the library does.
#[test]
fn the_host_dies_of_a_write_without_a_reader() {
    assert_eq!(run_host("none -").status.signal(), Some(SIGPIPE));
}

#[test]
fn a_vmm_that_closes_does_not_end_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vsock.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let vmm: JoinHandle<()> = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, &stream).read_line(&mut line).unwrap();
        assert_eq!(line, "CONNECT 5000\n");
        stream.write_all(b"OK 1\n").unwrap();
        takes_a_copy(stream);
    });
    assert_survives(&format!("copy-in {}:5000", path.display()));
    vmm.join().unwrap();
}

#[test]
fn a_vmm_that_closes_before_it_reads_does_not_end_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vsock.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    assert_survives(&format!("connect {}:5000", path.display()));
}

#[test]
fn an_agent_that_closes_does_not_end_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let agent: JoinHandle<()> = std::thread::spawn(move || takes_a_copy(listener.accept().unwrap().0));
    assert_survives(&format!("copy-in tcp:{address}"));
    agent.join().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let agent: JoinHandle<()> = std::thread::spawn(move || takes_a_copy(listener.accept().unwrap().0));
    assert_survives(&format!("copy-in unix:{}", path.display()));
    agent.join().unwrap();
}

/// A registry that wants a login, and a helper that ends without a look at its standard input.
fn login_with(helper: impl FnOnce(&std::path::Path)) -> (ScriptedServer, tempfile::TempDir) {
    let server =
        ScriptedServer::start(|_| Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), r#"{"credsStore": "deaf"}"#).unwrap();
    helper(&dir.path().join("docker-credential-deaf"));
    (server, dir)
}

#[test]
fn a_credential_helper_that_does_not_read_does_not_end_the_host() {
    // The quickest program that there is: often it has ended before it is written to.
    let (server, dir) = login_with(|path| symlink("/bin/true", path).unwrap());
    assert_survives(&format!("helper {} {}", server.host(), dir.path().display()));
}

/// A name that is longer than a pipe holds is still being written when the helper ends.
#[test]
fn a_credential_helper_that_does_not_read_a_long_name_does_not_end_the_host() {
    let (server, dir) = login_with(|path| {
        std::fs::write(path, "#!/bin/sh\nexec 0<&-\nsleep 0.2\nexit 1\n").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    });
    let (address, port) = server.host().split_once(':').map(|(a, p)| (a.to_owned(), p.to_owned())).unwrap();
    // The same port, with zeros before it.
    let registry = format!("{address}:{}{port}", "0".repeat(100_000));
    assert_survives(&format!("helper-once {registry} {}", dir.path().display()));
}
