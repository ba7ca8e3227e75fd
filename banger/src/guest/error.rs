//! Why a guest could not be asked, or said no.

use std::io;
use std::time::Duration;

use banger_guest::protocol::{ErrorCode, FrameError, MAX_PAYLOAD_BYTES, ProtocolError};
use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};
use rustix::io::Errno;

use super::address::{AddressError, GuestAddress};

/// `GuestClient::with_max_output_bytes`.
const MAX_OUTPUT_BYTES: Setting = Setting("max_output_bytes");
/// `GuestClient::with_max_copy_bytes`.
const MAX_COPY_BYTES: Setting = Setting("max_copy_bytes");

/// Why a guest could not be asked, or said no.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The address does not parse.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The host cannot connect to the address.
    #[error("cannot connect to the guest at {address}: {source}")]
    Unreachable {
        /// Where.
        address: GuestAddress,
        /// The host's error.
        source: io::Error,
    },
    /// The VMM has no agent behind that port, not yet or not at all.
    #[error("no agent answers at {address}: the VMM answered {answer:?} to CONNECT")]
    NoAgent {
        /// Where.
        address: GuestAddress,
        /// What came in place of `OK`; empty where the connection was closed.
        answer: String,
    },
    /// The VMM took the connection and said nothing: the guest has no vsock driver yet, or the
    /// VMM's device is stuck.
    #[error("the VMM at {address} did not answer CONNECT within {}", seconds(.after))]
    VmmSilent {
        /// Where.
        address: GuestAddress,
        /// The limit.
        after: Duration,
    },
    /// The guest did not answer in time.
    #[error("the guest at {address} did not finish its answer to {operation} within {}", seconds(.after))]
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
    #[error("the guest at {address} gave a wrong answer to {operation}")]
    Answer {
        /// Where.
        address: GuestAddress,
        /// What it was asked.
        operation: &'static str,
    },
    /// The guest answered with an error.
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
    /// A program takes no input or signal any more: it has ended, or the connection to the guest has.
    #[error("the program takes no input any more: {source}")]
    Input {
        /// The error of [`ExecInput`](super::ExecInput).
        source: io::Error,
    },
    /// The arguments and variables of a program, or a path, are too long for a request.
    #[error("the request for {operation} has {bytes} bytes, more than the allowed {MAX_PAYLOAD_BYTES}")]
    RequestTooLarge {
        /// What was to be asked.
        operation: &'static str,
        /// Its length in bytes.
        bytes: u32,
    },
    /// A program wrote more than its output may have; it was killed.
    #[error("the program wrote more than {max_bytes} bytes and was killed")]
    TooMuchOutput {
        /// The limit.
        max_bytes: u64,
    },
    /// A file of the guest is larger than it may be.
    #[error("{path} in the guest has more than {max_bytes} bytes")]
    CopyTooLarge {
        /// The file.
        path: String,
        /// The limit.
        max_bytes: u64,
    },
    /// A file of the guest grows without end while it is copied, or the guest lies about its size.
    #[error("the guest announced {announced_bytes} bytes for {path} and sent {bytes}")]
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
            Self::Address(error) => error.code(),
            Self::Unreachable { .. } => 901,
            Self::NoAgent { .. } => 902,
            Self::TimedOut { .. } => 903,
            Self::Closed { .. } | Self::Input { .. } => 904,
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

    /// Returns whether the guest may answer later: it boots, reboots, or is busy.
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

impl Failure for GuestError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Address(error) => error.kind(),
            Self::Unreachable { source, .. } if is_unsupported(source) => ErrorKind::Unsupported,
            Self::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorKind::Access
            }
            Self::Unreachable { address: GuestAddress::Tcp(_), .. } => ErrorKind::Network,
            Self::Unreachable { .. }
            | Self::NoAgent { .. }
            | Self::VmmSilent { .. }
            | Self::TimedOut { .. }
            | Self::Closed { .. }
            | Self::Protocol { .. }
            | Self::Answer { .. }
            | Self::Input { .. }
            | Self::CopyGrew { .. } => ErrorKind::Guest,
            Self::Refused { code, .. } => match code {
                ErrorCode::Invalid => ErrorKind::Argument,
                ErrorCode::NotFound | ErrorCode::NoEntrypoint => ErrorKind::NotFound,
                ErrorCode::Denied => ErrorKind::Access,
                ErrorCode::NoSpace => ErrorKind::NoSpace,
                ErrorCode::Busy => ErrorKind::InUse,
                ErrorCode::Unsupported => ErrorKind::Unsupported,
                // `Malformed`, `TimedOut`, `Failed`, and codes of later versions.
                _ => ErrorKind::Guest,
            },
            Self::Content { source, .. } => ErrorKind::of_io(source),
            Self::RequestTooLarge { .. } | Self::TooMuchOutput { .. } | Self::CopyTooLarge { .. } => {
                ErrorKind::Limit
            }
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn is_transient(&self) -> bool {
        self.is_transient()
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::Address(error) => return error.advice(),
            Self::Unreachable { address, source } => Advice::new(advice_on_connecting(address, source)),
            Self::NoAgent { .. } => Advice::new("if the guest still boots, wait until it is ready"),
            Self::VmmSilent { .. } => Advice::new(
                "wait until the guest has loaded its vsock driver; if this error stays, the vsock device of the \
                 VMM is stuck: restart the machine",
            ),
            Self::TimedOut { .. } => {
                Advice::new("check that the guest runs and is not overloaded, then try again")
            }
            Self::Answer { .. } => Advice::new("check that a banger agent listens there"),
            Self::RequestTooLarge { .. } => {
                Advice::new("shorten the arguments and variables, or copy them into the guest as a file")
            }
            Self::TooMuchOutput { .. } => Advice::with_setting(
                "raise {setting}, or take the output while the program writes it",
                MAX_OUTPUT_BYTES,
            ),
            Self::CopyTooLarge { .. } => Advice::with_setting("raise {setting}", MAX_COPY_BYTES),
            Self::CopyGrew { .. } => Advice::new("copy the file while no program writes to it"),
            Self::Refused { code: ErrorCode::Busy, .. } => Advice::new("try again later"),
            _ => return None,
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Address(error) => error.context(),
            Self::Unreachable { address, .. } | Self::NoAgent { address, .. } => {
                context.with("address", address)
            }
            Self::VmmSilent { address, after } => {
                context.with("address", address).with("timeout_ms", after.as_millis())
            }
            Self::TimedOut { address, operation, after } => context
                .with("address", address)
                .with("operation", operation)
                .with("timeout_ms", after.as_millis()),
            Self::Closed { address, operation }
            | Self::Answer { address, operation }
            | Self::Protocol { address, operation, .. } => {
                context.with("address", address).with("operation", operation)
            }
            Self::Refused { operation, message, .. } => {
                context.with("operation", operation).with("guest_message", message)
            }
            Self::Content { action, .. } => context.with("action", action),
            Self::RequestTooLarge { operation, bytes } => context
                .with("operation", operation)
                .with("bytes", bytes)
                .with("limit_bytes", MAX_PAYLOAD_BYTES),
            Self::TooMuchOutput { max_bytes } => context.with("limit_bytes", max_bytes),
            Self::CopyTooLarge { path, max_bytes } => {
                context.with("path", path).with("limit_bytes", max_bytes)
            }
            Self::CopyGrew { path, announced_bytes, bytes } => {
                context.with("path", path).with("announced_bytes", announced_bytes).with("bytes", bytes)
            }
            Self::Input { .. } | Self::Cancelled => context,
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
fn advice_on_connecting(address: &GuestAddress, error: &io::Error) -> &'static str {
    let GuestAddress::Vsock { .. } = address else {
        return "check that the guest runs and that this is its socket, or wait until it is ready";
    };
    match errno(error) {
        _ if is_unsupported(error) => {
            "this system has no AF_VSOCK: load the kernel module vhost_vsock, or give the socket of the VMM"
        }
        Some(Errno::NODEV) => {
            "no machine has that CID, or the kernel module vhost_vsock is not loaded; if the VMM offers a \
             socket, give its path"
        }
        // Of the kernel, or of the limit of this side: then it has no number.
        _ if error.kind() == io::ErrorKind::TimedOut => "check the CID: perhaps no guest has it",
        Some(Errno::CONNRESET) => "the guest runs, but no agent listens on that port",
        _ => "check that the guest runs and that this is its CID, or wait until it is ready",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_vsock_say_what_to_do() {
        for (address, errno, words, transient, kind) in [
            ("vsock:3:5000", Errno::AFNOSUPPORT, "no AF_VSOCK", false, ErrorKind::Unsupported),
            ("vsock:3:5000", Errno::NODEV, "no machine has that CID", true, ErrorKind::Guest),
            ("vsock:3:5000", Errno::TIMEDOUT, "perhaps no guest", true, ErrorKind::Guest),
            ("vsock:3:5000", Errno::CONNRESET, "no agent listens", true, ErrorKind::Guest),
            ("unix:/agent", Errno::NOENT, "check that the guest runs", true, ErrorKind::Guest),
            ("unix:/agent", Errno::ACCESS, "check that the guest runs", true, ErrorKind::Access),
            ("tcp:127.0.0.1:1", Errno::CONNREFUSED, "wait until it is ready", true, ErrorKind::Network),
        ] {
            let address = address.parse().expect("it is an address");
            let error = GuestError::Unreachable { address, source: io::Error::from(errno) };
            let advice = error.advice().expect("there is one").to_string();
            assert!(
                advice.contains(words) && !error.to_string().contains(words),
                "{errno}: {error}; {advice}"
            );
            assert_eq!((error.is_transient(), error.kind()), (transient, kind), "{errno}");
            assert_eq!(error.os_error(), Some(errno.raw_os_error()));
        }
    }

    #[test]
    fn messages_are_one_line_without_options_and_advice_names_settings() {
        let address: GuestAddress = "vsock:3".parse().expect("it is an address");
        let after = Duration::from_millis(1500);
        let path = "/x".to_owned();
        let errors: [(GuestError, ErrorKind, Option<&str>); 8] = [
            ("vsock:x".parse::<GuestAddress>().expect_err("no CID").into(), ErrorKind::Argument, Some("use")),
            (
                GuestError::NoAgent { address: address.clone(), answer: "\n".into() },
                ErrorKind::Guest,
                Some("wait"),
            ),
            (GuestError::VmmSilent { address: address.clone(), after }, ErrorKind::Guest, Some("restart")),
            (GuestError::TimedOut { address, operation: "info", after }, ErrorKind::Guest, Some("again")),
            (
                GuestError::TooMuchOutput { max_bytes: 1 },
                ErrorKind::Limit,
                Some("the option `max_output_bytes`"),
            ),
            (
                GuestError::CopyTooLarge { path: path.clone(), max_bytes: 1 },
                ErrorKind::Limit,
                Some("the option `max_copy_bytes`"),
            ),
            (
                GuestError::CopyGrew { path, announced_bytes: 1, bytes: 2 },
                ErrorKind::Guest,
                Some("no program writes"),
            ),
            (GuestError::Cancelled, ErrorKind::Cancelled, None),
        ];
        for (error, kind, advice) in errors {
            let text = error.to_string();
            assert!(
                !text.contains(['\n', ';']) && !text.contains("--") && !text.contains("banger guest"),
                "{text}"
            );
            assert_eq!(error.kind(), kind, "{text}");
            let told = error.advice().map(|advice| advice.to_string());
            assert_eq!(told.is_some(), advice.is_some(), "{text}");
            assert!(told.unwrap_or_default().contains(advice.unwrap_or_default()), "{text}");
        }
    }

    #[test]
    fn what_a_guest_refuses_has_a_kind() {
        for (code, number, kind) in [
            (ErrorCode::Malformed, 911, ErrorKind::Guest),
            (ErrorCode::Invalid, 912, ErrorKind::Argument),
            (ErrorCode::NotFound, 913, ErrorKind::NotFound),
            (ErrorCode::Denied, 914, ErrorKind::Access),
            (ErrorCode::NoSpace, 915, ErrorKind::NoSpace),
            (ErrorCode::Busy, 916, ErrorKind::InUse),
            (ErrorCode::TimedOut, 917, ErrorKind::Guest),
            (ErrorCode::Unsupported, 918, ErrorKind::Unsupported),
            (ErrorCode::NoEntrypoint, 919, ErrorKind::NotFound),
            (ErrorCode::Unknown, 910, ErrorKind::Guest),
        ] {
            let error = GuestError::Refused { operation: "copy_in", code, message: "why".to_owned() };
            assert_eq!((error.code(), error.kind()), (number, kind), "{code:?}");
            assert_eq!(error.is_transient(), code == ErrorCode::Busy);
            assert_eq!(error.context().get("operation"), Some("copy_in"));
        }
    }
}
