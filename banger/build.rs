//! Builds the guest binary, static and small, and hands it to the crate to embed.
//!
//! Only where the target is Linux on x86-64, and only inside the workspace; elsewhere nothing is
//! embedded, and a guest binary has to be given.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(embedded_guest)");
    println!("cargo::rerun-if-changed=build.rs");
    let crate_dir = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let workspace = crate_dir.parent().expect("the crate is a directory of the workspace");
    let manifest = workspace.join("banger-guest/Cargo.toml");
    let is_target =
        variable("CARGO_CFG_TARGET_OS") == "linux" && variable("CARGO_CFG_TARGET_ARCH") == "x86_64";
    if !is_target || !manifest.is_file() {
        return;
    }
    for path in ["banger-guest/Cargo.toml", "banger-guest/src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    let binary = build(workspace, &manifest, &PathBuf::from(variable("OUT_DIR")).join("guest"));
    println!("cargo::rustc-cfg=embedded_guest");
    println!("cargo::rustc-env=BANGER_GUEST={}", binary.display());
}

/// Builds the binary; returns where it is.
fn build(workspace: &Path, manifest: &Path, target_dir: &Path) -> PathBuf {
    // Paths of this machine are none of the guest's business, and would make its bytes depend on it.
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Crelocation-model=static".to_owned(),
        "-Cpanic=abort".to_owned(),
        format!("--remap-path-prefix={}=/banger", workspace.display()),
    ];
    if let Some(home) = cargo_home() {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    let mut command = Command::new(variable("CARGO"));
    command
        .args(["build", "--locked", "--quiet", "--features", "agent", "--profile", "guest"])
        .args(["--bin", "banger-guest", "--target", TARGET, "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    // What is meant for the crates around this one: lints in the compiler's place, and flags.
    for name in ["RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_TARGET_DIR", "CLIPPY_ARGS"] {
        command.env_remove(name);
    }
    let status = command.status().unwrap_or_else(|error| panic!("cannot run cargo: {error}"));
    assert!(status.success(), "the guest binary does not build: {command:?}");
    target_dir.join(TARGET).join("guest/banger-guest")
}

fn cargo_home() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
