//! Why a guest could not be asked, or said no.

use std::io;
use std::time::Duration;

use banger_guest::protocol::{ErrorCode, ProtocolError};
use rustix::io::Errno;

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
    #[error("cannot connect to the guest at {address}: {source}{}", hint(.address, .source))]
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
    /// The VMM took the connection and said nothing: the guest has no vsock driver yet, or the
    /// VMM's device is stuck.
    #[error(
        "the VMM did not answer CONNECT at {address} within {after:?}: the guest has no vsock yet, or the device is stuck; if that lasts, restart the machine"
    )]
    VmmSilent {
        /// Where.
        address: GuestAddress,
        /// The limit.
        after: Duration,
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
            Self::VmmSilent { .. } => 908,
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
            Self::Unreachable { source, .. } => !is_unsupported(source),
            Self::NoAgent { .. } | Self::VmmSilent { .. } | Self::TimedOut { .. } | Self::Closed { .. } => {
                true
            }
            Self::Protocol { source, .. } => matches!(source, ProtocolError::Io(_)),
            Self::Refused { code, .. } => *code == ErrorCode::Busy,
            _ => false,
        }
    }
}

/// Whether this system knows no such addresses at all.
fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported || errno(error) == Some(Errno::AFNOSUPPORT)
}

fn errno(error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error)
}

/// What to do about an error of connecting: the kernel's own words do not tell.
fn hint(address: &GuestAddress, error: &io::Error) -> &'static str {
    match (address, errno(error)) {
        (GuestAddress::Vsock { .. }, _) if is_unsupported(error) => {
            "; this system has no AF_VSOCK: load the kernel module vhost_vsock, or give the socket of the VMM"
        }
        (GuestAddress::Vsock { .. }, Some(Errno::NODEV)) => {
            "; no machine here has that CID, or vhost_vsock is not loaded; a VMM with a socket of its own is reached by that"
        }
        // Of the kernel, or of the limit of this side: then it has no number.
        (GuestAddress::Vsock { .. }, _) if error.kind() == io::ErrorKind::TimedOut => {
            "; the CID may be that of no guest"
        }
        (GuestAddress::Vsock { .. }, Some(Errno::CONNRESET)) => {
            "; the guest is there, and no agent listens on that port"
        }
        _ => {
            "; check that it runs and that this is its socket, or wait for it with `banger guest health --wait SECONDS`"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustix::io::Errno;

    use super::GuestError;

    #[test]
    fn errors_of_vsock_say_what_to_do() {
        for (address, errno, words, transient) in [
            ("vsock:3:5000", Errno::AFNOSUPPORT, "no AF_VSOCK", false),
            ("vsock:3:5000", Errno::NODEV, "no machine here has that CID", true),
            ("vsock:3:5000", Errno::TIMEDOUT, "that of no guest", true),
            ("vsock:3:5000", Errno::CONNRESET, "no agent listens", true),
            ("unix:/agent", Errno::NOENT, "(os error 2); check that it runs", true),
        ] {
            let address = address.parse().expect("it is an address");
            let error = GuestError::Unreachable { address, source: io::Error::from(errno) };
            let text = error.to_string();
            assert!(text.contains(words) && !text.contains('\n'), "{errno}: {text}");
            assert_eq!(error.is_transient(), transient, "{errno}");
        }
    }
}
