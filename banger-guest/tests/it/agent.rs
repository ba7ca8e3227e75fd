//! The agent as a child process, over a Unix socket: what it does when asked properly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use banger_guest::config::{BootContract, FirstBootMarker, GuestConfig, paths};
use banger_guest::protocol::{
    Accepted, Control, CopyIn, CopyOut, EntrypointState, ErrorCode, Exec, ExitStatus, FirstBootState,
    FrameKind, Info, Message, Operation, Outcome, Pty, Reply, Request, Shutdown, ShutdownAction, Wait,
    read_frame, write_message,
};

use crate::support::{Agent, BINARY, Client, Killed, assert_code, is_alive, is_root, read, sh, wait_until};

fn info(agent: &Agent) -> Info {
    match agent.connect().call(Operation::Info) {
        Outcome::Info(info) => *info,
        other => panic!("{other:?}"),
    }
}

#[test]
fn health_and_info() {
    let agent = Agent::start();
    agent.assert_up();
    let empty = info(&agent);
    assert_eq!(empty.contract, None);
    assert_eq!(empty.first_boot.state, FirstBootState::None);
    assert_eq!(empty.machine_id, None);
    assert_eq!(empty.os, None);
    assert!(empty.uptime_ms > 0);
    assert!(!empty.kernel.release.is_empty());
    let lo =
        empty.interfaces.iter().find(|interface| interface.interface == "lo").expect("there is always lo");
    assert_eq!(lo.mac, None);

    agent.write(
        paths::GUEST_CONFIG,
        &String::from_utf8(GuestConfig::new(BootContract::Runit).to_json()).unwrap(),
    );
    agent.write("/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    agent.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    agent.write(paths::FIRST_BOOT_PENDING, "");
    let pending = info(&agent);
    assert_eq!(pending.contract, Some(BootContract::Runit));
    assert_eq!(pending.os.unwrap().id, "debian");
    assert_eq!(pending.machine_id.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    assert_eq!(pending.first_boot.state, FirstBootState::Pending);

    let marker =
        FirstBootMarker { attempt: 2, stage: Some("install".into()), last_error: Some("no network".into()) };
    agent.write(paths::FIRST_BOOT_PENDING, &String::from_utf8(marker.to_json()).unwrap());
    agent.write(paths::FIRST_BOOT_LOG, &"a line of the log\n".repeat(1000));
    let failed = info(&agent).first_boot;
    assert_eq!((failed.state, failed.attempt), (FirstBootState::Failed, 2));
    assert_eq!(failed.last_error.as_deref(), Some("no network"));
    assert!(failed.log_tail.len() <= 8192 && failed.log_tail.starts_with("a line"), "{}", failed.log_tail);

    std::fs::remove_file(agent.path(paths::FIRST_BOOT_PENDING)).unwrap();
    agent.write(paths::FIRST_BOOT_DONE, "");
    // Control characters take six bytes each in JSON.
    agent.write(paths::FIRST_BOOT_LOG, &"\u{1}".repeat(10_000));
    assert_eq!(info(&agent).first_boot.state, FirstBootState::Done);
}

#[test]
fn one_connection_carries_many_requests() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for _ in 0..50 {
        assert!(matches!(client.call(Operation::Health), Outcome::Health(_)));
        // What crossed a reply is passed over.
        client.data(FrameKind::Input, b"late");
        client.data(FrameKind::InputEnd, b"");
        client.send(&Control::Signal { number: 15 });
    }
}

#[test]
fn exec_reports_how_programs_end() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for status in [0, 1, 42, 255] {
        assert_eq!(client.exec(sh(&format!("exit {status}")), b"").status(), status);
    }
    for signal in [9, 15, 34] {
        let ran = client.exec(sh(&format!("kill -{signal} $$; sleep 5")), b"");
        assert_eq!(ran.outcome, Some(Outcome::Exec(ExitStatus::Killed { signal })));
    }
    let ran = client.exec(sh("echo out; echo err >&2; echo out2"), b"");
    assert_eq!(ran.text(), "out\nout2\n");
    assert_eq!(ran.error_output, b"err\n");
}

#[test]
fn exec_has_the_environment_that_is_told() {
    let agent = Agent::start();
    agent.write("/etc/passwd", "root:x:0:0:root:/root:/bin/zsh\napp:x:4001:4002::/nonexistent:/bin/sh\n");
    agent.write("/etc/group", "app:x:4002:\nextra:x:4003:app\n");
    let mut client = agent.connect();
    let ran = client.exec(sh("echo $HOME $USER $SHELL $A; pwd; env | grep -c TERM"), b"");
    assert_eq!(ran.text(), "/root root /bin/zsh\n/\n0\n");
    let exec = sh("echo \"$A|$HOME|$PATH\"; pwd; ulimit -c >/dev/null")
        .with_env(vec![("A".into(), "b c".into()), ("PATH".into(), "/bin".into())])
        .with_clear_env(true)
        .with_working_dir(Some("/tmp".into()));
    assert_eq!(client.exec(exec, b"").text(), "b c||/bin\n/tmp\n");
    if is_root() {
        let exec = sh(
            "id -u; id -g; id -G; echo $HOME; cat /proc/self/stat | cut -d' ' -f6 | grep -q $$ && echo leads",
        )
        .with_user(Some("app".into()));
        let ran = client.exec(exec, b"");
        assert_eq!(ran.text(), "4001\n4002\n4002 4003\n/nonexistent\nleads\n");
        let exec = sh("id -u; id -G").with_user(Some("7:8".into()));
        assert_eq!(client.exec(exec, b"").text(), "7\n8\n");
    }
}

#[test]
fn exec_refuses_what_has_no_meaning() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let exec = |argv: &[&str]| Exec::default().with_argv(argv.iter().map(|&word| word.into()).collect());
    let cases = [
        (exec(&[]), ErrorCode::Invalid),
        (exec(&[""]), ErrorCode::Invalid),
        (exec(&["/no/such/program"]), ErrorCode::NotFound),
        (exec(&["no-such-program-in-path"]), ErrorCode::NotFound),
        (exec(&["/etc"]), ErrorCode::Denied),
        (exec(&["a\0b"]), ErrorCode::Invalid),
        (sh(":").with_user(Some("nobody-of-that-name".into())), ErrorCode::NotFound),
        (sh(":").with_working_dir(Some("/no/such".into())), ErrorCode::NotFound),
        (sh(":").with_env(vec![("A=B".into(), "c".into())]), ErrorCode::Invalid),
    ];
    for (exec, code) in cases {
        assert_code(&client.error(Operation::Exec(exec)), code);
    }
    assert_eq!(client.exec(sh("exit 3"), b"").status(), 3, "the connection goes on");
}

#[test]
fn exec_streams_are_whole_and_bounded() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let megabytes = 40;
    let ran = client.exec(
        sh(&format!("head -c {megabytes}000000 /dev/zero | tr '\\0' x; echo; exec >&2; echo end")),
        b"",
    );
    assert_eq!(ran.status(), 0);
    assert_eq!(ran.output.len(), megabytes * 1_000_000 + 1);
    assert_eq!(ran.error_output, b"end\n");

    let input: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let ran = client.exec(sh("cat").with_stdin(true), &input);
    assert_eq!(ran.status(), 0);
    assert!(ran.output == input, "{} of {} bytes came back", ran.output.len(), input.len());

    let ran = client.exec(sh("cat"), &input);
    assert_eq!((ran.status(), ran.output.len()), (0, 0), "there is no input unless it is asked for");
    let ran = client.exec(sh("exec <&-; exit 4").with_stdin(true), &input);
    assert_eq!(ran.status(), 4, "a program that reads nothing does not keep the host from sending");
    assert!(agent.status("VmHWM") < 16 * 1024, "{} KiB", agent.status("VmHWM"));
}

#[test]
fn exec_takes_signals_though_the_input_is_not_read() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let mut ran = client
        .begin(sh("trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.1; done").with_stdin(true));
    while ran.output != b"ready\n" {
        client.step(&mut ran);
    }
    client.data(FrameKind::Input, &[0; 65_536]);
    client.send(&Control::Signal { number: 0 });
    client.send(&Control::Signal { number: 1000 });
    client.send(&Control::Signal { number: 10 });
    client.finish(&mut ran);
    assert_eq!((ran.text().as_str(), ran.status()), ("ready\ngot\n", 5));
}

#[test]
fn exec_ends_programs_whose_time_is_over() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let mut ran = client.begin(sh("sleep 100 & echo $!; wait").with_timeout_ms(Some(200)));
    client.finish(&mut ran);
    match &ran.outcome {
        Some(Outcome::Error(failure)) => assert_code(failure, ErrorCode::TimedOut),
        other => panic!("{other:?}"),
    }
    let sleeper: u32 = ran.text().trim().parse().unwrap();
    wait_until("the group is gone", || !is_alive(sleeper));
}

#[test]
fn exec_does_not_wait_for_daemons() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let begun = std::time::Instant::now();
    let ran = client.exec(sh("(sleep 0.2; echo late; sleep 60) & echo $!"), b"");
    assert_eq!(ran.status(), 0);
    assert!(begun.elapsed().as_secs() < 10);
    let (pid, rest) = ran.text().split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(rest, "late\n", "what comes within a second is not lost");
    assert!(is_alive(pid.parse().unwrap()), "what a program leaves behind on purpose is not killed");
    client.exec(sh(&format!("kill {pid}")), b"");
}

#[test]
fn exec_is_killed_with_its_connection() {
    let agent = Agent::start();
    for pty in [None, Some(Pty::new(24, 80))] {
        let mut client = agent.connect();
        let mut ran = client.begin(sh("sleep 100 & echo $!; wait").with_pty(pty));
        while !ran.text().contains('\n') {
            client.step(&mut ran);
        }
        let sleeper: u32 = ran.text().trim().parse().unwrap();
        assert!(is_alive(sleeper) && is_alive(ran.pid));
        drop(client);
        wait_until("the program is gone", || !is_alive(ran.pid));
        wait_until("its child is gone", || !is_alive(sleeper));
    }
    agent.assert_up();
}

#[test]
fn exec_on_a_terminal() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let pty = Some(Pty::new(31, 97));
    let mut ran = client.begin(sh("trap 'stty size; exit 6' WINCH; tty -s && stty size; stty -echo; echo $TERM; read a; echo \"<$a>\"; while :; do sleep 0.1; done").with_pty(pty));
    client.data(FrameKind::Input, b"hello\n");
    while !ran.text().contains("<hello>") {
        client.step(&mut ran);
    }
    client.send(&Control::Resize(Pty::new(50, 120)));
    client.finish(&mut ran);
    assert_eq!(ran.status(), 6);
    let text = ran.text();
    assert!(
        text.contains("31 97\r\n") && text.contains("xterm-256color\r\n") && text.ends_with("50 120\r\n"),
        "{text:?}"
    );

    // The end of input is the terminal's, at the beginning of a line and within one.
    for input in [&b"line\n"[..], b"", b"part"] {
        let ran = client.exec(sh("cat >/dev/null; exit 7").with_pty(pty), input);
        assert_eq!(ran.status(), 7, "{input:?}");
    }
    // Control-C.
    let mut ran =
        client.begin(sh("trap 'exit 8' INT; echo ready; while :; do sleep 0.1; done").with_pty(pty));
    while !ran.text().contains("ready") {
        client.step(&mut ran);
    }
    client.data(FrameKind::Input, b"\x03");
    client.finish(&mut ran);
    assert_eq!(ran.status(), 8);
}

fn copy_in(client: &mut Client, target: CopyIn, content: &[u8]) -> Outcome {
    let id = client.request(Operation::CopyIn(target));
    let frame = client.frame();
    if frame.kind == FrameKind::Reply {
        return Reply::from_frame(&frame).unwrap().outcome;
    }
    assert_eq!(Accepted::from_frame(&frame).unwrap(), Accepted::CopyIn);
    for chunk in content.chunks(50_000) {
        client.data(FrameKind::Input, chunk);
    }
    client.data(FrameKind::InputEnd, b"");
    let reply = Reply::from_frame(&client.frame()).unwrap();
    assert_eq!(reply.id, id);
    reply.outcome
}

fn copy_out(client: &mut Client, path: &str) -> Result<(Vec<u8>, u32), ErrorCode> {
    client.request(Operation::CopyOut(CopyOut::new(path)));
    let mut content = Vec::new();
    let mut mode = 0;
    loop {
        let frame = client.frame();
        match frame.kind {
            FrameKind::Accepted => match Accepted::from_frame(&frame).unwrap() {
                Accepted::CopyOut(target) => mode = target.mode,
                other => panic!("{other:?}"),
            },
            FrameKind::Output => content.extend(&frame.payload),
            _ => match Reply::from_frame(&frame).unwrap().outcome {
                Outcome::CopyOut(copied) => {
                    assert_eq!(copied.bytes, content.len() as u64);
                    return Ok((content, mode));
                }
                Outcome::Error(failure) => return Err(failure.code),
                other => panic!("{other:?}"),
            },
        }
    }
}

#[test]
fn files_go_in_and_come_out() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for size in [0, 1, 32 * 1024, 3_000_000] {
        let content: Vec<u8> = (0..size as u32).map(|n| (n % 253) as u8).collect();
        let target = CopyIn::default()
            .with_path(path("dir/file"))
            .with_mode(Some(0o640))
            .with_parents(true)
            .with_size_bytes(Some(size));
        match copy_in(&mut client, target, &content) {
            Outcome::CopyIn(copied) => assert_eq!(copied.bytes, size),
            other => panic!("{other:?}"),
        }
        let (out, mode) = copy_out(&mut client, &path("dir/file")).unwrap();
        assert!(out == content && mode == 0o640, "{size}");
    }
    assert_eq!(std::fs::read_dir(path("dir")).unwrap().count(), 1, "nothing is left beside the file");

    // What is replaced keeps its mode and owner, and a symlink stays one.
    std::fs::set_permissions(path("dir/file"), PermissionsExt::from_mode(0o4711)).unwrap();
    symlink("dir/file", path("link")).unwrap();
    let target = CopyIn::default().with_path(path("link"));
    assert!(matches!(copy_in(&mut client, target, b"new"), Outcome::CopyIn(_)));
    assert!(directory.path().join("link").is_symlink());
    assert_eq!(read(&directory.path().join("dir/file")), "new");
    assert_eq!(directory.path().join("dir/file").metadata().unwrap().mode() & 0o7777, 0o4711);
    if is_root() {
        let target = CopyIn::default().with_path(path("owned")).with_uid(Some(12)).with_gid(Some(34));
        assert!(matches!(copy_in(&mut client, target, b""), Outcome::CopyIn(_)));
        let metadata = directory.path().join("owned").metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (12, 34, 0o644));
    }
    let (version, _) = copy_out(&mut client, "/proc/version").unwrap();
    assert!(version.starts_with(b"Linux"), "a file whose size is said to be 0");
}

#[test]
fn copies_that_cannot_be_leave_what_was_there() {
    let agent = Agent::start();
    let mut client = agent.connect();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("file"), "old").unwrap();
    symlink("loop", path("loop")).unwrap();
    let target = |name: &str| CopyIn::default().with_path(name.into());
    let cases = [
        (target("relative"), b"".as_slice(), ErrorCode::Invalid),
        (target(""), b"", ErrorCode::Invalid),
        (target("/"), b"", ErrorCode::Invalid),
        (target("/tmp/"), b"", ErrorCode::Invalid),
        (target("/tmp/.."), b"", ErrorCode::Invalid),
        (target("/a\0b"), b"", ErrorCode::Invalid),
        (target(&path("")), b"", ErrorCode::Invalid),
        (target(&path("missing/file")), b"", ErrorCode::NotFound),
        (target(&path("file/below")), b"", ErrorCode::NotFound),
        (target(&path("loop")), b"", ErrorCode::Failed),
        (target(&path("file")).with_mode(Some(0o10644)), b"", ErrorCode::Invalid),
        (target(&path("file")).with_uid(Some(u32::MAX)), b"", ErrorCode::Invalid),
        (target(&path("file")).with_size_bytes(Some(2)), b"abc", ErrorCode::Invalid),
        (target(&path("file")).with_size_bytes(Some(4)), b"abc", ErrorCode::Invalid),
    ];
    for (target, content, code) in cases {
        match copy_in(&mut client, target.clone(), content) {
            Outcome::Error(failure) => assert_eq!(failure.code, code, "{target:?}: {}", failure.message),
            other => panic!("{target:?}: {other:?}"),
        }
        assert_eq!(read(&directory.path().join("file")), "old");
    }
    // A host that vanishes in the middle.
    let mut other = agent.connect();
    other.request(Operation::CopyIn(target(&path("file"))));
    assert_eq!(Accepted::from_frame(&other.frame()).unwrap(), Accepted::CopyIn);
    other.data(FrameKind::Input, b"half");
    wait_until("the content arrives", || std::fs::read_dir(directory.path()).unwrap().count() == 3);
    drop(other);
    wait_until("the half is removed", || std::fs::read_dir(directory.path()).unwrap().count() == 2);
    assert_eq!(read(&directory.path().join("file")), "old");

    Command::new("mkfifo").arg(path("fifo")).status().unwrap();
    for (name, code) in [
        (path("fifo"), ErrorCode::Invalid),
        (path("missing"), ErrorCode::NotFound),
        (directory.path().to_str().unwrap().to_owned(), ErrorCode::Invalid),
        ("/dev/zero".into(), ErrorCode::Invalid),
        ("relative".into(), ErrorCode::Invalid),
    ] {
        assert_eq!(copy_out(&mut client, &name).unwrap_err(), code, "{name}");
    }
    agent.assert_up();
}

#[test]
fn wait_answers_when_the_entry_point_ends() {
    let agent = Agent::start();
    let mut client = agent.connect();
    assert_code(&client.error(Operation::Wait(Wait::default())), ErrorCode::NoEntrypoint);
    let state = |state: EntrypointState| {
        agent.write("/run/banger/entrypoint.json.new", &serde_json::to_string(&state).unwrap());
        std::fs::rename(
            agent.path("/run/banger/entrypoint.json.new"),
            agent.path("/run/banger/entrypoint.json"),
        )
        .unwrap();
    };
    state(EntrypointState::Running { pid: 12 });
    assert_eq!(info(&agent).entrypoint, Some(EntrypointState::Running { pid: 12 }));
    assert_code(
        &client.error(Operation::Wait(Wait::default().with_timeout_ms(Some(50)))),
        ErrorCode::TimedOut,
    );
    let id = client.request(Operation::Wait(Wait::default()));
    std::thread::sleep(std::time::Duration::from_millis(100));
    state(EntrypointState::Ended(ExitStatus::Exited { status: 9 }));
    let reply = Reply::from_frame(&client.frame()).unwrap();
    assert_eq!(reply, Reply::new(id, Outcome::Wait(ExitStatus::Exited { status: 9 })));
    // Whoever comes later learns it too.
    let outcome = agent.connect().call(Operation::Wait(Wait::default()));
    assert_eq!(outcome, Outcome::Wait(ExitStatus::Exited { status: 9 }));
    state(EntrypointState::Failed);
    assert_code(&client.error(Operation::Wait(Wait::default())), ErrorCode::Failed);
}

/// A terminal's other end, whose reads end when nothing comes.
struct Line(std::fs::File);

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec { tv_sec: 30, tv_nsec: 0 };
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout))? {
            0 => Err(std::io::ErrorKind::TimedOut.into()),
            _ => self.0.read(buffer),
        }
    }
}

#[test]
fn a_serial_line_is_served_and_recovers_from_noise() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let line = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&line).unwrap();
    unlockpt(&line).unwrap();
    let name = ptsname(&line, Vec::new()).unwrap().into_string().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.arg("agent").arg("--root").arg(directory.path());
    command.arg("--listen").arg(format!("serial:{name}"));
    let mut agent = Killed(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(agent.0.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("listening on serial:"), "{said}");
    let mut line = Line(std::fs::File::from(line));
    let mut id = 0;
    for noise in ["", "noise", "BG\u{1}\u{1}\0\0\0\u{1}", "BG\u{1}\u{1}\u{2}\0\0\0{}"] {
        if !noise.is_empty() {
            line.0.write_all(noise.as_bytes()).unwrap();
            let reply = Reply::from_frame(&read_frame(&mut line).unwrap().unwrap()).unwrap();
            assert!(
                matches!(&reply.outcome, Outcome::Error(failure) if failure.code == ErrorCode::Malformed),
                "{reply:?}"
            );
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        // Two in a row: it goes on after a frame, too.
        for _ in 0..2 {
            id += 1;
            write_message(&mut line.0, FrameKind::Request, &Request::new(id, Operation::Health)).unwrap();
            let reply = Reply::from_frame(&read_frame(&mut line).unwrap().unwrap()).unwrap();
            assert!(
                matches!(reply, Reply { id: found, outcome: Outcome::Health(_), .. } if found == id),
                "{reply:?}"
            );
        }
    }
}

/// A test of an agent beside somebody's own programs: it must not be talked into stopping the machine.
#[test]
fn outside_of_guests_nothing_is_shut_down() {
    let agent = Agent::start();
    let mut client = agent.connect();
    for action in [ShutdownAction::PowerOff, ShutdownAction::Reboot] {
        assert_code(&client.error(Operation::Shutdown(Shutdown::new(action))), ErrorCode::Unsupported);
    }
    assert_code(&client.error(Operation::Grow), ErrorCode::Unsupported);
}

#[test]
fn listens_on_tcp_and_on_several_addresses_and_takes_over_a_stale_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("agent");
    // Left by an agent that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(BINARY);
    command.arg("agent").arg("--root").arg(directory.path());
    command.arg("--listen").arg(format!("unix:{}", socket.display()));
    command.arg("--listen").arg(format!("tcp:{port}"));
    let _agent = Killed(command.stderr(Stdio::null()).spawn().unwrap());
    wait_until("it listens on TCP", || std::net::TcpStream::connect(port).is_ok());
    wait_until("it listens on the socket", || UnixStream::connect(&socket).is_ok());
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    let mut stream = std::net::TcpStream::connect(port).unwrap();
    write_message(&mut stream, FrameKind::Request, &Request::new(3, Operation::Health)).unwrap();
    let reply = Reply::from_frame(&read_frame(&mut stream).unwrap().unwrap()).unwrap();
    assert!(matches!(reply, Reply { id: 3, outcome: Outcome::Health(_), .. }));
}
