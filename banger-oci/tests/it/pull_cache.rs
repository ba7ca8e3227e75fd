//! The cache between pulls: sharing, pruning, cancelling.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use banger_oci::{Digest, PruneOptions, PullError, PullEvent, Removal};

use serde_json::json;

use crate::pull_support::*;

fn slow_store() -> (Store, Vec<u8>) {
    let mut store = Store::default();
    let layer = noise(1, 1 << 20);
    store.image(Some("t"), "linux/amd64", std::slice::from_ref(&layer));
    (store, layer)
}

/// A server that sends half of the layer, and the rest after `pause`.
fn slow_server(store: Store, pause: Duration) -> Server {
    let copy = store.clone();
    Server::start(store, move |asked| {
        let mut answer = copy.answer(asked);
        if asked.target.contains("/blobs/") && answer.body.len() > 1000 {
            match range_start(asked) {
                None => answer = answer.cut(1 << 19),
                Some(_) => answer.delay = pause,
            }
        }
        Some(answer)
    })
}

#[test]
fn two_pulls_share_one_download() {
    let (store, layer) = slow_store();
    let server = slow_server(store, Duration::from_millis(300));
    let (first, second) = (Bench::new(), Bench::new());
    let second = Bench { cache: first.cache.clone(), ..second };
    let reference = format!("{}/r:t", server.host());
    std::thread::scope(|scope| {
        let handles = [&first, &second].map(|bench| scope.spawn(|| bench.read(&reference)));
        for handle in handles {
            assert!(handle.join().unwrap().unwrap()[0] == layer);
        }
    });
    assert_eq!(server.count("GET", &Digest::of(&layer).to_string()), 2, "two halves, once each");
}

/// The one that waits has a size of its own to check.
#[test]
fn b34_a_shared_download_must_have_the_size_of_the_descriptor() {
    let (mut store, layer) = slow_store();
    let (mut image, _) = store.image(None, "linux/amd64", std::slice::from_ref(&layer));
    image["layers"][0]["size"] = (layer.len() + 1).into();
    store.manifest(Some("bad"), MANIFEST, &image);
    let server = slow_server(store, Duration::from_millis(800));
    let (first, second) = (Bench::new(), Bench::new());
    let second = Bench { cache: first.cache.clone(), ..second };
    let image = first.pull(&format!("{}/r:t", server.host())).unwrap();
    image.layers[0].open().unwrap().read_exact(&mut [0]).unwrap();
    let error = second.read(&format!("{}/r:bad", server.host())).map(drop).unwrap_err();
    assert!(matches!(&error, PullError::Mismatch { .. }), "{error}");
    assert!(second.events().iter().any(|event| matches!(event, PullEvent::LayerWaiting { .. })));
    assert!(read_layers(&image).unwrap()[0] == layer);
    image.finish().unwrap();
}

#[test]
fn readers_follow_the_download() {
    let (store, layer) = slow_store();
    let server = slow_server(store, Duration::from_secs(2));
    let bench = Bench::new();
    let started = Instant::now();
    let image = bench.pull(&format!("{}/r:t", server.host())).unwrap();
    let mut reader = image.layers[0].open().unwrap();
    let mut half = vec![0; 1 << 19];
    reader.read_exact(&mut half).unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "the first half did not wait for the rest");
    assert_eq!(half, layer[..1 << 19]);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, layer[1 << 19..]);
}

#[test]
fn cancelled_and_dropped_pulls_stop_and_stay_resumable() {
    let (store, layer) = slow_store();
    let server = slow_server(store, Duration::from_secs(20));
    let digest = Digest::of(&layer);
    for cancel in [true, false] {
        let bench = Bench::new();
        let image = bench.pull(&format!("{}/r:t", server.host())).unwrap();
        let mut reader = image.layers[0].open().unwrap();
        let mut half = vec![0; 1 << 19];
        reader.read_exact(&mut half).unwrap();
        let waiting = std::thread::spawn(move || reader.read(&mut [0]));
        let started = Instant::now();
        if cancel {
            bench.cancel.cancel();
        } else {
            drop(image);
        }
        let error = waiting.join().unwrap().unwrap_err();
        assert!(matches!(PullError::from_io(&error), Some(PullError::Cancelled)), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(std::fs::metadata(bench.cache.partial_path(&digest)).unwrap().len(), 1 << 19);
        assert!(!bench.cache.contains(&digest));
    }
}

#[test]
fn prune_leaves_what_is_in_use() {
    let (store, layer) = slow_store();
    let server = Server::plain(store);
    let bench = Bench::new();
    let image = bench.pull(&format!("{}/r:t", server.host())).unwrap();
    read_layers(&image).unwrap();
    let all = PruneOptions::default().with_all(true);
    let report = bench.cache.prune(&all).unwrap();
    assert_eq!((report.removed.len(), report.in_use.len()), (0, 3));
    assert_eq!(bench.cache.remove(&Digest::of(&layer)).unwrap(), Removal::InUse);
    drop(image);
    let dry = all.clone().with_dry_run(true);
    assert_eq!(bench.cache.prune(&dry).unwrap().removed.len(), 3);
    let limit = PruneOptions::default().with_max_size_bytes(Some(1 << 20));
    assert!(!bench.cache.prune(&limit).unwrap().removed.is_empty());
    let old = PruneOptions::default().with_older_than(Some(Duration::from_secs(60)));
    assert!(bench.cache.prune(&old).unwrap().removed.is_empty());
    assert_eq!(bench.cache.prune(&all).unwrap().kept_bytes, 0);
    assert!(bench.cache.list().unwrap().is_empty());
    assert_eq!(bench.cache.remove(&Digest::of(&layer)).unwrap(), Removal::Absent);
}

#[test]
fn prune_sweeps_what_killed_processes_left() {
    let bench = Bench::new();
    let dir = bench.cache.root().join("blobs/sha256");
    let (old, new) = (dir.join(".new-old"), dir.join(".new-new"));
    for path in [&old, &new] {
        std::fs::write(path, b"{").unwrap();
    }
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    std::fs::File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    bench.cache.prune(&PruneOptions::default()).unwrap();
    assert!(!old.exists(), "nobody writes to it any more");
    assert!(new.exists(), "somebody may be writing it");
}

/// Sets a flag, also when a failed assertion ends its scope: a thread that waits for the flag would keep the test
/// from ending.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whatever is pruned at whatever instant: the blobs of a pull stay until it ends.
#[test]
fn prune_never_takes_what_a_running_pull_uses() {
    let mut store = Store::default();
    let layers = vec![noise(1, 300_000), noise(2, 10), noise(3, 50_000)];
    store.image(Some("t"), "linux/amd64", &layers);
    let server = Server::plain(store);
    let bench = Bench::new();
    let reference = format!("{}/r:t", server.host());
    let all = PruneOptions::default().with_all(true);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = SetOnDrop(&ended);
        let pruned = scope.spawn(|| {
            let mut removed = 0;
            while !ended.load(Ordering::Relaxed) {
                removed += bench.cache.prune(&all).unwrap().removed.len();
            }
            removed
        });
        for round in 0..50 {
            let image = bench.pull(&reference).unwrap_or_else(|error| panic!("round {round}: {error}"));
            let read = read_layers(&image).unwrap_or_else(|error| panic!("round {round}: {error}"));
            assert!(read == layers, "round {round}");
            image.finish().unwrap();
            for layer in &layers {
                assert!(bench.cache.contains(&Digest::of(layer)), "round {round}: it is still in use");
            }
        }
        drop(end);
        assert!(pruned.join().unwrap() > 0, "nothing was pruned at all");
    });
    let damaged = bench.events().into_iter().filter(|event| matches!(event, PullEvent::CacheDamaged { .. }));
    assert_eq!(damaged.count(), 0);
}

#[test]
fn verify_finds_damaged_blobs_and_removes_them_on_request() {
    let (store, layer) = slow_store();
    let server = Server::plain(store);
    let bench = Bench::new();
    let reference = format!("{}/r:t", server.host());
    bench.read(&reference).unwrap();
    let used = |digest: &Digest| {
        let entries = bench.cache.list().unwrap();
        entries.into_iter().find(|entry| entry.digest == *digest).unwrap().used
    };
    let digest = Digest::of(&layer);
    let before = used(&digest);
    let verify = |remove| bench.cache.verify(remove, &bench.cancel).unwrap();
    let sound = verify(true);
    assert_eq!((sound.checked, sound.damaged.len()), (3, 0));
    assert_eq!(used(&digest), before, "a check is no use");
    let mut bytes = layer.clone();
    bytes[77] ^= 1;
    std::fs::write(bench.cache.blob_path(&digest), &bytes).unwrap();
    std::fs::write(bench.cache.partial_path(&Digest::of(b"begun")), b"be").unwrap();
    for remove in [false, true] {
        let found = verify(remove);
        assert_eq!((found.checked, found.partial), (3, 1));
        let [blob] = &found.damaged[..] else { panic!("{found:?}") };
        assert_eq!((&blob.digest, &blob.found, blob.removed), (&digest, &Digest::of(&bytes), remove));
        assert_eq!(bench.cache.contains(&digest), !remove);
    }
    assert_eq!(verify(true).damaged.len(), 0);
    assert!(bench.read(&reference).unwrap()[0] == layer);
    bench.cancel.cancel();
    assert!(matches!(bench.cache.verify(false, &bench.cancel), Err(PullError::Cancelled)));
    let none = banger_oci::BlobCache::at(bench.path().join("none"));
    assert_eq!(none.verify(true, &banger_tree::Cancellation::new()).unwrap().checked, 0);
}

/// Places that the whole blob comes from.
#[derive(Clone, Copy, Debug)]
enum Place {
    Registry,
    ForeignUrl,
    WebFile,
}

/// What an earlier pull may have left, for instance at a power failure.
fn leftovers(blob: &[u8]) -> [(&'static str, Vec<u8>, bool); 7] {
    let wrong = noise(99, blob.len());
    let mut end = blob.to_vec();
    *end.last_mut().unwrap() ^= 1;
    [
        ("nothing", Vec::new(), false),
        ("the right start", blob[..blob.len() / 2].to_vec(), false),
        ("all of it", blob.to_vec(), false),
        ("a wrong start", wrong[..blob.len() / 2].to_vec(), true),
        ("wrong bytes of the right length", wrong.clone(), true),
        ("a wrong end", end, true),
        ("too many bytes", [&wrong[..], b"x"].concat(), false),
    ]
}

#[test]
fn b34_what_an_earlier_pull_left_is_used_or_replaced() {
    let mut store = Store::default();
    let blob = noise(1, 1 << 20);
    let (image, _) = store.image(Some("t"), "linux/amd64", std::slice::from_ref(&blob));
    let digest = Digest::of(&blob);
    let elsewhere = Server::plain(store.clone());
    let mut foreign = image;
    foreign["layers"][0]["urls"] = json!([format!("http://{}/v2/x/blobs/{digest}", elsewhere.host())]);
    store.manifest(Some("foreign"), MANIFEST, &foreign);
    let only_foreign = digest.hex().to_owned();
    let server = Server::start(store, move |asked| {
        let missing = asked.target.contains("/away/") && asked.target.contains(&only_foreign);
        missing.then(|| Answer::new(404, ""))
    });
    for place in [Place::Registry, Place::ForeignUrl, Place::WebFile] {
        for (what, bytes, is_damaged) in leftovers(&blob) {
            let bench = Bench::new();
            let path = bench.cache.partial_path(&digest);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, bytes).unwrap();
            match place {
                Place::Registry => bench.pull(&format!("{}/r:t", server.host())).unwrap().finish().unwrap(),
                Place::ForeignUrl => {
                    bench.pull(&format!("{}/away:foreign", server.host())).unwrap().finish().unwrap();
                }
                Place::WebFile => {
                    let address = format!("http://{}/v2/x/blobs/{digest}", elsewhere.host());
                    drop(bench.fetch_file(&address, &digest).unwrap());
                }
            }
            assert_eq!(std::fs::read(bench.cache.blob_path(&digest)).unwrap(), blob, "{place:?}: {what}");
            let damaged = bench.events().iter().any(|event| matches!(event, PullEvent::CacheDamaged { .. }));
            assert_eq!(damaged, is_damaged, "{place:?}: {what}");
        }
    }
}
