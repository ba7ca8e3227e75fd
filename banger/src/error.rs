//! Why a run failed.

use banger_ext4::{Ext4Error, InjectError};
use banger_oci::{FlattenError, PlatformError, PullError, ReferenceError};
use banger_tree::{Failure as _, NewFileError, RootfsError};
use camino::{Utf8Path, Utf8PathBuf};

use crate::argument::ArgumentError;
use crate::dirs::DirsError;
use crate::guest::GuestError;
use crate::guest_binary::GuestBinaryError;
use crate::host_tree::DirectoryError;
use crate::output::OutputError;
use crate::rootfs::EditError;
use crate::store::{NameError, StoreError};

/// Why a run failed: the error of the stage that did, or one of the run itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The reference does not parse.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The image could not be pulled.
    #[error(transparent)]
    Pull(PullError),
    /// The layers could not be merged.
    #[error(transparent)]
    Flatten(FlattenError),
    /// The file system could not be written.
    #[error(transparent)]
    Ext4(Ext4Error),
    /// The image could not be made to boot.
    #[error(transparent)]
    Inject(#[from] InjectError),
    /// There is no guest binary for the image.
    #[error(transparent)]
    GuestBinary(#[from] GuestBinaryError),
    /// A directory of the host could not be read.
    #[error(transparent)]
    Directory(DirectoryError),
    /// The image store failed.
    #[error(transparent)]
    Store(StoreError),
    /// An ext4 file could not be looked into or edited, or the caller asked to stop; it is unchanged,
    /// but for [`EditError::Partly`].
    #[error("{}{source}{}", name_of(.file, .source), advice_on(.file, .source))]
    Rootfs {
        /// The ext4 file.
        file: Utf8PathBuf,
        /// What went wrong.
        source: EditError,
    },
    /// The directories for state and cache are not known.
    #[error(transparent)]
    Dirs(#[from] DirsError),
    /// A name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The platform does not parse.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// An option has a value that makes no sense.
    #[error("{option}{}{value}: {reason}", if .value.is_empty() { "" } else { " " })]
    Option {
        /// The option, as on the command line.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it and what would do.
        reason: String,
    },
    /// A value of an option makes no sense.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The output file could not be made.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A guest could not be asked, or said no.
    #[error(transparent)]
    Guest(GuestError),
    /// The caller asked to stop; nothing was left behind. An edit that is stopped is [`Self::Rootfs`].
    #[error("interrupted; nothing was left behind but finished and resumable downloads")]
    Cancelled,
}

impl Error {
    /// Code of a failure to write the output, also one of a program's own.
    pub const OUTPUT_CODE: u32 = OutputError::IO_CODE;

    /// Code of a fault of banger itself.
    pub const INTERNAL_CODE: u32 = 510;

    /// Code of arguments that a program does not understand.
    pub const USAGE_CODE: u32 = 509;

    /// Returns a number that stays the same for this kind of failure in all versions: 1xx
    /// references and pulls, 2xx layers, 3xx the file system, 4xx the store, 5xx the run itself,
    /// 6xx directories of the host, 7xx what is inside an ext4 file, 8xx what makes an image boot,
    /// 9xx guests that run.
    pub fn code(&self) -> u32 {
        match self {
            Self::Reference(_) => 100,
            Self::Pull(error) => error.code(),
            Self::Flatten(error) => error.code(),
            Self::Ext4(error) => error.code(),
            Self::Directory(error) => error.code(),
            Self::Inject(error) => error.code(),
            Self::GuestBinary(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Guest(error) => error.code(),
            Self::Rootfs { source, .. } => source.code(),
            Self::Dirs(error) => error.code(),
            Self::Name(error) => error.code(),
            Self::Platform(_) => 506,
            Self::Option { .. } => 502,
            Self::Argument(error) => error.code(),
            Self::Output(error) => error.code(),
            Self::Cancelled => 505,
        }
    }

    /// Returns a function that makes the error of a run of that of a file `path` that was not made.
    pub fn new_file(path: &Utf8Path) -> impl Fn(NewFileError) -> Self + use<> {
        let failed = OutputError::new_file(path);
        move |error| failed(error).into()
    }

    /// Returns the exit status of a program that ends with this error: 130 when it was
    /// interrupted, else 1, since every variant names something outside the program.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Cancelled => 130,
            Self::Rootfs { source, .. } if source.is_cancelled() => 130,
            _ => 1,
        }
    }
}

/// Returns the file's name where the error does not have it.
fn name_of(file: &Utf8Path, source: &EditError) -> String {
    if source.names_image() { String::new() } else { format!("{file}: ") }
}

/// Returns what to do about a file that is not there.
fn advice_on(file: &Utf8Path, source: &EditError) -> &'static str {
    match source {
        EditError::Cancelled | EditError::Rootfs(RootfsError::Cancelled) => "; it is as it was",
        EditError::Rootfs(RootfsError::Io { action: "open", .. }) if !file.exists() => {
            "; give the path of an ext4 file, for a managed image the one that `banger image show NAME` tells"
        }
        _ => "",
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Cancelled => Self::Cancelled,
            StoreError::Output(error) => Self::Output(error),
            other => Self::Store(other),
        }
    }
}

impl From<PullError> for Error {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Cancelled => Self::Cancelled,
            PullError::Reference(error) => Self::Reference(error),
            other => Self::Pull(other),
        }
    }
}

impl From<Ext4Error> for Error {
    fn from(error: Ext4Error) -> Self {
        match error {
            Ext4Error::Cancelled => Self::Cancelled,
            other => Self::Ext4(other),
        }
    }
}

impl From<GuestError> for Error {
    fn from(error: GuestError) -> Self {
        match error {
            GuestError::Cancelled => Self::Cancelled,
            other => Self::Guest(other),
        }
    }
}

impl From<DirectoryError> for Error {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Cancelled => Self::Cancelled,
            other => Self::Directory(other),
        }
    }
}

impl From<FlattenError> for Error {
    fn from(error: FlattenError) -> Self {
        match error {
            FlattenError::Cancelled => Self::Cancelled,
            // What its source says of a layer says more than that it could not be read.
            FlattenError::Open { ref source, .. } | FlattenError::Read { ref source, .. } => {
                match PullError::from_io(source).cloned() {
                    Some(cause) => cause.into(),
                    None => Self::Flatten(error),
                }
            }
            other => Self::Flatten(other),
        }
    }
}
