//! TO BE DELETED when every error enum implements `Failure`: then `Stage(error)` becomes `error` in
//! `error.rs` and `rootfs/error.rs`.

use std::error::Error as StdError;
use std::fmt;

use banger_ext4::{Ext4Error, InjectError};
use banger_oci::{FlattenError, PlatformError, PullError, ReferenceError};
use banger_tree::{ErrorKind, Failure, RootfsError};

use crate::dirs::DirsError;
use crate::guest::GuestError;
use crate::host_tree::DirectoryError;
use crate::store::{NameError, StoreError};

/// An error of another crate that does not implement `Failure` yet.
pub(crate) struct Stage<'a, E>(pub(crate) &'a E);

impl<E: fmt::Debug> fmt::Debug for Stage<'_, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<E: fmt::Display> fmt::Display for Stage<'_, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<E: StdError> StdError for Stage<'_, E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

macro_rules! by_code {
    ($($type:ty: |$error:ident| $code:expr;)*) => {
        $(impl Failure for $type {
            fn code(&self) -> u32 {
                let $error = self;
                $code
            }

            fn kind(&self) -> ErrorKind {
                kind_of(Failure::code(self))
            }
        })*
    };
}

by_code! {
    Stage<'_, ReferenceError>: |_error| 100;
    Stage<'_, PlatformError>: |_error| 506;
    Stage<'_, PullError>: |error| error.0.code();
    Stage<'_, FlattenError>: |error| error.0.code();
    Stage<'_, Ext4Error>: |error| error.0.code();
    Stage<'_, InjectError>: |error| error.0.code();
    Stage<'_, RootfsError>: |error| code_of_rootfs(error.0);
    StoreError: |error| error.code();
    DirectoryError: |error| error.code();
    DirsError: |_error| 500;
    NameError: |_error| 501;
}

impl Failure for GuestError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        kind_of(self.code())
    }

    fn is_transient(&self) -> bool {
        self.is_transient()
    }
}

fn kind_of(code: u32) -> ErrorKind {
    match code {
        119 | 505 | 606 => ErrorKind::Cancelled,
        101 | 102 | 400 | 500 | 700 | 810 | 913 => ErrorKind::NotFound,
        402 | 705 => ErrorKind::Exists,
        103..=106 | 408 | 409 | 914 => ErrorKind::Access,
        107..=109 | 130 | 131 => ErrorKind::Network,
        300..=302 | 404 | 915 => ErrorKind::NoSpace,
        115 | 134 | 205 | 311 | 602 | 712 | 725 | 726 | 920..=922 => ErrorKind::Limit,
        407 | 916 => ErrorKind::InUse,
        110..=114 | 116 | 132 | 200..=209 | 403 | 713 => ErrorKind::Damaged,
        603 | 607 | 714 | 719 => ErrorKind::Unsupported,
        100 | 120 | 121 | 401 | 501 | 506 | 608 | 701..=704 | 706..=709 | 718 | 900 => ErrorKind::Argument,
        901..=919 => ErrorKind::Guest,
        _ => ErrorKind::Internal,
    }
}

fn code_of_rootfs(error: &RootfsError) -> u32 {
    match error {
        RootfsError::NotFound { .. } => 700,
        RootfsError::NotADirectory { .. } => 701,
        RootfsError::IsADirectory { .. } => 702,
        RootfsError::NotAFile { .. } => 703,
        RootfsError::NotASymlink { .. } => 704,
        RootfsError::AlreadyExists { .. } => 705,
        RootfsError::Root => 706,
        RootfsError::BelowItself { .. } => 707,
        RootfsError::Symlinks(_) => 708,
        RootfsError::OverBudget { .. } => 726,
        RootfsError::Cancelled => 505,
        RootfsError::Path(_) => 709,
        RootfsError::Content { .. } => 710,
        RootfsError::Source { .. } => 711,
        RootfsError::Limit { .. } => 712,
        RootfsError::Corrupt { .. } => 713,
        RootfsError::Unsupported { .. } => 714,
        RootfsError::Unreadable { .. } => 719,
        RootfsError::Tool { .. } => 715,
        RootfsError::Io { .. } => 716,
        RootfsError::Size { .. } => 718,
        RootfsError::TooManyChanges { .. } => 725,
        _ => 717,
    }
}
