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
    let socket = home.path("agent");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let id = Request::from_frame(&read_frame(&mut stream).unwrap().unwrap()).unwrap().id;
        let target = CopyTarget { size_bytes: 5, mode: 0o4750, uid: 0, gid: 0, mtime_seconds: 0 };
        write_message(&mut stream, FrameKind::Accepted, &Accepted::CopyOut(target)).unwrap();
        write_frame(&mut stream, FrameKind::Output, b"hello").unwrap();
        proceed();
        let outcome = Outcome::CopyOut(CopyTaken { bytes: 5 });
        // An interrupted copy does not take it.
        let _ = write_message(&mut stream, FrameKind::Reply, &Reply { id, outcome });
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
    let partial = home.path("out/.motd.partial");
    let started = Instant::now();
    while !fs::metadata(&partial).is_ok_and(|metadata| metadata.len() > 0) {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing arrives");
        std::thread::sleep(Duration::from_millis(5));
    }
    send_signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    proceed.send(()).unwrap();
    agent.join().unwrap();
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 0);
}
