//! Layers in memory, and what they make of a tree.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};

use crate::images;
use banger_oci::Digest;
use banger_oci::flatten::{
    FlattenError, FlattenOptions, Flattened, LayerName, LayerSource, WarningKind, flatten,
};
use banger_tree::{Attributes, ContentStore, GuestPath, MemoryStore, NodeKind};

/// A layer in memory, published as it is.
#[derive(Clone, Debug)]
pub(crate) struct MemoryLayer {
    pub(crate) published: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) diff_id: Digest,
}

impl MemoryLayer {
    pub(crate) fn plain(tar: Vec<u8>) -> Self {
        let digest = Digest::of(&tar);
        Self { diff_id: digest.clone(), digest, published: tar }
    }

    pub(crate) fn compressed(tar: &[u8], published: Vec<u8>) -> Self {
        Self { digest: Digest::of(&published), diff_id: Digest::of(tar), published }
    }
}

impl LayerSource for MemoryLayer {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.published.clone())))
    }
    fn name(&self) -> LayerName {
        LayerName::Digest(self.digest.clone())
    }
    fn diff_id(&self) -> Option<&Digest> {
        Some(&self.diff_id)
    }
    fn size_bytes(&self) -> u64 {
        self.published.len() as u64
    }
}

/// A tree with its contents.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) flattened: Flattened,
    pub(crate) store: MemoryStore,
}

pub(crate) fn apply(tars: &[Vec<u8>]) -> Result<Outcome, FlattenError> {
    apply_with(tars, &FlattenOptions::default())
}

pub(crate) fn apply_with(tars: &[Vec<u8>], options: &FlattenOptions) -> Result<Outcome, FlattenError> {
    let layers: Vec<MemoryLayer> = tars.iter().cloned().map(MemoryLayer::plain).collect();
    apply_layers(&layers, options)
}

/// Applies layers to a store in memory, and to images of both backends, which have to come out the
/// same.
pub(crate) fn apply_layers<S: LayerSource>(
    layers: &[S],
    options: &FlattenOptions,
) -> Result<Outcome, FlattenError> {
    let mut applied = apply_to_memory(layers, options);
    match &mut applied {
        Ok(outcome) => {
            images::check_equal(layers, options, &mut outcome.flattened.tree, &mut outcome.store);
        }
        Err(error) => images::check_refused(layers, options, error),
    }
    check_without_threads(layers, options, &applied);
    applied
}

/// Fails unless the calling thread alone has the same result.
fn check_without_threads<S: LayerSource>(
    layers: &[S],
    options: &FlattenOptions,
    want: &Result<Outcome, FlattenError>,
) {
    let mut options = options.clone().with_streams(0);
    options.budget = options.budget.as_ref().map(banger_tree::Budget::renewed);
    match (apply_to_memory(layers, &options), want) {
        (Ok(found), Ok(want)) => {
            assert_eq!(found.listing(), want.listing());
            assert_eq!(found.warnings(), want.warnings());
            assert_eq!(found.flattened.layers, want.flattened.layers);
        }
        (Err(found), Err(want)) => assert_eq!(found.to_string(), want.to_string()),
        (found, want) => panic!("{:?} and not {:?}", found.map(|found| found.listing()), want.as_ref().err()),
    }
}

/// Applies layers to a store in memory alone, for what is done thousands of times.
pub(crate) fn apply_in_memory(tars: &[Vec<u8>]) -> Result<Outcome, FlattenError> {
    let layers: Vec<MemoryLayer> = tars.iter().cloned().map(MemoryLayer::plain).collect();
    apply_to_memory(&layers, &FlattenOptions::default())
}

pub(crate) fn apply_to_memory<S: LayerSource>(
    layers: &[S],
    options: &FlattenOptions,
) -> Result<Outcome, FlattenError> {
    let mut store = MemoryStore::default();
    let flattened = flatten(layers, &mut store, options, &|_| {})?;
    let outcome = Outcome { flattened, store };
    outcome.check_contents();
    Ok(outcome)
}

/// The tree of one layer after the other; fails the test on an error.
pub(crate) fn tree_of(tars: &[Vec<u8>]) -> Outcome {
    apply(tars).unwrap_or_else(|error| panic!("{error}"))
}

/// What a stack of layers fails with: `layer` is the index of the one to blame.
pub(crate) fn error_of(tars: &[Vec<u8>], layer: usize) -> String {
    let error = apply(tars).map(|outcome| outcome.listing()).expect_err("the layers are refused").to_string();
    assert!(error.contains(&Digest::of(&tars[layer]).to_string()), "{error} names the layer");
    error
}

impl Outcome {
    /// Every content of the store is in the tree once, and has the right size.
    fn check_contents(&self) {
        let mut named = BTreeSet::new();
        for (path, id) in self.flattened.tree.walk() {
            if let NodeKind::Regular { size_bytes, content } = self.flattened.tree.inode(id).kind {
                assert_eq!(size_bytes > 0, content.is_some(), "{path}");
                named.extend(content);
            }
        }
        assert_eq!(named.len(), self.store.len(), "contents that nothing names are released");
    }

    /// One line a path but the root: `/dir/`, `/file=bytes`, `/link->target`, `/dev b8:1`.
    pub(crate) fn listing(&self) -> Vec<String> {
        let line = |path: GuestPath, kind: &NodeKind| match kind {
            NodeKind::Directory { .. } => format!("{path}/"),
            NodeKind::Regular { .. } => {
                format!("{path}={}", String::from_utf8_lossy(&self.content(kind)))
            }
            NodeKind::Symlink { target } => format!("{path}->{}", String::from_utf8_lossy(target)),
            NodeKind::CharDevice { major, minor } => format!("{path} c{major}:{minor}"),
            NodeKind::BlockDevice { major, minor } => format!("{path} b{major}:{minor}"),
            NodeKind::Fifo => format!("{path} fifo"),
            NodeKind::Socket => format!("{path} socket"),
        };
        let tree = &self.flattened.tree;
        tree.walk().skip(1).map(|(path, id)| line(path, &tree.inode(id).kind)).collect()
    }

    fn inode(&self, path: &str) -> &banger_tree::Inode {
        let path = GuestPath::parse(path).unwrap();
        let resolved = self.flattened.tree.resolve(&path, false).unwrap();
        self.flattened.tree.inode(resolved.node.unwrap_or_else(|| panic!("{path} is missing")))
    }

    pub(crate) fn attributes(&self, path: &str) -> &Attributes {
        &self.inode(path).attributes
    }

    pub(crate) fn kind(&self, path: &str) -> &NodeKind {
        &self.inode(path).kind
    }

    /// How many names the inode at `path` has.
    pub(crate) fn names(&self, path: &str) -> u32 {
        self.inode(path).names()
    }

    pub(crate) fn bytes(&self, path: &str) -> Vec<u8> {
        self.content(&self.inode(path).kind)
    }

    /// The bytes of a regular file.
    pub(crate) fn content(&self, kind: &NodeKind) -> Vec<u8> {
        let NodeKind::Regular { size_bytes, content } = kind else { panic!("{kind:?} is no file") };
        let mut bytes = vec![0; usize::try_from(*size_bytes).unwrap()];
        if let Some(id) = content {
            assert_eq!(self.store.read_at(*id, 0, &mut bytes).unwrap(), bytes.len());
        }
        bytes
    }

    pub(crate) fn warnings(&self) -> Vec<(&str, &WarningKind)> {
        self.flattened.warnings.iter().map(|warning| (warning.path.as_str(), &warning.kind)).collect()
    }
}
