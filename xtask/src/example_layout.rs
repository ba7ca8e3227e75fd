//! `cargo xtask example-layout`: an OCI layout that `examples/` pull from.

use std::path::PathBuf;

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, TAG};
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ExampleLayoutArguments {
    /// Directory to write; it may not exist yet.
    dir: PathBuf,
    /// Size of the largest file. The default takes long enough to be cancelled while it comes in.
    #[arg(long, default_value_t = 16 << 20)]
    size_bytes: u64,
}

/// Writes a layout of two layers for amd64.
pub(crate) fn example_layout(arguments: &ExampleLayoutArguments) -> anyhow::Result<()> {
    if arguments.dir.exists() {
        anyhow::bail!("{} exists", arguments.dir.display());
    }
    let noise: Vec<u8> =
        (0..arguments.size_bytes).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]).collect();
    let base = LayerBuilder::new()
        .dir("etc")
        .dir("usr")
        .file("etc/os-release", b"ID=example\n")
        .file("usr/noise", &noise);
    let top = LayerBuilder::new().file("etc/hostname", b"example\n").symlink("etc/mtab", "../proc/mounts");
    let image = ImageBuilder::new().layer(base.finish()).layer(top.finish());
    LayoutBuilder::of(&image).write(&arguments.dir);
    println!("oci:{}:{TAG}", arguments.dir.display());
    Ok(())
}
