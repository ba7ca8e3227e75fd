//! Applies an image's layers, base to top, to one tree.
//!
//! Each layer is a tar whose entries add, replace or (as whiteouts) hide paths: see the image
//! specification, `layer.md`, section "Applying Changesets". Paths are resolved in the tree alone,
//! file bytes go straight to the [`ContentStore`]; nothing here opens a file of the host.

mod applier;
mod apply;
mod buffer;
mod error;
mod event;
mod inline;
mod links;
mod name;
mod options;
mod origins;
mod parents;
mod read_ahead;
mod repeats;
mod source;
mod stats;
mod stream;
mod warning;
mod whiteout;

use std::collections::VecDeque;
use std::io::BufRead as _;

use banger_tree::{Budget, ContentStore, Cost, LayerIndex, Tree};

pub use apply::{SELINUX_XATTR, is_storable_xattr};
pub use error::{EntryError, FlattenError};
pub use event::FlattenEvent;
pub use name::LayerName;
#[cfg(feature = "registry")]
pub(crate) use options::default_streams;
pub use options::{FlattenOptions, Limits};
pub use source::{LayerSource, TarLayer};
pub use stats::LayerStats;
pub use warning::{Warning, WarningKind};

use crate::digest::Digest;
use crate::tar::{TarEntry, TarError, TarReader};
use applier::Applier;
use repeats::{LayerInput, RepeatedLayers};
use stream::{LayerStream, StreamStop};

/// The merged root file system, with warnings and counts.
#[derive(Debug)]
#[non_exhaustive]
pub struct Flattened {
    /// The tree; its regular files name contents of the store that was given.
    pub tree: Tree,
    /// The first warnings, at most [`Limits::max_warnings`].
    pub warnings: Vec<Warning>,
    /// How many warnings there were.
    pub warning_count: u64,
    /// The counts of each layer, base first.
    pub layers: Vec<LayerStats>,
}

/// Applies `layers`, base first, and returns the merged tree.
///
/// A small layer that is listed more than once is decompressed and hashed once. It is applied each time,
/// since its effect depends on the layers below it.
///
/// Decompression and hashing run on separate threads, ahead of the tar that is being applied.
/// [`FlattenOptions::queue_bytes`] limits how far. If [`FlattenOptions::streams`] is 0, they run on the
/// calling thread. The calls to `store` depend only on the layers, never on timing. `events` is called only
/// on the calling thread.
///
/// On failure `store` holds contents that nothing names; it is the caller's to throw away. Threads
/// that still wait in a source's `read` are not waited for: they own nothing but that reader, and
/// end when the read returns.
///
/// # Errors
/// [`FlattenError`], which names the layer and the path.
///
/// # Panics
/// If a source's reader panics.
pub fn flatten<S: LayerSource>(
    layers: &[S],
    store: &mut dyn ContentStore,
    options: &FlattenOptions,
    events: &(dyn Fn(FlattenEvent) + Sync),
) -> Result<Flattened, FlattenError> {
    let budget = options.budget.clone().unwrap_or_else(|| options.limits.budget());
    budget.charge(Cost::Layers, layers.len() as u64).map_err(FlattenError::TooManyLayers)?;
    let mut applier = Applier::new(store, options, &budget);
    let mut repeats = RepeatedLayers::of(layers);
    let mut opened: VecDeque<Option<LayerStream>> = VecDeque::new();
    let mut unopened = layers.iter();
    let window = options.streams.clamp(1, layers.len().max(1));
    let queue_bytes = options.queue_bytes / window;
    let mut stats = Vec::with_capacity(layers.len());
    for (index, layer) in layers.iter().enumerate() {
        while opened.len() < window {
            let Some(next) = unopened.next() else { break };
            // Whether the tar of one that was listed before is kept shows when its turn comes.
            let stream = match repeats.is_listed_before(layers.len() - unopened.len() - 1) {
                true => None,
                false => Some(open(next, queue_bytes, options, &budget)?),
            };
            opened.push_back(stream);
        }
        let stream = opened.pop_front().expect("the window holds the current layer");
        let input = match (stream, repeats.tar(layer)) {
            (None, Some(tar)) => {
                let run = LayerRun { index: LayerIndex(0), name: &layer.name(), applier: &mut applier };
                let charged = budget.charge(Cost::InflatedBytes, tar.len() as u64);
                charged.map_err(|over| run.entry_error(over.into(), b""))?;
                LayerInput::replay(tar, layer)
            }
            (Some(stream), _) => LayerInput::Stream(stream),
            (None, None) => LayerInput::Stream(open(layer, queue_bytes, options, &budget)?),
        };
        let index = LayerIndex(u32::try_from(index).expect("far fewer layers than 2^32"));
        let (name, published_bytes) = (layer.name(), layer.size_bytes());
        events(FlattenEvent::LayerStarted { layer: index, name: name.clone(), published_bytes });
        let mut run = LayerRun { index, name: &name, applier: &mut applier };
        let report = |tar_bytes, published_bytes| {
            events(FlattenEvent::Progress { layer: index, tar_bytes, published_bytes });
        };
        let input = input.reporting(&report, repeats.keeps(layer));
        let applied = run.apply(input, layer.diff_id().is_some())?;
        if let Some(diff_id) = layer.diff_id()
            && *diff_id != applied.tar_digest
        {
            let expected = diff_id.clone();
            // The error of the layer matters more than a failed removal.
            let _kept = layer.discard();
            return Err(FlattenError::DiffId { layer: name, expected, actual: applied.tar_digest });
        }
        repeats.keep(layer, applied.kept);
        events(FlattenEvent::LayerFinished { layer: index, stats: applied.stats });
        stats.push(applied.stats);
    }
    let (tree, warnings) = applier.finish();
    Ok(Flattened { tree, warning_count: warnings.count, warnings: warnings.kept, layers: stats })
}

fn open(
    layer: &impl LayerSource,
    queue_bytes: usize,
    options: &FlattenOptions,
    budget: &Budget,
) -> Result<LayerStream, FlattenError> {
    if options.cancellation.is_cancelled() {
        return Err(FlattenError::Cancelled);
    }
    layer
        .open()
        .and_then(|reader| {
            let on_threads = (options.streams > 0).then_some(queue_bytes);
            LayerStream::start(reader, layer.diff_id(), on_threads, &options.cancellation, budget)
        })
        .map_err(|source| FlattenError::Open { layer: layer.name(), source })
}

/// The application of one layer.
struct LayerRun<'a, 'b> {
    index: LayerIndex,
    name: &'a LayerName,
    applier: &'a mut Applier<'b>,
}

/// The result of the application of one layer.
struct AppliedLayer {
    stats: LayerStats,
    tar_digest: Digest,
    /// The tar, if it is small and should be kept.
    kept: Option<Vec<u8>>,
}

impl LayerRun<'_, '_> {
    /// Applies the layer. Without a digest to compare with, a tar that has nothing of a tar is an error.
    fn apply(
        &mut self,
        input: repeats::ReportingInput<'_>,
        has_digest: bool,
    ) -> Result<AppliedLayer, FlattenError> {
        let mut reader = TarReader::new(input, self.applier.tar_limits());
        self.applier.begin_layer(self.index, self.name);
        let mut entry = TarEntry::default();
        loop {
            match reader.next_entry(&mut entry) {
                // A buffer holds hundreds of entries, and a path may lead through many symlinks.
                Ok(true) if self.applier.check_cancelled().is_err() => return Err(FlattenError::Cancelled),
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(self.tar_error(error, &entry)),
            }
            self.applier
                .apply(&mut entry, &mut reader)
                .map_err(|error| self.entry_error(error, &entry.path))?;
        }
        let is_bare = !has_digest && self.applier.layer_stats().entries == 0;
        if reader.lacks_end_blocks() {
            if is_bare {
                return Err(FlattenError::Unterminated { layer: self.name.clone() });
            }
            self.applier.warn(b"", WarningKind::NoEndBlocks);
        }
        self.applier.end_layer().map_err(|(path, error)| self.entry_error(error, &path))?;
        // Bytes after the end blocks are part of the layer's digests.
        let mut rest = reader.into_input();
        loop {
            match rest.fill_buf() {
                Ok([]) => break,
                Ok(bytes) if is_bare && bytes.iter().any(|byte| *byte != 0) => {
                    return Err(FlattenError::NotATar { layer: self.name.clone() });
                }
                Ok(bytes) => {
                    let length = bytes.len();
                    rest.consume(length);
                }
                Err(source) => {
                    return Err(self.tar_error(TarError::Read { offset: 0, source }, &TarEntry::default()));
                }
            }
        }
        let read = rest.finish();
        if is_bare {
            self.applier.warn(b"", WarningKind::NoEntries);
        }
        if read.has_zeros_behind {
            self.applier.warn(b"", WarningKind::ZerosAtEnd);
        }
        let (tar_bytes, published_bytes) = (read.tar_bytes, read.published_bytes);
        let stats = LayerStats { tar_bytes, published_bytes, ..self.applier.layer_stats() };
        Ok(AppliedLayer { stats, tar_digest: read.tar_digest, kept: read.kept })
    }

    fn tar_error(&self, error: TarError, entry: &TarEntry) -> FlattenError {
        let layer = self.name.clone();
        match error {
            TarError::Read { source, .. } => match StreamStop::of(&source) {
                Some(StreamStop::Cancelled) => FlattenError::Cancelled,
                Some(StreamStop::OverBudget(over)) => {
                    FlattenError::Entry { layer, path: warning::shown(&entry.path), source: over.into() }
                }
                // The source may be cancelled, too, and tell it in its own way.
                None if self.applier.check_cancelled().is_err() => FlattenError::Cancelled,
                None => FlattenError::Read { layer, source },
            },
            source => FlattenError::Tar { layer, path: warning::shown(&entry.path), source },
        }
    }

    fn entry_error(&self, error: EntryError, path: &[u8]) -> FlattenError {
        match error {
            EntryError::Cancelled => FlattenError::Cancelled,
            EntryError::Tar(source) => {
                self.tar_error(source, &TarEntry { path: path.to_vec(), ..TarEntry::default() })
            }
            source => FlattenError::Entry { layer: self.name.clone(), path: warning::shown(path), source },
        }
    }
}
