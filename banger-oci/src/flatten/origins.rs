//! Which names of the tree are the current layer's own.
//!
//! A whiteout hides entries of lower layers, wherever it stands in its layer. So each name must be known as
//! one of this layer or of a lower one. An inode of this layer has only names of this layer, and a directory
//! has one name. The remaining case, a new name for a lower file, is stored separately.

use std::collections::{HashMap, HashSet};

use banger_tree::{InodeId, LayerIndex, Timestamp};

/// The mark of one inode: the layer that set it, counted from 1, and flags. A mark of another layer does not
/// count.
#[derive(Clone, Copy, Debug, Default)]
struct Mark(u32);

impl Mark {
    /// The current layer names the inode: it has an entry, or is a directory with an entry of this layer.
    const TOUCHED: u32 = 1;
    /// Nothing of lower layers is below the directory.
    const PURE: u32 = 2;
    const FLAG_BITS: u32 = 2;
}

/// Marks of all inodes, for one layer at a time.
#[derive(Debug, Default)]
pub(super) struct Origins {
    layer: u32,
    marks: Vec<Mark>,
    /// Directories that no entry of this layer gives attributes, with the time of the first entry
    /// that is in them.
    implied: HashMap<InodeId, Timestamp>,
    /// Names, by directory, that this layer gave to inodes of lower layers.
    links: HashMap<InodeId, HashSet<Box<[u8]>>>,
    /// Inodes that keep the place of a hard link whose target is not there yet.
    placeholders: HashMap<InodeId, usize>,
}

impl Origins {
    /// Starts a new layer: all existing inodes belong to lower layers.
    pub(super) fn begin_layer(&mut self, layer: LayerIndex) {
        self.layer = layer.0 + 1;
        self.implied.clear();
        self.links.clear();
        self.placeholders.clear();
    }

    /// Notes that this layer made `id`. Clears the marks of an older inode with this number.
    pub(super) fn made(&mut self, id: InodeId) {
        self.implied.remove(&id);
        self.links.remove(&id);
        self.placeholders.remove(&id);
        *self.mark(id) = Mark(0);
        self.set(id, Mark::TOUCHED | Mark::PURE);
    }

    /// Notes that `id`, just made, keeps the place of the hard link with this number.
    pub(super) fn made_placeholder(&mut self, id: InodeId, number: usize) {
        self.made(id);
        self.placeholders.insert(id, number);
    }

    /// Returns the number of the hard link that `id`, if it still is in the tree, keeps the place of.
    pub(super) fn placeholder(&self, id: InodeId) -> Option<usize> {
        self.placeholders.get(&id).copied()
    }

    /// Notes that an entry of time `mtime` is in the directory `id`.
    pub(super) fn imply(&mut self, id: InodeId, mtime: Timestamp) {
        if !self.is_touched(id) {
            self.set(id, Mark::TOUCHED);
            self.implied.insert(id, mtime);
        }
    }

    /// Notes that the new directory `id` has no entry.
    pub(super) fn made_implied(&mut self, id: InodeId, mtime: Timestamp) {
        self.made(id);
        self.implied.insert(id, mtime);
    }

    /// Notes that an entry gives the directory `id` its attributes; returns whether an earlier entry did so.
    pub(super) fn describe(&mut self, id: InodeId) -> bool {
        let described_before = self.is_touched(id) && !self.implied.contains_key(&id);
        self.set(id, Mark::TOUCHED);
        self.implied.remove(&id);
        described_before
    }

    /// Notes that this layer gave `id` the name `name` in `dir`.
    pub(super) fn linked(&mut self, dir: InodeId, name: &[u8], id: InodeId) {
        if !self.is_touched(id) {
            self.links.entry(dir).or_default().insert(name.into());
        }
    }

    /// Notes that nothing of lower layers is below the directory `id` any more.
    pub(super) fn purify(&mut self, id: InodeId) {
        self.set(id, Mark::PURE);
    }

    /// Returns whether this layer made the name `name` of `dir`, which leads to `id`.
    pub(super) fn is_own(&self, dir: InodeId, name: &[u8], id: InodeId) -> bool {
        self.is_touched(id) || self.links.get(&dir).is_some_and(|names| names.contains(name))
    }

    /// Returns whether nothing of lower layers is below the directory `id`.
    pub(super) fn is_pure(&self, id: InodeId) -> bool {
        self.flags(id) & Mark::PURE != 0
    }

    /// Returns the time for a directory that entries of this layer only imply.
    pub(super) fn implied_time(&self, id: InodeId) -> Option<Timestamp> {
        self.implied.get(&id).copied()
    }

    fn is_touched(&self, id: InodeId) -> bool {
        self.flags(id) & Mark::TOUCHED != 0
    }

    fn flags(&self, id: InodeId) -> u32 {
        match self.marks.get(id.index()) {
            Some(mark) if mark.0 >> Mark::FLAG_BITS == self.layer => mark.0,
            _ => 0,
        }
    }

    fn set(&mut self, id: InodeId, flags: u32) {
        let kept = self.flags(id);
        *self.mark(id) = Mark(self.layer << Mark::FLAG_BITS | kept | flags);
    }

    fn mark(&mut self, id: InodeId) -> &mut Mark {
        if self.marks.len() <= id.index() {
            self.marks.resize(id.index() + 1, Mark::default());
        }
        &mut self.marks[id.index()]
    }
}
