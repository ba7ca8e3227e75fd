//! The host's side of the guest agent.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use banger::guest::{Exec, GuestClient};
//!
//! // Where Firecracker, Cloud Hypervisor and vhost-device-vsock put the guest's vsock.
//! let guest = GuestClient::new("/run/vm/vsock.sock:5000".parse()?);
//! guest.wait_until_ready(Duration::from_secs(30))?;
//! let output = guest.run(&Exec::new(["uname", "-r"]))?;
//! print!("{}", String::from_utf8_lossy(&output.stdout));
//! # Ok::<(), banger::guest::GuestError>(())
//! ```
//!
//! Each call opens a new connection. A [`GuestClient`] is an address with limits: threads may share it, and
//! it stays valid when the guest reboots.
//!
//! The client does not trust the guest:
//!
//! - Every call ends by its time limit.
//! - Every call ends within 200 ms after another thread sets its [`Cancellation`](crate::Cancellation), also
//!   while the guest is paused or silent.
//! - A call keeps a bounded part of an answer in memory.
//! - Text of a guest may hold control characters: escape it ([`escape_text`](crate::escape_text)) before you
//!   show it.
//!
//! A write to a connection that the other end has closed is an error; it raises no SIGPIPE. The protocol is
//! specified in `docs/guest-protocol.md`.

mod address;
mod client;
mod connection;
mod copy;
mod deadline;
mod document;
mod error;
mod exec;
mod socket;

pub use address::{AddressError, GuestAddress};
pub use banger_guest::config::{BootContract, InterfaceAddress, NetworkConfig};
pub use banger_guest::protocol::{
    Addresses, CopyIn, CopyTarget, DEFAULT_PORT, EntrypointState, ErrorCode, Exec, ExitStatus, FirstBoot,
    FirstBootState, Grown, Health, Info, KernelInfo, OsInfo, Pty, ShutdownAction,
};
pub use client::{DEFAULT_MAX_COPY_BYTES, DEFAULT_MAX_OUTPUT_BYTES, GuestClient, GuestTimeouts};
pub use document::{AnswerDocument, CopyAnswer, InterfaceAnswer, OutputAnswer, ShutdownAnswer};
pub use error::GuestError;
pub use exec::{ExecEvent, ExecInput, ExecOutput, ExecSession};

/// Threads share a client, and hand a session on.
const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    const fn send<T: Send>() {}
    send_and_sync::<GuestClient>();
    send_and_sync::<ExecInput>();
    send_and_sync::<GuestError>();
    send::<ExecSession>();
};
