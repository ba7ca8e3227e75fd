//! A directory or a tar of the host to one ext4 file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;

use banger_ext4::{Ext4Options, Identity, ImageSize};
use banger_oci::{Digest, FlattenEvent, FlattenOptions, Flattened, LayerName, LayerSource, Limits, flatten};
use banger_tree::{Budget, Cancellation, ContentStore, Timestamp, Tree};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Serialize, Serializer};

use crate::backend::Backend;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::host_tree::{DirectoryError, HostTree, read_directory};
use crate::identity::{digest_of, uuid_of};
use crate::output::OutputFile;
use crate::uuid::Uuid;
use crate::warnings::with_rest;

/// A directory or a tar, and how to turn it into a file system.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// A directory, or a tar: plain, or compressed with gzip, zstd, xz or bzip2.
    pub source: Utf8PathBuf,
    /// How much the source may hold.
    pub limits: Limits,
    /// Size of the file system.
    pub size: ImageSize,
    /// Least number of inodes; `None` for one every 16 KiB.
    pub inodes: Option<u32>,
    /// What writes the file system.
    pub backend: Backend,
    /// Name of the file system, at most 16 bytes.
    pub label: String,
    /// UUID of the file system; `None` makes one of what the tree says of its files.
    pub uuid: Option<Uuid>,
    /// Replace an output file.
    pub force: bool,
    /// Seconds since the epoch for what the source gives no time to, in the place of the root
    /// directory's; [`source_date_epoch`](crate::source_date_epoch) reads it from the environment.
    pub source_date_epoch: Option<i64>,
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
        }
    }
}

/// What a source turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
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
    /// What it was built from.
    pub source: Utf8PathBuf,
    /// What that is.
    pub source_kind: SourceKind,
    /// Name of the backend.
    pub backend: String,
    /// The file system's name.
    pub label: String,
    /// Its UUID.
    #[serde(serialize_with = "as_text")]
    pub uuid: Uuid,
    /// Second of what the source gives no time to.
    pub timestamp_seconds: i64,
    /// Size of the file system, which is the length of the file.
    pub size_bytes: u64,
    /// Bytes not in use.
    pub free_bytes: u64,
    /// Inodes there are.
    pub inodes: u32,
    /// Inodes in use.
    pub used_inodes: u32,
    /// What was changed or left out.
    pub warnings: Vec<String>,
}

impl BuiltFile {
    /// The version of the document that this version writes.
    pub const VERSION: u32 = 1;
}

fn as_text<S: Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uuid)
}

/// Builds the ext4 file `output` from a directory or a tar of the host. It is complete when this
/// returns and absent when it fails.
///
/// What the bytes of the file depend on: what is in the source, the backend and the options of the
/// request, and nothing else of the host.
///
/// # Errors
/// The source cannot be read or changes meanwhile, the file exists and the request does not say to
/// replace it or lies in the source, or it cannot be written.
pub fn build_rootfs(
    request: &BuildRequest,
    output: &Utf8Path,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<BuiltFile, Error> {
    let run = Run { request, events, cancellation };
    let source_kind = run.source_kind()?;
    run.check_output(output)?;
    let file = OutputFile::create(output, request.force)?;
    let budget = request.limits.budget();
    let options = Ext4Options {
        size: request.size,
        inodes: request.inodes,
        label: request.label.clone(),
        budget: budget.clone(),
        cancellation: cancellation.clone(),
        ..Ext4Options::default()
    };
    let mut begun = request.backend.create(&file.partial_path(), &options)?;
    let SourceTree { tree, warnings } = match source_kind {
        SourceKind::Directory => run.read_directory(&mut *begun.builder, &budget)?,
        SourceKind::Tar => run.read_tar(&mut *begun.builder, budget)?,
    };
    let identity = run.identity(&tree);
    begun.set_identity(identity);
    run.emit(&Event::Building { backend: request.backend.name().to_owned() });
    let report = begun.build_ext4(&tree)?;
    for message in &warnings {
        run.emit(&Event::Warning { message: message.clone() });
    }
    if cancellation.is_cancelled() {
        return Err(Error::Cancelled);
    }
    file.publish()?;
    run.emit(&Event::Done { path: output.to_string(), unchanged: false });
    Ok(BuiltFile {
        version: BuiltFile::VERSION,
        path: output.to_owned(),
        source: request.source.clone(),
        source_kind,
        backend: request.backend.name().to_owned(),
        label: request.label.clone(),
        uuid: Uuid(identity.uuid),
        timestamp_seconds: identity.timestamp.seconds,
        size_bytes: report.size_bytes,
        free_bytes: report.free_bytes,
        inodes: report.inodes,
        used_inodes: report.used_inodes,
        warnings,
    })
}

struct Run<'a> {
    request: &'a BuildRequest,
    events: &'a EventHandler,
    cancellation: &'a Cancellation,
}

/// A source that was read.
struct SourceTree {
    tree: Tree,
    warnings: Vec<String>,
}

impl Run<'_> {
    fn emit(&self, event: &Event) {
        self.events.emit(event, self.cancellation);
    }

    fn source_kind(&self) -> Result<SourceKind, Error> {
        match fs::metadata(&self.request.source) {
            Ok(metadata) if metadata.is_dir() => Ok(SourceKind::Directory),
            Ok(_) => Ok(SourceKind::Tar),
            Err(source) => {
                let path = self.request.source.to_string();
                Err(DirectoryError::Io { action: "open", path, source }.into())
            }
        }
    }

    /// Fails where the output would become part of the source, or take its place.
    fn check_output(&self, output: &Utf8Path) -> Result<(), Error> {
        let place = |path: &std::path::Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
        let source = &self.request.source;
        let failed = |source| Error::Output { action: "write", path: output.to_owned(), source };
        let source_place = place(source.as_std_path()).map_err(failed)?;
        let parent = match output.parent() {
            Some(parent) if !parent.as_str().is_empty() => parent,
            _ => Utf8Path::new("."),
        };
        // By what directories are, not by what they are called: the way may lead over symlinks.
        let parent = parent.as_std_path().canonicalize().map_err(failed)?;
        let is_source = |path: &std::path::Path| place(path).is_ok_and(|place| place == source_place);
        if parent.ancestors().any(is_source) || is_source(output.as_std_path()) {
            return Err(Error::OutputInSource { path: output.to_owned(), source_path: source.clone() });
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

    fn read_tar(&self, store: &mut dyn ContentStore, budget: Budget) -> Result<SourceTree, Error> {
        let source = TarFile::new(&self.request.source);
        let size_bytes = source.size_bytes;
        let options = FlattenOptions {
            limits: self.request.limits.clone(),
            budget: Some(budget),
            cancellation: self.cancellation.clone(),
            ..FlattenOptions::default()
        };
        let flattened = flatten(&[source], store, &options, &|event| match event {
            FlattenEvent::Progress { published_bytes, .. } => {
                self.emit(&Event::LayerProgress { layer: 0, done_bytes: published_bytes, size_bytes });
            }
            FlattenEvent::LayerFinished { stats, .. } => {
                self.emit(&Event::LayerDone { layer: 0, entries: stats.entries });
            }
            _ => {}
        });
        let Flattened { tree, warnings, warning_count, .. } = flattened?;
        let warnings = warnings.iter().map(ToString::to_string).collect();
        Ok(SourceTree { tree, warnings: with_rest(warnings, warning_count) })
    }

    /// Returns what the file system is called: made of its files, so that equal sources make equal
    /// bytes, without having to be known before they are read.
    fn identity(&self, tree: &Tree) -> Identity {
        let digest = digest_of(tree);
        let of_root = tree.inode(tree.root()).attributes.mtime.seconds;
        let seconds = self.request.source_date_epoch.unwrap_or(of_root);
        Identity {
            uuid: self.request.uuid.map_or_else(|| uuid_of(&digest, "uuid"), |Uuid(uuid)| uuid),
            hash_seed: uuid_of(&digest, "hash-seed"),
            timestamp: Timestamp::from_seconds(seconds).clamped_to_ext4(),
        }
    }
}

/// A tar of the host, as the only layer there is.
struct TarFile {
    path: Utf8PathBuf,
    size_bytes: u64,
}

impl TarFile {
    fn new(path: &Utf8Path) -> Self {
        // For the progress only; that it cannot be read is told when it is opened.
        let size_bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        Self { path: path.to_owned(), size_bytes }
    }
}

impl LayerSource for TarFile {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(&self.path)?))
    }

    fn name(&self) -> LayerName {
        LayerName::Archive(self.path.to_string())
    }

    fn diff_id(&self) -> Option<&Digest> {
        None
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}
