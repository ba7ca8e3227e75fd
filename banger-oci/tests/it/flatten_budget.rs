//! Behaviour 29: what small layers can cost, counted, and where a run stops.

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use banger_oci::Digest;
use banger_oci::flatten::{FlattenError, FlattenOptions, LayerName, LayerSource, Limits, flatten};
use banger_tree::{
    Budget, Cancellation, ContentError, ContentId, ContentStore, Cost, Failure as _, LayerIndex, MemoryStore,
};

use crate::flatten_stream::gzip;
use crate::layers::{MemoryLayer, Outcome, apply_to_memory, tree_of};
use crate::tarball::Tar;

/// 39 symlinks, each of which winds down and up `turns` times before it leads to the next.
fn winding(turns: usize) -> Tar {
    let tar = Tar::new().dir("d").dir("end");
    (0..39).fold(tar, |tar, number| {
        let next = if number == 38 { "end".to_owned() } else { format!("l{}", number + 1) };
        let target = "d/../".repeat(turns) + &next;
        tar.pax(&[("linkpath", target.as_bytes())]).symlink(format!("l{number}"), "x")
    })
}

fn apply_with(tars: &[Vec<u8>], options: &FlattenOptions) -> Result<Outcome, FlattenError> {
    let layers: Vec<MemoryLayer> = tars.iter().cloned().map(MemoryLayer::plain).collect();
    apply_to_memory(&layers, options)
}

/// Returns the option that the advice of an error names.
fn setting_of(error: &FlattenError) -> Option<&'static str> {
    Some(error.advice()?.setting()?.0)
}

fn with_budget(budget: &Budget) -> FlattenOptions {
    FlattenOptions::default().with_budget(Some(budget.clone()))
}

#[test]
fn b29_winding_parents_are_charged_by_the_component() {
    let layer = |entries: usize| {
        (0..entries).fold(winding(100), |tar, n| tar.file(format!("l0/{}/x", n % 2), "")).end()
    };
    let spent = |entries| {
        let budget = Limits::default().budget();
        apply_with(&[layer(entries)], &with_budget(&budget)).unwrap();
        budget.spent(Cost::PathComponents)
    };
    let each = 39 * 201 - 32;
    assert_eq!([spent(1), spent(10), spent(20)], [each, 10 * each, 20 * each]);

    let limits = Limits::default().with_max_path_components(10 * each);
    let options = FlattenOptions::default().with_limits(limits);
    assert!(apply_with(&[layer(10)], &options).is_ok());
    let error = apply_with(&[layer(11)], &options).unwrap_err();
    assert_eq!(error.code(), 205);
    assert_eq!(setting_of(&error), Some("max_path_components"), "{error}");
}

#[test]
fn b29_winding_link_targets_and_whiteouts_are_charged_too() {
    let cases = [
        winding(100).hard_link("h", "l0/late").file("end/late", "1"),
        winding(100).file("l0/.wh.x", ""),
        winding(100).file("l0/.wh..wh..opq", ""),
    ];
    for (case, tar) in cases.into_iter().enumerate() {
        let budget = Limits::default().budget();
        apply_with(&[tar.end()], &with_budget(&budget)).unwrap();
        assert!(budget.spent(Cost::PathComponents) >= 39 * 201 - 32, "{case}");
    }
}

#[test]
fn b29_ordinary_paths_are_free() {
    let deep = "d/".repeat(31);
    let tar = (0..200).fold(Tar::new(), |tar, n| {
        tar.file(format!("{n}/{deep}f"), "1").hard_link(format!("h{n}"), format!("{n}/{deep}f"))
    });
    let budget = Limits::default().budget();
    apply_with(&[tar.end()], &with_budget(&budget)).unwrap();
    assert_eq!(budget.spent(Cost::PathComponents), 0);
    assert_eq!(budget.spent(Cost::Entries), 200 * 33 + 200, "implied directories count");
}

#[test]
fn b21_links_that_wait_for_each_other_are_resolved_in_one_pass() {
    let count = 3000;
    // Each leads to the next one, so the last is the first that has a target.
    let tar = (0..count).fold(Tar::new(), |tar, n| tar.hard_link(format!("h{n}"), format!("h{}", n + 1)));
    let outcome = tree_of(&[tar.clone().file(format!("h{count}"), "1").end()]);
    assert_eq!(outcome.names("/h0"), count + 1);
    // A chain without an end, and a circle.
    let error = apply_with(&[tar.clone().end()], &FlattenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("h0: the target of the hard link, /h1, does not exist"), "{error}");
    let circle = tar.hard_link(format!("h{count}"), "h5").end();
    let error = apply_with(&[circle], &FlattenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[test]
fn b29_the_memory_of_implied_directories_is_bounded() {
    let tar = |entries: u32| {
        (0..entries)
            .fold(Tar::new(), |tar, n| {
                tar.pax(&[("path", format!("{n}/{}f", "d/".repeat(200)).as_bytes())]).file("x", "")
            })
            .end()
    };
    let budget = Limits::default().budget();
    apply_with(&[tar(50)], &with_budget(&budget)).unwrap();
    let spent = budget.spent(Cost::TreeBytes);
    let inodes = 50 * 202;
    assert!((inodes * 200..inodes * 300).contains(&spent), "{spent} bytes for {inodes} inodes");
    let limits = Limits::default().with_max_metadata_bytes(spent);
    let options = FlattenOptions::default().with_limits(limits);
    assert!(apply_with(&[tar(50)], &options).is_ok());
    let error = apply_with(&[tar(51)], &options).unwrap_err();
    assert_eq!(setting_of(&error), Some("max_metadata_bytes"), "{error}");
    // The usual entries come with their own room, however many there are.
    let budget = Limits::default().budget();
    let plain = (0..5000).fold(Tar::new(), |tar, n| tar.file(format!("some-directory/file-{n}"), "1"));
    apply_with(&[plain.end()], &with_budget(&budget)).unwrap();
    assert!(budget.spent(Cost::TreeBytes) < 1000, "{}", budget.spent(Cost::TreeBytes));
}

#[test]
fn b29_files_are_charged_by_the_block() {
    let record = |pieces: &[u64]| {
        pieces
            .iter()
            .flat_map(|at| [("GNU.sparse.offset", at.to_string()), ("GNU.sparse.numbytes", "1".to_owned())])
            .collect::<Vec<_>>()
    };
    let pieces: Vec<u64> = (0..40).map(|n| n * 8192).collect();
    let mut records = vec![("GNU.sparse.size", "400000".to_owned())];
    records.extend(record(&pieces));
    let records: Vec<(&str, &[u8])> = records.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
    let tar = || Tar::new().pax(&records).file("sparse", "x".repeat(40)).file("small", "1").file("empty", "");
    let budget = Limits::default().budget();
    let outcome = apply_with(&[tar().end()], &with_budget(&budget)).unwrap();
    assert_eq!(outcome.flattened.layers[0].content_bytes, 41);
    assert_eq!(budget.spent(Cost::ImageBytes), 41 * 4096);
    for (limit, good) in [(41 * 4096, true), (41 * 4096 - 1, false)] {
        let limits = Limits::default().with_max_content_bytes(limit);
        let options = FlattenOptions::default().with_limits(limits);
        let outcome = apply_with(&[tar().end()], &options);
        assert_eq!(outcome.is_ok(), good);
        assert!(good || setting_of(&outcome.unwrap_err()) == Some("max_content_bytes"));
    }
}

/// A layer that counts how often it is opened.
#[derive(Clone)]
struct Opened(MemoryLayer, Arc<AtomicUsize>);

impl LayerSource for Opened {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Cursor::new(self.0.published.clone())))
    }
    fn name(&self) -> LayerName {
        self.0.name()
    }
    fn diff_id(&self) -> Option<&Digest> {
        self.0.diff_id()
    }
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }
}

#[test]
fn b29_a_layer_listed_again_is_read_once_and_applied_each_time() {
    let layer = |tar: Tar| {
        let tar = tar.end();
        Opened(MemoryLayer::compressed(&tar, gzip(&tar)), Arc::default())
    };
    // Applied again, the first layer's file goes through its own symlink.
    let first = layer(Tar::new().dir("usr").file("lib/x", "1").symlink("lib", "usr").file("f", "1"));
    let second = layer(Tar::new().file("f", "2").file(".wh.usr", ""));
    let big = layer(Tar::new().file("big", vec![b'x'; 9 << 20]));
    for (order, streams) in
        [([0, 1, 0, 0, 1, 0], 1), ([0, 1, 0, 0, 1, 0], 4), ([2, 2, 0, 2, 0, 0], 4), ([2, 2, 0, 2, 0, 0], 0)]
    {
        let all = [&first, &second, &big];
        all.iter().for_each(|layer| layer.1.store(0, Ordering::Relaxed));
        let layers: Vec<Opened> = order.iter().map(|number| all[*number].clone()).collect();
        let budget = Limits::default().budget();
        let options = with_budget(&budget).with_streams(streams);
        let found = apply_to_memory(&layers, &options).unwrap();
        // As layers that nothing tells apart from others.
        let plain: Vec<MemoryLayer> = layers
            .iter()
            .enumerate()
            .map(|(n, layer)| MemoryLayer { digest: Digest::of(&n.to_le_bytes()), ..layer.0.clone() })
            .collect();
        let want = apply_to_memory(&plain, &FlattenOptions::default()).unwrap();
        assert_eq!(found.listing(), want.listing(), "{order:?}");
        let bytes = |stats: &[banger_oci::flatten::LayerStats]| {
            stats
                .iter()
                .map(|stats| (stats.entries, stats.tar_bytes, stats.published_bytes))
                .collect::<Vec<_>>()
        };
        assert_eq!(bytes(&found.flattened.layers), bytes(&want.flattened.layers));
        let tar_bytes: u64 = want.flattened.layers.iter().map(|stats| stats.tar_bytes).sum();
        assert_eq!(budget.spent(Cost::InflatedBytes), tar_bytes);
        let kinds: BTreeSet<usize> = order.into_iter().collect();
        for number in kinds {
            let times = order.iter().filter(|other| **other == number).count();
            let want = if number == 2 { times } else { 1 };
            assert_eq!(all[number].1.load(Ordering::Relaxed), want, "{order:?}: {number}");
        }
    }
}

#[test]
fn b29_layers_are_counted_before_one_is_opened() {
    let tar = Tar::new().file("f", "1").end();
    let layer = Opened(MemoryLayer::plain(tar), Arc::default());
    let limits = Limits::default().with_max_layers(3);
    let options = FlattenOptions::default().with_limits(limits);
    assert!(apply_to_memory(&vec![layer.clone(); 3], &options).is_ok());
    layer.1.store(0, Ordering::Relaxed);
    let error = apply_to_memory(&vec![layer.clone(); 4], &options).unwrap_err();
    assert_eq!((error.code(), layer.1.load(Ordering::Relaxed)), (205, 0));
    assert!(
        error.to_string().ends_with("more than 3 layers") && setting_of(&error) == Some("max_layers"),
        "{error}"
    );
}

/// A store that cancels the run when its `at`th content is finished, or the first is released.
struct Cancels {
    store: MemoryStore,
    cancellation: Cancellation,
    finished: usize,
    at: usize,
    released: usize,
}

impl ContentStore for Cancels {
    fn begin(&mut self, layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
        self.store.begin(layer, size_bytes)
    }
    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        self.store.append(id, bytes)
    }
    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError> {
        self.store.append_hole(id, length_bytes)
    }
    fn finish(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.finished += 1;
        if self.finished == self.at {
            self.cancellation.cancel();
        }
        self.store.finish(id)
    }
    fn release(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.released += 1;
        self.cancellation.cancel();
        self.store.release(id)
    }
    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError> {
        self.store.read_at(id, offset, buffer)
    }
}

#[test]
fn b29_every_loop_sees_a_cancellation() {
    let run = |tars: &[Tar], at: usize| {
        let cancellation = Cancellation::default();
        let mut store = Cancels {
            store: MemoryStore::default(),
            cancellation: cancellation.clone(),
            finished: 0,
            at,
            released: 0,
        };
        let layers: Vec<MemoryLayer> = tars.iter().map(|tar| MemoryLayer::plain(tar.clone().end())).collect();
        let options = FlattenOptions::default().with_cancellation(cancellation);
        let error = flatten(&layers, &mut store, &options, &|_| {}).unwrap_err();
        assert!(matches!(error, FlattenError::Cancelled), "{error}");
        (store.finished, store.released)
    };
    // Between two entries of one buffer.
    let files = (0..50).fold(Tar::new(), |tar, n| tar.file(format!("{n}"), "1"));
    assert_eq!(run(&[files], 7), (7, 0));
    // The links that waited, behind the last entry.
    let links = (0..50).fold(Tar::new(), |tar, n| tar.hard_link(format!("h{n}"), "f")).file("f", "1");
    assert_eq!(run(&[links], 1), (1, 0));
    // What an opaque marker hides, directory by directory.
    let lower = (0..50).fold(Tar::new(), |tar, n| tar.file(format!("d/{n}/f"), "1"));
    let upper =
        (0..50).fold(Tar::new(), |tar, n| tar.file(format!("d/{n}/g"), "")).file("d/.wh..wh..opq", "");
    assert_eq!(run(&[lower, upper], usize::MAX), (50, 1));
}
