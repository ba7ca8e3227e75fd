//! Flattens layer files and prints what it took: `flatten_layers LAYER DIFF_ID [LAYER DIFF_ID]…`.
//!
//! The file bytes are thrown away, so this measures decompression, hashing, tar and tree alone.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::time::Instant;

use banger_oci::Digest;
use banger_oci::flatten::{FlattenOptions, LayerName, LayerSource, flatten};
use banger_tree::{ContentError, ContentId, ContentStore, LayerIndex};

struct LayerFile {
    path: String,
    digest: Digest,
    diff_id: Digest,
    size_bytes: u64,
}

impl LayerSource for LayerFile {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(&self.path)?))
    }
    fn name(&self) -> LayerName {
        LayerName::Digest(self.digest.clone())
    }
    fn diff_id(&self) -> Option<&Digest> {
        Some(&self.diff_id)
    }
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Discard {
    contents: usize,
    bytes: u64,
}

impl ContentStore for Discard {
    fn begin(&mut self, _layer: LayerIndex, _size_bytes: u64) -> Result<ContentId, ContentError> {
        self.contents += 1;
        Ok(ContentId::from_index(self.contents - 1))
    }
    fn append(&mut self, _id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        self.bytes += bytes.len() as u64;
        Ok(())
    }
    fn append_hole(&mut self, _id: ContentId, _length_bytes: u64) -> Result<(), ContentError> {
        Ok(())
    }
    fn finish(&mut self, _id: ContentId) -> Result<(), ContentError> {
        Ok(())
    }
    fn release(&mut self, _id: ContentId) -> Result<(), ContentError> {
        Ok(())
    }
    fn read_at(&self, id: ContentId, _offset: u64, _buffer: &mut [u8]) -> Result<usize, ContentError> {
        Err(ContentError::Unknown { id })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut layers = Vec::new();
    for pair in arguments.chunks(2) {
        let [path, diff_id] = pair else { return Err("usage: flatten_layers LAYER DIFF_ID …".into()) };
        layers.push(LayerFile {
            path: path.clone(),
            // Nothing here checks it; it names the layer in errors.
            digest: Digest::of(path.as_bytes()),
            diff_id: diff_id.parse()?,
            size_bytes: std::fs::metadata(path)?.len(),
        });
    }
    let mut store = Discard::default();
    let start = Instant::now();
    let flattened = flatten(&layers, &mut store, &FlattenOptions::default(), &|_| {})?;
    let wall = start.elapsed();
    let entries: u64 = flattened.layers.iter().map(|layer| layer.entries).sum();
    #[expect(clippy::print_stdout, reason = "the figures are this program's output")]
    {
        println!(
            "{} layers, {entries} entries, {} inodes, {} bytes of files, {} warnings: {:.3} s",
            layers.len(),
            flattened.tree.inode_count(),
            store.bytes,
            flattened.warning_count,
            wall.as_secs_f64(),
        );
        for warning in &flattened.warnings {
            println!("{}: {}", warning.path, warning.kind);
        }
    }
    Ok(())
}
