//! The JSON messages: requests, replies, and messages between them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, FrameKind};
use super::stream::ProtocolError;
use crate::config::{BootContract, NetworkConfig};

/// A message that is sent as JSON in its kind of frame.
pub trait Message: Serialize + DeserializeOwned {
    /// The kind of the frame.
    const KIND: FrameKind;

    /// Reads the message out of a frame.
    ///
    /// # Errors
    ///
    /// The frame has another kind, or its payload is not this message.
    fn from_frame(frame: &Frame) -> Result<Self, ProtocolError> {
        if frame.kind != Self::KIND {
            return Err(ProtocolError::Unexpected { found: frame.kind, expected: Self::KIND });
        }
        serde_json::from_slice(&frame.payload)
            .map_err(|source| ProtocolError::Message { kind: Self::KIND, source })
    }
}

/// Begins an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the host; the reply has the same. On a serial line, a reply to an earlier host may still
    /// arrive; the id distinguishes it.
    pub id: u64,
    /// The operation.
    #[serde(flatten)]
    pub operation: Operation,
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
        with_argv(argv: Vec<String>),
        with_env(env: Vec<(String, String)>),
        with_clear_env(clear_env: bool),
        with_user(user: Option<String>),
        with_working_dir(working_dir: Option<String>),
        with_stdin(stdin: bool),
        with_pty(pty: Option<Pty>),
        with_timeout_ms(timeout_ms: Option<u64>),
    }
}

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pty {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
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
        with_path(path: String),
        with_mode(mode: Option<u32>),
        with_uid(uid: Option<u32>),
        with_gid(gid: Option<u32>),
        with_parents(parents: bool),
        with_size_bytes(size_bytes: Option<u64>),
    }
}

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOut {
    /// Which, as an absolute path; symlinks are followed.
    pub path: String,
}

/// A network configuration to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetNetwork {
    /// The configuration to apply.
    pub network: NetworkConfig,
    /// Whether to write it to `/etc/banger-network.conf` too, for the boots to come.
    #[serde(default)]
    pub persist: bool,
}

/// How to go down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// Off, or up again.
    pub action: ShutdownAction,
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
pub struct Wait {
    /// Time limit in milliseconds, after which the reply is [`ErrorCode::TimedOut`]; by default no limit.
    pub timeout_ms: Option<u64>,
}

/// Between request and reply: streams may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", content = "args", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Accepted {
    /// The program runs.
    Exec {
        /// Its process id, which is its process group too.
        pid: u32,
    },
    /// Send the content.
    CopyIn,
    /// The content follows.
    CopyOut(CopyTarget),
}

impl Message for Accepted {
    const KIND: FrameKind = FrameKind::Accepted;
}

/// The file that a copy reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopyTarget {
    /// Its size now; the content may be shorter or longer if a program writes to the file.
    pub size_bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime_seconds: i64,
}

setters! {
    CopyTarget {
        with_size_bytes(size_bytes: u64),
        with_mode(mode: u32),
        with_uid(uid: u32),
        with_gid(gid: u32),
        with_mtime_seconds(mtime_seconds: i64),
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

/// Ends an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The id of the request; 0 if no request was understood.
    pub id: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Message for Reply {
    const KIND: FrameKind = FrameKind::Reply;
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", content = "value", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was not done, and why.
    Error(Refusal),
    /// To `health`.
    Health(Health),
    /// To `info`.
    Info(Box<Info>),
    /// To `exec`: how the program ended.
    Exec(ExitStatus),
    /// To `copy_in`: the file is complete and on the disk.
    CopyIn(CopyTaken),
    /// To `copy_out`: that was all.
    CopyOut(CopyTaken),
    /// To `set_network`.
    SetNetwork(NetworkSet),
    /// To `grow`.
    Grow(Grown),
    /// To `shutdown`: it begins.
    Shutdown,
    /// To `wait`: how the entry point ended.
    Wait(ExitStatus),
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The code for programs.
    pub code: ErrorCode,
    /// The message for people.
    pub message: String,
}

/// The reason why an operation failed, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The frame or the message was not understood; the agent closes the connection.
    Malformed,
    /// A value in the request is invalid: a path that is not absolute, an empty argv.
    Invalid,
    /// The file, program, user or interface does not exist.
    NotFound,
    /// The guest's kernel refuses.
    Denied,
    /// The disk is full.
    NoSpace,
    /// As many operations run as the agent allows; the agent closes the connection.
    Busy,
    /// The time given has passed.
    TimedOut,
    /// The guest cannot do that: its kernel or file system does not know how.
    Unsupported,
    /// No entry point to wait for.
    NoEntrypoint,
    /// Another failure.
    Failed,
    /// A code of a later version.
    #[serde(other)]
    Unknown,
}

/// The agent answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// The version of banger that it came with.
    pub agent_version: String,
    /// The version of the protocol.
    pub protocol: u8,
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
}

setters! {
    Health {
        with_agent_version(agent_version: String),
        with_protocol(protocol: u8),
        with_uptime_ms(uptime_ms: u64),
    }
}

/// The state of a guest and of its first boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Info {
    /// The version of banger that the agent came with.
    pub agent_version: String,
    /// How the guest boots; an init that the first boot has installed counts as soon as it runs. Missing
    /// without `/etc/banger/guest.json`.
    pub contract: Option<BootContract>,
    /// The executable of process 1, or its name if the executable cannot be read.
    pub init: String,
    /// The first boot.
    pub first_boot: FirstBoot,
    /// The kernel.
    pub kernel: KernelInfo,
    /// The distribution, out of os-release.
    pub os: Option<OsInfo>,
    /// The hostname.
    pub hostname: String,
    /// `/etc/machine-id`, if it is set.
    pub machine_id: Option<String>,
    /// Another for every boot.
    pub boot_id: Option<String>,
    /// The network interfaces.
    pub interfaces: Vec<Addresses>,
    /// The entry point, if banger-init runs one.
    pub entrypoint: Option<EntrypointState>,
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
}

setters! {
    Info {
        with_agent_version(agent_version: String),
        with_contract(contract: Option<BootContract>),
        with_init(init: String),
        with_first_boot(first_boot: FirstBoot),
        with_kernel(kernel: KernelInfo),
        with_os(os: Option<OsInfo>),
        with_hostname(hostname: String),
        with_machine_id(machine_id: Option<String>),
        with_boot_id(boot_id: Option<String>),
        with_interfaces(interfaces: Vec<Addresses>),
        with_entrypoint(entrypoint: Option<EntrypointState>),
        with_uptime_ms(uptime_ms: u64),
    }
}

/// The state of the first boot, from its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FirstBoot {
    /// How far it has come.
    pub state: FirstBootState,
    /// Which attempt this is, from 1; 0 before the first.
    pub attempt: u32,
    /// The current or last stage.
    pub stage: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// The end of its log, at most 8 KiB.
    pub log_tail: String,
}

setters! {
    FirstBoot {
        with_state(state: FirstBootState),
        with_attempt(attempt: u32),
        with_stage(stage: Option<String>),
        with_last_error(last_error: Option<String>),
        with_log_tail(log_tail: String),
    }
}

/// How far the first boot has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FirstBootState {
    /// The image does not need one.
    #[default]
    None,
    /// It has not begun.
    Pending,
    /// It runs now.
    Running,
    /// An attempt failed; the next boot tries again.
    Failed,
    /// It is done.
    Done,
}

/// The kernel of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelInfo {
    /// As `uname -r`.
    pub release: String,
    /// As `uname -v`.
    pub version: String,
    /// As `uname -m`.
    pub machine: String,
    /// The command line it was started with.
    pub command_line: String,
}

setters! {
    KernelInfo {
        with_release(release: String),
        with_version(version: String),
        with_machine(machine: String),
        with_command_line(command_line: String),
    }
}

/// The distribution of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OsInfo {
    /// `ID`.
    pub id: String,
    /// `VERSION_ID`.
    pub version_id: Option<String>,
    /// `PRETTY_NAME`.
    pub pretty_name: Option<String>,
}

setters! {
    OsInfo {
        with_id(id: String),
        with_version_id(version_id: Option<String>),
        with_pretty_name(pretty_name: Option<String>),
    }
}

/// An interface and its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Addresses {
    /// Its name.
    pub interface: String,
    /// Its hardware address, `02:00:…`.
    pub mac: Option<String>,
    /// Whether it is up.
    pub up: bool,
    /// `address/prefix`.
    pub addresses: Vec<String>,
}

setters! {
    Addresses {
        with_interface(interface: String),
        with_mac(mac: Option<String>),
        with_up(up: bool),
        with_addresses(addresses: Vec<String>),
    }
}

/// How far an entry point has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EntrypointState {
    /// It will be started.
    Starting,
    /// It runs.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// It has ended.
    Ended(ExitStatus),
    /// It could not be started.
    Failed,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExitStatus {
    /// It exited.
    Exited {
        /// With this status, 0 to 255.
        status: i32,
    },
    /// A signal killed it.
    Killed {
        /// Its number on Linux.
        signal: i32,
    },
}

/// How much was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopyTaken {
    /// Bytes of content.
    pub bytes: u64,
}

setters! {
    CopyTaken {
        with_bytes(bytes: u64),
    }
}

/// Target of a network configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NetworkSet {
    /// The interface.
    pub interface: String,
}

setters! {
    NetworkSet {
        with_interface(interface: String),
    }
}

/// How much a file system has grown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grown {
    /// Its size before.
    pub before_bytes: u64,
    /// Its size now.
    pub after_bytes: u64,
}

setters! {
    Grown {
        with_before_bytes(before_bytes: u64),
        with_after_bytes(after_bytes: u64),
    }
}
