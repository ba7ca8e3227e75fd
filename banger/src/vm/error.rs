//! Why a virtual machine does not run.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};
use camino::{Utf8Path, Utf8PathBuf};

/// Why a virtual machine does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VmError {
    /// The virtual machine monitor is not installed.
    #[error("there is no program {program} on this machine")]
    NoMonitor {
        /// Its name.
        program: String,
    },
    /// The host refuses.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file, directory or program.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// The machine ended before its work was done.
    #[error("the machine ended ({status}){}", said(.last_lines))]
    Ended {
        /// How its process ended.
        status: ExitStatus,
        /// The last lines of the monitor and of the console.
        last_lines: String,
    },
    /// The agent in the guest did not answer in time.
    #[error("the agent in the guest did not answer within {} s{}", .after.as_secs(), said(.last_lines))]
    NotReady {
        /// The time limit.
        after: Duration,
        /// The last lines of the console.
        last_lines: String,
    },
    /// The machine did not power off in time.
    #[error("the guest did not power off within {} s{}", .after.as_secs(), said(.last_lines))]
    NotDown {
        /// The time limit.
        after: Duration,
        /// The last lines of the console.
        last_lines: String,
    },
    /// The image has no agent of banger.
    #[error("the image {image} has no agent of banger")]
    NoAgent {
        /// The name of the image.
        image: String,
    },
    /// The kernel cannot start the image.
    #[error("kernel {kernel} cannot start the image: {}", .findings.join("; "))]
    Unfit {
        /// The release of the kernel.
        kernel: String,
        /// The reasons.
        findings: Vec<String>,
    },
    /// The time of the whole run is over.
    #[error("the machine was stopped after {} s", .after.as_secs())]
    TimedOut {
        /// The time limit.
        after: Duration,
    },
}

fn said(last_lines: &str) -> String {
    match last_lines {
        "" => String::new(),
        lines => format!("; it said: {lines}"),
    }
}

impl VmError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoMonitor { .. } => 1130,
            Self::Io { .. } => 1131,
            Self::Ended { .. } => 1132,
            Self::NotReady { .. } => 1133,
            Self::NotDown { .. } => 1134,
            Self::NoAgent { .. } => 1135,
            Self::Unfit { .. } => 1136,
            Self::TimedOut { .. } => 1137,
        }
    }

    /// Returns a function that makes the error of a host that refuses to `action` the file `path`.
    pub(crate) fn io(action: &'static str, path: &Utf8Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path: path.clone(), source }
    }
}

impl Failure for VmError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoMonitor { .. } => ErrorKind::NotFound,
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Ended { .. } | Self::NotReady { .. } | Self::NotDown { .. } => ErrorKind::Guest,
            Self::TimedOut { .. } => ErrorKind::Limit,
            Self::NoAgent { .. } | Self::Unfit { .. } => ErrorKind::Unsupported,
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::NoMonitor { program } => Advice::new(format!(
                "install QEMU: the package that has {program} is qemu-system-x86 or qemu-system-arm on Debian, \
                 qemu-kvm on Fedora, and {program} on Alpine"
            )),
            Self::Io { source, .. } => return Advice::on_full_disk(source),
            Self::Ended { .. } | Self::NotReady { .. } => {
                Advice::new("start the image with its console to see why")
            }
            Self::NotDown { .. } => return None,
            Self::NoAgent { .. } => Advice::new("pull it again with the injection"),
            Self::Unfit { .. } => {
                Advice::with_setting("choose another kernel with {setting}", Setting("kernel"))
            }
            Self::TimedOut { .. } => {
                Advice::with_setting("allow more time with {setting}", Setting("timeout"))
            }
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::NoMonitor { program } => context.with("program", program),
            Self::Io { path, .. } => context.with("path", path),
            Self::Ended { status, last_lines } => {
                context.with("status", status).with("last_lines", last_lines)
            }
            Self::NotReady { after, last_lines } | Self::NotDown { after, last_lines } => {
                context.with("after_ms", after.as_millis()).with("last_lines", last_lines)
            }
            Self::NoAgent { image } => context.with("image", image),
            Self::Unfit { kernel, .. } => context.with("kernel", kernel),
            Self::TimedOut { after } => context.with("after_ms", after.as_millis()),
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
