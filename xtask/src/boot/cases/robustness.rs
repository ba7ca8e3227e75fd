//! The agent in a machine, among peers that do not behave.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use banger_guest::protocol::{FrameKind, HEADER_BYTES};
use banger_testkit::Image;

use crate::boot::bench::Bench;
use crate::boot::guest::{Guest, ensure_that};
use crate::boot::qemu::MachineOptions;

/// How much memory the agent may have, in KiB, after all of this.
const MEMORY_KIB: u64 = 16 * 1024;

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let disk = bench.pull(Image::DebianMinbase, "robustness", &[])?;
    let mut machine = bench.start("robustness", &MachineOptions::with_disk(&disk))?;
    let guest = Guest::wait(&machine)?;
    let socket = machine.socket();
    let (pid, before) = agent(&guest)?;

    malformed(&socket)?;
    guest.client.health().context("after malformed frames")?;
    many(&socket, &guest)?;
    stalled(&socket, &guest)?;
    // A program whose output nobody takes, and whose host goes away.
    let exec = banger::guest::Exec::default().with_argv(vec!["yes".to_owned()]);
    let mut session = guest.client.exec(&exec)?;
    session.next_event()?;
    std::thread::sleep(Duration::from_secs(2));
    guest.client.health().context("beside a program whose output nobody takes")?;
    drop(session);
    // At the latest when the agent's limit for output that nobody takes has passed: not every VMM
    // tells a guest that the other end of a full connection is gone.
    let deadline = Instant::now() + Duration::from_secs(100);
    while !guest.shell("grep -lx yes /proc/[0-9]*/comm 2>/dev/null || true")?.is_empty() {
        ensure_that!(Instant::now() < deadline, "a program outlives the connection that it ran for");
        std::thread::sleep(Duration::from_millis(500));
    }

    let (same_pid, after) = agent(&guest)?;
    ensure_that!(pid == same_pid, "the agent was {pid} and is {same_pid}");
    ensure_that!(after < MEMORY_KIB, "the agent has {after} KiB, and had {before} before");
    let peak = memory(&guest, pid, "VmHWM")?;
    ensure_that!(peak < MEMORY_KIB, "the agent had {peak} KiB at its peak");
    guest.stop(&mut machine)
}

/// The agent's process id and its memory in KiB.
fn agent(guest: &Guest) -> anyhow::Result<(u64, u64)> {
    let pid = guest.agent_pid()?;
    let pid = pid.parse().with_context(|| format!("the agent's pid is {pid:?}"))?;
    Ok((pid, memory(guest, pid, "VmRSS")?))
}

fn memory(guest: &Guest, pid: u64, field: &str) -> anyhow::Result<u64> {
    let line = guest.shell(&format!("grep {field}: /proc/{pid}/status"))?;
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).with_context(|| line)
}

/// A connection to the agent behind the VMM's socket.
fn connect(socket: &Path) -> anyhow::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"CONNECT 5000\n")?;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        if stream.read(&mut byte)? == 0 {
            bail!("the VMM closed the connection after {:?}", String::from_utf8_lossy(&line));
        }
        line.push(byte[0]);
    }
    ensure_that!(line.starts_with(b"OK "), "the VMM said {:?}", String::from_utf8_lossy(&line));
    Ok(stream)
}

/// Bytes that are no frames end their connection, and are answered first where they can be.
fn malformed(socket: &Path) -> anyhow::Result<()> {
    let request = |length: u32| {
        let mut frame = b"BG\x01\x01".to_vec();
        frame.extend_from_slice(&length.to_le_bytes());
        frame
    };
    let mut not_json = request(5);
    not_json.extend_from_slice(b"{\"id\"");
    let mut unknown = request(30);
    unknown.extend_from_slice(b"{\"id\":1,\"op\":\"become_sentient\"}");
    let cases: [(&str, Vec<u8>); 8] = [
        ("another protocol", b"GET / HTTP/1.1\r\nHost: guest\r\n\r\n".to_vec()),
        ("zeros", vec![0; 4096]),
        ("the longest length", request(u32::MAX)),
        ("a length above the limit", request(131_073)),
        ("another version", b"BG\x63\x01\0\0\0\0".to_vec()),
        ("an unknown kind", b"BG\x01\xee\0\0\0\0".to_vec()),
        ("no JSON", not_json),
        ("an unknown operation", unknown),
    ];
    for (name, bytes) in cases {
        let mut stream = connect(socket)?;
        stream.write_all(&bytes).with_context(|| name)?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            // A reset is an end too.
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error).with_context(|| format!("{name}: the connection stays open")),
        }
        let reply =
            u8::try_from(FrameKind::ALL.iter().position(|kind| *kind == FrameKind::Reply).unwrap_or(0) + 1)?;
        ensure_that!(
            answer.is_empty() || (answer.len() > HEADER_BYTES && answer[3] == reply),
            "{name}: answered with {answer:?}"
        );
    }
    Ok(())
}

/// A thousand connections, most of which say nothing, a hundred at a time.
fn many(socket: &Path, guest: &Guest) -> anyhow::Result<()> {
    let mut open = Vec::new();
    let mut made = 0;
    for round in 0..10 {
        for _ in 0..100 {
            // One too many is refused, which is an answer too.
            if let Ok(stream) = connect(socket) {
                made += 1;
                open.push(stream);
            }
        }
        guest
            .client
            .wait_until_ready(Duration::from_secs(30))
            .with_context(|| format!("beside {} connections in round {round}", open.len()))?;
        open.clear();
    }
    ensure_that!(made > 500, "only {made} of 1000 connections were made");
    Ok(())
}

/// A peer that stops in the middle of a frame is nobody else's trouble.
fn stalled(socket: &Path, guest: &Guest) -> anyhow::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(socket)?;
        stream.write_all(b"BG\x01\x01\0\0\x01\0{\"id\":")?;
        streams.push(stream);
    }
    let started = Instant::now();
    guest.client.health().context("beside peers that stall")?;
    ensure_that!(started.elapsed() < Duration::from_secs(10), "health took {:?}", started.elapsed());
    Ok(())
}
