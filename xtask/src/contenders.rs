//! What is measured: one shell script each, over the same layers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use banger_testkit::{Image, TAG, reference_tree, tools};

use crate::layout_blobs::layers;
use crate::oci2rootfs;

/// One way of getting from layers to whatever it makes.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// Name in the table.
    pub(crate) name: String,
    /// What is run; `$OUT` is a fresh directory.
    pub(crate) script: String,
}

/// Everything that runs over the gzip layers of `image` and its zstd twin.
pub(crate) fn contenders(image: Image, zstd_twin: Image) -> anyhow::Result<Vec<Contender>> {
    let layout = |image: Image| image.layout().map_err(|skip| anyhow::anyhow!("{}", skip.reason()));
    let (gzip, zstd) = (layout(image)?, layout(zstd_twin)?);
    let decompress = |tool: &str, layout: &Path| -> anyhow::Result<String> {
        let files: Vec<String> = layers(layout)?.iter().map(|path| quote(path)).collect();
        Ok(format!("{tool} -dc {} >/dev/null", files.join(" ")))
    };
    let banger = banger()?;
    let mut found = vec![
        ("igzip -dc".to_owned(), decompress("igzip", &gzip)?),
        ("gzip -dc".to_owned(), decompress("gzip", &gzip)?),
        ("zstd -dc".to_owned(), decompress("zstd -q", &zstd)?),
        (
            "sha256 of blobs".to_owned(),
            format!(
                "sha256sum {} >/dev/null",
                layers(&gzip)?.iter().map(|path| quote(path)).collect::<Vec<_>>().join(" ")
            ),
        ),
    ];
    for backend in BACKENDS {
        found.push((format!("banger, {backend}, gzip"), pull(&banger, &gzip, backend)));
        found.push((format!("banger, {backend}, zstd"), pull(&banger, &zstd, backend)));
    }
    let size = "$(( $(du -s --block-size=1M $OUT/bundle/rootfs | cut -f1) * 5 / 4 + 64 ))M";
    found.push((
        "skopeo, umoci, mkfs.ext4 -d (root)".to_owned(),
        format!(
            "skopeo --insecure-policy copy -q oci:{}:{TAG} oci:$OUT/copy:x; \
             umoci unpack --image $OUT/copy:x $OUT/bundle >/dev/null 2>&1; \
             mkfs.ext4 -q -d $OUT/bundle/rootfs $OUT/rootfs.ext4 {size}",
            quote(&gzip)
        ),
    ));
    if let (Ok(tree), Ok(mke2fs)) = (reference_tree(image), tools::newer_e2fsprogs("mke2fs")) {
        let tar = tools::cache_dir().join(format!("{}.flat.tar", image.name()));
        if !tar.is_file() {
            let mut command = Command::new("tar");
            command
                .args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-C"])
                .arg(&tree)
                .arg("-cf")
                .arg(&tar);
            tools::run(command.arg("."));
        }
        let blocks = std::fs::metadata(&tar)?.len() * 5 / 4 / 4096 + 32_768;
        found.push((
            "mke2fs 1.47.2 -d TAR, flattened beforehand".to_owned(),
            format!("{} -q -t ext4 -b 4096 -d {} $OUT/rootfs.ext4 {blocks}", quote(&mke2fs), quote(&tar)),
        ));
    }
    match oci2rootfs::program() {
        Ok(program) => {
            for (name, image, layout) in [("gzip", image, &gzip), ("zstd", zstd_twin, &zstd)] {
                let layout = oci2rootfs::layout(layout, image.name())?;
                let script = format!("{} {} $OUT/rootfs.ext4", quote(&program), quote(&layout));
                found.push((format!("oci2rootfs 0.3, {name}"), script));
            }
        }
        Err(error) => eprintln!("left out: oci2rootfs: {error}"),
    }
    Ok(found.into_iter().map(|(name, script)| Contender { name, script }).collect())
}

const BACKENDS: [&str; 2] = ["native", "e2fsprogs"];

/// The script that turns the image of `layout` into an ext4 file.
pub(crate) fn pull(banger: &Path, layout: &Path, backend: &str) -> String {
    format!(
        "XDG_CACHE_HOME=$OUT/cache XDG_STATE_HOME=$OUT/state TMPDIR=$OUT {} image pull oci:{}:{TAG} \
         --no-inject --backend {backend} --output $OUT/rootfs.ext4",
        quote(banger),
        quote(layout)
    )
}

/// The program, built for release.
pub(crate) fn banger() -> anyhow::Result<PathBuf> {
    let root = tools::workspace_root();
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked", "--package", "banger-cli"])
        .current_dir(root)
        .status()?;
    if !status.success() {
        bail!("banger does not build");
    }
    let program = std::env::current_exe()?;
    let target_dir =
        program.ancestors().nth(2).context("a program of cargo lies in a profile's directory")?;
    Ok(target_dir.join("release/banger"))
}

fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
