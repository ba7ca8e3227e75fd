//! The error of the crate, which contains the errors of the stages.

use banger_boot::InjectError;
use banger_ext4::Ext4Error;
use banger_kernel::KernelError;
use banger_kernel::initramfs::InitramfsError;
use banger_oci::{
    FlattenError, PlatformError, PullError, PushError, ReferenceError, SignError, SigningKeyError,
};
use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, NewFileError, RootfsError};
use camino::{Utf8Path, Utf8PathBuf};

use crate::argument::ArgumentError;
use crate::boot::BootError;
use crate::commit::CommitError;
use crate::dirs::DirsError;
use crate::guest::GuestError;
use crate::guest_binary::GuestBinaryError;
use crate::host_tree::DirectoryError;
use crate::image_build::ImageBuildError;
use crate::kernel::CatalogError;
use crate::output::OutputError;
use crate::register::RegisterError;
use crate::report::ErrorReport;
use crate::rootfs::{EditError, PlaceError};
use crate::rootfs_artifact::RootfsArtifactError;
use crate::store::{NameError, StoreError};
use crate::verity::VerityError;
use crate::vm::VmError;

/// The error of a run: the error of the stage that failed, or one of the run itself.
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
    /// No guest binary fits the image.
    #[error(transparent)]
    GuestBinary(#[from] GuestBinaryError),
    /// A directory of the host could not be read.
    #[error(transparent)]
    Directory(DirectoryError),
    /// The image store failed.
    #[error(transparent)]
    Store(StoreError),
    /// An ext4 file could not be read or edited, or the caller asked to stop. The file is unchanged, except
    /// with [`EditError::Partly`].
    #[error("{}{source}{}", name_of(.file, .source), state_after(.source))]
    Rootfs {
        /// The ext4 file.
        file: Utf8PathBuf,
        /// The cause.
        source: EditError,
    },
    /// The directories for state and cache are not known.
    #[error(transparent)]
    Dirs(#[from] DirsError),
    /// A name is invalid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The platform does not parse.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// An option has a value that makes no sense.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The output file could not be made.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A guest could not be reached, or refused.
    #[error(transparent)]
    Guest(GuestError),
    /// A kernel could not be taken from its source.
    #[error(transparent)]
    Kernel(KernelError),
    /// An ext4 file did not become a managed image.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A catalog of kernels cannot be read, or does not have the kernel.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A kernel's initramfs could not be made.
    #[error(transparent)]
    Initramfs(#[from] InitramfsError),
    /// The image cannot be booted so.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A virtual machine could not run.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// An image could not be built from another one.
    #[error(transparent)]
    ImageBuild(#[from] ImageBuildError),
    /// An artifact could not be pushed.
    #[error(transparent)]
    Push(PushError),
    /// An artifact cannot be signed.
    #[error(transparent)]
    Sign(SignError),
    /// A finished image was not pushed, or not made of an artifact.
    #[error(transparent)]
    RootfsArtifact(#[from] RootfsArtifactError),
    /// A disk did not become an image.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A part of a disk was not found, or the disk is an image of another format.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A hash tree of dm-verity was not made, or is not the recorded one.
    #[error(transparent)]
    Verity(VerityError),
    /// The caller asked to stop; nothing was left behind. An edit that is stopped is [`Self::Rootfs`].
    #[error("interrupted; nothing was left behind but finished and resumable downloads")]
    Cancelled,
}

impl Error {
    /// Code of a failure to write the output. Programs may use it for their own output, too.
    pub const OUTPUT_CODE: u32 = OutputError::IO_CODE;

    /// Code of a fault of banger itself.
    pub const INTERNAL_CODE: u32 = 510;

    /// Code of arguments that a program does not understand.
    pub const USAGE_CODE: u32 = 509;

    /// Returns a number that stays the same for this failure in all versions. 1xx references and pulls, 2xx
    /// layers, 3xx the file system, 4xx the store, 5xx the run itself, 6xx directories of the host, 7xx files
    /// inside an ext4 file, 8xx the injection, 9xx running guests, 10xx kernels,
    /// 11xx starting them, 12xx trust, 126x pushes, 127x finished images, 128x committed disks, 129x dm-verity,
    /// 131x signatures, 134x scripts of edits, 138x partitions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Cancelled => 505,
            _ => self.ask_stage(Self::INTERNAL_CODE, |stage| stage.code()),
        }
    }

    /// Returns a function that makes the error of a run of that of a file `path` that was not made.
    pub fn new_file(path: &Utf8Path) -> impl Fn(NewFileError) -> Self + use<> {
        let failed = OutputError::new_file(path);
        move |error| failed(error).into()
    }

    /// Returns the kind of the failure. Programs decide by it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled => ErrorKind::Cancelled,
            _ => self.ask_stage(ErrorKind::Internal, |stage| stage.kind()),
        }
    }

    /// Whether the same call may succeed later without any change by the caller.
    pub fn is_transient(&self) -> bool {
        self.ask_stage(false, |stage| stage.is_transient())
    }

    /// Returns the host's error number, if the host failed.
    pub fn os_error(&self) -> Option<i32> {
        self.ask_stage(None, |stage| stage.os_error())
    }

    /// Returns the failure and its object, in one line, without advice.
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// Returns the next step for the caller. It names options as the library does; [`Advice::worded`] uses
    /// the names of a program.
    pub fn advice(&self) -> Option<Advice> {
        match self {
            Self::Rootfs { file, source: EditError::Rootfs(RootfsError::Io { action: "open", .. }) }
                if !file.exists() =>
            {
                Some(Advice::new("give the path of an ext4 file"))
            }
            _ => self.ask_stage(None, |stage| stage.advice()),
        }
    }

    /// Returns the objects of the failure: paths, digests, hosts, limits.
    pub fn context(&self) -> ErrorContext {
        match self {
            Self::Rootfs { file, source } => source.context().with("file", file),
            _ => self.ask_stage(ErrorContext::default(), |stage| stage.context()),
        }
    }

    /// Returns the error as one document for programs.
    pub fn report(&self) -> ErrorReport {
        ErrorReport::of(self)
    }

    /// Returns the error as one line of JSON: `version`, `code`, `kind`, `message`, `advice` (if there is
    /// any) and `context`.
    pub fn to_json(&self) -> String {
        self.report().to_json()
    }

    /// Asks the stage that failed; an error of the run itself answers with `own`.
    fn ask_stage<T>(&self, own: T, ask: impl FnOnce(&dyn Failure) -> T) -> T {
        match self {
            Self::Reference(error) => ask(error),
            Self::Pull(error) => ask(error),
            Self::Flatten(error) => ask(error),
            Self::Ext4(error) => ask(error),
            Self::Inject(error) => ask(error),
            Self::Platform(error) => ask(error),
            Self::GuestBinary(error) => ask(error),
            Self::Directory(error) => ask(error),
            Self::Store(error) => ask(error),
            Self::Rootfs { source, .. } => ask(source),
            Self::Dirs(error) => ask(error),
            Self::Name(error) => ask(error),
            Self::Argument(error) => ask(error),
            Self::Guest(error) => ask(error),
            Self::Kernel(error) => ask(error),
            Self::Register(error) => ask(error),
            Self::Catalog(error) => ask(error),
            Self::Initramfs(error) => ask(error),
            Self::Boot(error) => ask(error),
            Self::Vm(error) => ask(error),
            Self::ImageBuild(error) => ask(error),
            Self::Commit(error) => ask(error),
            Self::Output(error) => ask(error),
            Self::Push(error) => ask(error),
            Self::Sign(error) => ask(error),
            Self::RootfsArtifact(error) => ask(error),
            Self::Place(error) => ask(error),
            Self::Verity(error) => ask(error),
            Self::Cancelled => own,
        }
    }
}

impl Failure for Error {
    fn code(&self) -> u32 {
        Self::code(self)
    }

    fn kind(&self) -> ErrorKind {
        Self::kind(self)
    }

    fn is_transient(&self) -> bool {
        Self::is_transient(self)
    }

    fn advice(&self) -> Option<Advice> {
        Self::advice(self)
    }

    fn context(&self) -> ErrorContext {
        Self::context(self)
    }

    fn os_error(&self) -> Option<i32> {
        Self::os_error(self)
    }
}

/// Returns the name of the file, if the error does not contain it.
fn name_of(file: &Utf8Path, source: &EditError) -> String {
    if source.names_image() { String::new() } else { format!("{file}: ") }
}

/// Returns the state after an interrupted edit.
fn state_after(source: &EditError) -> &'static str {
    match source {
        EditError::Cancelled | EditError::Rootfs(RootfsError::Cancelled) => "; it is as it was",
        EditError::Operation { source, .. } => state_after(source),
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

impl From<PushError> for Error {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Cancelled => Self::Cancelled,
            PushError::Pull(error) => error.into(),
            other => Self::Push(other),
        }
    }
}

impl From<SignError> for Error {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Push(error) => error.into(),
            other => Self::Sign(other),
        }
    }
}

impl From<SigningKeyError> for Error {
    fn from(error: SigningKeyError) -> Self {
        Self::Sign(error.into())
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

impl From<VerityError> for Error {
    fn from(error: VerityError) -> Self {
        match error {
            VerityError::Cancelled => Self::Cancelled,
            other => Self::Verity(other),
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

impl From<KernelError> for Error {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Cancelled => Self::Cancelled,
            other => Self::Kernel(other),
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
            // The error of the layer's source is more helpful than "cannot be read".
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
