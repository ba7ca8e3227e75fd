//! Layers that an image lists more than once.

use std::collections::HashMap;
use std::io::{self, BufRead, Cursor, Read};
use std::sync::Arc;

use super::name::LayerName;
use super::source::LayerSource;
use super::stream::{LayerStream, ReadLayer, ReportingStream};
use crate::digest::Digest;

/// Memory for the tars of all layers that are listed more than once.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// The facts that make two layers of an image equal.
type LayerKey = (Digest, Digest);

/// The tars of small layers that come again, so that each is decompressed and hashed once.
pub(super) struct RepeatedLayers {
    /// By position: whether an earlier layer is the same.
    listed_before: Vec<bool>,
    /// How often each is still to come.
    to_come: HashMap<LayerKey, usize>,
    kept: HashMap<LayerKey, Arc<[u8]>>,
    room_bytes: usize,
}

fn key_of(layer: &impl LayerSource) -> Option<LayerKey> {
    match (layer.name(), layer.diff_id()) {
        (LayerName::Digest(digest), Some(diff_id)) => Some((digest, diff_id.clone())),
        _ => None,
    }
}

impl RepeatedLayers {
    pub(super) fn of(layers: &[impl LayerSource]) -> Self {
        let mut to_come: HashMap<LayerKey, usize> = HashMap::new();
        let mut listed_before = Vec::with_capacity(layers.len());
        for layer in layers {
            let before = key_of(layer).map_or(0, |key| {
                let count = to_come.entry(key).or_default();
                std::mem::replace(count, *count + 1)
            });
            listed_before.push(before > 0);
        }
        to_come.retain(|_, count| *count > 1);
        Self { listed_before, to_come, kept: HashMap::new(), room_bytes: KEPT_BYTES_MAX }
    }

    /// Returns whether an earlier layer equals the one at `index`.
    pub(super) fn is_listed_before(&self, index: usize) -> bool {
        self.listed_before.get(index).copied().unwrap_or(false)
    }

    /// Returns the tar of a layer that was applied before, if it is kept.
    pub(super) fn tar(&self, layer: &impl LayerSource) -> Option<Arc<[u8]>> {
        if self.kept.is_empty() {
            return None;
        }
        self.kept.get(&key_of(layer)?).cloned()
    }

    /// Returns the largest size of a tar to keep: 0 for a layer that does not come again.
    pub(super) fn keeps(&self, layer: &impl LayerSource) -> usize {
        if self.to_come.is_empty() {
            return 0;
        }
        key_of(layer).filter(|key| self.to_come.contains_key(key)).map_or(0, |_| self.room_bytes)
    }

    /// Takes note that `layer` was applied; `tar` is its tar, if that was short enough.
    pub(super) fn keep(&mut self, layer: &impl LayerSource, tar: Option<Vec<u8>>) {
        if self.to_come.is_empty() {
            return;
        }
        let Some(key) = key_of(layer) else { return };
        let Some(count) = self.to_come.get_mut(&key) else { return };
        *count -= 1;
        if *count == 0 {
            self.to_come.remove(&key);
            if let Some(tar) = self.kept.remove(&key) {
                self.room_bytes += tar.len();
            }
        } else if let Some(tar) = tar
            && !self.kept.contains_key(&key)
        {
            self.room_bytes -= tar.len();
            self.kept.insert(key, tar.into());
        }
    }
}

/// The source of a layer's tar.
pub(super) enum LayerInput {
    /// From the published layer.
    Stream(LayerStream),
    /// From memory: the layer was applied before, and its digests are known to be right.
    Replay { tar: Arc<[u8]>, digest: Digest, published_bytes: u64 },
}

impl LayerInput {
    pub(super) fn replay(tar: Arc<[u8]>, layer: &impl LayerSource) -> Self {
        let digest = layer.diff_id().expect("only layers with a digest are kept").clone();
        Self::Replay { tar, digest, published_bytes: layer.size_bytes() }
    }

    /// Returns a reader that calls `report` with the numbers of tar bytes and published bytes, and keeps a
    /// tar of up to `keeps` bytes.
    pub(super) fn reporting(self, report: &dyn Fn(u64, u64), keeps: usize) -> ReportingInput<'_> {
        match self {
            Self::Stream(stream) => ReportingInput::Stream(Box::new(stream.with_report(report, keeps))),
            Self::Replay { tar, digest, published_bytes } => {
                ReportingInput::Replay { tar: Cursor::new(tar), digest, published_bytes }
            }
        }
    }
}

/// A [`LayerInput`] that is being read.
pub(super) enum ReportingInput<'a> {
    Stream(Box<ReportingStream<'a>>),
    Replay { tar: Cursor<Arc<[u8]>>, digest: Digest, published_bytes: u64 },
}

impl ReportingInput<'_> {
    /// Returns the results. Call it after [`BufRead::fill_buf`] has returned no bytes.
    pub(super) fn finish(self) -> ReadLayer {
        match self {
            Self::Stream(stream) => stream.finish(),
            Self::Replay { tar, digest, published_bytes } => ReadLayer {
                tar_digest: digest,
                tar_bytes: tar.get_ref().len() as u64,
                published_bytes,
                has_zeros_behind: false,
                kept: None,
            },
        }
    }
}

impl Read for ReportingInput<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => stream.read(bytes),
            Self::Replay { tar, .. } => tar.read(bytes),
        }
    }
}

impl BufRead for ReportingInput<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Stream(stream) => stream.fill_buf(),
            Self::Replay { tar, .. } => tar.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Self::Stream(stream) => stream.consume(amount),
            Self::Replay { tar, .. } => tar.consume(amount),
        }
    }
}
