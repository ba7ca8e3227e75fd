//! Messages of the host: requests, and control of a running program.

use serde::{Deserialize, Serialize};

use super::frame::FrameKind;
use super::message::Message;
use crate::config::NetworkConfig;

/// Begins an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Request {
    /// Chosen by the host; the reply has the same. On a serial line, a reply to an earlier host may still
    /// arrive; the id distinguishes it.
    pub id: u64,
    /// The operation.
    #[serde(flatten)]
    pub operation: Operation,
}

impl Request {
    /// Returns a request for an operation, with an id that the reply will have.
    #[must_use]
    pub const fn new(id: u64, operation: Operation) -> Self {
        Self { id, operation }
    }
}

impl Message for Request {
    const KIND: FrameKind = FrameKind::Request;
}

/// The operation of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", content = "args", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// Are you there?
    Health,
    /// Asks for the state of the guest and of its first boot.
    Info,
    /// Run a program.
    Exec(Exec),
    /// Write a file of the guest.
    CopyIn(CopyIn),
    /// Read a file of the guest.
    CopyOut(CopyOut),
    /// Configure the network.
    SetNetwork(SetNetwork),
    /// Grow the root file system to the size of its block device.
    Grow,
    /// Power off or reboot.
    Shutdown(Shutdown),
    /// Answer when the entry point has ended.
    Wait(Wait),
}

/// A program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Exec {
    /// The program, looked up in `PATH`, and its arguments.
    pub argv: Vec<String>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Whether the program gets these variables only, without the agent's `PATH`, `HOME` and so on.
    pub clear_env: bool,
    /// `name`, `uid`, `name:group` or `uid:gid`; by default root.
    pub user: Option<String>,
    /// The working directory; by default `/`.
    pub working_dir: Option<String>,
    /// Whether the host sends standard input; it is empty otherwise. A PTY always has input.
    pub stdin: bool,
    /// A terminal in place of pipes; then no [`FrameKind::ErrorOutput`] is sent.
    pub pty: Option<Pty>,
    /// After so many milliseconds the program is killed.
    pub timeout_ms: Option<u64>,
}

impl Exec {
    /// Returns a request to run a program with its arguments, without input.
    #[must_use]
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

setters! {
    Exec {
        with_argv => argv: Vec<String>,
        with_env => env: Vec<(String, String)>,
        with_clear_env => clear_env: bool,
        with_user => user: Option<String>,
        with_working_dir => working_dir: Option<String>,
        with_stdin => stdin: bool,
        with_pty => pty: Option<Pty>,
        with_timeout_ms => timeout_ms: Option<u64>,
    }
}

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pty {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

impl Pty {
    /// Returns the size of a terminal with so many lines and columns.
    #[must_use]
    pub const fn new(rows: u16, columns: u16) -> Self {
        Self { rows, columns }
    }
}

/// A file to write. Its content follows as [`FrameKind::Input`]; at [`FrameKind::InputEnd`] it atomically
/// replaces an old file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CopyIn {
    /// The absolute path. A directory is not replaced.
    pub path: String,
    /// Permission bits; by default those of the replaced file, or 0644.
    pub mode: Option<u32>,
    /// Owner; that of the file that is replaced, or root.
    pub uid: Option<u32>,
    /// Group; that of the file that is replaced, or root.
    pub gid: Option<u32>,
    /// Whether missing parent directories are made.
    pub parents: bool,
    /// Length of the content. If it is given and wrong, nothing is written.
    pub size_bytes: Option<u64>,
}

impl CopyIn {
    /// Returns a request to write the file at an absolute path.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

setters! {
    CopyIn {
        with_path => path: String,
        with_mode => mode: Option<u32>,
        with_uid => uid: Option<u32>,
        with_gid => gid: Option<u32>,
        with_parents => parents: bool,
        with_size_bytes => size_bytes: Option<u64>,
    }
}

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopyOut {
    /// Which, as an absolute path; symlinks are followed.
    pub path: String,
}

impl CopyOut {
    /// Returns a request to read the file at an absolute path.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into() }
    }
}

/// A network configuration to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SetNetwork {
    /// The configuration to apply.
    pub network: NetworkConfig,
    /// Whether to write it to `/etc/banger-network.conf` too, for the boots to come.
    #[serde(default)]
    pub persist: bool,
}

impl SetNetwork {
    /// Returns a request to apply a configuration until the next boot.
    #[must_use]
    pub fn new(network: NetworkConfig) -> Self {
        Self { network, persist: false }
    }
}

setters! {
    SetNetwork {
        with_network => network: NetworkConfig,
        with_persist => persist: bool,
    }
}

/// How to go down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Shutdown {
    /// Off, or up again.
    pub action: ShutdownAction,
}

impl Shutdown {
    /// Returns a request to go down like this.
    #[must_use]
    pub const fn new(action: ShutdownAction) -> Self {
        Self { action }
    }
}

/// Off, or up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ShutdownAction {
    /// Power off.
    PowerOff,
    /// Reboot.
    Reboot,
}

/// How long to wait for the entry point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Wait {
    /// Time limit in milliseconds, after which the reply is [`ErrorCode::TimedOut`](super::ErrorCode::TimedOut); by default no limit.
    pub timeout_ms: Option<u64>,
}

setters! {
    Wait {
        with_timeout_ms => timeout_ms: Option<u64>,
    }
}

/// To the running `exec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Control {
    /// A signal to the program's process group.
    Signal {
        /// Its number on Linux.
        number: i32,
    },
    /// The terminal has another size.
    Resize(Pty),
}

impl Message for Control {
    const KIND: FrameKind = FrameKind::Control;
}
