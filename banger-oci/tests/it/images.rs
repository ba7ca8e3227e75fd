//! Layers applied to ext4 images under construction: what is read back has to be what a store in
//! memory got, whichever backend made the image.

use banger_e2fsprogs::E2fsprogsBackend;
use banger_ext4::{Ext4Backend, Ext4Error, Ext4Options, ImageSize, NativeBackend};
use banger_oci::flatten::{FlattenError, FlattenOptions, LayerSource, flatten};
use banger_testkit::{Skip, assert_equal, assert_silent};
use banger_tree::{Cancellation, MemoryStore, Tree, TreeRootfs};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::layers::MemoryLayer;
use crate::tarball::Tar;

/// A directory for images and for what the tools need meanwhile.
struct Workplace {
    _dir: TempDir,
    images: Utf8PathBuf,
    scratch: Utf8PathBuf,
}

impl Workplace {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(dir.path()).unwrap();
        let [images, scratch] = ["images", "scratch"].map(|name| root.join(name));
        std::fs::create_dir(&images).unwrap();
        std::fs::create_dir(&scratch).unwrap();
        Self { _dir: dir, images, scratch }
    }

    /// Calls `check` with each backend that this machine can use, and the path of an image to make.
    fn each_backend(&self, check: impl Fn(&dyn Ext4Backend, &Utf8Path)) {
        let e2fsprogs = E2fsprogsBackend::new().with_scratch_directory(&self.scratch);
        for backend in [&NativeBackend as &dyn Ext4Backend, &e2fsprogs] {
            let image = self.images.join(backend.name());
            // Dropped at once, it takes its file away.
            let probe = backend.create(&image, &options()).map(drop);
            match probe {
                Err(Ext4Error::ToolMissing { .. }) => Skip::new("no e2fsprogs on this machine").report(),
                _ => check(backend, &image),
            }
        }
    }

    fn leftovers(&self) -> Vec<Utf8PathBuf> {
        let entries = [&self.images, &self.scratch].map(|dir| dir.read_dir_utf8().unwrap());
        entries.into_iter().flatten().map(|entry| entry.unwrap().into_path()).collect()
    }
}

fn options() -> Ext4Options {
    Ext4Options::default()
        .with_size(ImageSize::Auto { at_least_bytes: 64 << 20 })
        .with_uuid(*b"uuid of an image")
        .with_hash_seed(*b"seed for hashing")
}

/// Fails unless images of `layers` hold what `tree` says with the contents of `store`.
pub(crate) fn check_equal<S: LayerSource>(
    layers: &[S],
    flatten_options: &FlattenOptions,
    tree: &mut Tree,
    store: &mut MemoryStore,
) {
    let root = tree.inode(tree.root()).attributes.clone();
    let model = TreeRootfs::new(tree, store);
    Workplace::new().each_backend(|backend, image| {
        let name = backend.name();
        let mut builder = backend.create(image, &options()).unwrap();
        let flattened = flatten(layers, &mut *builder, flatten_options, &|_| {}).unwrap();
        builder.build_ext4(&flattened.tree).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Err(skip) = assert_silent(image.as_std_path()) {
            skip.report();
        }
        // One reader for both: what differs is what was written.
        let rootfs = NativeBackend.open(image).unwrap();
        assert_equal(&model, &*rootfs);
        let found = rootfs.stat(&banger_tree::GuestPath::root()).unwrap().unwrap();
        assert_eq!(found.attributes, root, "{name}: the root's attributes");
    });
}

/// Fails unless images of `layers` are refused as `error` says, and leave nothing behind.
pub(crate) fn check_refused<S: LayerSource>(
    layers: &[S],
    flatten_options: &FlattenOptions,
    error: &FlattenError,
) {
    let place = Workplace::new();
    place.each_backend(|backend, image| {
        let mut builder = backend.create(image, &options()).unwrap();
        let refused = flatten(layers, &mut *builder, flatten_options, &|_| {}).map(drop).unwrap_err();
        assert_eq!(refused.to_string(), error.to_string(), "{}", backend.name());
        drop(builder);
    });
    assert_eq!(place.leftovers(), [""; 0]);
}

/// Fails unless images of both backends refuse the one layer `tar`, naming it and `path`.
pub(crate) fn refused_by_images(tar: Vec<u8>, path: &str) {
    let layer = MemoryLayer::plain(tar);
    let place = Workplace::new();
    place.each_backend(|backend, image| {
        let mut builder = backend.create(image, &options()).unwrap();
        let layers = std::slice::from_ref(&layer);
        let refused = flatten(layers, &mut *builder, &FlattenOptions::default(), &|_| {}).map(drop);
        let error = refused.unwrap_err().to_string();
        assert!(
            error.contains(&layer.digest.to_string()) && error.contains(path),
            "{}: {error}",
            backend.name()
        );
    });
    assert_eq!(place.leftovers(), [""; 0]);
}

/// A tree whose contents are in another store is written by the native builder to the same bytes.
#[test]
fn contents_of_another_store_are_copied_to_a_builder() {
    let tar = Tar::new().file("z", "first").dir("d").file("d/a", [7; 5000]).file("d/b", [3; 70_000]);
    let layer = MemoryLayer::plain(tar.hard_link("link", "z").symlink("s", "d/b").file("empty", "").end());
    let layers = std::slice::from_ref(&layer);
    let place = Workplace::new();
    let image = place.images.join("image");
    let build = |copies: bool| {
        let mut builder = NativeBackend.create(&image, &options()).unwrap();
        let tree = if copies {
            let mut store = MemoryStore::default();
            let mut tree = flatten(layers, &mut store, &FlattenOptions::default(), &|_| {}).unwrap().tree;
            tree.copy_contents(&store, &mut *builder, &Cancellation::new()).unwrap();
            tree
        } else {
            flatten(layers, &mut *builder, &FlattenOptions::default(), &|_| {}).unwrap().tree
        };
        builder.build_ext4(&tree).unwrap();
        let bytes = std::fs::read(&image).unwrap();
        std::fs::remove_file(&image).unwrap();
        bytes
    };
    assert!(build(false) == build(true), "the images differ");
}
