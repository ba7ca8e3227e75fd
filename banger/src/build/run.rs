//! The run of a build.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use banger_ext4::{BuildReport, Identity};
use banger_oci::{Digest, FlattenEvent, FlattenOptions, Flattened, LayerSource as _, flatten};
use banger_tree::{Budget, Cancellation, ContentStore, Timestamp, Tree};
use camino::{Utf8Path, Utf8PathBuf};
use uuid::Uuid;

use super::request::{BuildRequest, BuiltFile, SourceKind};
use crate::backend::{BuildPlace, named};
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::host_file::parent_of;
use crate::host_tree::{HostTree, read_directory};
use crate::identity::{digest_of, uuid_of};
use crate::output::{OutputError, OutputFile};
use crate::source::{Source, TarSource};
use crate::warnings::with_rest;

/// Builds the ext4 file `output` from a directory or a tar of the host, or with no file. It is complete when this
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
    Empty,
    Directory(Utf8PathBuf),
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
        let (file, content) = self.open(output)?;
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
            label: self.request.file_system.label.clone(),
            uuid: Uuid::from_bytes(identity.uuid),
            timestamp_seconds: identity.timestamp.seconds,
            size_bytes: report.size_bytes,
            free_bytes: report.free_bytes,
            inodes: report.inodes,
            used_inodes: report.used_inodes,
            warnings,
        })
    }

    /// Opens the source and begins the file.
    fn open(&self, output: &Utf8Path) -> Result<(OutputFile, SourceContent), Error> {
        let Some(path) = &self.request.source else {
            return Ok((OutputFile::create(output, self.request.force)?, SourceContent::Empty));
        };
        let source = Source::open(path)?;
        check_output(output, &source, path)?;
        let file = OutputFile::create(output, self.request.force)?.limited_to(&source.metadata);
        let content = match source.metadata.is_dir() {
            true => source.check_directory().map(|()| SourceContent::Directory(path.clone()))?,
            false => SourceContent::Tar(Box::new(source.into_tar(self.cancellation)?)),
        };
        Ok((file, content))
    }

    /// Writes the file system of the source to `path`.
    fn write(&self, path: &Utf8Path, content: &SourceContent) -> Result<BuiltTree, Error> {
        let budget = self.request.limits.budget();
        let options = self
            .request
            .file_system
            .to_ext4()
            .with_budget(budget.clone())
            .with_cancellation(self.cancellation.clone());
        let place = BuildPlace::Path(path);
        let BuildRequest { backend, scratch_dir, child_setup, .. } = self.request;
        let mut begun = backend.create(place, &options, scratch_dir.as_deref(), *child_setup)?;
        let (source_kind, SourceTree { mut tree, warnings }) = match content {
            SourceContent::Empty => {
                (SourceKind::Empty, SourceTree { tree: Tree::new(), warnings: Vec::new() })
            }
            SourceContent::Directory(path) => {
                (SourceKind::Directory, self.read_directory(path, &mut *begun.builder, &budget)?)
            }
            SourceContent::Tar(tar) => (SourceKind::Tar, self.read_tar(tar, &mut *begun.builder, budget)?),
        };
        let identity = self.identity(&mut tree, source_kind);
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

    fn read_directory(
        &self,
        source: &Utf8Path,
        store: &mut dyn ContentStore,
        budget: &Budget,
    ) -> Result<SourceTree, Error> {
        let HostTree { tree, warnings, warning_count } =
            read_directory(source, store, &self.request.limits, budget, self.cancellation, &|counts| {
                self.emit(&Event::DirectoryProgress {
                    entries: counts.entries,
                    done_bytes: counts.content_bytes,
                });
            })?;
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

    /// Returns the identity of the file system: its own, or made from its files, so that equal sources make equal
    /// bytes.
    fn identity(&self, tree: &mut Tree, source_kind: SourceKind) -> Identity {
        let request = self.request;
        let digest = digest_of(tree);
        let of_files = |purpose| uuid_of(&digest, purpose);
        let root = tree.root();
        let seconds = request.source_date_epoch.unwrap_or(match request.own_identity {
            true => jiff::Timestamp::now().as_second(),
            false => tree.inode(root).attributes.mtime.seconds,
        });
        let timestamp = Timestamp::from_seconds(seconds).clamped_to_ext4();
        if source_kind == SourceKind::Empty {
            tree.attributes_mut(root).mtime = timestamp;
        }
        let (uuid, hash_seed) = match (request.file_system.uuid, request.own_identity) {
            (Some(uuid), true) => (uuid, uuid_of(&Digest::of(uuid.as_bytes()), "hash-seed")),
            (None, true) => (Uuid::new_v4(), Uuid::new_v4()),
            (given, false) => (given.unwrap_or_else(|| of_files("uuid")), of_files("hash-seed")),
        };
        Identity::default()
            .with_uuid(uuid.into_bytes())
            .with_hash_seed(hash_seed.into_bytes())
            .with_timestamp(timestamp)
    }
}

/// Fails if the output would become part of the source, or take its place.
fn check_output(output: &Utf8Path, source: &Source, source_path: &Utf8Path) -> Result<(), Error> {
    let is_source = |path: &std::path::Path| {
        let own = (source.metadata.dev(), source.metadata.ino());
        fs::metadata(path).is_ok_and(|file| (file.dev(), file.ino()) == own)
    };
    // Compare the directories themselves, not their names: the path may lead through symlinks.
    let parent = parent_of(output).as_std_path().canonicalize();
    let parent = parent.map_err(OutputError::io("write", output))?;
    if parent.ancestors().any(is_source) || is_source(output.as_std_path()) {
        let source_path = source_path.to_owned();
        return Err(OutputError::InSource { path: output.to_owned(), source_path }.into());
    }
    Ok(())
}
