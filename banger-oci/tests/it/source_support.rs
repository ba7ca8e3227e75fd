//! An image that is put into the stores of other programs.

use std::io::Read;
use std::path::Path;

use banger_oci::{PulledImage, decompress};
use banger_testkit::{Entry, ImageBuilder, LayerBuilder, LayoutBuilder, Skip, tools};
use camino::Utf8Path;

use crate::pull_support::*;

/// The full name of the image of [`two_layers`].
pub(crate) const NAME: &str = "docker.io/library/app:2";

/// An image of two compressed layers with links, odd names, owners, holes and whiteouts.
pub(crate) fn two_layers() -> ImageBuilder {
    let base = LayerBuilder::new()
        .dir("etc")
        .entry(Entry::file("etc/owned", noise(1, 3000)).owner(70_000, 33).mode(0o4750))
        .hardlink("etc/hard", "etc/owned")
        .symlink("etc/sym", "owned")
        .file("etc/caf\u{e9}", "utf-8")
        .file("etc/empty", "")
        .entry(Entry::file("etc/attributes", "x").xattr("user.a", b"b"))
        .file("big", noise(2, 300_000))
        .fifo("pipe")
        .finish();
    let top = LayerBuilder::new().whiteout("etc/owned").opaque("gone").file("etc/new", "new").finish();
    ImageBuilder::new().layer(base).layer(top)
}

/// Writes the image as a layout, under `2`.
pub(crate) fn write_two_layers(dir: &Utf8Path) {
    let mut layout = LayoutBuilder::new();
    layout.add_tagged(&two_layers(), "2");
    layout.write(Path::new(dir));
}

/// Copies an image by skopeo, whose mounts end with it.
pub(crate) fn copy_image(from: &str, to: &str) -> Result<(), Skip> {
    tools::tool("skopeo")?;
    let mut command = tools::command("unshare")?;
    tools::run(command.args(["--mount", "skopeo", "--insecure-policy", "copy", "--quiet", from, to]));
    Ok(())
}

/// The layers of an image as tars.
pub(crate) fn tars(image: &PulledImage) -> Vec<Vec<u8>> {
    let tars = read_layers(image).unwrap().into_iter().map(|bytes| {
        let mut tar = Vec::new();
        decompress::decompressor(std::io::Cursor::new(bytes)).unwrap().read_to_end(&mut tar).unwrap();
        tar
    });
    let tars = tars.collect();
    image.finish().unwrap();
    tars
}
