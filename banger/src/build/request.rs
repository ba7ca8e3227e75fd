//! What a build takes and gives.

use banger_ext4::ImageSize;
use banger_oci::Limits;
use banger_tree::ChildSetup;
use camino::Utf8PathBuf;
use serde::Serialize;
use uuid::Uuid;

use crate::backend::Backend;
use crate::file_system::FileSystemOptions;

/// A directory or a tar, and how to turn it into a file system; or an empty file system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BuildRequest {
    /// A directory, or a tar: plain, or compressed with gzip, zstd, xz or bzip2. `None` for a file system with no
    /// file.
    pub source: Option<Utf8PathBuf>,
    /// How much the source may hold.
    pub limits: Limits,
    /// The file system that is made.
    pub file_system: FileSystemOptions,
    /// Give the file system a UUID and a hash seed that no other has, and the current time, unless they are given: for
    /// disks that a machine writes to. Without it, equal sources make equal bytes, and equal UUIDs.
    pub own_identity: bool,
    /// The backend that writes the file system.
    pub backend: Backend,
    /// Replace an output file.
    pub force: bool,
    /// Time of files without a time in the source, in seconds since the epoch; `None` for the time of the
    /// root directory, or for now with an identity of its own. [`source_date_epoch`](crate::source_date_epoch) reads it from the environment.
    pub source_date_epoch: Option<i64>,
    /// Directory for scratch files of the e2fsprogs backend; `None` for `$TMPDIR`.
    pub scratch_dir: Option<Utf8PathBuf>,
    /// Prepares the tools of the e2fsprogs backend before they start.
    pub child_setup: ChildSetup,
}

impl BuildRequest {
    /// Returns a request for `source` with everything at its default.
    pub fn new(source: impl Into<Utf8PathBuf>) -> Self {
        Self { source: Some(source.into()), own_identity: false, ..Self::empty() }
    }

    /// Returns a request for a file system with no file, and with an identity of its own.
    pub fn empty() -> Self {
        Self {
            source: None,
            limits: Limits::default(),
            file_system: FileSystemOptions::default(),
            own_identity: true,
            backend: Backend::default(),
            force: false,
            source_date_epoch: None,
            scratch_dir: None,
            child_setup: ChildSetup::default(),
        }
    }

    /// Returns the request with another size of the file system.
    pub fn with_size(mut self, size: ImageSize) -> Self {
        self.file_system.size = size;
        self
    }
}

banger_tree::setters! {
    BuildRequest {
        with_limits => limits: Limits,
        with_file_system => file_system: FileSystemOptions,
        with_own_identity => own_identity: bool,
        with_backend => backend: Backend,
        with_force => force: bool,
        with_source_date_epoch => source_date_epoch: Option<i64>,
        with_scratch_dir => scratch_dir: Option<Utf8PathBuf>,
        with_child_setup => child_setup: ChildSetup,
    }
}

/// The kind of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SourceKind {
    /// A directory.
    Directory,
    /// A tar.
    Tar,
    /// None: the file system has no file.
    Empty,
}

/// A file system that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BuiltFile {
    /// Version of this document.
    pub version: u32,
    /// The ext4 file.
    pub path: Utf8PathBuf,
    /// The source, if there is one.
    pub source: Option<Utf8PathBuf>,
    /// The kind of the source.
    pub source_kind: SourceKind,
    /// Name of the backend.
    pub backend: String,
    /// The file system's name.
    pub label: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Time of files without a time in the source, in seconds since the epoch.
    pub timestamp_seconds: i64,
    /// Size of the file system, which is the length of the file.
    pub size_bytes: u64,
    /// Bytes not in use.
    pub free_bytes: u64,
    /// Number of inodes.
    pub inodes: u32,
    /// Inodes in use.
    pub used_inodes: u32,
    /// Warnings: changed or dropped data.
    pub warnings: Vec<String>,
}

impl BuiltFile {
    /// The version of the document that this version writes.
    pub const VERSION: u32 = 1;
}
