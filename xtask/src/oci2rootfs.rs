//! The `oci2rootfs` crate as a contender: a program around it, and layouts that it takes.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use banger_testkit::{OCI_INDEX, OCI_MANIFEST, sha256_digest, tools};
use serde_json::{Value, json};

use crate::layout_blobs::blob;

const MANIFEST: &str = "[package]\nname = \"oci2rootfs-cli\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
                        [workspace]\n\n[dependencies]\n\
                        oci2rootfs = { version = \"=0.3.0\", default-features = false }\n";
const PROGRAM: &str = "fn main() {\n    let arguments: Vec<String> = std::env::args().collect();\n    \
                       let layout = oci2rootfs::OciLayoutSource::open(&arguments[1]).unwrap();\n    \
                       oci2rootfs::Converter::new(&arguments[2]).size(2 << 30).convert(layout).unwrap();\n}\n";

/// Returns a program around the crate, which has none: `oci2rootfs LAYOUT FILE`. Built in the test
/// cache, so that its dependencies are not ours.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let dir = dir();
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

/// Returns a layout like `layout`, with the same blobs, whose index and manifest say what they are.
/// The specification leaves that open, and version 0.3.0 refuses those that do not.
pub(crate) fn layout(layout: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let twin = dir().join("layouts").join(name);
    if twin.exists() {
        std::fs::remove_dir_all(&twin)?;
    }
    let blobs = Path::new("blobs/sha256");
    std::fs::create_dir_all(twin.join(blobs))?;
    for entry in std::fs::read_dir(layout.join(blobs))? {
        let entry = entry?;
        symlink(entry.path().canonicalize()?, twin.join(blobs).join(entry.file_name()))?;
    }
    std::fs::copy(layout.join("oci-layout"), twin.join("oci-layout"))?;

    let mut index = read(&layout.join("index.json"))?;
    let mut manifest = read(&blob(layout, &index["manifests"][0])?)?;
    manifest["mediaType"] = json!(OCI_MANIFEST);
    let manifest = serde_json::to_vec(&manifest)?;
    index["mediaType"] = json!(OCI_INDEX);
    index["manifests"][0]["digest"] = json!(sha256_digest(&manifest));
    index["manifests"][0]["size"] = json!(manifest.len());
    let place = blob(&twin, &index["manifests"][0])?;
    if !place.exists() {
        std::fs::write(place, manifest)?;
    }
    std::fs::write(twin.join("index.json"), serde_json::to_vec(&index)?)?;
    Ok(twin)
}

fn dir() -> PathBuf {
    tools::cache_dir().join("tools/oci2rootfs")
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_slice(&bytes)?)
}
