//! What others put into the cache, and what is damaged there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use banger_oci::{Digest, PruneOptions, PullError, PullEvent};
use camino::Utf8Path;

use crate::pull_support::*;

fn image() -> (Store, Vec<u8>, String) {
    let mut store = Store::default();
    let layer = crate::tarball::Tar::new().file("f", "content of the layer").end();
    let (_, descriptor) = store.image(Some("t"), "linux/amd64", std::slice::from_ref(&layer));
    (store, layer, descriptor["digest"].as_str().unwrap().to_owned())
}

fn fifo(path: &Utf8Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path.as_std_path(), rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

fn damage_events(bench: &Bench) -> usize {
    bench.events().iter().filter(|event| matches!(event, PullEvent::CacheDamaged { .. })).count()
}

#[test]
fn what_is_no_file_is_removed_and_fetched_again() {
    let (store, layer, manifest) = image();
    let server = Server::plain(store);
    let reference = format!("{}/r@{manifest}", server.host());
    let digest = Digest::of(&layer);
    let manifest: Digest = manifest.parse().unwrap();
    type Put = fn(&Utf8Path, &Utf8Path);
    let kinds: [(&str, Put); 6] = [
        ("symlink to the right bytes", |path, good| symlink(good, path).unwrap()),
        ("dangling symlink", |path, good| symlink(format!("{good}-nowhere"), path).unwrap()),
        ("symlink to itself", |path, _| symlink(path, path).unwrap()),
        ("FIFO", |path, _| fifo(path)),
        ("socket", |path, _| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ("empty directory", |path, _| fs::create_dir(path).unwrap()),
    ];
    for (name, put) in kinds {
        for target in [&digest, &manifest] {
            let bench = Bench::new();
            bench.read(&reference).unwrap();
            let (path, good) = (bench.cache.blob_path(target), bench.path().join("good"));
            fs::rename(&path, &good).unwrap();
            let before = fs::read(&good).unwrap();
            put(&path, &good);
            assert_eq!(bench.read(&reference).unwrap(), std::slice::from_ref(&layer), "{name}");
            assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{name}");
            assert_eq!(fs::read(&good).unwrap(), before, "{name}: the target is as it was");
            assert_eq!(damage_events(&bench), 1, "{name}");
            assert!(!Utf8Path::new(&format!("{good}-nowhere")).exists(), "{name}");
        }
        // In the place of a download.
        let bench = Bench::new();
        let (path, good) = (bench.cache.partial_path(&digest), bench.path().join("good"));
        fs::write(&good, b"somebody's file").unwrap();
        put(&path, &good);
        assert_eq!(bench.read(&reference).unwrap(), std::slice::from_ref(&layer), "{name}");
        assert_eq!(fs::read(&good).unwrap(), b"somebody's file", "{name}");
        assert!(!Utf8Path::new(&format!("{good}-nowhere")).exists(), "{name}");
    }
}

#[test]
fn a_download_is_not_written_into_a_file_with_another_name() {
    let (store, layer, _) = image();
    let server = Server::plain(store);
    let bench = Bench::new();
    let mine = bench.path().join("mine");
    fs::write(&mine, b"mine").unwrap();
    fs::hard_link(&mine, bench.cache.partial_path(&Digest::of(&layer))).unwrap();
    assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), [layer]);
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
}

#[test]
fn a_directory_with_something_in_it_is_left_and_named() {
    let (store, layer, _) = image();
    let server = Server::plain(store);
    let bench = Bench::new();
    let path = bench.cache.blob_path(&Digest::of(&layer));
    fs::create_dir(&path).unwrap();
    fs::write(path.join("precious"), b"x").unwrap();
    let error = bench.read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
    assert!(matches!(&error, PullError::CachePlace { .. }), "{error}");
    assert!(
        error.to_string().contains(path.as_str()) && error.to_string().contains("a directory"),
        "{error}"
    );
    assert!(path.join("precious").exists());
}

#[test]
fn listing_and_pruning_wait_for_nobody() {
    let (store, layer, _) = image();
    let server = Server::plain(store);
    let bench = Bench::new();
    bench.pull(&format!("{}/r:t", server.host())).unwrap().finish().unwrap();
    let count = bench.cache.list().unwrap().len();
    let (pipe, link) = (Digest::of(b"pipe"), Digest::of(b"link"));
    fifo(&bench.cache.blob_path(&pipe));
    symlink(bench.cache.blob_path(&Digest::of(&layer)), bench.cache.partial_path(&link)).unwrap();
    assert_eq!(bench.cache.list().unwrap().len(), count);
    bench.cache.prune(&PruneOptions::default().with_all(true)).unwrap();
    for path in [bench.cache.blob_path(&pipe), bench.cache.partial_path(&link)] {
        assert!(fs::symlink_metadata(&path).is_err(), "{path}");
    }
}

#[test]
fn directories_that_others_can_write_to_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(dir.path()).unwrap().join("cache");
    let cache = banger_oci::BlobCache::open(&root).unwrap();
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o7777, 0o700);
    for at in ["", "blobs", "blobs/sha256"] {
        let path = cache.root().join(at);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        let error = banger_oci::BlobCache::open(&root).unwrap_err();
        assert!(matches!(&error, PullError::CachePlace { .. }), "{error}");
        assert!(told(&error).contains("chmod o-w"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        banger_oci::BlobCache::open(&root).unwrap();
    }
}

/// A document that grew beyond what a document may have is damaged, too.
#[test]
fn b34_damaged_documents_of_any_size_heal() {
    let (store, layer, manifest) = image();
    let server = Server::plain(store);
    let mut bench = Bench::new();
    bench.options.max_manifest_bytes = 10_000;
    let reference = format!("{}/r@{manifest}", server.host());
    bench.read(&reference).unwrap();
    let path = bench.cache.blob_path(&manifest.parse().unwrap());
    for len in [0, 10, 20_000] {
        fs::write(&path, noise(5, len)).unwrap();
        assert_eq!(bench.read(&reference).unwrap(), std::slice::from_ref(&layer), "{len}");
        assert!(fs::read(&path).unwrap().starts_with(b"{"), "{len}");
    }
}

/// Bytes of the right number that are wrong.
fn damage(path: &Utf8Path) {
    let len = fs::read(path).unwrap().len();
    fs::write(path, noise(77, len)).unwrap();
}

#[test]
fn b34_damaged_layers_are_fetched_again_within_the_same_pull() {
    let (store, layer, _) = image();
    let server = Server::plain(store);
    let bench = Bench::new();
    let reference = format!("{}/r:t", server.host());
    bench.read(&reference).unwrap();
    damage(&bench.cache.blob_path(&Digest::of(&layer)));
    let mut image = bench.pull(&reference).unwrap();
    // As far as anybody got before it was noticed.
    let _part = image.layers[0].open().unwrap();
    assert!(image.repair().unwrap());
    assert_eq!(damage_events(&bench), 1);
    assert_eq!(read_layers(&image).unwrap(), [layer]);
    assert!(!image.repair().unwrap(), "it is sound now");
    image.finish().unwrap();
    assert_eq!(server.count("GET", "/blobs/"), 3, "the configuration, the layer, the layer again");
}

/// An earlier download left bytes that are wrong, and a reader had got some of them.
#[test]
fn b34_a_damaged_beginning_is_fetched_again_within_the_same_pull() {
    let mut store = Store::default();
    let layer = noise(1, 2 << 20);
    store.image(Some("t"), "linux/amd64", std::slice::from_ref(&layer));
    let copy = store.clone();
    let server = Server::start(store, move |asked| {
        let mut answer = copy.answer(asked);
        answer.delay = Duration::from_millis(if range_start(asked).is_some() { 300 } else { 0 });
        Some(answer)
    });
    let bench = Bench::new();
    fs::write(bench.cache.partial_path(&Digest::of(&layer)), noise(99, 1 << 20)).unwrap();
    let mut image = bench.pull(&format!("{}/r:t", server.host())).unwrap();
    let error = read_layers(&image).map(drop).unwrap_err();
    assert!(matches!(&error, PullError::Mismatch { .. }), "{error}");
    assert!(image.repair().unwrap());
    assert!(read_layers(&image).unwrap()[0] == layer);
    assert!(!image.repair().unwrap(), "once");
}

#[test]
fn b34_damage_that_nobody_can_mend_names_the_cache() {
    let (store, layer, manifest) = image();
    let server = Server::plain(store);
    let bench = Bench::new();
    let reference = format!("{}/r@{manifest}", server.host());
    let config = bench.pull(&reference).unwrap().config_digest;
    bench.read(&reference).unwrap();
    drop(server);
    bench.read(&reference).unwrap();
    let named = |error: &PullError, digest: &Digest| {
        let PullError::CacheDamaged { digest: found, cache, source } = error else { panic!("{error}") };
        assert_eq!((found, cache.as_path()), (digest, bench.cache.root()));
        assert!(matches!(&**source, PullError::Unreachable { .. }), "{source}");
        assert!(error.to_string().contains(bench.cache.root().as_str()), "{error}");
        assert_one_line(error);
    };
    let kept = [&Digest::of(&layer), &config, &manifest.parse().unwrap()].map(|digest| {
        let path = bench.cache.blob_path(digest);
        (digest.clone(), path.clone(), fs::read(path).unwrap())
    });
    for (digest, path, bytes) in &kept {
        damage(path);
        let outcome = bench.pull(&reference).and_then(|mut image| {
            assert!(image.repair()?);
            read_layers(&image)
        });
        named(&outcome.map(drop).unwrap_err(), digest);
        assert!(!path.exists(), "it is removed");
        fs::write(path, bytes).unwrap();
    }
    bench.read(&reference).unwrap();
}
