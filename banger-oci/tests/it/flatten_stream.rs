//! Behaviours 28 and 30, and how a run ends: truncation, digests, compression, cancellation.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use banger_oci::Digest;
use banger_oci::flatten::{
    FlattenError, FlattenEvent, FlattenOptions, LayerName, LayerSource, Limits, flatten,
};
use banger_tree::{Cancellation, LayerIndex, MemoryStore};

use crate::layers::{MemoryLayer, apply_layers, error_of, tree_of};
use crate::tarball::Tar;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Bytes that do not compress to nothing.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8 & 0x3f
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn big_tar() -> Vec<u8> {
    let mut tar = Tar::new();
    for index in 0..40 {
        tar = tar.file(format!("d{}/f{index}", index % 7), noise(50_000 + index * 1111));
    }
    tar.end()
}

#[test]
fn b28_a_truncated_tar_is_an_error() {
    let tar = Tar::new().dir("d").pax(&[("path", b"d/f")]).file("x", vec![1; 700]).end();
    let data_end = tar.len() - 1024;
    // Whole before the first header, behind a directory, behind the file's padding, and after one
    // of the two end blocks; cut everywhere else.
    let whole = [0, 512, data_end, data_end + 512, data_end + 1024];
    for length in
        (0..=tar.len()).filter(|length| *length < 520 || length % 64 == 0 || *length + 70 > tar.len())
    {
        let cut = tar[..length].to_vec();
        match whole.contains(&length) {
            true => assert_eq!(tree_of(&[cut]).flattened.warning_count, u64::from(length < tar.len())),
            false => {
                let error = error_of(&[cut], 0);
                assert!(
                    error.contains("ends early") || error.contains("no file follows"),
                    "{length}: {error}"
                );
            }
        }
    }
}

#[test]
fn b28_truncated_and_damaged_compression_is_an_error() {
    let tar = big_tar();
    for published in [gzip(&tar), zstd(&tar)] {
        for length in [published.len() / 2, published.len() - 1] {
            let mut layer = MemoryLayer::compressed(&tar, published[..length].to_vec());
            layer.digest = Digest::of(b"published");
            let error = apply_layers(&[layer], &FlattenOptions::default()).unwrap_err();
            assert!(
                matches!(&error, FlattenError::Read { layer, .. } if *layer == LayerName::Digest(Digest::of(b"published")))
            );
        }
    }
}

#[test]
fn b28_what_follows_the_end_is_drained_and_hashed() {
    let mut tar = Tar::new().file("f", "1").end();
    tar.extend(noise(3_000_000));
    let outcome = tree_of(std::slice::from_ref(&tar));
    assert_eq!(outcome.listing(), ["/f=1"]);
    assert_eq!(outcome.flattened.layers[0].tar_bytes, tar.len() as u64);
    // Other bytes there make another diff_id.
    let mut layer = MemoryLayer::plain(tar);
    *layer.published.last_mut().unwrap() ^= 1;
    let error = apply_layers(&[layer.clone()], &FlattenOptions::default()).unwrap_err();
    let FlattenError::DiffId { layer: digest, expected, actual } = &error else { panic!("{error}") };
    assert_eq!((digest, expected), (&layer.name(), &layer.diff_id));
    assert_eq!(*actual, Digest::of(&layer.published));
}

#[test]
fn b28_several_members_and_skippable_frames() {
    let tar = big_tar();
    let (left, right) = tar.split_at(tar.len() / 3);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    let want = tree_of(std::slice::from_ref(&tar)).listing();
    for published in [
        [gzip(left), gzip(b""), gzip(right)].concat(),
        [&skippable, &zstd(left), &skippable, &zstd(right), &skippable].map(Vec::as_slice).concat(),
    ] {
        let layer = MemoryLayer::compressed(&tar, published);
        assert_eq!(apply_layers(&[layer], &FlattenOptions::default()).unwrap().listing(), want);
    }
}

#[test]
fn b30_compression_is_found_by_its_magic() {
    let tars = [big_tar(), Tar::new().file("d0/.wh.f0", "").file("x", "1").end(), Tar::new().dir("y").end()];
    let want = tree_of(&tars).listing();
    let layers = [
        MemoryLayer::compressed(&tars[0], gzip(&tars[0])),
        MemoryLayer::compressed(&tars[1], tars[1].clone()),
        MemoryLayer::compressed(&tars[2], zstd(&tars[2])),
    ];
    for (streams, queue_bytes) in [(1, 0), (2, 1 << 20), (16, 1 << 26)] {
        let options = FlattenOptions::default().with_streams(streams).with_queue_bytes(queue_bytes);
        assert_eq!(apply_layers(&layers, &options).unwrap().listing(), want);
    }
}

#[test]
fn many_layers_are_applied_in_order() {
    let tar = |layer: usize| {
        let tar = Tar::new().file("same", layer.to_string()).file(format!("own/{layer:03}"), "");
        if layer > 0 { tar.file(format!("own/.wh.{:03}", layer - 1), "").end() } else { tar.end() }
    };
    let tars: Vec<Vec<u8>> = (0..127).map(tar).collect();
    assert_eq!(tree_of(&tars).listing(), ["/own/", "/own/126=", "/same=126"]);
}

#[test]
fn b34_every_layer_must_have_its_diff_id() {
    let mut layers = [MemoryLayer::plain(big_tar()), MemoryLayer::plain(Tar::new().file("x", "").end())];
    layers[1].diff_id = Digest::of(b"something else");
    let error = apply_layers(&layers, &FlattenOptions::default()).unwrap_err();
    assert!(matches!(error, FlattenError::DiffId { layer, .. } if layer == layers[1].name()));
}

/// A layer whose reader does what the test wants at its end.
struct ScriptedLayer<F> {
    layer: MemoryLayer,
    at_end: F,
    reads: Arc<AtomicUsize>,
}

struct ScriptedReader<F> {
    bytes: io::Cursor<Vec<u8>>,
    at_end: F,
    reads: Arc<AtomicUsize>,
}

impl<F: Fn() -> io::Result<usize> + Clone + Send + Sync + 'static> LayerSource for ScriptedLayer<F> {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let bytes = io::Cursor::new(self.layer.published.clone());
        Ok(Box::new(ScriptedReader { bytes, at_end: self.at_end.clone(), reads: Arc::clone(&self.reads) }))
    }
    fn name(&self) -> LayerName {
        LayerName::Digest(self.layer.digest.clone())
    }
    fn diff_id(&self) -> Option<&Digest> {
        Some(&self.layer.diff_id)
    }
    fn size_bytes(&self) -> u64 {
        self.layer.size_bytes()
    }
}

impl<F: Fn() -> io::Result<usize>> Read for ScriptedReader<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        match self.bytes.read(bytes)? {
            0 => (self.at_end)(),
            count => Ok(count),
        }
    }
}

fn scripted<F>(tar: Vec<u8>, at_end: F) -> ScriptedLayer<F> {
    ScriptedLayer { layer: MemoryLayer::plain(tar), at_end, reads: Arc::default() }
}

#[derive(Debug, thiserror::Error)]
#[error("digest mismatch")]
struct Mismatch;

#[test]
fn b34_an_error_at_the_sources_end_is_seen_and_keeps_its_type() {
    let layer = scripted(big_tar(), || Err(io::Error::new(io::ErrorKind::InvalidData, Mismatch)));
    let error =
        flatten(&[layer], &mut MemoryStore::default(), &FlattenOptions::default(), &|_| {}).unwrap_err();
    let FlattenError::Read { source, .. } = &error else { panic!("{error}") };
    assert!(source.get_ref().unwrap().is::<Mismatch>());
}

#[test]
fn cancellation_stops_a_run_whose_source_blocks() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let opened = Arc::clone(&gate);
    let has_returned = Arc::new(AtomicBool::new(false));
    let returned = Arc::clone(&has_returned);
    // Ends neither with data nor with an end, until the test lets it go.
    let layer = scripted(big_tar(), move || {
        let (lock, condition) = &*opened;
        drop(condition.wait_while(lock.lock().unwrap(), |open| !*open).unwrap());
        returned.store(true, Ordering::SeqCst);
        Ok(0)
    });
    let options = FlattenOptions::default();
    let cancellation = options.cancellation.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        cancellation.cancel();
    });
    let start = Instant::now();
    let error = flatten(&[layer], &mut MemoryStore::default(), &options, &|_| {}).unwrap_err();
    assert!(matches!(error, FlattenError::Cancelled));
    assert!(start.elapsed() < Duration::from_secs(5) && !has_returned.load(Ordering::SeqCst));
    canceller.join().unwrap();
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

#[test]
fn cancellation_from_an_event_stops_at_the_next_buffer() {
    let cancellation = Cancellation::default();
    let options = FlattenOptions::default().with_cancellation(cancellation.clone());
    let layers = [MemoryLayer::plain(big_tar())];
    let progress = AtomicUsize::new(0);
    let error = flatten(&layers, &mut MemoryStore::default(), &options, &|event| {
        if matches!(event, FlattenEvent::Progress { .. }) {
            progress.fetch_add(1, Ordering::SeqCst);
            cancellation.cancel();
        }
    });
    assert!(matches!(error, Err(FlattenError::Cancelled)));
    assert_eq!(progress.load(Ordering::SeqCst), 1);
}

#[test]
fn a_failed_run_stops_reading_its_sources() {
    // The tar is wrong from its first block; far more follows than the buffers hold.
    let mut tar = vec![b'x'; 512];
    tar.extend(noise(40 << 20));
    let layer = scripted(tar, || Ok(0));
    let reads = Arc::clone(&layer.reads);
    let options = FlattenOptions::default().with_queue_bytes(1 << 20);
    let error = flatten(&[layer], &mut MemoryStore::default(), &options, &|_| {}).unwrap_err();
    assert!(matches!(error, FlattenError::Tar { .. }), "{error}");
    // The threads drop the reader, and its counter with it.
    let start = Instant::now();
    while Arc::strong_count(&reads) > 1 {
        assert!(start.elapsed() < Duration::from_secs(10), "the reader is still in use");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(reads.load(Ordering::SeqCst) < 40);
}

#[test]
fn sources_that_cannot_be_opened_are_named() {
    struct Closed(Digest);
    impl LayerSource for Closed {
        fn open(&self) -> io::Result<Box<dyn Read + Send>> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
        fn name(&self) -> LayerName {
            LayerName::Digest(self.0.clone())
        }
        fn diff_id(&self) -> Option<&Digest> {
            Some(&self.0)
        }
        fn size_bytes(&self) -> u64 {
            0
        }
    }
    let layers: [Box<dyn LayerSource>; 1] = [Box::new(Closed(Digest::of(b"")))];
    let error = apply_layers(&layers, &FlattenOptions::default()).unwrap_err();
    assert!(
        matches!(&error, FlattenError::Open { layer, .. } if *layer == LayerName::Digest(Digest::of(b"")))
    );
}

#[test]
fn a_panicking_source_panics_the_caller() {
    let layer = scripted(Tar::new().file("f", "").bytes, || panic!("the source's own words"));
    let run = || flatten(&[layer], &mut MemoryStore::default(), &FlattenOptions::default(), &|_| {}).is_ok();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the source's own words"));
}

#[test]
fn events_and_figures_tell_the_same() {
    let tars = [big_tar(), Tar::new().file("d0/.wh.f0", "").file("x", "123").end()];
    let layers = tars.clone().map(|tar| MemoryLayer::compressed(&tar, gzip(&tar)));
    let events = Mutex::new(Vec::new());
    let mut store = MemoryStore::default();
    let record = |event| events.lock().unwrap().push(event);
    let flattened = flatten(&layers, &mut store, &FlattenOptions::default(), &record).unwrap();
    let mut last = [0; 2];
    let mut finished = Vec::new();
    for event in events.into_inner().unwrap() {
        match event {
            FlattenEvent::LayerStarted { layer: LayerIndex(layer), name, published_bytes } => {
                let source = &layers[layer as usize];
                assert_eq!((name, published_bytes), (source.name(), source.published.len() as u64));
            }
            FlattenEvent::Progress { layer: LayerIndex(layer), tar_bytes, .. } => {
                assert!(tar_bytes > last[layer as usize]);
                last[layer as usize] = tar_bytes;
            }
            FlattenEvent::LayerFinished { stats, .. } => finished.push(stats),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(last, [tars[0].len() as u64, tars[1].len() as u64]);
    assert_eq!(finished, flattened.layers);
    let second = &flattened.layers[1];
    assert_eq!((second.entries, second.whiteouts, second.content_bytes), (2, 1, 3));
    assert_eq!(second.published_bytes, layers[1].published.len() as u64);
}

#[test]
fn b29_limits_hold_over_all_layers() {
    let tar = |name: &str| Tar::new().file(name, vec![1; 600]).end();
    let run = |limits| {
        let options = FlattenOptions::default().with_limits(limits);
        crate::layers::apply_with(&[tar("a"), tar("b")], &options)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    for (limits, good) in [
        (Limits::default().with_max_content_bytes(8192), true),
        (Limits::default().with_max_content_bytes(8191), false),
        (Limits::default().with_max_entries(2), true),
        (Limits::default().with_max_entries(1), false),
        (Limits::default().with_max_tar_bytes(5120), true),
        (Limits::default().with_max_tar_bytes(5119), false),
    ] {
        let result = run(limits);
        assert_eq!(result.is_ok(), good, "{result:?}");
        if let Err(error) = result {
            assert!(error.contains(&Digest::of(&tar("b")).to_string()), "{error}");
        }
    }
}

/// A tar that belongs to no image is named by its path, and has to have an end: no digest says that
/// it is whole.
#[test]
fn tars_without_a_digest() {
    #[derive(Clone)]
    struct Archive(Vec<u8>);
    impl LayerSource for Archive {
        fn open(&self) -> io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(io::Cursor::new(self.0.clone())))
        }
        fn name(&self) -> LayerName {
            LayerName::Archive("root.tar".to_owned())
        }
        fn diff_id(&self) -> Option<&Digest> {
            None
        }
        fn size_bytes(&self) -> u64 {
            0
        }
    }
    let whole = Tar::new().file("f", "1").file("f", "2").end();
    let flattened = apply_layers(&[Archive(whole.clone())], &FlattenOptions::default()).unwrap().flattened;
    let warnings: Vec<String> = flattened.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["root.tar: f: the layer has this path more than once; the last one holds"]);

    let entries = whole.len() - 1024;
    let with = |start: &[u8], rest: &[u8]| Archive([start, rest].concat());
    let end = [0; 1024];
    let cases = [
        (with(b"", b""), 208),
        (with(&end[..512], b""), 208),
        (with(&whole[..entries - 1], b""), 203),
        (with(&whole[..700], b""), 203),
        // What a disk image starts with.
        (with(&end, b"\0\0x"), 209),
        (with(&end, &vec![b'x'; 600_000]), 209),
        (with(&[&end[..], &vec![0; 1 << 20]].concat(), b"x"), 209),
    ];
    for (archive, code) in cases {
        let error = apply_layers(&[archive], &FlattenOptions::default()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with("root.tar"), "{error}");
    }
    // Cut between two entries, or made by a tool that leaves the end out: nobody can tell.
    for (archive, warns) in [
        (with(&whole[..entries], b""), "nothing says that it is whole"),
        (with(&whole[..entries], &end[..512]), "nothing says that it is whole"),
        (with(&gzip(&whole), &[0; 700]), "zeros follow the compressed bytes"),
        (with(&whole, b"behind its end"), "the last one holds"),
    ] {
        let outcome = apply_layers(&[archive], &FlattenOptions::default()).unwrap();
        assert_eq!(outcome.listing(), ["/f=2"]);
        assert!(outcome.warnings().last().unwrap().1.to_string().contains(warns), "{:?}", outcome.warnings());
    }
    for empty in [&end[..], &[0; 10_240]] {
        assert!(apply_layers(&[with(empty, b"")], &FlattenOptions::default()).unwrap().listing().is_empty());
    }
}
