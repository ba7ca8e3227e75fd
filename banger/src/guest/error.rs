//! Why a guest could not be asked, or said no.

use std::io;
use std::time::Duration;

use banger_guest::protocol::{ErrorCode, FrameError, MAX_PAYLOAD_BYTES, ProtocolError};
use rustix::io::Errno;

use super::address::GuestAddress;

/// Why a guest could not be asked, or said no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The address does not parse.
    #[error(
        "`{text}` is not the address of a guest: {reason}; use PATH:PORT, unix:PATH, vsock:CID:PORT or \
         tcp:ADDRESS:PORT"
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
        "no agent answers at {address}: the VMM answered {answer:?} to CONNECT; if the guest still boots, wait \
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
        "the VMM at {address} did not answer CONNECT within {}: the guest has no vsock driver yet, or the \
         VMM's vsock device is stuck; if that lasts, restart the machine",
        seconds(.after)
    )]
    VmmSilent {
        /// Where.
        address: GuestAddress,
        /// The limit.
        after: Duration,
    },
    /// The guest did not answer in time.
    #[error(
        "the guest at {address} did not finish its answer to {operation} within {}; check that it runs and is \
         not overloaded, then try again",
        seconds(.after)
    )]
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
    #[error("{operation} failed at {address}: {source}")]
    Protocol {
        /// Where.
        address: GuestAddress,
        /// What it was asked.
        operation: &'static str,
        /// What is wrong.
        source: ProtocolError,
    },
    /// The guest gave the answer to another operation.
    #[error(
        "the guest at {address} gave a wrong answer to {operation}; check that a banger agent listens there"
    )]
    Answer {
        /// Where.
        address: GuestAddress,
        /// What it was asked.
        operation: &'static str,
    },
    /// The guest did not do it.
    #[error("the guest refused {operation}: {message}")]
    Refused {
        /// What it was asked.
        operation: &'static str,
        /// Why, for a program.
        code: ErrorCode,
        /// Why, for a person.
        message: String,
    },
    /// What was to be copied could not be read or written on the host.
    #[error("cannot {action} the copied content on the host: {source}")]
    Content {
        /// `read` or `write`.
        action: &'static str,
        /// The host's error.
        source: io::Error,
    },
    /// The arguments and variables of a program, or a path, are too long for a request.
    #[error(
        "the request for {operation} has {bytes} bytes, and at most {MAX_PAYLOAD_BYTES} are allowed; shorten the \
         arguments and variables, or copy them into the guest as a file"
    )]
    RequestTooLarge {
        /// What was to be asked.
        operation: &'static str,
        /// Its length in bytes.
        bytes: u32,
    },
    /// A program wrote more than its output may have; it was killed.
    #[error(
        "the program wrote more than {max_bytes} bytes and was killed; allow more with --max-output SIZE, or run it \
         without --json, which passes its output on"
    )]
    TooMuchOutput {
        /// The limit.
        max_bytes: u64,
    },
    /// A file of the guest is larger than it may be.
    #[error("{path} in the guest has more than {max_bytes} bytes; allow more with --max-size SIZE")]
    CopyTooLarge {
        /// The file.
        path: String,
        /// The limit.
        max_bytes: u64,
    },
    /// A file of the guest grows without end while it is copied, or the guest lies about its size.
    #[error(
        "the guest announced {announced_bytes} bytes for {path} and sent {bytes}; copy the file when nothing \
         writes to it"
    )]
    CopyGrew {
        /// The file.
        path: String,
        /// The size that the guest told first.
        announced_bytes: u64,
        /// How many bytes there were at least.
        bytes: u64,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Cancelled,
}

/// A length of time as people write it.
fn seconds(time: &Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

impl GuestError {
    /// Returns a number that stays the same for this kind of failure in all versions: 90x between
    /// host and guest, 91x what the guest answers, 92x limits of the host; 505 where it was interrupted.
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
            Self::RequestTooLarge { .. } => 909,
            Self::TooMuchOutput { .. } => 920,
            Self::CopyTooLarge { .. } => 921,
            Self::CopyGrew { .. } => 922,
            Self::Cancelled => 505,
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

    /// Whether what came is no answer, as on a line where an earlier peer left something.
    pub(super) fn is_out_of_step(&self) -> bool {
        match self {
            Self::Protocol { source, .. } => {
                !matches!(source, ProtocolError::Io(_) | ProtocolError::Frame(FrameError::Version { .. }))
            }
            Self::Answer { .. } => true,
            Self::Refused { code, .. } => *code == ErrorCode::Malformed,
            _ => false,
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
            "; no machine has that CID, or the kernel module vhost_vsock is not loaded; if the VMM offers a socket, give its path"
        }
        // Of the kernel, or of the limit of this side: then it has no number.
        (GuestAddress::Vsock { .. }, _) if error.kind() == io::ErrorKind::TimedOut => {
            "; check the CID: perhaps no guest has it"
        }
        (GuestAddress::Vsock { .. }, Some(Errno::CONNRESET)) => {
            "; the guest runs, but no agent listens on that port"
        }
        _ => {
            "; check that the guest runs and that this is its socket, or wait with `banger guest health --wait SECONDS`"
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
            ("vsock:3:5000", Errno::NODEV, "no machine has that CID", true),
            ("vsock:3:5000", Errno::TIMEDOUT, "perhaps no guest", true),
            ("vsock:3:5000", Errno::CONNRESET, "no agent listens", true),
            ("unix:/agent", Errno::NOENT, "(os error 2); check that the guest runs", true),
        ] {
            let address = address.parse().expect("it is an address");
            let error = GuestError::Unreachable { address, source: io::Error::from(errno) };
            let text = error.to_string();
            assert!(text.contains(words) && !text.contains('\n'), "{errno}: {text}");
            assert_eq!(error.is_transient(), transient, "{errno}");
        }
    }
}
