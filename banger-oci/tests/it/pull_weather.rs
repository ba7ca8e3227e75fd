//! Pulls from a real registry through a proxy that injects faults by random schedules.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use banger_oci::{Digest, PullError};
use banger_testkit::{
    Certificates, Compression, Fault, Forecast, Http2Fault, ImageBuilder, Layer, LayerBuilder, LayoutBuilder,
    Registry, RegistryOptions, Weather, WeatherOptions, require, seed,
};
use camino::Utf8PathBuf;

use crate::pull_support::*;

/// Schedules in a run of the tests; `BANGER_SCHEDULES=500` for a thorough one.
const SCHEDULES: usize = 40;
/// Schedules at a time: they wait most of the time.
const THREADS: usize = 8;
/// Far beyond what a schedule takes.
const HANG: Duration = Duration::from_secs(120);

fn layers() -> Vec<Vec<u8>> {
    vec![noise(1, 1_500_000), noise(2, 700_001), noise(3, 30_000)]
}

fn registry() -> Result<Registry, banger_testkit::Skip> {
    let registry = Registry::start()?;
    let mut image = ImageBuilder::new();
    for layer in layers() {
        image = image.layer_as(Layer::new(layer, Compression::None));
    }
    let layout = LayoutBuilder::of(&image);
    let index: serde_json::Value = serde_json::from_slice(&layout.files()["index.json"]).unwrap();
    registry.upload(&layout, &index["manifests"][0], "app", "1");
    Ok(registry)
}

/// Whether an error tells of one of the faults that there were.
fn is_explained(error: &PullError, injected: &BTreeSet<Fault>) -> bool {
    let any = |faults: &[Fault]| faults.iter().any(|fault| injected.contains(fault));
    match error {
        PullError::Mismatch { .. } | PullError::Malformed { .. } => {
            any(&[Fault::WrongByte, Fault::Shorter, Fault::Longer])
        }
        PullError::Redirect { .. } => any(&[Fault::PlainHttp]),
        PullError::Status { status: 429, .. } => {
            any(&[Fault::TooMany, Fault::TooManySeconds, Fault::TooManyDate])
        }
        PullError::Status { status: 500..=504, .. } => any(&[Fault::ServerError]),
        PullError::TooSlow { .. } => any(&[Fault::Drip]),
        PullError::Unreachable { .. } => any(&[
            Fault::NoAnswer,
            Fault::Reset,
            Fault::Truncated,
            Fault::Stall,
            Fault::ExpiredToken,
            Fault::LyingRange,
            Fault::Shorter,
        ]),
        _ => false,
    }
}

/// As much as the buffers of a connection hold.
const ON_THE_WAY_BYTES: u64 = 128 << 10;

/// Pulls under a schedule and then in fine weather. Returns whether the first pull succeeded.
fn pull_under(forecast: &Forecast, upstream: &str, certificates: &Arc<Certificates>) -> bool {
    let layers = layers();
    let image_bytes: u64 = layers.iter().map(|layer| layer.len() as u64).sum();
    let options = WeatherOptions {
        forecast: forecast.clone(),
        certificates: forecast.seed.is_multiple_of(3).then(|| Arc::clone(certificates)),
        token: forecast.seed.is_multiple_of(2),
        ..WeatherOptions::default()
    };
    let weather = Weather::start(upstream, options.clone());
    let mut bench = Bench::new();
    bench.options.plain_http = options.certificates.is_none();
    bench.options.ca_cert = options.certificates.map(|certificates| utf8(certificates.ca_cert()));
    bench.options.max_backoff = Duration::from_millis(20);
    bench.options.stall_timeout = Duration::from_secs(2);
    bench.options.min_rate_bytes = 8_000;
    bench.options.rate_window = Duration::from_secs(1);
    let in_pieces = forecast.seed.is_multiple_of(5);
    if in_pieces {
        // Every large layer comes in pieces.
        bench.options.split_after = Duration::ZERO;
        bench.options.min_piece_bytes = 16 * 1024;
    }
    let reference = format!("{}/app:1", weather.host());
    let outcome = bench.read(&reference);
    let injected = weather.injected();
    let kinds: BTreeSet<Fault> = injected.keys().copied().collect();
    let succeeded = match outcome {
        Ok(read) => {
            assert!(read == layers, "wrong bytes: {forecast:?}");
            true
        }
        Err(error) => {
            assert!(is_explained(&error, &kinds), "{error}: {forecast:?}, {injected:?}");
            assert_one_line(&error);
            assert!(!error.to_string().contains("signature="), "{error}");
            for layer in &layers {
                // What is in the cache is right.
                let path = bench.cache.blob_path(&Digest::of(layer));
                assert!(std::fs::read(path).map_or(true, |bytes| bytes == *layer), "{forecast:?}");
            }
            false
        }
    };
    weather.clear_up();
    let read = match bench.read(&reference) {
        // The wrong bytes that are in a partial file are noticed at its end, and fetched again.
        Err(PullError::Mismatch { .. }) if kinds.contains(&Fault::WrongByte) => bench.read(&reference),
        read => read,
    };
    let read = read.unwrap_or_else(|error| panic!("{error}: {forecast:?}, {injected:?}"));
    assert!(read == layers, "wrong bytes afterwards: {forecast:?}");
    for layer in &layers {
        assert!(!bench.cache.partial_path(&Digest::of(layer)).exists(), "{forecast:?}");
    }
    assert_eq!(weather.violations(), [""; 0], "{forecast:?}");
    if !kinds.iter().any(|fault| fault.spoils_bytes()) {
        let sent = weather.sent_bytes();
        // A fault also loses what is on its way, which counts as sent: of these small layers that is a large part if
        // eight connections bring each of them.
        let on_the_way = if in_pieces { 8 * ON_THE_WAY_BYTES } else { 0 };
        assert!(
            sent * 10 < image_bytes * 12 + on_the_way * 10,
            "{sent} bytes were sent for an image of {image_bytes}: {forecast:?}, {injected:?}"
        );
    }
    succeeded
}

#[test]
fn b39_any_weather_ends_in_the_right_bytes_or_a_clear_error() {
    let registry = require!(registry());
    let certificates = Arc::new(require!(Certificates::new()));
    let schedules = std::env::var("BANGER_SCHEDULES")
        .map_or(SCHEDULES, |count| count.parse().expect("BANGER_SCHEDULES is a number"));
    let (first, upstream) = (seed(), registry.host());
    let (next, succeeded) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let running = Mutex::new(BTreeSet::new());
    let (done, end) = channel::<()>();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let (done, next, succeeded, running) = (done.clone(), &next, &succeeded, &running);
            let (upstream, certificates) = (&upstream, &certificates);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= schedules {
                        return;
                    }
                    let forecast = Forecast::draw(first.wrapping_mul(1_000_003).wrapping_add(index as u64));
                    running.lock().unwrap().insert(forecast.seed);
                    if pull_under(&forecast, upstream, certificates) {
                        succeeded.fetch_add(1, Ordering::Relaxed);
                    }
                    running.lock().unwrap().remove(&forecast.seed);
                    done.send(()).unwrap();
                }
            });
        }
        drop(done);
        // A hang is named, and ends the process: its threads would be waited for.
        loop {
            match end.recv_timeout(HANG) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    println!("nothing ends any more; the seeds that run are {:?}", running.lock().unwrap());
                    std::process::abort();
                }
            }
        }
    });
    let succeeded = succeeded.into_inner();
    println!("{succeeded} of {schedules} pulls succeeded in bad weather");
    assert!(succeeded * 3 > schedules, "{succeeded} of {schedules}");
}

/// A registry with TLS offers HTTP/2, and small requests use it.
#[test]
fn http2_is_used_for_small_requests() {
    let options = RegistryOptions { tls: true, ..RegistryOptions::default() };
    let registry = require!(Registry::start_with(options));
    let dir = tempfile::tempdir().unwrap();
    let layer = LayerBuilder::new().file("file", noise(3, 100_000)).finish();
    let digest = Digest::of(&layer);
    let image = ImageBuilder::new().layer_as(Layer::new(layer.clone(), Compression::None));
    LayoutBuilder::of(&image).write(dir.path());
    require!(registry.push(dir.path(), "latest", "app", "1"));
    let mut bench = Bench::new();
    bench.options.plain_http = false;
    bench.options.ca_cert = registry.ca_cert().map(utf8);
    assert!(bench.read(&registry.reference("app", "1")).unwrap() == [layer]);
    let log = registry.log();
    let asked = |path: &str, protocol: &str| {
        log.lines().any(|line| {
            line.contains("\"banger/")
                && line.contains(&format!("GET /v2/app/{path}"))
                && line.contains(protocol)
        })
    };
    assert!(asked("manifests/", "HTTP/2.0") && !asked("manifests/", "HTTP/1.1"), "{log}");
    assert!(asked(&format!("blobs/{digest}"), "HTTP/1.1"), "{log}");
}

#[test]
fn b39_faults_of_http2_are_retried() {
    let registry = require!(registry());
    let certificates = Arc::new(require!(Certificates::new()));
    for fault in [
        Http2Fault::ResetStream,
        Http2Fault::RefusedStream,
        Http2Fault::GoAway,
        Http2Fault::GoAwayError,
        Http2Fault::Silence,
        Http2Fault::Closed,
    ] {
        let options = WeatherOptions {
            certificates: Some(Arc::clone(&certificates)),
            http2_faults: vec![fault; 3],
            ..WeatherOptions::default()
        };
        let weather = Weather::start(&registry.host(), options);
        let mut bench = Bench::new();
        bench.options.plain_http = false;
        bench.options.ca_cert = Some(utf8(certificates.ca_cert()));
        bench.options.stall_timeout = Duration::from_secs(1);
        let read = bench.read(&format!("{}/app:1", weather.host()));
        assert!(read.unwrap_or_else(|error| panic!("{fault:?}: {error}")) == layers(), "{fault:?}");
        // After a fault the requests have connections of their own, which are not of HTTP/2.
        assert!(weather.http2_faults() >= 1, "{fault:?}");
    }
}

fn utf8(path: std::path::PathBuf) -> Utf8PathBuf {
    path.try_into().unwrap()
}
