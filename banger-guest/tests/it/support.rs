//! The binary as a child process, and a small client of its protocol.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use banger_guest::protocol::{
    Accepted, ErrorCode, Exec, ExitStatus, Frame, FrameKind, Message, Operation, Outcome, Refusal, Reply,
    Request, read_frame, write_frame, write_message,
};
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_banger-guest");

pub(crate) fn is_root() -> bool {
    // The owner of a file that this process made.
    use std::os::unix::fs::MetadataExt;
    tempfile::tempdir().unwrap().path().metadata().unwrap().uid() == 0
}

/// A child that is killed with the test.
#[derive(Debug)]
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent on a Unix socket, with a guest's files in a directory.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) child: Killed,
    pub(crate) directory: TempDir,
}

impl Agent {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("root")).unwrap();
        let mut command = Command::new(BINARY);
        command.arg("agent").arg("--root").arg(directory.path().join("root"));
        command.arg("--listen").arg(format!("unix:{}", directory.path().join("agent").display()));
        let child = Killed(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let agent = Self { child, directory };
        wait_until("the agent listens", || UnixStream::connect(agent.socket()).is_ok());
        agent
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("agent")
    }

    /// A path in the guest's files.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join("root").join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Client { stream, next_id: 1 }
    }

    /// A number out of `/proc/PID/status`, which for memory is in KiB.
    pub(crate) fn status(&self, key: &str) -> u64 {
        process_status(self.child.0.id(), key).unwrap_or_else(|| panic!("the agent is gone"))
    }

    pub(crate) fn assert_up(&self) {
        match self.connect().call(Operation::Health) {
            Outcome::Health(health) => assert_eq!(health.protocol, 1),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn process_status(pid: u32, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// What an `exec` gave.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) pid: u32,
    pub(crate) output: Vec<u8>,
    pub(crate) error_output: Vec<u8>,
    pub(crate) outcome: Option<Outcome>,
}

impl Ran {
    pub(crate) fn status(&self) -> i32 {
        match &self.outcome {
            Some(Outcome::Exec(ExitStatus::Exited { status })) => *status,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    next_id: u64,
}

impl Client {
    pub(crate) fn request(&mut self, operation: Operation) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&Request::new(id, operation));
        id
    }

    pub(crate) fn send<M: Message>(&mut self, message: &M) {
        write_message(&mut self.stream, M::KIND, message).unwrap();
    }

    pub(crate) fn data(&mut self, kind: FrameKind, bytes: &[u8]) {
        write_frame(&mut self.stream, kind, bytes).unwrap();
    }

    pub(crate) fn frame(&mut self) -> Frame {
        read_frame(&mut self.stream).unwrap().expect("the agent closed the connection")
    }

    /// A request whose answer is a reply and nothing else.
    pub(crate) fn call(&mut self, operation: Operation) -> Outcome {
        let id = self.request(operation);
        let reply = Reply::from_frame(&self.frame()).unwrap();
        assert_eq!(reply.id, id);
        reply.outcome
    }

    pub(crate) fn error(&mut self, operation: Operation) -> Refusal {
        match self.call(operation) {
            Outcome::Error(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    /// Runs a program to its end, with this input.
    pub(crate) fn exec(&mut self, exec: Exec, input: &[u8]) -> Ran {
        let mut ran = self.begin(exec);
        let mut credit = banger_guest::protocol::INPUT_WINDOW_BYTES as usize;
        let mut rest = input;
        let mut ended = false;
        loop {
            while credit > 0 && !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(credit).min(30_000));
                self.data(FrameKind::Input, now);
                credit -= now.len();
                rest = later;
            }
            if rest.is_empty() && !ended {
                self.data(FrameKind::InputEnd, b"");
                ended = true;
            }
            if let Some(granted) = self.step(&mut ran) {
                credit += granted as usize;
            }
            if ran.outcome.is_some() {
                return ran;
            }
        }
    }

    pub(crate) fn begin(&mut self, exec: Exec) -> Ran {
        let id = self.request(Operation::Exec(exec));
        let frame = self.frame();
        if frame.kind == FrameKind::Reply {
            let reply = Reply::from_frame(&frame).unwrap();
            assert_eq!(reply.id, id);
            panic!("{:?}", reply.outcome);
        }
        match Accepted::from_frame(&frame).unwrap() {
            Accepted::Exec { pid } => Ran { pid, ..Ran::default() },
            other => panic!("{other:?}"),
        }
    }

    /// Takes one frame of a running program; the credit that it gave.
    pub(crate) fn step(&mut self, ran: &mut Ran) -> Option<u32> {
        let frame = self.frame();
        match frame.kind {
            FrameKind::Output => ran.output.extend(&frame.payload),
            FrameKind::ErrorOutput => ran.error_output.extend(&frame.payload),
            FrameKind::Credit => return frame.credit(),
            FrameKind::Reply => ran.outcome = Some(Reply::from_frame(&frame).unwrap().outcome),
            other => panic!("{other:?}"),
        }
        None
    }

    pub(crate) fn finish(&mut self, ran: &mut Ran) {
        while ran.outcome.is_none() {
            self.step(ran);
        }
    }

    /// What the agent says before it closes the connection, if anything.
    pub(crate) fn last_words(mut self) -> Option<Refusal> {
        let mut bytes = Vec::new();
        // A reset is how a socket is closed on which something was not read.
        let _ = self.stream.read_to_end(&mut bytes);
        let mut frames = bytes.as_slice();
        let frame = std::iter::from_fn(|| read_frame(&mut frames).unwrap())
            .find(|frame| frame.kind == FrameKind::Reply)?;
        match Reply::from_frame(&frame).unwrap() {
            Reply { id: 0, outcome: Outcome::Error(failure), .. } => Some(failure),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }
}

pub(crate) fn sh(script: &str) -> Exec {
    Exec::default().with_argv(vec!["/bin/sh".into(), "-c".into(), script.into()])
}

pub(crate) fn assert_code(failure: &Refusal, code: ErrorCode) {
    assert_eq!(failure.code, code, "{}", failure.message);
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "waited for 30 s until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn is_alive(pid: u32) -> bool {
    // A zombie is on nobody's mind.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
