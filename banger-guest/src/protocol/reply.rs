//! Messages of the agent: the begin of an operation, and its result.

use serde::{Deserialize, Serialize};

use super::exit_status::ExitStatus;
use super::frame::FrameKind;
use super::info::{Health, Info};
use super::message::Message;

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
        with_size_bytes => size_bytes: u64,
        with_mode => mode: u32,
        with_uid => uid: u32,
        with_gid => gid: u32,
        with_mtime_seconds => mtime_seconds: i64,
    }
}

/// Ends an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reply {
    /// The id of the request; 0 if no request was understood.
    pub id: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Reply {
    /// Returns the reply to the request of this id.
    #[must_use]
    pub const fn new(id: u64, outcome: Outcome) -> Self {
        Self { id, outcome }
    }
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
#[non_exhaustive]
pub struct Refusal {
    /// The code for programs.
    pub code: ErrorCode,
    /// The message for people.
    pub message: String,
}

impl Refusal {
    /// Returns why an operation was not done, for programs and for people.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
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

/// How much was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopyTaken {
    /// Bytes of content.
    pub bytes: u64,
}

setters! {
    CopyTaken {
        with_bytes => bytes: u64,
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
        with_interface => interface: String,
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
        with_before_bytes => before_bytes: u64,
        with_after_bytes => after_bytes: u64,
    }
}
