//! Errors of the import of a kernel.

use std::io;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, OverBudget, RootfsError, Setting};
use camino::{Utf8Path, Utf8PathBuf};

/// Why a kernel could not be taken from its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A file of the host cannot be read.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// A file of the new kernel cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// The source is damaged or cut short.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The source, or a file in it.
        path: String,
        /// The fault.
        reason: String,
    },
    /// The source is sound, but banger does not support it.
    #[error("{path} is not supported: {reason}")]
    Unsupported {
        /// The source, or a file in it.
        path: String,
        /// The part that is not supported.
        reason: String,
    },
    /// The source has no kernel.
    #[error("{path} has no kernel: {reason}")]
    NoKernel {
        /// The source.
        path: String,
        /// The places where it was looked for.
        reason: String,
    },
    /// The files of the source do not belong together.
    #[error("{path}: {reason}")]
    Mismatch {
        /// The file that does not fit.
        path: String,
        /// The two values that differ.
        reason: String,
    },
    /// The source costs more than a limit allows.
    #[error("{path}: {over}")]
    Budget {
        /// The source.
        path: String,
        /// The limit.
        over: OverBudget,
    },
    /// A file is larger than a limit allows.
    #[error("{path} has more than {limit_bytes} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The limit.
        limit_bytes: u64,
        /// The option that raises the limit, if there is one.
        setting: Option<Setting>,
    },
    /// A file in an ext4 image cannot be read.
    #[error("{path}: {source}")]
    Rootfs {
        /// The image.
        path: String,
        /// The cause.
        source: RootfsError,
    },
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl KernelError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Io { .. } => 1001,
            Self::Write { .. } => 1002,
            Self::Damaged { .. } => 1003,
            Self::Unsupported { .. } => 1004,
            Self::NoKernel { .. } => 1005,
            Self::Mismatch { .. } => 1006,
            Self::Budget { .. } | Self::TooLarge { .. } => 1007,
            Self::Rootfs { .. } => 1008,
            Self::Cancelled => 1009,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn write(path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }

    pub(crate) fn damaged(path: impl ToString, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_string(), reason: reason.into() }
    }

    pub(crate) fn unsupported(path: impl ToString, reason: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_string(), reason: reason.into() }
    }
}

impl Failure for KernelError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } | Self::Write { source, .. } => ErrorKind::of_io(source),
            Self::Damaged { .. } | Self::Mismatch { .. } => ErrorKind::Damaged,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::NoKernel { .. } => ErrorKind::NotFound,
            Self::Budget { .. } | Self::TooLarge { .. } => ErrorKind::Limit,
            Self::Rootfs { source, .. } => source.kind(),
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(Advice::new("run as a user who can read it, or copy it first"))
            }
            Self::Write { source, .. } => Advice::on_full_disk(source),
            Self::Damaged { .. } => Some(Advice::new("get the file again")),
            Self::Budget { over, .. } => over.advice(),
            Self::TooLarge { setting, .. } => (*setting).map(Advice::to_raise),
            Self::Rootfs { source, .. } => source.advice(),
            _ => None,
        }
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Io { path, .. } | Self::Write { path, .. } => context.with("path", path),
            Self::Damaged { path, .. }
            | Self::Unsupported { path, .. }
            | Self::NoKernel { path, .. }
            | Self::Mismatch { path, .. } => context.with("path", path),
            Self::Budget { path, over } => over.context().with("path", path),
            Self::TooLarge { path, limit_bytes, .. } => {
                context.with("path", path).with("limit_bytes", limit_bytes)
            }
            Self::Rootfs { path, source } => source.context().with("file", path),
            Self::Cancelled => context,
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } | Self::Write { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
