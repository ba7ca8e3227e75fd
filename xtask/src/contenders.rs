//! What is measured: one shell script each, over the same layers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use banger_testkit::{Image, TAG, reference_tree, tools};
use serde_json::Value;

/// One way of getting from layers to whatever it makes.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// Name in the table.
    pub(crate) name: String,
    /// What is run; `$OUT` is a fresh directory.
    pub(crate) script: String,
}

/// The published layers of an image, base first.
pub(crate) fn layers(layout: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let blob = |descriptor: &Value| -> anyhow::Result<PathBuf> {
        let digest = descriptor["digest"].as_str().context("a descriptor has a digest")?;
        Ok(layout.join("blobs").join(digest.replace(':', "/")))
    };
    let json = |path: &Path| -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(path).with_context(|| path.display().to_string())?)?)
    };
    let index = json(&layout.join("index.json"))?;
    let manifest = json(&blob(&index["manifests"][0])?)?;
    manifest["layers"].as_array().context("a manifest has layers")?.iter().map(blob).collect()
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
    match oci2rootfs() {
        Ok(oci2rootfs) => {
            for (name, layout) in [("gzip", &gzip), ("zstd", &zstd)] {
                let script = format!("{} {} $OUT/rootfs.ext4", quote(&oci2rootfs), quote(layout));
                found.push((format!("oci2rootfs, {name}"), script));
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
    Ok(std::env::current_exe()?.with_file_name("banger"))
}

/// A program around the `oci2rootfs` crate, which has none: `oci2rootfs LAYOUT FILE`. Built in the
/// test cache, so that its dependencies are not ours.
fn oci2rootfs() -> anyhow::Result<PathBuf> {
    const MANIFEST: &str = "[package]\nname = \"oci2rootfs-cli\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
                            [workspace]\n\n[dependencies]\n\
                            oci2rootfs = { version = \"=0.3.0\", default-features = false }\n";
    const PROGRAM: &str = "fn main() {\n    let arguments: Vec<String> = std::env::args().collect();\n    \
                           let layout = oci2rootfs::OciLayoutSource::open(&arguments[1]).unwrap();\n    \
                           oci2rootfs::Converter::new(&arguments[2]).size(2 << 30).convert(layout).unwrap();\n}\n";
    let dir = tools::cache_dir().join("tools/oci2rootfs");
    let program = dir.join("target/release/oci2rootfs-cli");
    if !program.is_file() {
        std::fs::create_dir_all(dir.join("src"))?;
        std::fs::write(dir.join("Cargo.toml"), MANIFEST)?;
        std::fs::write(dir.join("src/main.rs"), PROGRAM)?;
        let status = Command::new("cargo")
            .args(["build", "--quiet", "--release"])
            .env("CARGO_TARGET_DIR", dir.join("target"))
            .current_dir(&dir)
            .status()?;
        if !status.success() {
            bail!("oci2rootfs does not build");
        }
    }
    Ok(program)
}

fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
