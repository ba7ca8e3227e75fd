//! Large layers over several connections, and the limit on the rate.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use banger_oci::{Digest, PullError};
use banger_testkit::{
    Compression, ImageBuilder, Layer, LayoutBuilder, Registry, Weather, WeatherOptions, require,
};

use crate::pull_support::*;

const MIB: usize = 1 << 20;

/// First and last byte of a range with an end.
fn part(asked: &Asked) -> Option<(usize, usize)> {
    let (first, last) = asked.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// How a server answers a request for a piece.
type PieceAnswer = fn(&[u8], (usize, usize)) -> Answer;

fn right(bytes: &[u8], (first, last): (usize, usize)) -> Answer {
    Answer::new(206, &bytes[first..=last])
        .with("Content-Range", format!("bytes {first}-{last}/{}", bytes.len()))
}

/// A server that is slow over each connection, and says that it has ranges.
fn slow_server(layer: &[u8], answer: PieceAnswer) -> Server {
    let mut store = Store::default();
    store.image(Some("t"), "linux/amd64", &[layer.to_vec()]);
    let bytes = layer.to_vec();
    Server::start(store, move |asked| {
        if !asked.target.ends_with(&Digest::of(&bytes).to_string()) {
            return None;
        }
        let whole = match part(asked) {
            Some(part) => answer(&bytes, part),
            None => part_of(&bytes, asked).with("Accept-Ranges", "bytes"),
        };
        Some(whole.drip(16 * 1024, Duration::from_millis(4)))
    })
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.options.split_after = Duration::from_millis(20);
    bench.options.min_piece_bytes = 32 * 1024;
    bench
}

fn pieces_asked(server: &Server) -> Vec<(usize, usize)> {
    server.asked().iter().filter_map(part).collect()
}

#[test]
fn free_jobs_help_with_a_large_layer() {
    let layer = noise(5, 3 * MIB);
    let server = slow_server(&layer, right);
    let bench = bench();
    assert!(bench.read(&format!("{}/r:t", server.host())).unwrap() == [layer.clone()]);
    let mut pieces = pieces_asked(&server);
    pieces.sort_unstable();
    assert!(pieces.len() > 10, "{pieces:?}");
    // They follow each other to the end, and nothing is asked for twice.
    assert!(pieces.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{pieces:?}");
    assert_eq!(pieces.last().unwrap().1, layer.len() - 1);
    assert_eq!(bench.retries(), 0);
}

#[test]
fn one_job_is_one_connection() {
    let layer = noise(5, MIB);
    let server = slow_server(&layer, right);
    let mut bench = bench();
    bench.options.jobs = 1;
    assert!(bench.read(&format!("{}/r:t", server.host())).unwrap() == [layer]);
    assert_eq!(pieces_asked(&server), []);
}

/// What a server answers that does not have the pieces that it says it has.
#[test]
fn b40_pieces_that_are_not_those_asked_for_are_refused() {
    let answers: [(&str, PieceAnswer); 5] = [
        ("the whole", |bytes, _| Answer::new(200, bytes)),
        ("416", |_, _| Answer::new(416, "")),
        ("another part", |bytes, (first, last)| right(bytes, (first - 1, last - 1)).with("X", "wrong place")),
        ("a lie", |bytes, (first, last)| {
            Answer::new(206, &bytes[first - 1..last])
                .with("Content-Range", format!("bytes {first}-{}/{}", last + 1, bytes.len()))
        }),
        ("nothing said", |bytes, (first, last)| Answer::new(206, &bytes[first..=last])),
    ];
    for (name, answer) in answers {
        let layer = noise(6, 2 * MIB);
        let server = slow_server(&layer, answer);
        let bench = bench();
        assert!(bench.read(&format!("{}/r:t", server.host())).unwrap() == [layer], "{name}");
        assert!(!pieces_asked(&server).is_empty(), "{name}");
        assert!(pieces_asked(&server).len() < 10, "{name}: it asks again and again");
        assert_eq!(bench.retries(), 1, "{name}");
    }
}

/// The bytes of a piece may be wrong as those of a whole blob may be.
#[test]
fn b34_wrong_bytes_of_a_piece_are_refused() {
    let layer = noise(7, 2 * MIB);
    let server = slow_server(&layer, |bytes, part| {
        let mut answer = right(bytes, part);
        answer.body[0] ^= 1;
        answer
    });
    let bench = bench();
    let error = bench.read(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Mismatch { .. }), "{error}");
    assert!(!bench.cache.partial_path(&Digest::of(&layer)).exists());
}

/// A piece that breaks off is resumed, and a server that breaks off for ever fails the pull.
#[test]
fn b39_a_broken_piece_is_resumed() {
    let layer = noise(8, 2 * MIB);
    let server = slow_server(&layer, |bytes, part| {
        let answer = right(bytes, part);
        let cut = answer.body.len() / 2 + 1;
        answer.cut(cut)
    });
    let bench = bench();
    assert!(bench.read(&format!("{}/r:t", server.host())).unwrap() == [layer.clone()]);
    assert!(bench.retries() > 10);

    let server = slow_server(&layer, |bytes, part| right(bytes, part).cut(0));
    let bench = self::bench();
    let error = bench.read(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Unreachable { .. }), "{error}");
    // What came before is kept, in order.
    let kept = std::fs::read(bench.cache.partial_path(&Digest::of(&layer))).unwrap();
    assert!(!kept.is_empty() && layer.starts_with(&kept));
}

/// Pieces that wait for their turn are lost when the pull ends, and they are few.
#[test]
fn b40_a_pull_that_ends_among_pieces_is_resumed() {
    let registry = require!(Registry::start());
    let layer = noise(9, 8 * MIB);
    let image = ImageBuilder::new().layer_as(Layer::new(layer.clone(), Compression::None));
    let layout = LayoutBuilder::of(&image);
    let index: serde_json::Value = serde_json::from_slice(&layout.files()["index.json"]).unwrap();
    registry.upload(&layout, &index["manifests"][0], "app", "1");
    for after_ms in [300, 600, 900] {
        let options = WeatherOptions { rate: Some(2_500_000), ..WeatherOptions::default() };
        let weather = Weather::start(&registry.host(), options);
        let reference = format!("{}/app:1", weather.host());
        let mut bench = bench();
        let image = bench.pull(&reference).unwrap();
        std::thread::sleep(Duration::from_millis(after_ms));
        bench.cancel.cancel();
        drop(image);
        let requests = weather.requests_for(&Digest::of(&layer).to_string());
        bench.cancel = banger_tree::Cancellation::new();
        assert!(bench.read(&reference).unwrap() == [layer.clone()]);
        let again = weather.requests_for(&Digest::of(&layer).to_string());
        assert!(again > requests + 1 || requests > 10, "pieces were asked for: {requests}, {again}");
        let sent = weather.sent_bytes();
        assert!(sent * 10 < layer.len() as u64 * 12, "{after_ms} ms: {sent} of {}", layer.len());
    }
}

/// Prints how long a large layer takes in pieces and whole: from a server that is slow over each connection, and from
/// one that is not. By hand: `cargo test -p banger-oci --release --test it pieces_are -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn pieces_are_faster_where_the_server_is_slow() {
    let registry = require!(Registry::start());
    let layer = noise(11, 96 * MIB);
    let layout =
        LayoutBuilder::of(&ImageBuilder::new().layer_as(Layer::new(layer.clone(), Compression::None)));
    let index: serde_json::Value = serde_json::from_slice(&layout.files()["index.json"]).unwrap();
    registry.upload(&layout, &index["manifests"][0], "app", "1");
    let options = WeatherOptions { rate: Some(16_000_000), ..WeatherOptions::default() };
    let weather = Weather::start(&registry.host(), options);
    for (name, host) in [("16 MB/s a connection", weather.host()), ("no limit", registry.host())] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..3 {
            for (min_piece_bytes, times) in [u64::MAX, 1 << 20].into_iter().zip(&mut times) {
                let mut bench = Bench::new();
                bench.options.min_piece_bytes = min_piece_bytes;
                let started = Instant::now();
                let image = bench.pull(&format!("{host}/app:1")).unwrap();
                image.finish().unwrap();
                times.push(started.elapsed());
            }
        }
        let [whole, pieces] = times.map(|mut times| {
            times.sort_unstable();
            times[1].as_secs_f64()
        });
        println!("{name}: whole {whole:.2} s, in pieces {pieces:.2} s, ratio {:.2}", pieces / whole);
    }
}

/// Four layers at a time have one limit.
#[test]
fn the_rate_is_that_of_all_downloads_together() {
    let mut store = Store::default();
    let layers: Vec<Vec<u8>> = (0..4).map(|seed| noise(seed + 1, 50_000)).collect();
    store.image(Some("t"), "linux/amd64", &layers);
    let sent = std::sync::Arc::new(AtomicUsize::new(0));
    let (copy, count) = (store.clone(), std::sync::Arc::clone(&sent));
    let server = Server::start(store, move |asked| {
        let answer = copy.answer(asked);
        count.fetch_add(answer.body.len(), Ordering::Relaxed);
        Some(answer)
    });
    let mut bench = Bench::new();
    bench.options.limit_rate_bytes = 400_000;
    // A limit of one's own is no fault of the server.
    bench.options.min_rate_bytes = 300_000;
    bench.options.rate_window = Duration::from_millis(50);
    let started = Instant::now();
    assert!(bench.read(&format!("{}/r:t", server.host())).unwrap() == layers);
    let elapsed = started.elapsed();
    // More time than this passes on any machine; without the limit it takes a few milliseconds.
    let least = Duration::from_secs_f64(sent.load(Ordering::Relaxed) as f64 / 400_000.0);
    assert!(elapsed >= least, "{elapsed:?}, {least:?}");
    assert!(least > Duration::from_millis(400) && elapsed < Duration::from_secs(60), "{elapsed:?}");
    assert_eq!(bench.retries(), 0);
}

/// A pull that waits because of the limit ends at once when it is cancelled.
#[test]
fn a_limited_pull_can_be_cancelled() {
    let mut store = Store::default();
    store.image(Some("t"), "linux/amd64", &[noise(1, 500_000)]);
    let server = Server::plain(store);
    let mut bench = Bench::new();
    bench.options.limit_rate_bytes = 2_000;
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| bench.read(&format!("{}/r:t", server.host())).map(drop));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished());
        let started = Instant::now();
        bench.cancel.cancel();
        assert!(matches!(waiting.join().unwrap(), Err(PullError::Cancelled)));
        assert!(started.elapsed() < Duration::from_secs(10));
    });
}
