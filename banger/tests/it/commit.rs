//! Disks are committed; the image that comes out, flattened or unpacked by umoci, equals the disk. `BANGER_CASES` says how many
//! random disks (20), `BANGER_SEED` which.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use banger::rootfs::{Ext4Editor, write_tar};
use banger::{
    Attributes, Cancellation, CommitError, CommitRequest, CommittedImage, Dirs, Error, Event, EventHandler,
    GuestPath, ImageSize, LayerCompression, NodeKind, PullRequest, Rootfs, RootfsError, commit_image, pull,
};
use banger_oci::flatten::WarningKind;
use banger_oci::{FlattenOptions, TarLayer, flatten};
use banger_testkit::{
    Ignore, ImageBuilder, LayoutBuilder, ReferenceTree, Skip, assert_equal, assert_same_tree,
    property_config, require, snapshot, umoci_unpack,
};
use banger_tree::{MemoryStore, Tree, TreeRootfs};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use tempfile::TempDir;

use crate::commit_edits::{Numbers, path, step};

const TIME: i64 = 1_700_000_000;
pub(crate) const TAG: &str = "1.0";

/// An image that was pulled, and a copy of its disk.
pub(crate) struct Place {
    _dir: TempDir,
    pub(crate) root: Utf8PathBuf,
    pub(crate) dirs: Dirs,
    pub(crate) disk: Utf8PathBuf,
}

impl Place {
    /// Makes an image with the layers `tars`, and pulls it.
    pub(crate) fn new(tars: Vec<Vec<u8>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let image = tars.into_iter().fold(ImageBuilder::new(), ImageBuilder::layer);
        LayoutBuilder::of(&image).write(root.join("base").as_std_path());
        let dirs = Dirs::new(root.join("state"), root.join("cache"));
        let place = Self { _dir: dir, disk: root.join("disk.ext4"), root, dirs };
        place.pull(&format!("oci:{}", place.root.join("base")));
        place
    }

    /// Pulls the base, and copies its disk.
    pub(crate) fn pull(&self, reference: &str) {
        let request = PullRequest::new(reference.parse().unwrap())
            .with_guest(None)
            .with_force(true)
            .with_size(ImageSize::Bytes(64 << 20))
            .with_name(Some("base".parse().unwrap()));
        let pulled = pull(&request, &self.dirs, &EventHandler::none(), &Cancellation::new()).unwrap();
        banger_testkit::copy_sparse(pulled.path.as_std_path(), self.disk.as_std_path());
    }

    pub(crate) fn edit(&self, edits: impl FnOnce(&mut Ext4Editor)) {
        let mut editor = Ext4Editor::open_to_edit(&self.disk).unwrap();
        edits(&mut editor);
        editor.commit().unwrap();
    }

    pub(crate) fn request(&self) -> CommitRequest {
        let target = format!("oci:{}:{TAG}", self.root.join("target"));
        CommitRequest::new(self.disk.as_str(), "base", target.parse().unwrap()).with_created_seconds(TIME)
    }

    pub(crate) fn commit_to(&self, name: &str, request: &CommitRequest) -> Result<CommittedImage, Error> {
        self.commit_at(&format!("oci:{}:{TAG}", self.root.join(name)), request)
    }

    pub(crate) fn commit_at(&self, target: &str, request: &CommitRequest) -> Result<CommittedImage, Error> {
        let mut request = request.clone();
        request.target = target.parse().unwrap();
        commit_image(&request, &self.dirs, &EventHandler::none(), &Cancellation::new())
    }

    pub(crate) fn commit(&self, name: &str, request: &CommitRequest) -> CommittedImage {
        self.commit_to(name, request).unwrap()
    }

    /// Fails unless the layers in the layout `name` give what the disk has.
    pub(crate) fn assert_is_disk(&self, name: &str) {
        let layout = self.root.join(name);
        let layers = layer_paths(&layout);
        let layers: Vec<_> =
            layers.iter().map(|path| TarLayer::new(path.as_str(), move || File::open(path))).collect();
        let mut store = MemoryStore::default();
        let mut flattened = flatten(&layers, &mut store, &FlattenOptions::default(), &|_| {}).unwrap();
        // An empty layer is a warning for a tar that belongs to no image.
        flattened.warnings.retain(|warning| warning.kind != WarningKind::NoEntries);
        assert!(flattened.warnings.is_empty(), "{:?}", flattened.warnings);
        let image = TreeRootfs::new(&mut flattened.tree, &mut store);
        let disk = Ext4Editor::open(&self.disk).unwrap();
        assert_equal(&image, &disk);
        let root = |rootfs: &dyn Rootfs| rootfs.stat(&GuestPath::root()).unwrap().unwrap().attributes;
        assert_eq!(root(&image), root(&disk));
    }
}

pub(crate) fn json(path: &Utf8Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub(crate) fn blob(layout: &Utf8Path, digest: &Value) -> Utf8PathBuf {
    layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"))
}

pub(crate) fn manifest(layout: &Utf8Path) -> Value {
    json(&blob(layout, &json(&layout.join("index.json"))["manifests"][0]["digest"]))
}

pub(crate) fn layer_paths(layout: &Utf8Path) -> Vec<Utf8PathBuf> {
    let manifest = manifest(layout);
    manifest["layers"].as_array().unwrap().iter().map(|layer| blob(layout, &layer["digest"])).collect()
}

/// Returns the tar of a tree of random edits.
fn random_layer(numbers: &mut Numbers) -> Vec<u8> {
    let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
    let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
    rootfs.create_dir(&path("/a"), &Attributes::with_mode(0o755)).unwrap();
    rootfs.create_dir(&path("/b"), &Attributes::with_mode(0o755)).unwrap();
    for _ in 0..20 + numbers.below(80) {
        step(numbers, &mut rootfs);
    }
    tar_of(&rootfs)
}

pub(crate) fn tar_of(rootfs: &dyn Rootfs) -> Vec<u8> {
    let mut tar = Vec::new();
    write_tar(rootfs, &GuestPath::root(), &mut tar, &|_| false, &Cancellation::new()).unwrap();
    tar
}

/// A base with a file of each kind, and a directory of files.
pub(crate) fn simple() -> Place {
    let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
    let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
    let (dir, file) = (Attributes::with_mode(0o755), Attributes::with_mode(0o644));
    for at in ["/etc", "/full", "/full/sub", "/was-dir", "/kept"] {
        rootfs.create_dir(&path(at), &dir).unwrap();
    }
    for at in [
        "/etc/hostname",
        "/full/1",
        "/full/2",
        "/full/sub/3",
        "/was-dir/x",
        "/was-file",
        "/kept/one",
        "/kept/two",
    ] {
        rootfs.write_file(&path(at), &mut at.as_bytes(), &file).unwrap();
    }
    rootfs.hard_link(&path("/full/1"), &path("/linked")).unwrap();
    rootfs.symlink(&path("/was-link"), b"/kept", &Attributes::with_mode(0o777)).unwrap();
    Place::new(vec![tar_of(&rootfs)])
}

/// Makes a random image with one or two layers, and a disk of it with random edits.
#[expect(clippy::print_stderr, reason = "a failing test shows which case it was")]
pub(crate) fn random_place(seed: u64, case: u64) -> Place {
    eprintln!("case {case}");
    let mut numbers = Numbers(seed.wrapping_add(case.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let layers = (0..1 + numbers.below(2)).map(|_| random_layer(&mut numbers)).collect();
    let place = Place::new(layers);
    place.edit(|disk| {
        for _ in 0..1 + numbers.below(60) {
            step(&mut numbers, disk);
        }
    });
    place
}

#[test]
fn random_disks_come_back_from_their_images() {
    let (cases, seed) = (property_config(20).cases, banger_testkit::seed());
    let (mut entries, mut whiteouts) = (0, 0);
    for case in 0..u64::from(cases) {
        let place = random_place(seed, case);
        let compression = if case % 2 == 0 { LayerCompression::Gzip } else { LayerCompression::Zstd };
        let diff = place.commit("diff", &place.request().with_compression(compression)).layer;
        place.assert_is_disk("diff");
        place.commit("whole", &place.request().with_squash(true));
        place.assert_is_disk("whole");
        assert_eq!(layer_paths(&place.root.join("whole")).len(), 1);
        (entries, whiteouts) = (entries + diff.entries, whiteouts + diff.whiteouts);
    }
    assert!(entries > 0 && whiteouts > 0, "{entries} entries and {whiteouts} whiteouts");
}

/// Fails unless umoci unpacks the layouts `diff` and `whole` to the same tree; returns that tree.
fn unpack_both(place: &Place) -> Result<ReferenceTree, Skip> {
    let unpack = |name: &str| umoci_unpack(place.root.join(name).as_std_path(), TAG);
    let (diff, whole) = (unpack("diff")?, unpack("whole")?);
    assert_same_tree(&snapshot(&diff.path()), &snapshot(&whole.path()), Ignore::default());
    Ok(diff)
}

#[test]
fn umoci_unpacks_random_disks() {
    let seed = banger_testkit::seed();
    for case in 0..u64::from(property_config(20).cases.div_ceil(4)) {
        let place = random_place(seed.wrapping_add(1), case);
        place.commit("diff", &place.request());
        place.commit("whole", &place.request().with_squash(true));
        require!(unpack_both(&place));
    }
}

#[test]
fn umoci_unpacks_a_diff_and_a_whole_disk_to_the_same_tree() {
    let place = simple();
    place.edit(|disk| {
        let attributes = Attributes { uid: 7, gid: 70_000, ..Attributes::with_mode(0o640) };
        disk.remove(&path("/full")).unwrap();
        disk.create_dir(&path("/full"), &attributes).unwrap();
        disk.write_file(&path("/full/new"), &mut &b"new"[..], &attributes).unwrap();
        disk.remove(&path("/was-dir")).unwrap();
        disk.write_file(&path("/was-dir"), &mut &b"a file"[..], &attributes).unwrap();
        for (at, below) in [("/was-file", "/was-file/below"), ("/was-link", "/was-link/below")] {
            disk.remove(&path(at)).unwrap();
            disk.create_dir(&path(at), &attributes).unwrap();
            disk.write_file(&path(below), &mut &b"below"[..], &attributes).unwrap();
        }
        disk.remove(&path("/kept/one")).unwrap();
        disk.hard_link(&path("/kept/two"), &path("/kept/three")).unwrap();
        let mut sparse = vec![0; 1 << 20];
        sparse[600_000] = 1;
        disk.write_file(&path("/sparse"), &mut &sparse[..], &attributes).unwrap();
        let long = path("/kept").join(&[b'l'; 250]).unwrap();
        disk.write_file(&long, &mut &b"long"[..], &attributes).unwrap();
        disk.mknod(&path("/null"), &NodeKind::CharDevice { major: 1, minor: 3 }, &attributes).unwrap();
        disk.mknod(&path("/fifo"), &NodeKind::Fifo, &attributes).unwrap();
    });
    let diff = place.commit("diff", &place.request());
    place.assert_is_disk("diff");
    place.commit("whole", &place.request().with_squash(true));
    assert!(diff.layer.entries > 10 && diff.layer.whiteouts == 2, "{diff:?}");
    let tree = require!(unpack_both(&place));
    assert_eq!(fs::read(tree.path().join("sparse")).unwrap().len(), 1 << 20);
}

#[test]
fn an_unchanged_disk_gives_an_empty_layer_and_the_whole_configuration_of_the_base() {
    let place = simple();
    let image =
        place.commit("same", &place.request().with_author("me".to_owned()).with_comment("why".to_owned()));
    assert_eq!((image.layer.entries, image.layer.whiteouts, image.base_layers), (0, 0, 1));
    let layout = place.root.join("same");
    let config = json(&blob(&layout, &manifest(&layout)["config"]["digest"]));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
    assert_eq!(config["rootfs"]["diff_ids"][1], image.layer.diff_id.as_str());
    assert_eq!((&config["created"], &config["author"]), (&"2023-11-14T22:13:20Z".into(), &"me".into()));
    let history = config["history"].as_array().unwrap();
    assert_eq!(history.last().unwrap()["comment"], "why");
    place.assert_is_disk("same");
}

#[test]
fn equal_commits_have_equal_bytes() {
    let place = simple();
    place.edit(|disk| {
        disk.write_file(&path("/new"), &mut &[7; 100_000][..], &Attributes::with_mode(0o600)).unwrap();
    });
    for (squash, compression) in [(false, LayerCompression::Gzip), (true, LayerCompression::Zstd)] {
        let request = place.request().with_squash(squash).with_compression(compression);
        let [one, two] = ["one", "two"].map(|name| {
            let name = format!("{name}-{squash}");
            place.commit(&name, &request);
            snapshot(place.root.join(name).as_std_path())
        });
        let contents = |tree: &banger_testkit::Snapshot| {
            tree.iter().map(|(path, entry)| (path.clone(), entry.sha256)).collect::<Vec<_>>()
        };
        assert_eq!(contents(&one), contents(&two));
    }
}

#[test]
fn what_a_run_leaves_and_what_a_tar_cannot_have_is_left_out() {
    let place = simple();
    place.edit(|disk| {
        for dir in ["/var", "/var/lib", "/var/lib/banger", "/var/log"] {
            disk.create_dir(&path(dir), &Attributes::with_mode(0o755)).unwrap();
        }
        for file in
            ["/var/lib/banger/first-boot-done", "/var/log/banger-first-boot.log", "/lost+found/#12", "/.wh.x"]
        {
            disk.write_file(&path(file), &mut &b"x"[..], &Attributes::with_mode(0o600)).unwrap();
        }
        disk.mknod(&path("/socket"), &NodeKind::Socket, &Attributes::with_mode(0o600)).unwrap();
    });
    for squash in [false, true] {
        let name = format!("out-{squash}");
        let image = place.commit(&name, &place.request().with_squash(squash));
        assert_eq!(image.warning_count, 2, "{:?}", image.warnings);
        assert!(image.warnings.iter().any(|warning| warning.starts_with("/socket was left out")));
        let layers = layer_paths(&place.root.join(&name));
        let layers: Vec<_> = layers.iter().map(|path| TarLayer::new("l", move || File::open(path))).collect();
        let mut store = MemoryStore::default();
        let mut flattened = flatten(&layers, &mut store, &FlattenOptions::default(), &|_| {}).unwrap();
        let image = TreeRootfs::new(&mut flattened.tree, &mut store);
        let has = |at: &str| image.stat(&path(at)).unwrap().is_some();
        assert!(has("/var/lib/banger") && has("/kept/one"));
        for gone in [
            "/var/lib/banger/first-boot-done",
            "/var/log/banger-first-boot.log",
            "/lost+found",
            "/.wh.x",
            "/socket",
        ] {
            assert!(!has(gone), "{gone}");
        }
    }
}

/// Returns the names in the directory of a place that tests did not make.
fn left_behind(place: &Place) -> Vec<String> {
    let made = ["base", "state", "cache", "disk.ext4"];
    let names = place.root.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned());
    names.filter(|name| !made.contains(&name.as_str())).collect()
}

#[test]
fn a_failed_commit_leaves_nothing() {
    let place = simple();
    let editor = Ext4Editor::open_to_edit(&place.disk).unwrap();
    let error = place.commit_to("no", &place.request()).unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Rootfs { source: banger::rootfs::EditError::Rootfs(RootfsError::InUse { .. }), .. }
        ),
        "{error}"
    );
    drop(editor);
    // The base's blobs are gone.
    fs::rename(place.root.join("base"), place.root.join("state/base")).unwrap();
    let error = place.commit_to("no", &place.request()).unwrap_err();
    assert!(matches!(&error, Error::Commit(CommitError::GoneBlob { .. })) && error.code() == 1286, "{error}");
    place.commit("squashed", &place.request().with_squash(true));
    fs::remove_dir_all(place.root.join("squashed")).unwrap();
    // They are in the cache.
    fs::remove_dir_all(place.root.join("cache/oci/blobs")).unwrap();
    fs::rename(place.root.join("state/base/blobs"), place.root.join("cache/oci/blobs")).unwrap();
    place.commit("cached", &place.request());
    place.assert_is_disk("cached");
    // A layer of the base is damaged.
    let layer = layer_paths(&place.root.join("cached")).remove(0);
    let layer = place.root.join("cache/oci").join(layer.strip_prefix(place.root.join("cached")).unwrap());
    let mut bytes = fs::read(&layer).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&layer, bytes).unwrap();
    fs::remove_dir_all(place.root.join("cached")).unwrap();
    let error = place.commit_to("no", &place.request()).unwrap_err();
    assert!(matches!(&error, Error::Commit(CommitError::DamagedBlob { .. })), "{error}");
    // The directory of the root is damaged.
    let disk = fs::read(&place.disk).unwrap();
    // An entry of a directory: the length of the name and the type, then the name.
    let entry = b"\x08\x01hostname";
    let at = disk.windows(entry.len()).position(|bytes| bytes == entry).unwrap();
    let file = File::options().write(true).open(&place.disk).unwrap();
    file.write_all_at(&[0xff], at as u64 - 1).unwrap();
    drop(file);
    let error = place.commit_to("no", &place.request().with_squash(true)).unwrap_err();
    assert_eq!(error.kind(), banger::ErrorKind::Damaged, "{error}");
    assert_eq!(left_behind(&place), [""; 0]);
}

#[test]
fn a_cancelled_commit_leaves_nothing() {
    let place = simple();
    place.edit(|disk| {
        disk.mknod(&path("/socket"), &NodeKind::Socket, &Attributes::with_mode(0o600)).unwrap();
    });
    let before = Cancellation::new();
    before.cancel();
    // The second one is cancelled by the handler of its first event, when the layer is written.
    let stops = EventHandler::new(|event: &Event| match event {
        Event::Warning { .. } => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    });
    for (events, cancellation) in [(EventHandler::none(), before), (stops, Cancellation::new())] {
        let error = commit_image(&place.request(), &place.dirs, &events, &cancellation).unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
        assert_eq!(left_behind(&place), [""; 0]);
    }
}
