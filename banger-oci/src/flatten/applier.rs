//! The tree under construction, and the changes that a layer makes to it.

use banger_tree::{
    Budget, ContentError, ContentId, ContentStore, Cost, GuestPath, INODE_MEMORY_BYTES, InodeId, LayerIndex,
    NAME_MEMORY_BYTES, NodeKind, ResolveAccount, Setting, Tree,
};

use super::error::EntryError;
use super::name::LayerName;
use super::options::{FlattenOptions, Limits};
use super::origins::Origins;
use super::stats::LayerStats;
use super::warning::{WarningKind, Warnings};
use crate::tar::TarLimits;

/// The tree under construction, with the state of the current layer.
pub(super) struct Applier<'a> {
    pub(super) tree: Tree,
    pub(super) origins: Origins,
    pub(super) parents: ParentCache,
    pub(super) pending: Vec<PendingLink>,
    pub(super) store: &'a mut dyn ContentStore,
    pub(super) limits: &'a Limits,
    warnings: Warnings,
    pub(super) layer: LayerIndex,
    name: Option<LayerName>,
    pub(super) stats: LayerStats,
    pub(super) has_aufs_links: bool,
    pub(super) account: ResolveAccount,
    /// Memory of the current entry.
    pub(super) entry_bytes: u64,
}

/// A hard link without a target so far. A placeholder inode keeps its place in the tree. A later entry that
/// takes the place, or a directory on the way to it, wins.
#[derive(Debug)]
pub(super) struct PendingLink {
    /// The entry's path as it is in the tar, for errors.
    pub(super) path: Vec<u8>,
    pub(super) number: usize,
    pub(super) placeholder: InodeId,
    pub(super) dir: InodeId,
    pub(super) name: Box<[u8]>,
    pub(super) target: GuestPath,
}

/// The directory that was asked for last; the entries of a directory mostly come in a row.
#[derive(Debug, Default)]
pub(super) struct ParentCache {
    pub(super) path: Vec<u8>,
    pub(super) directory: Option<InodeId>,
}

impl ParentCache {
    /// Clears the memory after the removal of a directory or symlink, which may have been on the way.
    pub(super) fn clear(&mut self) {
        self.directory = None;
    }
}

impl<'a> Applier<'a> {
    pub(super) fn new(store: &'a mut dyn ContentStore, options: &'a FlattenOptions, budget: &Budget) -> Self {
        Self {
            tree: Tree::new(),
            origins: Origins::default(),
            parents: ParentCache::default(),
            pending: Vec::new(),
            store,
            limits: &options.limits,
            warnings: Warnings::new(options.limits.max_warnings),
            layer: LayerIndex(0),
            name: None,
            stats: LayerStats::default(),
            has_aufs_links: false,
            account: ResolveAccount { budget: budget.clone(), cancellation: options.cancellation.clone() },
            entry_bytes: 0,
        }
    }

    pub(super) fn tar_limits(&self) -> TarLimits {
        let Limits { max_extended_bytes, max_sparse_extents, .. } = *self.limits;
        TarLimits { max_extended_bytes, max_sparse_extents }
    }

    pub(super) fn begin_layer(&mut self, layer: LayerIndex, name: &LayerName) {
        self.layer = layer;
        self.name = Some(name.clone());
        self.stats = LayerStats::default();
        self.origins.begin_layer(layer);
        self.parents.clear();
    }

    /// Returns the counts of the layer so far, as far as they are known here.
    pub(super) fn layer_stats(&self) -> LayerStats {
        self.stats
    }

    pub(super) fn finish(self) -> (Tree, Warnings) {
        (self.tree, self.warnings)
    }

    pub(super) fn warn(&mut self, path: &[u8], kind: WarningKind) {
        if let Some(name) = &self.name {
            self.warnings.add(name, path, kind);
        }
    }

    /// Removes a name with all below it, and gives back the contents.
    pub(super) fn remove(&mut self, dir: InodeId, name: &[u8]) -> Result<(), EntryError> {
        self.forget_parent(dir, name);
        release(self.store, self.tree.remove(dir, name))
    }

    /// Sets the inode of `name` in `dir` to `target`; replaces an old one.
    pub(super) fn relink(&mut self, dir: InodeId, name: &[u8], target: InodeId) -> Result<(), EntryError> {
        self.forget_parent(dir, name);
        self.count_name(name);
        let contents = self.tree.relink(dir, name, target).map_err(EntryError::Tree)?;
        release(self.store, contents)
    }

    fn forget_parent(&mut self, dir: InodeId, name: &[u8]) {
        let removed = self.tree.child(dir, name).map(|id| &self.tree.inode(id).kind);
        if matches!(removed, Some(NodeKind::Directory { .. } | NodeKind::Symlink { .. })) {
            self.parents.clear();
        }
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.account.budget
    }

    pub(super) fn check_cancelled(&self) -> Result<(), EntryError> {
        if self.account.cancellation.is_cancelled() { Err(EntryError::Cancelled) } else { Ok(()) }
    }

    /// Counts one more entry, or one more directory that entries imply.
    pub(super) fn count_entry(&mut self) -> Result<(), EntryError> {
        Ok(self.budget().charge(Cost::Entries, 1)?)
    }

    /// Counts the memory of one more inode with its name.
    pub(super) fn count_inode(&mut self, name: &[u8]) {
        self.entry_bytes += INODE_MEMORY_BYTES;
        self.count_name(name);
    }

    fn count_name(&mut self, name: &[u8]) {
        self.entry_bytes += NAME_MEMORY_BYTES + name.len() as u64;
    }

    /// Counts memory of the current entry besides that of its inode and its name.
    pub(super) fn count_memory(&mut self, bytes: u64) {
        self.entry_bytes += bytes;
    }

    pub(super) fn check_depth(&self, depth: u64) -> Result<(), EntryError> {
        let maximum = self.limits.max_depth;
        match depth > maximum {
            true => Err(EntryError::Limit {
                setting: Some(Setting("max_depth")),
                what: "directories on the way to a path",
                maximum,
            }),
            false => Ok(()),
        }
    }
}

fn release(store: &mut dyn ContentStore, contents: Vec<ContentId>) -> Result<(), EntryError> {
    let release = |id| store.release(id);
    contents.into_iter().try_for_each(release).map_err(|error: ContentError| EntryError::Content(error))
}
