//! The shared parts of a guest of banger and its host.
//!
//! A guest is a virtual machine that boots a container image. The binary of this crate runs inside it as
//! init, network bootstrap, first-boot driver and agent. This library has the parts that both sides need:
//!
//! - [`protocol`]: the frames and messages between host and agent.
//! - [`config`]: the files that a guest reads, and its kernel command line.
//! - [`files`]: parsers of `/etc/os-release`, `/etc/passwd` and `/etc/group`.
//!
//! The library opens no file and no socket: it reads and writes streams and bytes that you give it. A host
//! turns the default feature `agent` off; then the binary and its system calls are not compiled. For a ready
//! client with connections, time limits and cancellation, use `banger::guest`.
//!
//! Ask an agent for its health, over any stream:
//!
//! ```
//! use banger_guest::protocol::{FrameKind, Message, Operation, Request, read_frame, write_message};
//!
//! let mut wire = Vec::new();
//! write_message(&mut wire, FrameKind::Request, &Request::new(1, Operation::Health))?;
//! let frame = read_frame(&mut wire.as_slice())?.expect("one frame was written");
//! assert_eq!(Request::from_frame(&frame)?.operation, Operation::Health);
//! # Ok::<(), banger_guest::protocol::ProtocolError>(())
//! ```
//!
//! # Limits
//!
//! - Paths and arguments are UTF-8.
//! - A connection carries one operation at a time.
//! - A frame holds at most [`MAX_PAYLOAD_BYTES`](protocol::MAX_PAYLOAD_BYTES) bytes.
//!
//! `docs/guest-protocol.md` of the project specifies the protocol.

#[macro_use]
mod setters;

pub mod config;
pub mod files;
pub mod protocol;
