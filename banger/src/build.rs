//! Builds one ext4 file from a directory or a tar of the host.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use banger_ext4::{BuildReport, Ext4Options, Identity, ImageSize};
use banger_oci::{FlattenEvent, FlattenOptions, Flattened, LayerSource as _, Limits, flatten};
use banger_tree::{Budget, Cancellation, ChildSetup, ContentStore, Timestamp, Tree};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use uuid::Uuid;

use crate::backend::{Backend, BuildPlace, named};
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::host_file::parent_of;
use crate::host_tree::{HostTree, read_directory};
use crate::identity::{digest_of, uuid_of};
use crate::output::{OutputError, OutputFile};
use crate::source::{Source, TarSource};
use crate::warnings::with_rest;

/// A directory or a tar, and how to turn it into a file system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BuildRequest {
    /// A directory, or a tar: plain, or compressed with gzip, zstd, xz or bzip2.
    pub source: Utf8PathBuf,
    /// How much the source may hold.
    pub limits: Limits,
    /// Size of the file system.
    pub size: ImageSize,
    /// Smallest number of inodes; `None` for one for each 16 KiB.
    pub inodes: Option<u32>,
    /// The backend that writes the file system.
    pub backend: Backend,
    /// Name of the file system, at most 16 bytes.
    pub label: String,
    /// UUID of the file system; `None` makes it from the tree.
    pub uuid: Option<Uuid>,
    /// Replace an output file.
    pub force: bool,
    /// Time of files without a time in the source, in seconds since the epoch; `None` for the time of the
    /// root directory. [`source_date_epoch`](crate::source_date_epoch) reads it from the environment.
    pub source_date_epoch: Option<i64>,
    /// Directory for scratch files of the e2fsprogs backend; `None` for `$TMPDIR`.
    pub scratch_dir: Option<Utf8PathBuf>,
    /// Prepares the tools of the e2fsprogs backend before they start.
    pub child_setup: ChildSetup,
}

impl BuildRequest {
    /// Returns a request for `source` with everything at its default.
    pub fn new(source: impl Into<Utf8PathBuf>) -> Self {
        Self {
            source: source.into(),
            limits: Limits::default(),
            size: ImageSize::DEFAULT,
            inodes: None,
            backend: Backend::default(),
            label: String::new(),
            uuid: None,
            force: false,
            source_date_epoch: None,
            scratch_dir: None,
            child_setup: ChildSetup::default(),
        }
    }
}

banger_tree::setters! {
    BuildRequest {
        with_limits => limits: Limits,
        with_size => size: ImageSize,
        with_inodes => inodes: Option<u32>,
        with_backend => backend: Backend,
        with_label => label: String,
        with_uuid => uuid: Option<Uuid>,
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
}

/// A file system that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BuiltFile {
    /// Version of this document.
    pub version: u32,
    /// The ext4 file.
    pub path: Utf8PathBuf,
    /// The source.
    pub source: Utf8PathBuf,
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

/// Builds the ext4 file `output` from a directory or a tar of the host. It is complete when this
/// returns and absent when it fails.
///
/// The bytes of the file depend only on the content of the source, the backend and the options of the
/// request.
///
/// # Errors
/// The source cannot be read or changes meanwhile. Or the file lies in the source, cannot be written, or
/// exists and the request does not allow to replace it.
pub(crate) fn build_rootfs(
    request: &BuildRequest,
    output: &Utf8Path,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<BuiltFile, Error> {
    let run = BuildRun { request, events, cancellation };
    run.build(output).map_err(|error| match cancellation.is_cancelled() {
        // After a cancellation, the error of the interrupted read is not the reason.
        true => Error::Cancelled,
        false => error,
    })
}

/// A source whose first bytes are known.
enum SourceContent {
    Directory,
    Tar(Box<TarSource>),
}

/// A file system without a published name so far.
struct BuiltTree {
    source_kind: SourceKind,
    identity: Identity,
    report: BuildReport,
    warnings: Vec<String>,
}

struct BuildRun<'a> {
    request: &'a BuildRequest,
    events: &'a EventHandler,
    cancellation: &'a Cancellation,
}

/// A source that was read.
struct SourceTree {
    tree: Tree,
    warnings: Vec<String>,
}

impl BuildRun<'_> {
    fn build(&self, output: &Utf8Path) -> Result<BuiltFile, Error> {
        let source = Source::open(&self.request.source)?;
        self.check_output(output, &source)?;
        let file = OutputFile::create(output, self.request.force)?.limited_to(&source.metadata);
        let content = match source.metadata.is_dir() {
            true => source.check_directory().map(|()| SourceContent::Directory)?,
            false => SourceContent::Tar(Box::new(source.into_tar(self.cancellation)?)),
        };
        let built = self.write(&file.partial_path(), &content).map_err(|error| named(&file, error))?;
        if self.cancellation.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let BuiltTree { source_kind, identity, report, warnings } = built;
        file.publish()?;
        self.emit(&Event::Done { path: output.to_string(), unchanged: false });
        Ok(BuiltFile {
            version: BuiltFile::VERSION,
            path: output.to_owned(),
            source: self.request.source.clone(),
            source_kind,
            backend: self.request.backend.name().to_owned(),
            label: self.request.label.clone(),
            uuid: Uuid::from_bytes(identity.uuid),
            timestamp_seconds: identity.timestamp.seconds,
            size_bytes: report.size_bytes,
            free_bytes: report.free_bytes,
            inodes: report.inodes,
            used_inodes: report.used_inodes,
            warnings,
        })
    }

    /// Writes the file system of the source to `path`.
    fn write(&self, path: &Utf8Path, content: &SourceContent) -> Result<BuiltTree, Error> {
        let budget = self.request.limits.budget();
        let options = Ext4Options::default()
            .with_size(self.request.size)
            .with_inodes(self.request.inodes)
            .with_label(self.request.label.clone())
            .with_budget(budget.clone())
            .with_cancellation(self.cancellation.clone());
        let place = BuildPlace::Path(path);
        let BuildRequest { backend, scratch_dir, child_setup, .. } = self.request;
        let mut begun = backend.create(place, &options, scratch_dir.as_deref(), *child_setup)?;
        let (source_kind, SourceTree { tree, warnings }) = match content {
            SourceContent::Directory => {
                (SourceKind::Directory, self.read_directory(&mut *begun.builder, &budget)?)
            }
            SourceContent::Tar(tar) => (SourceKind::Tar, self.read_tar(tar, &mut *begun.builder, budget)?),
        };
        let identity = self.identity(&tree);
        begun.set_identity(identity);
        self.emit(&Event::Building { backend: self.request.backend.name().to_owned() });
        let report = begun.build_ext4(&tree)?;
        for message in &warnings {
            self.emit(&Event::Warning { message: message.clone() });
        }
        Ok(BuiltTree { source_kind, identity, report, warnings })
    }

    fn emit(&self, event: &Event) {
        self.events.emit(event, self.cancellation);
    }

    /// Fails if the output would become part of the source, or take its place.
    fn check_output(&self, output: &Utf8Path, source: &Source) -> Result<(), Error> {
        let is_source = |path: &std::path::Path| {
            let own = (source.metadata.dev(), source.metadata.ino());
            fs::metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == own)
        };
        // Compare the directories themselves, not their names: the path may lead through symlinks.
        let parent = parent_of(output).as_std_path().canonicalize();
        let parent = parent.map_err(OutputError::io("write", output))?;
        if parent.ancestors().any(is_source) || is_source(output.as_std_path()) {
            let source_path = self.request.source.clone();
            return Err(OutputError::InSource { path: output.to_owned(), source_path }.into());
        }
        Ok(())
    }

    fn read_directory(&self, store: &mut dyn ContentStore, budget: &Budget) -> Result<SourceTree, Error> {
        let HostTree { tree, warnings, warning_count } = read_directory(
            &self.request.source,
            store,
            &self.request.limits,
            budget,
            self.cancellation,
            &|counts| {
                self.emit(&Event::DirectoryProgress {
                    entries: counts.entries,
                    done_bytes: counts.content_bytes,
                });
            },
        )?;
        Ok(SourceTree { tree, warnings: with_rest(warnings, warning_count) })
    }

    fn read_tar(
        &self,
        source: &TarSource,
        store: &mut dyn ContentStore,
        budget: Budget,
    ) -> Result<SourceTree, Error> {
        let size_bytes = source.size_bytes();
        let options = FlattenOptions::default()
            .with_limits(self.request.limits.clone())
            .with_budget(Some(budget))
            .with_cancellation(self.cancellation.clone());
        let flattened = flatten(&[source], store, &options, &|event| match event {
            FlattenEvent::Progress { published_bytes, .. } => {
                self.emit(&Event::LayerProgress { layer: 0, done_bytes: published_bytes, size_bytes });
            }
            FlattenEvent::LayerFinished { stats, .. } => {
                self.emit(&Event::LayerDone { layer: 0, entries: stats.entries });
            }
            _ => {}
        });
        let Flattened { mut tree, warnings, warning_count, .. } = flattened?;
        source.check_tree(&mut tree, store)?;
        let warnings = warnings.iter().map(ToString::to_string).collect();
        Ok(SourceTree { tree, warnings: with_rest(warnings, warning_count) })
    }

    /// Returns the identity of the file system, made from its files. So equal sources make equal bytes.
    fn identity(&self, tree: &Tree) -> Identity {
        let digest = digest_of(tree);
        let of_root = tree.inode(tree.root()).attributes.mtime.seconds;
        let seconds = self.request.source_date_epoch.unwrap_or(of_root);
        Identity::default()
            .with_uuid(self.request.uuid.unwrap_or_else(|| uuid_of(&digest, "uuid")).into_bytes())
            .with_hash_seed(uuid_of(&digest, "hash-seed").into_bytes())
            .with_timestamp(Timestamp::from_seconds(seconds).clamped_to_ext4())
    }
}
