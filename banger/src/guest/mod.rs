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
//! let output = guest.run(&Exec { argv: vec!["uname".into(), "-r".into()], ..Exec::default() })?;
//! print!("{}", String::from_utf8_lossy(&output.stdout));
//! # Ok::<(), banger::guest::GuestError>(())
//! ```
//!
//! Every operation is a connection of its own: a [`GuestClient`] is only an address and its time
//! limits, may be shared between threads, and does not mind that the guest reboots. The guest is not
//! trusted: every call ends by its deadline, keeps a bounded part of an answer in memory, and stops when
//! it is cancelled. What a guest says is foreign text; escape it ([`escape_text`](crate::escape_text))
//! before you show it. The protocol is specified in `docs/guest-protocol.md`.

mod address;
mod client;
mod connection;
mod error;
mod exec;
mod timed;

pub use address::GuestAddress;
pub use banger_guest::config::{BootContract, InterfaceAddress, NetworkConfig};
pub use banger_guest::protocol::{
    Addresses, CopyIn, CopyTarget, DEFAULT_PORT, EntrypointState, ErrorCode, Exec, ExitStatus, FirstBoot,
    FirstBootState, Grown, Health, Info, KernelInfo, OsInfo, Pty, ShutdownAction,
};
pub use client::{DEFAULT_MAX_COPY_BYTES, GuestClient, GuestTimeouts};
pub use error::GuestError;
pub use exec::{DEFAULT_MAX_OUTPUT_BYTES, ExecEvent, ExecInput, ExecOutput, ExecSession};
