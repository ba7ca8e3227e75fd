//! `banger guest` and agents that mean it ill: limits, deadlines, interrupts.

use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use banger_guest::protocol::{
    Accepted, CopyTarget, FrameKind, Message as _, Request, read_frame, write_frame, write_message,
};
use serde_json::Value;

use crate::support::{Home, error_text, send_signal, text};

/// Serves every connection of the home's `agent` socket with a script.
fn serve(home: &Home, script: fn(UnixStream) -> Option<()>) {
    let listener = UnixListener::bind(home.path("agent")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || script(stream));
        }
    });
}

fn silence(mut stream: UnixStream) -> Option<()> {
    std::io::copy(&mut stream, &mut std::io::sink()).ok().map(drop)
}

fn accept(stream: &mut UnixStream, accepted: &Accepted) -> Option<()> {
    Request::from_frame(&read_frame(stream).ok()??).ok()?;
    write_message(stream, FrameKind::Accepted, accepted).ok()
}

fn output_for_ever(stream: &mut UnixStream) -> Option<()> {
    loop {
        write_frame(stream, FrameKind::Output, &[b'x'; 32 * 1024]).ok()?;
    }
}

fn error_of(output: &std::process::Output) -> (u64, String) {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let error = &document["error"];
    (error["code"].as_u64().unwrap(), error_text(&document))
}

/// `VmHWM`: the most memory that the process had resident so far.
fn resident_peak_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

/// Runs a child to its end; what it had to say and the most memory it took.
fn run_measured(mut child: Child) -> (std::process::Output, u64) {
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(resident_peak_kib(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    (child.wait_with_output().unwrap(), peak)
}

#[test]
fn output_in_a_document_has_a_limit() {
    let home = Home::new();
    serve(&home, |mut stream| {
        accept(&mut stream, &Accepted::Exec { pid: 1 })?;
        output_for_ever(&mut stream)
    });
    for (options, limit) in [(&[][..], 64_u64 << 20), (&["--max-output", "1M"], 1 << 20)] {
        let child = home
            .banger(["guest", "exec", "--socket", "unix:agent", "--json"])
            .args(options)
            .args(["--", "yes"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (output, peak_kib) = run_measured(child);
        let (code, message) = error_of(&output);
        assert_eq!(code, 920);
        assert!(message.contains(&limit.to_string()) && message.contains("--max-output"), "{message}");
        // A Vec that grows has its old bytes for a moment.
        assert!(peak_kib < limit / 1024 * 3 + 48 * 1024, "{peak_kib} KiB for {limit} bytes");
    }
}

#[test]
fn a_copy_has_a_limit() {
    let home = Home::new();
    serve(&home, |mut stream| {
        let target = CopyTarget::default()
            .with_size_bytes(1000)
            .with_mode(0o644)
            .with_uid(0)
            .with_gid(0)
            .with_mtime_seconds(0);
        accept(&mut stream, &Accepted::CopyOut(target))?;
        output_for_ever(&mut stream)
    });
    let copy = ["guest", "cp", "--socket", "unix:agent", ":/big", "out/big", "--json"];
    for (options, code) in [(&["--max-size", "10M"][..], 921), (&["--max-size", "100"], 921), (&[], 922)] {
        let output = home.banger(copy).args(options).output().unwrap();
        assert_eq!(error_of(&output).0, code, "{}", text(&output.stdout));
        assert_eq!(home.leftovers(), [""; 0], "a copy that failed leaves nothing");
    }
}

/// Within ten per cent, but for a machine that is busy with other tests.
#[test]
fn a_wait_ends_in_its_time() {
    let scripts: [fn(UnixStream) -> Option<()>; 3] = [
        silence,
        |mut stream| output_for_ever(&mut stream),
        |mut stream| {
            for byte in b"BG\x01\x02\xff\xff\x00\x00".iter().chain(std::iter::repeat(&b' ')) {
                stream.write_all(&[*byte]).ok()?;
                std::thread::sleep(Duration::from_millis(150));
            }
            None
        },
    ];
    for script in scripts {
        let home = Home::new();
        serve(&home, script);
        for socket in ["unix:agent", "agent:5000"] {
            let started = Instant::now();
            let output =
                home.banger(["guest", "health", "--socket", socket, "--wait", "2"]).output().unwrap();
            let took = started.elapsed();
            assert_eq!(output.status.code(), Some(1));
            assert!(took > Duration::from_millis(1700) && took < Duration::from_secs(10), "{took:?}");
        }
    }
}

/// A child that was signalled, and how it ended.
fn ends_by(mut child: Child, signals: usize) -> Option<i32> {
    // The handler is set within the first milliseconds.
    std::thread::sleep(Duration::from_millis(500));
    for _ in 0..signals {
        send_signal(&child, "INT");
        std::thread::sleep(Duration::from_millis(200));
    }
    // Counted, not timed: a machine that stood still for a while has not given the child any time.
    for _ in 0..2000 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let Some(status) = child.try_wait().unwrap() else {
        child.kill().unwrap();
        panic!("it does not end");
    };
    use std::os::unix::process::ExitStatusExt as _;
    // As a shell has it: killed by the signal, or ended because of it.
    status.code().or_else(|| status.signal().map(|signal| 128 + signal))
}

#[test]
fn an_interrupt_ends_what_waits_for_a_silent_guest() {
    let home = Home::new();
    serve(&home, silence);
    std::fs::write(home.path("file"), "x").unwrap();
    for socket in ["unix:agent", "agent:5000"] {
        for arguments in [
            &["health", "--wait", "600"][..],
            &["info"],
            &["set-network", "--hostname", "x"],
            &["grow"],
            &["wait"],
            &["shutdown"],
            &["exec", "true"],
            &["exec", "--json", "true"],
            &["cp", ":/etc/motd", "out/motd"],
            &["cp", "file", ":/etc/motd"],
        ] {
            let mut command = home.banger(["guest", arguments[0], "--socket", socket]);
            command.args(&arguments[1..]).stdout(Stdio::null()).stderr(Stdio::null());
            assert_eq!(ends_by(command.spawn().unwrap(), 1), Some(130), "{arguments:?}");
            assert_eq!(home.leftovers(), [""; 0], "{arguments:?}");
        }
    }
}

/// The program runs, and the agent takes neither input nor signals: the second interrupt ends it.
#[test]
fn a_second_interrupt_ends_a_program_whose_agent_is_silent() {
    let home = Home::new();
    serve(&home, |mut stream| {
        accept(&mut stream, &Accepted::Exec { pid: 1 })?;
        loop {
            write_frame(&mut stream, FrameKind::Credit, &u32::MAX.to_le_bytes()).ok()?;
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    for options in [&["--stdin"][..], &[]] {
        let mut command = home.banger(["guest", "exec", "--socket", "unix:agent"]);
        command.args(options).args(["--", "cat"]).stdin(std::fs::File::open("/dev/zero").unwrap());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(ends_by(child, 2), Some(130), "{options:?}");
    }
}

/// A sparse file has a size far beyond any memory.
#[test]
fn a_document_holds_no_more_of_files_than_it_may() {
    let home = Home::new();
    std::fs::create_dir(home.path("tree")).unwrap();
    std::fs::File::create(home.path("tree/sparse")).unwrap().set_len(1 << 40).unwrap();
    std::fs::write(home.path("tree/small"), "small").unwrap();
    home.run(["rootfs", "build", "tree", "out/x.ext4", "--size", "256M"]);
    let cat = |arguments: &[&str]| {
        let child = home
            .banger(["rootfs", "cat", "--json", "out/x.ext4"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        run_measured(child.unwrap())
    };
    let (output, peak_kib) = cat(&["/small", "/sparse"]);
    let (code, message) = error_of(&output);
    assert!(
        code == 502 && message.contains("/sparse") && message.contains("--max-output"),
        "{code} {message}"
    );
    assert!(peak_kib < 100 * 1024, "{peak_kib} KiB");
    let (output, _) = cat(&["/small", "/small", "--max-output", "9"]);
    assert_eq!(error_of(&output).0, 502);
    let (output, _) = cat(&["/small", "/small", "--max-output", "10"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Without a document it is passed on as it is read, as long as somebody reads.
    let mut child =
        home.banger(["rootfs", "cat", "out/x.ext4", "/sparse"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut start = [1; 4096];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut start).unwrap();
    assert_eq!(start, [0; 4096]);
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success(), "a reader that has gone ends it quietly");
}
