//! Why nothing was injected.

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, GuestPath, RootfsError, Setting};

/// Why a root file system could not be made to boot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// The caller asked for the image's init, but the image has no usable init.
    #[error("the image's own init cannot be used: {found}")]
    NoInit {
        /// The programs that the image has instead.
        found: String,
    },
    /// A file or directory is in the way, and its replacement would lose data.
    #[error("{path} is {found}, and {wanted} has to be there")]
    InTheWay {
        /// The path.
        path: GuestPath,
        /// Its kind.
        found: &'static str,
        /// The needed kind.
        wanted: &'static str,
    },
    /// The root file system cannot be read or changed.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
}

impl InjectError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoInit { .. } => 800,
            Self::InTheWay { .. } => 801,
            Self::Rootfs(_) => 802,
        }
    }
}

impl Failure for InjectError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoInit { .. } => ErrorKind::NotFound,
            Self::InTheWay { .. } => ErrorKind::Exists,
            Self::Rootfs(error) => error.kind(),
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, Self::Rootfs(error) if error.is_transient())
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::NoInit { .. } => {
                Some(Advice::with_setting("choose auto, banger or install as {setting}", Setting("init")))
            }
            Self::InTheWay { .. } => None,
            Self::Rootfs(error) => error.advice(),
        }
    }

    fn context(&self) -> ErrorContext {
        match self {
            Self::NoInit { .. } => ErrorContext::default(),
            Self::InTheWay { path, .. } => ErrorContext::default().with("guest_path", path),
            Self::Rootfs(error) => error.context(),
        }
    }
}
