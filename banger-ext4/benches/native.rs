//! How long the native backend takes by itself: contents come from memory, as they would from a
//! layer, and time is counted for the content, for the rest of the image and for fsync.
//!
//! `cargo bench -p banger-ext4 -- [TREE [DIRECTORY]]` takes the files of the directory `TREE` (or
//! makes some up, of the sizes that Debian's have) and writes images into `DIRECTORY`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a measurement fails by panicking, and prints what it found"
)]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use banger_ext4::{Ext4Backend, Ext4Options, NativeBackend};
use banger_tree::{
    Attributes, ContentError, ContentId, ContentStore, Inode, LayerIndex, MemoryStore, NodeKind, Tree,
};
use camino::{Utf8Path, Utf8PathBuf};

#[path = "../tests/it/support/import.rs"]
mod import;

/// How often each image is built.
const ROUNDS: usize = 9;
/// Contents come in slices of at most this many bytes, as from a decompressor.
const SLICE: usize = 256 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| !text.starts_with("--")).collect();
    let mut recorder = Recorder::default();
    let tree = match arguments.first() {
        Some(directory) => import::import(Path::new(directory), &mut recorder),
        None => make_up(&mut recorder),
    };
    let directory = arguments.get(1).map_or_else(std::env::temp_dir, |text| text.into());
    let directory = Utf8PathBuf::from_path_buf(directory).unwrap();
    let bytes: usize = recorder.contents.iter().map(Vec::len).sum();
    println!("{} inodes, {} contents, {bytes} bytes", tree.inode_count(), recorder.contents.len());
    let mut rounds: Vec<Round> = (0..ROUNDS).map(|_| round(&directory, &recorder.contents, &tree)).collect();
    rounds.sort_by_key(|round| round.content + round.build);
    let Round { content, build, sync, cpu, held_bytes } = rounds[ROUNDS / 2];
    println!("content {content:?}, build {build:?}, fsync {sync:?}, cpu before fsync {cpu:?}");
    println!("{held_bytes} bytes on the host, {:.3} x the content", held_bytes as f64 / bytes as f64);
}

#[derive(Clone, Copy)]
struct Round {
    content: Duration,
    build: Duration,
    sync: Duration,
    cpu: Duration,
    held_bytes: u64,
}

fn round(directory: &Utf8Path, contents: &[Vec<u8>], tree: &Tree) -> Round {
    let image = directory.join("banger-bench.ext4");
    let (start, cpu_start) = (Instant::now(), cpu_time());
    let mut builder = NativeBackend.create(&image, &Ext4Options::default()).unwrap();
    for bytes in contents {
        let id = builder.begin(LayerIndex(0), bytes.len() as u64).unwrap();
        bytes.chunks(SLICE).for_each(|slice| builder.append(id, slice).unwrap());
        builder.finish(id).unwrap();
    }
    let content = start.elapsed();
    builder.build_ext4(tree).unwrap();
    let build = start.elapsed() - content;
    let cpu = cpu_time() - cpu_start;
    let sync_start = Instant::now();
    std::fs::File::open(&image).unwrap().sync_all().unwrap();
    let sync = sync_start.elapsed();
    let held_bytes = image.metadata().unwrap().blocks() * 512;
    std::fs::remove_file(&image).unwrap();
    Round { content, build, sync, cpu, held_bytes }
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

/// A tree of 8,000 files with 170 MB in all, most of them small.
fn make_up(store: &mut dyn ContentStore) -> Tree {
    let mut tree = Tree::new();
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    for dir in 0..400 {
        let inode = Inode::new(NodeKind::empty_directory(), Attributes::with_mode(0o755));
        let dir_id = tree.insert(tree.root(), format!("directory-{dir}").as_bytes(), inode).unwrap();
        for file in 0..20 {
            let size = match random(100) {
                0..70 => 1 + random(6_000),
                70..97 => 1 + random(60_000),
                _ => 1 + random(700_000),
            };
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8 + 1).collect();
            let id = store.begin(LayerIndex(0), size).unwrap();
            store.append(id, &bytes).unwrap();
            store.finish(id).unwrap();
            let kind = NodeKind::Regular { size_bytes: size, content: Some(id) };
            let name = format!("file-{file}");
            tree.insert(dir_id, name.as_bytes(), Inode::new(kind, Attributes::with_mode(0o644))).unwrap();
        }
    }
    tree
}

/// Keeps contents apart, in the order of their ids.
#[derive(Default)]
struct Recorder {
    contents: Vec<Vec<u8>>,
    ids: MemoryStore,
}

impl ContentStore for Recorder {
    fn begin(&mut self, layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
        self.contents.push(Vec::new());
        self.ids.begin(layer, size_bytes)
    }
    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        self.contents[id.index()].extend_from_slice(bytes);
        Ok(())
    }
    fn append_hole(&mut self, _: ContentId, _: u64) -> Result<(), ContentError> {
        unreachable!("files are read from their first byte to their last")
    }
    fn finish(&mut self, _: ContentId) -> Result<(), ContentError> {
        Ok(())
    }
    fn release(&mut self, _: ContentId) -> Result<(), ContentError> {
        unreachable!("nothing is removed")
    }
    fn read_at(&self, id: ContentId, _: u64, _: &mut [u8]) -> Result<usize, ContentError> {
        Err(ContentError::Unknown { id })
    }
}
