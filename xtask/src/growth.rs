//! How time and memory grow with entries and layers.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use banger_testkit::{Compression, Entry, ImageBuilder, Layer, LayoutBuilder, TAG, tools};

use crate::contenders::{Contender, banger, pull};

/// Entries of the images that differ in layers.
const LAYERED_ENTRIES: usize = 100_000;

/// Images of 10,000 to 1,000,000 entries in one layer, and of one number of entries in 1 to 127
/// layers.
pub(crate) fn contenders() -> anyhow::Result<Vec<Contender>> {
    let banger = banger()?;
    let mut found = Vec::new();
    for (entries, layers) in
        [(10_000, 1), (100_000, 1), (1_000_000, 1), (LAYERED_ENTRIES, 10), (LAYERED_ENTRIES, 127)]
    {
        let layout = layout(entries, layers)?;
        found.push(Contender {
            name: format!("{entries} entries, {layers} layers"),
            script: pull(&banger, &layout, "native"),
        });
    }
    Ok(found)
}

/// Makes the image once; its files have up to 1000 bytes, a hundred in a directory.
fn layout(entries: usize, layers: usize) -> anyhow::Result<PathBuf> {
    let dir = tools::cache_dir().join("growth").join(format!("{entries}-{layers}"));
    if dir.join("index.json").is_file() {
        return Ok(dir);
    }
    let mut image = ImageBuilder::new();
    let numbers: Vec<usize> = (0..entries).collect();
    for part in numbers.chunks(entries.div_ceil(layers)) {
        image = image.layer_as(Layer::new(tar(part), Compression::Zstd));
    }
    write(&LayoutBuilder::of(&image), &dir)?;
    Ok(dir)
}

fn tar(numbers: &[usize]) -> Vec<u8> {
    let mut tar = Vec::new();
    for number in numbers {
        let content = format!("file {number}\n").repeat(number % 80);
        let path = format!("srv/{}/{}/{number}", number / 10_000, number / 100);
        tar.extend(Entry::file(path, content).encode());
    }
    tar.extend([0; 1024]);
    tar
}

/// Writes the layout beside its place first, so that one that is there is whole.
fn write(layout: &LayoutBuilder, dir: &Path) -> anyhow::Result<()> {
    let partial = dir.with_extension("partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial)?;
    }
    layout.write(&partial);
    std::fs::rename(&partial, dir).with_context(|| format!("tag {TAG} in {}", dir.display()))
}
