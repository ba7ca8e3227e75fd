//! Agents of guests that follow a script.

use std::io::Read as _;
use std::os::unix::net::UnixStream;

use ::banger_guest::protocol::{
    Accepted, CopyTaken, CopyTarget, ErrorCode, ExitStatus, FrameKind, Grown, Health, Info, Message as _,
    NetworkSet, Operation, Outcome, Refusal, Reply, Request, read_frame, write_frame, write_message,
};

pub(crate) fn request(stream: &mut UnixStream) -> Option<Request> {
    Request::from_frame(&read_frame(stream).ok()??).ok()
}

pub(crate) fn accept(stream: &mut UnixStream, accepted: &Accepted) -> Option<()> {
    write_message(stream, FrameKind::Accepted, accepted).ok()
}

/// An agent that does what it is asked.
pub(crate) fn obliging(stream: &mut UnixStream) -> Option<()> {
    let Request { id, operation, .. } = request(stream)?;
    let outcome = match operation {
        Operation::Health => Outcome::Health(Health::default().with_agent_version("1.2.3".to_owned())),
        Operation::Info => Outcome::Info(Box::new(Info::default().with_hostname("vm7".to_owned()))),
        Operation::SetNetwork(set) => {
            assert!(set.persist);
            let interface = set.network.interface.unwrap_or_default();
            Outcome::SetNetwork(NetworkSet::default().with_interface(interface))
        }
        Operation::Grow => Outcome::Grow(Grown::default().with_before_bytes(1).with_after_bytes(2)),
        Operation::Shutdown(_) => Outcome::Shutdown,
        Operation::Wait(wait) if wait.timeout_ms == Some(1) => {
            Outcome::Error(Refusal::new(ErrorCode::TimedOut, "it runs"))
        }
        Operation::Wait(_) => Outcome::Wait(ExitStatus::Killed { signal: 9 }),
        Operation::CopyIn(copy) => {
            assert_eq!((copy.mode, copy.parents), (Some(0o640), true));
            accept(stream, &Accepted::CopyIn)?;
            let bytes = echo(stream, false)?;
            Outcome::CopyIn(CopyTaken::default().with_bytes(bytes))
        }
        Operation::CopyOut(_) => {
            accept(stream, &Accepted::CopyOut(CopyTarget::default().with_size_bytes(5)))?;
            write_frame(stream, FrameKind::Output, b"bytes").ok()?;
            Outcome::CopyOut(CopyTaken::default().with_bytes(5))
        }
        Operation::Exec(exec) => {
            accept(stream, &Accepted::Exec { pid: 42 })?;
            if exec.stdin {
                echo(stream, true)?;
            }
            let text = format!("{:?} {:?}", exec.argv, exec.env);
            write_frame(stream, FrameKind::Output, text.as_bytes()).ok()?;
            write_frame(stream, FrameKind::ErrorOutput, b"err").ok()?;
            Outcome::Exec(ExitStatus::Exited { status: 3 })
        }
        _ => return None,
    };
    write_message(stream, FrameKind::Reply, &Reply::new(id, outcome)).ok()?;
    // Until the client has gone.
    stream.read(&mut [0]).ok().map(drop)
}

/// Takes input to its end, and gives it back as output.
fn echo(stream: &mut UnixStream, gives_back: bool) -> Option<u64> {
    let mut bytes = 0;
    loop {
        let frame = read_frame(stream).ok()??;
        match frame.kind {
            FrameKind::InputEnd => return Some(bytes),
            FrameKind::Input => bytes += u64::try_from(frame.payload.len()).expect("a frame is small"),
            _ => continue,
        }
        if gives_back {
            write_frame(stream, FrameKind::Output, &frame.payload).ok()?;
            let credit = u32::try_from(frame.payload.len()).expect("a frame is small");
            write_frame(stream, FrameKind::Credit, &credit.to_le_bytes()).ok()?;
        }
    }
}
