//! Layouts and archives of hostile images.

use std::path::Path;

use banger_testkit::{Compression, Entry, ImageBuilder, Layer, LayoutBuilder, TAG, gzip};

use super::run::CostCommand;

/// Returns `path`, for a pax record.
pub(super) fn file_at(path: &str, content: &[u8]) -> Vec<u8> {
    Entry::file("x", content).pax("path", path).encode()
}

/// Ends a tar.
pub(super) fn end(mut tar: Vec<u8>) -> Vec<u8> {
    tar.extend([0; 1024]);
    tar
}

/// Writes a layout of one layer and returns the command that pulls it.
pub(super) fn pull_of(home: &Path, tar: Vec<u8>, options: &[&str]) -> CostCommand {
    let blob = gzip(&end(tar.clone()));
    let layer = Layer::of_blob(end(tar), blob, Compression::Gzip.oci_media_type());
    pull(home, &[layer], options)
}

/// Writes a layout of `layers` and returns the command that pulls it.
pub(super) fn pull(home: &Path, layers: &[Layer], options: &[&str]) -> CostCommand {
    let image = layers.iter().fold(ImageBuilder::new(), |image, layer| image.layer_as(layer.clone()));
    let layout = LayoutBuilder::of(&image);
    let input_bytes = layout.files().values().map(|bytes| bytes.len() as u64).sum();
    let dir = home.join("layout");
    layout.write(&dir);
    CostCommand {
        arguments: pull_arguments(&format!("oci:{}:{TAG}", dir.display()), options),
        input_bytes,
        ..CostCommand::default()
    }
}

/// Returns the command that pulls `reference` into one file.
pub(super) fn pull_arguments(reference: &str, options: &[&str]) -> Vec<String> {
    let given = ["image", "pull", reference, "--output", "out.ext4"];
    given.iter().chain(options).map(|text| (*text).to_owned()).collect()
}

/// A tar of 39 symlinks, each of which winds down and up 800 times before it leads to the next one, and
/// directories `a` and `b` behind the last.
pub(super) fn winding(first: &str) -> Vec<u8> {
    let mut tar = Entry::dir("d").encode();
    tar.extend(Entry::dir("end").encode());
    let name = |number: usize| if number == 0 { first.to_owned() } else { format!("l{number}") };
    for number in 0..39 {
        let next = if number == 38 { "end".to_owned() } else { name(number + 1) };
        let target = "d/../".repeat(800) + &next;
        tar.extend(Entry::symlink(name(number), "x").pax("linkpath", target).encode());
    }
    tar
}
