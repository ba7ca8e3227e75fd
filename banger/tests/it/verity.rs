//! Images with a dm-verity hash tree: pulled, copied, edited, pushed and pulled again.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use banger::boot::BootImage;
use banger::rootfs::{Destination, NewSize, Put, PutSource, edit, resize};
use banger::{
    Cancellation, Dirs, Error, ErrorKind, EventHandler, ImageName, ImagePushRequest, ImageStore, PullRequest,
    PulledFile, Timestamp, VERITY_FILE, VerityError, VerityPlace, pull, pull_to_file, push_image,
};
use banger_oci::Digest;
use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, require, tools, zstd};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

/// A machine with one image, and a place for outputs.
struct Machine {
    _dir: tempfile::TempDir,
    path: Utf8PathBuf,
    dirs: Dirs,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let layer = LayerBuilder::new().dir("opt").file("opt/app", vec![7; 300_000]).finish();
        LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(path.join("image").as_std_path());
        let dirs = Dirs::new(path.join("state"), path.join("cache"));
        Self { _dir: dir, path, dirs }
    }

    fn request(&self, verity: Option<VerityPlace>) -> PullRequest {
        PullRequest::new(format!("oci:{}", self.path.join("image")).parse().unwrap())
            .with_name(name("app"))
            .with_guest(None)
            .with_size(banger::ImageSize::Bytes(64 << 20))
            .with_verity(verity)
    }

    fn pull(&self, request: &PullRequest) -> Result<PulledFile, Error> {
        pull(request, &self.dirs, &EventHandler::none(), &Cancellation::new())
    }

    fn store(&self) -> ImageStore {
        ImageStore::new(&self.dirs.state)
    }

    fn push(&self) -> Layout {
        let target = self.path.join("artifact");
        let request = ImagePushRequest::new("app", format!("oci:{target}:app").parse().unwrap());
        push_image(&request, &self.dirs, &EventHandler::none(), &Cancellation::new()).unwrap();
        Layout(target)
    }

    /// Pulls what was pushed, on another machine.
    fn pull_artifact(&self, verity: Option<VerityPlace>) -> Result<PulledFile, Error> {
        let dirs = Dirs::new(self.path.join("other/state"), self.path.join("other/cache"));
        let target = format!("oci:{}:app", self.path.join("artifact"));
        let request = PullRequest::new(target.parse().unwrap()).with_name(name("app")).with_verity(verity);
        pull(&request, &dirs, &EventHandler::none(), &Cancellation::new())
    }
}

fn name(text: &str) -> Option<ImageName> {
    Some(text.parse().unwrap())
}

/// The layout of an artifact.
struct Layout(Utf8PathBuf);

impl Layout {
    fn blob(&self, digest: &str) -> Utf8PathBuf {
        self.0.join("blobs").join(digest.replace(':', "/"))
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(self.0.join("index.json")).unwrap()).unwrap()
    }

    fn manifest(&self) -> Value {
        let digest = self.index()["manifests"][0]["digest"].as_str().unwrap().to_owned();
        serde_json::from_slice(&fs::read(self.blob(&digest)).unwrap()).unwrap()
    }

    fn put(&self, bytes: &[u8]) -> (Value, Value) {
        let digest = Digest::of(bytes).to_string();
        fs::write(self.blob(&digest), bytes).unwrap();
        (json!(digest), json!(bytes.len()))
    }

    fn set_manifest(&self, change: impl FnOnce(&mut Value)) {
        let (mut index, mut manifest) = (self.index(), self.manifest());
        change(&mut manifest);
        let (digest, size) = self.put(&serde_json::to_vec(&manifest).unwrap());
        (index["manifests"][0]["digest"], index["manifests"][0]["size"]) = (digest, size);
        fs::write(self.0.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    }
}

fn flip(path: &Utf8Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn problems(machine: &Machine) -> Vec<String> {
    machine.store().verify("app", &Cancellation::new()).unwrap().problems
}

#[test]
fn a_managed_image_has_its_tree_beside_it() {
    let machine = Machine::new();
    let pulled = machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap();
    let verity = pulled.record.verity.clone().unwrap();
    assert_eq!((verity.data_blocks, verity.hash_offset_bytes), (16_384, 0));
    assert_eq!(verity.file, VERITY_FILE);
    let tree = pulled.path.with_file_name(VERITY_FILE);
    let image = BootImage::open("app", &machine.dirs, &Cancellation::new()).unwrap();
    assert_eq!(image.verity_disk().unwrap().tree, Some(tree.clone()));
    // The same options find the same image; others build another one with the same file system.
    assert!(machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap().unchanged);
    let plain = machine.pull(&machine.request(None)).unwrap();
    assert!(!plain.unchanged && plain.record.verity.is_none());
    assert!(!plain.path.with_file_name(VERITY_FILE).exists());
    let again = machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap();
    assert_eq!(again.record.verity, Some(verity.clone()), "salt and UUID are made from the file system");
    let mut command = require!(tools::command("veritysetup"));
    let tree = again.path.with_file_name(VERITY_FILE);
    tools::run(command.args(["verify", again.path.as_str(), tree.as_str(), &verity.root_hash]));
}

#[test]
fn a_missing_tree_is_made_again() {
    let machine = Machine::new();
    let pulled = machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap();
    fs::remove_file(pulled.path.with_file_name(VERITY_FILE)).unwrap();
    assert_eq!(problems(&machine), ["the hash tree of dm-verity is missing"]);
    drop(pulled);
    let again = machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap();
    assert!(!again.unchanged);
    assert_eq!(problems(&machine), [""; 0]);
}

#[test]
fn files_of_the_caller_have_their_tree_beside_or_behind() {
    let machine = Machine::new();
    let output = |name: &str, verity| {
        let file = machine.path.join(name);
        let request = machine.request(verity);
        let pulled =
            pull_to_file(&request, &file, &machine.dirs, &EventHandler::none(), &Cancellation::new());
        (file, pulled.unwrap().record.verity)
    };
    let (plain, none) = output("plain.ext4", None);
    assert_eq!(none, None);
    let (beside, of_beside) = output("beside.ext4", Some(VerityPlace::Beside));
    let (appended, of_appended) = output("appended.ext4", Some(VerityPlace::Append));
    let (of_beside, of_appended) = (of_beside.unwrap(), of_appended.unwrap());
    assert_eq!(of_beside.file, "beside.ext4.verity");
    assert_eq!((of_appended.file.as_str(), of_appended.hash_offset_bytes), ("appended.ext4", 64 << 20));
    assert_eq!(of_beside.root_hash, of_appended.root_hash);
    let tree = fs::read(machine.path.join("beside.ext4.verity")).unwrap();
    let bytes = fs::read(&plain).unwrap();
    assert!(fs::read(&beside).unwrap() == bytes);
    assert!(fs::read(&appended).unwrap() == [bytes, tree].concat());
    let left = fs::read_dir(&machine.path).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".banger")), "a leftover");
    // Neither may be edited, a plain copy may.
    let put = |file: &Utf8Path| {
        edit(file, Timestamp::default(), &Cancellation::new(), |edit| {
            let source = PutSource::Reader(&mut &b"x"[..]);
            edit.put(vec![source], &Destination::parse(b"/new")?, &Put::default())
        })
    };
    for (file, in_file) in [(&beside, machine.path.join("beside.ext4.verity")), (&appended, appended.clone())]
    {
        let errors = [
            put(file).map(drop).unwrap_err(),
            resize(file, NewSize::More(1 << 20), &Cancellation::new()).map(drop).unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.code(), error.kind()), (1292, ErrorKind::Unsupported));
            assert!(matches!(&error, Error::Verity(VerityError::Protected { tree, .. }) if *tree == in_file));
        }
    }
    put(&plain).unwrap();
}

#[test]
fn trees_that_have_no_place_are_refused() {
    let machine = Machine::new();
    let error = machine.pull(&machine.request(Some(VerityPlace::Append))).unwrap_err();
    assert!(error.to_string().starts_with("verity append: a managed image"), "{error}");
    let file = tempfile::tempfile().unwrap();
    let fd = banger::OutputFd::new(&file).unwrap();
    let request = machine.request(Some(VerityPlace::Beside));
    let error = banger::pull_to_fd(&request, &fd, &machine.dirs, &EventHandler::none(), &Cancellation::new());
    assert!(error.unwrap_err().to_string().starts_with("verity beside: an open file"));
    // Nothing is left if the file of the tree is taken.
    fs::write(machine.path.join("disk.ext4.verity"), "mine").unwrap();
    let output = machine.path.join("disk.ext4");
    let error = pull_to_file(&request, &output, &machine.dirs, &EventHandler::none(), &Cancellation::new());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Exists);
    assert!(!output.exists());
    assert_eq!(fs::read(machine.path.join("disk.ext4.verity")).unwrap(), b"mine");
}

#[test]
fn copies_keep_the_tree_and_exports_do_not() {
    let machine = Machine::new();
    let pulled = machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap();
    let (store, stop) = (machine.store(), Cancellation::new());
    let clone = store.clone_image("app", "copy".parse().unwrap(), &stop).unwrap();
    assert_eq!(clone.record.verity, pulled.record.verity);
    assert!(store.verify("copy", &stop).unwrap().is_sound());
    let error = resize(&clone.path, NewSize::More(1 << 20), &stop).unwrap_err();
    assert_eq!(error.code(), 1292);
    let exported = machine.path.join("exported.ext4");
    assert_eq!(store.export("app", &exported, false, &stop).unwrap().verity, None);
    resize(&exported, NewSize::More(1 << 20), &stop).unwrap();
}

#[test]
fn every_changed_bit_is_found() {
    let machine = Machine::new();
    let pulled = machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap();
    assert_eq!(problems(&machine), [""; 0]);
    let tree = pulled.path.with_file_name(VERITY_FILE);
    // Content of a file, and a hole; then superblock, top, bottom and end of the tree.
    for (path, at) in [
        (&pulled.path, (64 << 20) - 1),
        (&pulled.path, 30 << 20),
        (&tree, 90),
        (&tree, 4096),
        (&tree, 2 * 4096 + 5),
        (&tree, 130 * 4096 - 1),
    ] {
        flip(path, at);
        assert!(!problems(&machine).is_empty(), "{path} {at}");
        flip(path, at);
    }
    assert_eq!(problems(&machine), [""; 0]);
}

#[test]
fn artifacts_carry_the_tree() {
    let machine = Machine::new();
    let pulled = machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap();
    let verity = pulled.record.verity.clone().unwrap();
    let layout = machine.push();
    let manifest = layout.manifest();
    assert_eq!(manifest["annotations"]["dev.banger.verity.root-hash"], json!(verity.root_hash));
    let last = manifest["layers"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["mediaType"], "application/vnd.banger.rootfs.verity.v1+zstd");
    for wanted in [None, Some(VerityPlace::Beside)] {
        let other = machine.pull_artifact(wanted).unwrap();
        assert_eq!(other.record.verity, Some(verity.clone()));
        assert!(fs::read(&other.path).unwrap() == fs::read(&pulled.path).unwrap());
        let trees =
            [&other.path, &pulled.path].map(|path| fs::read(path.with_file_name(VERITY_FILE)).unwrap());
        assert!(trees[0] == trees[1]);
    }
    // A file of the caller gets the tree on request only.
    let file = machine.path.join("disk.ext4");
    let request = PullRequest::new(format!("oci:{}:app", layout.0).parse().unwrap()).with_force(true);
    let to_file = |request: &PullRequest| {
        pull_to_file(request, &file, &machine.dirs, &EventHandler::none(), &Cancellation::new()).unwrap()
    };
    assert_eq!(to_file(&request).record.verity, None);
    let record = to_file(&request.with_verity(Some(VerityPlace::Append))).record;
    assert_eq!(record.verity.unwrap().root_hash, verity.root_hash);
}

#[test]
fn an_artifact_without_a_tree_gets_one_on_request() {
    let machine = Machine::new();
    let verity = machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap().record.verity;
    machine.pull(&machine.request(None)).unwrap();
    let layout = machine.push();
    assert!(layout.manifest().get("annotations").is_none());
    assert_eq!(machine.pull_artifact(None).unwrap().record.verity, None);
    let with_tree = machine.pull_artifact(Some(VerityPlace::Beside)).unwrap();
    assert!(!with_tree.unchanged);
    assert_eq!(with_tree.record.verity, verity);
}

/// A change of a manifest, and what the refusal says.
type Damage<'a> = (&'a dyn Fn(&Layout, &mut Value), &'a str);

#[test]
fn artifacts_with_another_tree_are_refused() {
    let machine = Machine::new();
    machine.pull(&machine.request(Some(VerityPlace::Beside))).unwrap();
    let last = |manifest: &Value| manifest["layers"].as_array().unwrap().len() - 1;
    let set_tree = |layout: &Layout, manifest: &mut Value, tree: &[u8]| {
        let blob = zstd(tree);
        let (digest, size) = layout.put(&blob);
        let last = last(manifest);
        (manifest["layers"][last]["digest"], manifest["layers"][last]["size"]) = (digest, size);
    };
    let tree = {
        let store = machine.store();
        fs::read(store.open("app", &Cancellation::new()).unwrap().path.with_file_name(VERITY_FILE)).unwrap()
    };
    let damaged: [Damage<'_>; 7] = [
        (
            &|_, manifest| manifest["annotations"]["dev.banger.verity.root-hash"] = json!("0".repeat(64)),
            "annotation",
        ),
        (&|_, manifest| drop(manifest.as_object_mut().unwrap().remove("annotations")), "annotation"),
        (&|_, manifest| drop(manifest["layers"].as_array_mut().unwrap().pop()), "no blob of it"),
        (
            &|layout, manifest| {
                let mut other = tree.clone();
                other[4096] ^= 1;
                set_tree(layout, manifest, &other);
            },
            "its root hash is",
        ),
        (&|layout, manifest| set_tree(layout, manifest, &tree[..tree.len() - 4096]), "bytes, not"),
        (&|layout, manifest| set_tree(layout, manifest, &[&tree[..], &[0]].concat()), "too long"),
        (
            &|layout, manifest| {
                let (digest, size) = layout.put(b"no frame");
                let last = last(manifest);
                (manifest["layers"][last]["digest"], manifest["layers"][last]["size"]) = (digest, size);
            },
            "decompressed",
        ),
    ];
    for (damage, reason) in damaged {
        let _ = fs::remove_dir_all(machine.path.join("artifact"));
        let layout = machine.push();
        layout.set_manifest(|manifest| damage(&layout, manifest));
        let error = machine.pull_artifact(None).unwrap_err();
        assert!(error.code() == 1270 && error.to_string().contains(reason), "{reason}: {error}");
        assert!(ImageStore::new(&machine.path.join("other/state")).list().unwrap().images.is_empty());
    }
}
