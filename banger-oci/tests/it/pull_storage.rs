//! The storage of podman and buildah, read in place.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use banger_oci::{LocalSources, PullError};
use banger_testkit::{require, tools};
use banger_tree::{ErrorKind, Failure as _};
use camino::{Utf8Path, Utf8PathBuf};

use crate::pull_support::*;
use crate::source_support::*;

/// A storage with the image of [`two_layers`], which is in a layout, too.
struct Storage {
    bench: Bench,
    layout: Utf8PathBuf,
    root: Utf8PathBuf,
}

impl Storage {
    fn make() -> Result<Self, banger_testkit::Skip> {
        tools::root("a storage of podman")?;
        let mut bench = Bench::new();
        let dir = bench.path();
        let storage = Self { layout: dir.join("layout"), root: dir.join("storage"), bench: Bench::new() };
        bench.options.local = LocalSources::default().with_storage_root(storage.root.clone());
        write_two_layers(&storage.layout);
        copy_image(&format!("oci:{}:2", storage.layout), &format!("{}{NAME}", storage.prefix()))?;
        Ok(Self { bench, ..storage })
    }

    fn prefix(&self) -> String {
        let run = self.root.with_file_name("run");
        format!("containers-storage:[overlay@{}+{run}]", self.root)
    }

    /// The directories of the layers that have a file of this name.
    fn with_file(&self, name: &str) -> PathBuf {
        let layers = std::fs::read_dir(self.root.join("overlay")).unwrap();
        let files = layers.map(|layer| layer.unwrap().path().join("diff").join(name));
        files.into_iter().find(|path| path.exists()).unwrap()
    }

    fn error(&self) -> PullError {
        self.bench.read(&format!("containers-storage:{NAME}")).unwrap_err()
    }
}

#[test]
fn an_image_of_a_storage_is_that_of_its_layout() {
    let storage = require!(Storage::make());
    let bench = &storage.bench;
    let wanted = bench.pull(&format!("oci:{}:2", storage.layout)).unwrap();
    let layers = tars(&wanted);
    let (id, digest) = (wanted.config_digest.hex(), &wanted.digest);
    for reference in [
        format!("containers-storage:{NAME}"),
        "containers-storage:app:2".to_owned(),
        format!("containers-storage:@{id}"),
        format!("containers-storage:{NAME}@{id}"),
        format!("containers-storage:app:2@{digest}"),
        format!("containers-storage:@{digest}"),
        format!("{}app:2", storage.prefix()),
    ] {
        let image = bench.pull(&reference).unwrap_or_else(|error| panic!("{reference}: {error}"));
        assert_eq!(image.digest, *digest, "{reference}");
        assert_eq!(tars(&image), layers, "{reference}");
        assert_eq!(tars(&image), layers, "a layer can be read again");
        assert_eq!(image.layers[0].descriptor.digest, wanted.config.rootfs.diff_ids[0]);
    }
    assert!(bench.cache.list().unwrap().is_empty());
    let other = banger_oci::Digest::of(b"another");
    for unknown in ["app:3", "app", "2", &format!("app:2@{other}"), &format!("@{other}")] {
        let error = bench.pull(&format!("containers-storage:{unknown}")).unwrap_err();
        assert!(matches!(&error, PullError::UnknownImage { .. }), "{unknown}: {error}");
        assert!(error.to_string().contains(NAME), "{error}");
    }
    // A short name is looked for among the images that were built here.
    require!(copy_image(
        &format!("oci:{}:2", storage.layout),
        &format!("{}localhost/own:latest", storage.prefix())
    ));
    assert_eq!(bench.pull("containers-storage:own").unwrap().digest, *digest);
}

#[test]
fn an_image_of_buildah_is_read() {
    let storage = require!(Storage::make());
    let bench = &storage.bench;
    require!(tools::tool("buildah"));
    let script = r#"
        buildah="buildah --root $1 --runroot $2 --storage-driver overlay"
        container=$($buildah from --pull-never $3)
        mounted=$($buildah mount $container)
        rm -r $mounted/big $mounted/etc
        mkdir $mounted/etc
        head -c 70000 /dev/zero | tr '\0' x >$mounted/etc/built
        chown 5:6 $mounted/etc/built
        $buildah umount $container
        $buildah commit --quiet $container localhost/built:1
        $buildah rm $container
    "#;
    let mut sh = require!(tools::command("unshare"));
    sh.args(["--mount", "sh", "-euc", script, "sh", storage.root.as_str()]);
    tools::run(sh.args([storage.root.with_file_name("run").as_str(), NAME]));
    let out = bench.path().join("out");
    let from = format!("{}localhost/built:1", storage.prefix());
    require!(copy_image(&from, &format!("oci:{out}:1")));
    let wanted = bench.pull(&format!("oci:{out}:1")).unwrap();
    let image = bench.pull("containers-storage:built:1").unwrap();
    assert_eq!((&image.config_digest, image.layers.len()), (&wanted.config_digest, 3));
    assert_eq!(tars(&image), tars(&wanted));
}

#[test]
fn what_a_storage_lacks_is_said() {
    let mut storage = require!(Storage::make());
    let big = storage.with_file("big");
    let content = std::fs::read(&big).unwrap();
    let secret = storage.bench.path().join("secret");
    std::fs::write(&secret, &content).unwrap();
    // Wrong bytes, too few, none, and those of another place.
    std::fs::write(&big, vec![7; content.len()]).unwrap();
    assert!(matches!(storage.error(), PullError::Mismatch { .. }));
    std::fs::write(&big, &content[..1000]).unwrap();
    let error = storage.error();
    assert!(matches!(&error, PullError::LocalStore { .. }), "{error}");
    assert!(error.to_string().contains("big") && error.kind() == ErrorKind::Damaged, "{error}");
    std::fs::remove_file(&big).unwrap();
    assert!(storage.error().to_string().contains("big"));
    symlink(&secret, &big).unwrap();
    assert!(matches!(storage.error(), PullError::LocalStore { .. }));
    std::fs::remove_file(&big).unwrap();
    tools::run(Command::new("mkfifo").arg(&big));
    assert!(storage.error().to_string().contains("not a regular file"));
    std::fs::remove_file(&big).unwrap();
    // A directory that leads out of the layer.
    let etc = storage.with_file("etc/new").parent().unwrap().to_owned();
    let away = etc.parent().unwrap().with_file_name("away");
    std::fs::rename(&etc, &away).unwrap();
    symlink(&away, &etc).unwrap();
    std::fs::write(&big, &content).unwrap();
    assert!(storage.error().to_string().contains("etc/new"), "{}", storage.error());
    std::fs::remove_file(&etc).unwrap();
    std::fs::rename(&away, &etc).unwrap();
    storage.bench.read(&format!("containers-storage:{NAME}")).unwrap();
    // The headers of a layer.
    let layers = storage.root.join("overlay-layers");
    let headers = std::fs::read_dir(&layers).unwrap().map(|entry| entry.unwrap().path());
    let headers =
        headers.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "gz")).unwrap();
    let kept = std::fs::read(&headers).unwrap();
    std::fs::write(&headers, &kept[..kept.len() / 2]).unwrap();
    assert!(matches!(storage.error(), PullError::LocalStore { .. }));
    std::fs::remove_file(&headers).unwrap();
    let error = storage.error();
    assert!(error.to_string().contains("tar-split"), "{error}");
    assert_eq!((error.code(), error.kind()), (1162, ErrorKind::Unsupported));
    std::fs::write(&headers, &kept).unwrap();
    // Tables that lead elsewhere.
    let table = layers.join("layers.json");
    let whole = std::fs::read_to_string(&table).unwrap();
    let id = whole.split('"').nth(3).unwrap().to_owned();
    for wrong in ["../../../etc", ""] {
        std::fs::write(&table, whole.replace(&format!("\"id\":\"{id}\""), &format!("\"id\":\"{wrong}\"")))
            .unwrap();
        assert!(matches!(storage.error(), PullError::LocalStore { .. }), "{wrong}");
    }
    std::fs::write(&table, "{").unwrap();
    assert!(matches!(storage.error(), PullError::Malformed { .. }));
    std::fs::remove_file(&table).unwrap();
    assert!(matches!(storage.error(), PullError::LocalStore { .. }));
    // Storages of other kinds.
    let images = storage.root.join("overlay-images");
    std::fs::rename(&images, storage.root.join("vfs-images")).unwrap();
    let error = storage.error();
    assert!(error.to_string().contains("vfs") && error.kind() == ErrorKind::Unsupported, "{error}");
    std::fs::remove_dir_all(&storage.root).unwrap();
    assert_eq!(storage.error().kind(), ErrorKind::NotFound);
    storage.bench.options.local = LocalSources::default();
    let error = storage.error();
    assert!(told(&error).contains("storage_root"), "{}", told(&error));
    assert_eq!(error.kind(), ErrorKind::Argument);
}

/// Reads a storage as this module does, from a process without rights.
#[test]
fn a_damaged_storage_never_panics() {
    let storage = require!(Storage::make());
    let files: Vec<Utf8PathBuf> = ["overlay-images/images.json", "overlay-layers/layers.json"]
        .map(|name| storage.root.join(name))
        .into_iter()
        .chain(tar_splits(&storage.root))
        .collect();
    let mut state = banger_testkit::seed() | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..150 {
        let file = &files[random(files.len())];
        let whole = std::fs::read(file).unwrap();
        let mut bytes = whole.clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        std::fs::write(file, &bytes).unwrap();
        // Right bytes or an error.
        match storage.bench.read(&format!("containers-storage:{NAME}")) {
            Ok(layers) => assert_eq!(layers.len(), 2),
            Err(error) => assert_one_line(&error),
        }
        std::fs::write(file, &whole).unwrap();
    }
}

fn tar_splits(root: &Utf8Path) -> Vec<Utf8PathBuf> {
    let names = std::fs::read_dir(root.join("overlay-layers")).unwrap();
    let paths = names.map(|entry| Utf8PathBuf::try_from(entry.unwrap().path()).unwrap());
    paths.filter(|path| path.as_str().ends_with(".tar-split.gz")).collect()
}
