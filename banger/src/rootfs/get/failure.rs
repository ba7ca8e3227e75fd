//! Why nothing was copied out of a root file system.

use banger_tree::RootfsError;
use camino::Utf8Path;

use crate::error::Error;
use crate::output::OutputError;
use crate::rootfs::error::EditError;
use crate::rootfs::in_file;

/// Why nothing was copied.
#[derive(Debug)]
pub(super) enum GetFailure {
    /// The root file system cannot be read, or the caller asks to stop.
    Read(EditError),
    /// The host refuses.
    Output(OutputError),
}

impl GetFailure {
    pub(super) fn in_file(self, file: &Utf8Path) -> Error {
        match self {
            Self::Read(EditError::Cancelled | EditError::Rootfs(RootfsError::Cancelled)) => Error::Cancelled,
            Self::Read(error) => in_file(file)(error),
            Self::Output(error) => error.into(),
        }
    }
}

impl From<EditError> for GetFailure {
    fn from(error: EditError) -> Self {
        Self::Read(error)
    }
}

impl From<RootfsError> for GetFailure {
    fn from(error: RootfsError) -> Self {
        Self::Read(error.into())
    }
}

impl From<OutputError> for GetFailure {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}
