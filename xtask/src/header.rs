//! `cargo xtask header`: makes `include/banger.h` of the sources of banger-ffi.

use std::fs;

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};

const HEADER: &str = "include/banger.h";
const CRATE: &str = "banger-ffi";

#[derive(Debug, clap::Args)]
pub(crate) struct HeaderArguments {
    /// Only check that the file is as it would be written.
    #[arg(long)]
    check: bool,
}

pub(crate) fn header(arguments: &HeaderArguments) -> anyhow::Result<()> {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is in the workspace")?;
    let (path, text) = (root.join(HEADER), generate(root)?);
    if arguments.check {
        let found = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        ensure!(found == text, "{HEADER} is not what banger-ffi says: run `cargo xtask header`");
        return Ok(());
    }
    fs::write(&path, text).with_context(|| format!("cannot write {path}"))
}

fn generate(root: &Utf8Path) -> anyhow::Result<String> {
    let directory: Utf8PathBuf = root.join(CRATE);
    let mut config = cbindgen::Config::from_root_or_default(&directory);
    let macros = version_macros(env!("CARGO_PKG_VERSION"))?;
    config.after_includes = Some(format!("{macros}{}", config.after_includes.unwrap_or_default()));
    let bindings = cbindgen::generate_with_config(&directory, config).context("cbindgen failed")?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    Ok(String::from_utf8(text)?.trim_start().to_owned())
}

fn version_macros(version: &str) -> anyhow::Result<String> {
    let numbers: Vec<u32> = version.split('.').map(str::parse).collect::<Result<_, _>>()?;
    let [major, minor, patch] = numbers[..] else { anyhow::bail!("{version} has not three numbers") };
    Ok(format!(
        "/** The version of this header; banger_version_number() is that of the library. */\n\
         #define BANGER_VERSION_MAJOR {major}\n\
         #define BANGER_VERSION_MINOR {minor}\n\
         #define BANGER_VERSION_PATCH {patch}\n\
         #define BANGER_VERSION_NUMBER \\\n    \
         (BANGER_VERSION_MAJOR * 1000000 + BANGER_VERSION_MINOR * 1000 + BANGER_VERSION_PATCH)\n"
    ))
}
