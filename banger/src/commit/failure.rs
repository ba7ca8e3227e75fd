//! Why no layer was written.

use std::io;

use crate::rootfs::pair::PairFailure;
use crate::rootfs::{CopyError, EditError};

/// Why no layer was written.
#[derive(Debug)]
pub(super) enum DiffFailure {
    /// The base cannot be read.
    Base(EditError),
    /// The disk cannot be read, or the caller asks to stop.
    Disk(EditError),
    /// The layer cannot be written.
    Output(io::Error),
}

impl From<CopyError> for DiffFailure {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Read(error) => Self::Disk(error),
            CopyError::Output(error) => Self::Output(error),
        }
    }
}

impl From<PairFailure> for DiffFailure {
    fn from(failure: PairFailure) -> Self {
        match failure {
            PairFailure::Old(error) => Self::Base(error),
            PairFailure::New(error) => Self::Disk(error),
        }
    }
}
