//! Why a guest could not be asked, or said no.

use std::io;
use std::time::Duration;

use banger_guest::protocol::{ErrorCode, ProtocolError};

use super::address::GuestAddress;

/// Why a guest could not be asked, or said no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// An address is none.
    #[error(
        "`{text}` is no address of a guest: {reason}; use PATH:PORT, unix:PATH, vsock:CID:PORT or tcp:ADDRESS:PORT"
    )]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing listens there.
    #[error(
        "cannot connect to the guest at {address}: {source}; check that it runs and that this is its socket, or wait \
         for it with `banger guest health --wait SECONDS`"
    )]
    Unreachable {
        /// Where.
        address: GuestAddress,
        /// The host's error.
        source: io::Error,
    },
    /// The VMM has no agent behind that port, not yet or not at all.
    #[error(
        "no agent answers behind {address}: the VMM answered {answer:?} to CONNECT; if the guest still boots, wait \
         for it with `banger guest health --wait SECONDS`"
    )]
    NoAgent {
        /// Where.
        address: GuestAddress,
        /// What came in place of `OK`; empty where the connection was closed.
        answer: String,
    },
    /// The guest did not answer in time.
    #[error("the guest at {address} did not answer {operation} within {after:?}")]
    TimedOut {
        /// Where.
        address: GuestAddress,
        /// What it was asked.
        operation: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The connection ended before the answer came.
    #[error("the guest at {address} closed the connection during {operation}")]
    Closed {
        /// Where.
        address: GuestAddress,
        /// What it was asked.
        operation: &'static str,
    },
    /// The connection broke, or what came is not the protocol.
    #[error("{operation} at {address}: {source}")]
    Protocol {
        /// Where.
        address: GuestAddress,
        /// What it was asked.
        operation: &'static str,
        /// What is wrong.
        source: ProtocolError,
    },
    /// The guest answered something that is no answer to what it was asked.
    #[error("the guest at {address} gave {operation} the answer to another question")]
    Answer {
        /// Where.
        address: GuestAddress,
        /// What it was asked.
        operation: &'static str,
    },
    /// The guest did not do it.
    #[error("the guest did not do {operation}: {message}")]
    Refused {
        /// What it was asked.
        operation: &'static str,
        /// Why, for a program.
        code: ErrorCode,
        /// Why, for a person.
        message: String,
    },
    /// What was to be copied could not be read or written on the host.
    #[error("cannot {action} what is copied: {source}")]
    Content {
        /// `read` or `write`.
        action: &'static str,
        /// The host's error.
        source: io::Error,
    },
}

impl GuestError {
    /// Returns a number that stays the same for this kind of failure in all versions: 90x between
    /// host and guest, 91x what the guest answers.
    pub fn code(&self) -> u32 {
        match self {
            Self::Address { .. } => 900,
            Self::Unreachable { .. } => 901,
            Self::NoAgent { .. } => 902,
            Self::TimedOut { .. } => 903,
            Self::Closed { .. } => 904,
            Self::Protocol { .. } => 905,
            Self::Answer { .. } => 906,
            Self::Content { .. } => 907,
            Self::Refused { code, .. } => match code {
                ErrorCode::Malformed => 911,
                ErrorCode::Invalid => 912,
                ErrorCode::NotFound => 913,
                ErrorCode::Denied => 914,
                ErrorCode::NoSpace => 915,
                ErrorCode::Busy => 916,
                ErrorCode::TimedOut => 917,
                ErrorCode::Unsupported => 918,
                ErrorCode::NoEntrypoint => 919,
                // `Failed`, and codes of later versions.
                _ => 910,
            },
        }
    }

    /// Whether the guest may answer later: it boots, reboots, or is busy.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NoAgent { .. } | Self::TimedOut { .. } | Self::Closed { .. } => {
                true
            }
            Self::Protocol { source, .. } => matches!(source, ProtocolError::Io(_)),
            Self::Refused { code, .. } => *code == ErrorCode::Busy,
            _ => false,
        }
    }
}
