//! Servers that take their time, and waiting that ends.

use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use banger_oci::{Digest, PullError};

use crate::pull_support::*;

fn image() -> (Store, Vec<u8>) {
    let mut store = Store::default();
    let layer = noise(1, 200_000);
    store.image(Some("t"), "linux/amd64", std::slice::from_ref(&layer));
    (store, layer)
}

/// Far beyond what any of these tests needs.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn b39_a_drip_is_given_up() {
    let (store, layer) = image();
    for part in ["/manifests/", "/blobs/", Digest::of(&layer).hex()] {
        let (copy, part) = (store.clone(), part.to_owned());
        let target = part.clone();
        let server = Server::start(store.clone(), move |asked| {
            let answer = copy.answer(asked);
            asked.target.contains(&target).then(|| answer.drip(1, Duration::from_millis(20)))
        });
        let mut bench = Bench::new();
        bench.options.min_rate_bytes = 10_000;
        bench.options.rate_window = Duration::from_millis(100);
        bench.options.attempts = 3;
        let started = Instant::now();
        let error = bench.read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
        assert!(matches!(&error, PullError::TooSlow { .. }), "{part}: {error}");
        assert!(told(&error).contains("`min_rate_bytes`"), "{error}");
        assert_eq!(server.count("GET", &part), 3, "{part}: as many attempts as are allowed");
        assert!(started.elapsed() < LONG);
    }
}

/// The same server, and no rate that is too low.
#[test]
fn b39_a_drip_is_taken_where_that_is_allowed() {
    let mut store = Store::default();
    let layer = noise(1, 100);
    store.image(Some("t"), "linux/amd64", std::slice::from_ref(&layer));
    let copy = store.clone();
    let server =
        Server::start(store, move |asked| Some(copy.answer(asked).drip(10, Duration::from_millis(1))));
    let mut bench = Bench::new();
    bench.options.min_rate_bytes = 0;
    bench.options.rate_window = Duration::from_millis(1);
    assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), [layer]);
}

/// Each answer brings a byte, so that no attempt is in vain, and asks for a long pause after it.
#[test]
fn b39_pauses_have_an_end() {
    let (store, layer) = image();
    let calls = AtomicUsize::new(0);
    let (copy, target) = (store.clone(), Digest::of(&layer).to_string());
    let server = Server::start(store, move |asked| {
        asked.target.ends_with(&target).then(|| match calls.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => copy.answer(asked).cut(1),
            _ => Answer::new(429, "").with("Retry-After", "60"),
        })
    });
    let mut bench = Bench::new();
    bench.options.max_backoff = Duration::from_millis(40);
    bench.options.max_wait = Duration::from_millis(200);
    let error = bench.read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
    assert!(matches!(&error, PullError::TooSlow { .. }), "{error}");
    assert!(told(&error).contains("`max_wait`"), "{error}");
    // A pause of 1 ms for the broken connection and one of 40 ms for the 429, in turn.
    assert!(bench.retries() < 12, "{}", bench.retries());
}

#[test]
fn the_whole_has_an_end() {
    let (store, layer) = image();
    for part in ["/manifests/", Digest::of(&layer).hex()] {
        let (copy, part) = (store.clone(), part.to_owned());
        let server = Server::start(store.clone(), move |asked| {
            let mut answer = copy.answer(asked);
            answer.delay = Duration::from_secs(if asked.target.contains(&part) { 20 } else { 0 });
            Some(answer)
        });
        let mut bench = Bench::new();
        bench.options.stall_timeout = LONG;
        bench.options.max_time = Duration::from_millis(1500);
        let started = Instant::now();
        let error = bench.read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
        assert!(matches!(&error, PullError::TooSlow { .. }), "{error}");
        assert!(told(&error).contains("`max_time`"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }
}

/// A pull waits for the lock of another process until it is cancelled.
#[test]
fn waiting_for_locks_can_be_cancelled() {
    let (store, layer) = image();
    let server = Server::plain(store);
    let reference = format!("{}/r:t", server.host());
    for complete in [true, false] {
        let bench = Bench::new();
        let digest = Digest::of(&layer);
        let path = match complete {
            true => {
                bench.read(&reference).unwrap();
                bench.cache.blob_path(&digest)
            }
            false => bench.cache.partial_path(&digest),
        };
        let file = File::options().create(true).append(true).open(&path).unwrap();
        file.lock().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| bench.read(&reference).map(drop));
            std::thread::sleep(Duration::from_millis(300));
            assert!(!waiting.is_finished(), "complete: {complete}");
            let started = Instant::now();
            bench.cancel.cancel();
            let outcome = waiting.join().unwrap();
            assert!(matches!(outcome, Err(PullError::Cancelled)), "{outcome:?}");
            assert!(started.elapsed() < Duration::from_secs(5));
        });
    }
}

/// What fails must not leave anything behind that runs on. Were a download still writing when its
/// threads end, it would panic.
#[test]
fn failing_pulls_end_their_downloads() {
    let mut store = Store::default();
    let layers: Vec<Vec<u8>> = (0..6).map(|seed| noise(seed + 1, 600_000)).collect();
    store.image(Some("t"), "linux/amd64", &layers);
    store.blobs.remove(&Digest::of(&layers[0]).to_string());
    let copy = store.clone();
    let server = Server::start(store, move |asked| {
        let mut answer = copy.answer(asked);
        if asked.target.contains("/blobs/") && answer.status == 200 && answer.body.len() > 1000 {
            answer = answer.drip(40_000, Duration::from_micros(300));
        }
        Some(answer)
    });
    for _ in 0..30 {
        let bench = Bench::new();
        let image = bench.pull(&format!("{}/r:t", server.host())).unwrap();
        let error = read_layers(&image).map(drop).unwrap_err();
        assert!(matches!(&error, PullError::Status { status: 404, .. }), "{error}");
        let started = Instant::now();
        drop(image);
        let events = bench.events().len();
        assert!(started.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(bench.events().len(), events, "a download went on");
        // Nobody holds the partial files any more.
        for entry in bench.cache.list().unwrap() {
            assert!(!entry.in_use, "{entry:?}");
        }
    }
}
