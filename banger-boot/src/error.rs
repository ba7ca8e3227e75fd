//! Why nothing was injected.

use banger_tree::{GuestPath, RootfsError};

/// Why a root file system could not be made to boot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// The image's own init was asked for, and there is none that can be used.
    #[error("--init image: {found}; choose --init auto, banger or install")]
    NoInit {
        /// What is there instead.
        found: String,
    },
    /// What is there cannot be replaced without losing something.
    #[error("{path} is {found}, and {wanted} has to be there")]
    InTheWay {
        /// The path.
        path: GuestPath,
        /// What it is.
        found: &'static str,
        /// What it would have to be.
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
