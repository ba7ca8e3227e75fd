//! `banger guest cp`, against an agent that follows a script.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use banger_guest::protocol::{
    Accepted, CopyTaken, CopyTarget, FrameKind, Message as _, Outcome, Reply, Request, read_frame,
    write_frame, write_message,
};
use banger_testkit::{require, tools};

use crate::support::{Home, send_signal, text};

/// Serves one copy of a file that holds `hello`, and waits for `proceed` before it ends.
fn agent(home: &Home, proceed: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    agent_with(home, "agent", 0o4750, b"hello", proceed)
}

/// Serves one copy of a file with these bytes on the socket `name`.
fn agent_with(
    home: &Home,
    name: &str,
    mode: u32,
    content: &'static [u8],
    proceed: impl FnOnce() + Send + 'static,
) -> JoinHandle<()> {
    let socket = home.path(name);
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let id = Request::from_frame(&read_frame(&mut stream).unwrap().unwrap()).unwrap().id;
        let size_bytes = content.len() as u64;
        let target = CopyTarget::default()
            .with_size_bytes(size_bytes)
            .with_mode(mode)
            .with_uid(0)
            .with_gid(0)
            .with_mtime_seconds(0);
        write_message(&mut stream, FrameKind::Accepted, &Accepted::CopyOut(target)).unwrap();
        for chunk in content.chunks(1000) {
            write_frame(&mut stream, FrameKind::Output, chunk).unwrap();
        }
        proceed();
        let outcome = Outcome::CopyOut(CopyTaken::default().with_bytes(size_bytes));
        // An interrupted copy does not take it.
        let _ = write_message(&mut stream, FrameKind::Reply, &Reply::new(id, outcome));
    })
}

/// Copies `:/etc/motd` to `target` of the host.
fn copy_out(home: &Home, target: &str) {
    let agent = agent(home, || {});
    home.run(["guest", "cp", "--socket", "unix:agent", ":/etc/motd", target]);
    agent.join().unwrap();
}

#[test]
fn what_is_copied_out_goes_where_cp_puts_it() {
    let home = Home::new();
    copy_out(&home, "out/new");
    copy_out(&home, "out");
    for name in ["out/new", "out/motd"] {
        assert_eq!(fs::read(home.path(name)).unwrap(), b"hello", "{name}");
        // Set-user-id of the guest is not the host's.
        assert_eq!(fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o7777, 0o750, "{name}");
    }
    let fifo = home.path("out/fifo");
    tools::run(require!(tools::command("mkfifo")).arg(&fifo));
    let reader = Command::new("cat").arg(&fifo).stdout(std::process::Stdio::piped()).spawn().unwrap();
    copy_out(&home, "out/fifo");
    assert_eq!(text(&reader.wait_with_output().unwrap().stdout), "hello");
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo(), "a pipe is written to, not replaced");
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 3, "nothing is left beside them");
}

#[test]
fn an_interrupted_copy_leaves_nothing() {
    let home = Home::new();
    let (proceed, proceeds) = mpsc::channel::<()>();
    let agent = agent(&home, move || proceeds.recv().unwrap());
    let mut child =
        home.banger(["guest", "cp", "--socket", "unix:agent", ":/etc/motd", "out/motd"]).spawn().unwrap();
    let started = Instant::now();
    let arrives = || {
        let entries = fs::read_dir(home.path("out")).unwrap().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).any(|metadata| metadata.len() > 0)
    };
    while !arrives() {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing arrives");
        std::thread::sleep(Duration::from_millis(5));
    }
    send_signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    proceed.send(()).unwrap();
    agent.join().unwrap();
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 0);
}

#[test]
fn the_guest_chooses_no_mode_and_no_place_on_the_host() {
    let home = Home::new();
    // What another user could have put there, and what is the user's own.
    fs::write(home.path("victim"), "mine").unwrap();
    fs::write(home.path("out/.motd.partial"), "mine").unwrap();
    std::os::unix::fs::symlink("../victim", home.path("out/.x.partial")).unwrap();
    std::os::unix::fs::symlink("../victim", home.path("out/link")).unwrap();
    for (mode, umask, replaced, want) in [
        (0o6777, "022", None, 0o755),
        (0o666, "077", None, 0o600),
        (0o1644, "000", None, 0o644),
        (0o600, "022", Some(0o644), 0o600),
        (0o666, "022", Some(0o600), 0o600),
        (0o4755, "022", Some(0o4755), 0o755),
        (0, "022", None, 0),
    ] {
        for target in ["out/motd", "out/x", "out/link"] {
            if let Some(replaced) = replaced {
                let path = home.path(target);
                let _ = fs::remove_file(&path);
                fs::write(&path, "old").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(replaced)).unwrap();
            } else if target != "out/link" {
                let _ = fs::remove_file(home.path(target));
            }
            let agent = agent_with(&home, "agent", mode, b"hello", || {});
            let mut copy = Command::new("sh");
            home.environment(&mut copy);
            let banger = env!("CARGO_BIN_EXE_banger");
            copy.args([
                "-c",
                "umask $0; exec \"$@\"",
                umask,
                banger,
                "guest",
                "cp",
                "--socket",
                "unix:agent",
            ]);
            tools::run(copy.args([":/etc/motd", target]));
            agent.join().unwrap();
            let found = fs::symlink_metadata(home.path(target)).unwrap();
            assert!(found.is_file(), "{target}: a symlink is replaced itself");
            if target != "out/link" {
                assert_eq!(
                    found.permissions().mode() & 0o7777,
                    want,
                    "{target} {mode:o} {umask} {replaced:?}"
                );
            }
        }
    }
    for path in ["victim", "out/.motd.partial"] {
        assert_eq!(fs::read(home.path(path)).unwrap(), b"mine", "{path}");
    }
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 5);
}

#[test]
fn copies_at_once_do_not_mix() {
    let home = Home::new();
    let contents: [&[u8]; 4] = [&[1; 500_000], &[2; 500_000], &[3; 500_000], &[4; 500_000]];
    let copies: Vec<_> = contents
        .into_iter()
        .enumerate()
        .map(|(number, content)| {
            let name = format!("agent{number}");
            let agent = agent_with(&home, &name, 0o644, content, || {});
            let socket = format!("unix:{name}");
            let copy = home.banger(["guest", "cp", "--socket", &socket, ":/etc/motd", "out/motd"]).spawn();
            (agent, copy.unwrap())
        })
        .collect();
    for (agent, mut copy) in copies {
        assert!(copy.wait().unwrap().success());
        agent.join().unwrap();
    }
    let content = fs::read(home.path("out/motd")).unwrap();
    assert!(contents.contains(&content.as_slice()), "it is none of those that were copied");
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 1);
}
