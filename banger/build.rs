//! Makes the guest binaries that the feature `embedded-guest` embeds available to the crate.
//!
//! They come from the files of `BANGER_GUEST_BINARY`. Without that variable banger's own workspace builds
//! one, static and small, for the processor that the crate is compiled for. Anywhere else the crate
//! compiles without a guest, and its callers pass one at run time.

#[path = "src/elf.rs"]
mod elf;
#[path = "build/guest_source.rs"]
mod guest_source;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use guest_source::{BuildFacts, GuestSource, guest_source};

/// Variables for the crates around this one: lints in the compiler's place, and flags.
const VARIABLES_OF_THE_OUTER_BUILD: [&str; 5] =
    ["RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_TARGET_DIR", "CLIPPY_ARGS"];

fn main() {
    for path in ["build.rs", "build/guest_source.rs", "src/elf.rs"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for name in ["BANGER_GUEST_BINARY", "DOCS_RS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let package_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let (given, cargo) = (env::var_os("BANGER_GUEST_BINARY"), env::var_os("CARGO"));
    let (target_os, target_arch) = (text("CARGO_CFG_TARGET_OS"), text("CARGO_CFG_TARGET_ARCH"));
    let source = guest_source(&BuildFacts {
        is_wanted: env::var_os("CARGO_FEATURE_EMBEDDED_GUEST").is_some(),
        is_docs_rs: env::var_os("DOCS_RS").is_some(),
        given: given.as_deref(),
        cargo: cargo.as_deref(),
        target_os: &target_os,
        target_arch: &target_arch,
        package_dir: &package_dir,
    });
    let guests = match source {
        GuestSource::Absent => Vec::new(),
        GuestSource::Missing(reason) => without_guest(reason),
        GuestSource::Files(files) => {
            files.iter().map(|file| read(file).unwrap_or_else(|fault| panic!("{fault}"))).collect()
        }
        GuestSource::Build { cargo, workspace, target } => {
            for path in ["banger-guest/Cargo.toml", "banger-guest/src", "Cargo.toml", "Cargo.lock"] {
                println!("cargo::rerun-if-changed={}", workspace.join(path).display());
            }
            let built = build(&cargo, &workspace, &target, &out_dir.join("guest"));
            match built.and_then(|file| read(&file)) {
                Ok(guest) => vec![guest],
                Err(reason) => {
                    // A file that is never there: the next build tries again.
                    println!("cargo::rerun-if-changed={}", out_dir.join("guest-is-missing").display());
                    without_guest(&reason)
                }
            }
        }
    };
    embed(&guests, &out_dir);
}

/// A guest binary and the processor that it is for, as OCI calls it.
type Guest = (&'static str, Vec<u8>);

fn without_guest(reason: &str) -> Vec<Guest> {
    println!(
        "cargo::warning=no guest binary is embedded: {reason}; to embed one, set BANGER_GUEST_BINARY to its file"
    );
    Vec::new()
}

/// Reads a guest binary and checks that a guest can run it.
fn read(file: &Path) -> Result<Guest, String> {
    println!("cargo::rerun-if-changed={}", file.display());
    let fault = |reason: String| format!("the guest binary {}: {reason}", file.display());
    let bytes = fs::read(file).map_err(|error| fault(error.to_string()))?;
    let architecture = elf::architecture_of(&bytes)
        .ok_or_else(|| fault("it is not an ELF file for a known processor".to_owned()))?;
    elf::check_executable(&bytes, architecture).map_err(|reason| fault(reason.to_owned()))?;
    Ok((architecture, bytes))
}

/// Writes the binaries and a table of them, which `src/guest_binary.rs` includes.
fn embed(guests: &[Guest], out_dir: &Path) {
    let mut table = String::from("&[");
    for (index, (architecture, bytes)) in guests.iter().enumerate() {
        assert!(
            guests[..index].iter().all(|(earlier, _)| earlier != architecture),
            "BANGER_GUEST_BINARY names two guest binaries for {architecture}"
        );
        let name = format!("banger-guest-{architecture}");
        write(&out_dir.join(&name), bytes);
        table.push_str(&format!("({architecture:?}, include_bytes!({name:?}).as_slice()), "));
    }
    table.push(']');
    write(&out_dir.join("embedded_guests.rs"), table.as_bytes());
}

fn write(file: &Path, bytes: &[u8]) {
    fs::write(file, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
}

/// Builds the binary; returns its file, or why there is none.
fn build(cargo: &Path, workspace: &Path, target: &str, target_dir: &Path) -> Result<PathBuf, String> {
    // The lock file names every dependency, so the network is needed only for what was never fetched.
    let status = |offline: &[&str]| {
        let mut command = Command::new(cargo);
        command
            .args(["build", "--locked", "--quiet", "--features", "agent", "--profile", "guest"])
            .args(offline)
            .args(["--bin", "banger-guest", "--target", target, "--manifest-path"])
            .arg(workspace.join("banger-guest/Cargo.toml"))
            .arg("--target-dir")
            .arg(target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace));
        for name in VARIABLES_OF_THE_OUTER_BUILD {
            command.env_remove(name);
        }
        command.output().map_err(|error| format!("{} does not start: {error}", cargo.display()))
    };
    let mut output = status(&["--offline"])?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("--offline") {
        output = status(&[])?;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // cargo shows it with the log of the build script.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
    if output.status.success() {
        return Ok(target_dir.join(target).join("guest/banger-guest"));
    }
    let first =
        said.lines().find(|line| line.starts_with("error")).unwrap_or("see the log of the build script");
    Err(format!("it does not build ({})", first.trim_start_matches("error: ")))
}

/// Returns the compiler's flags: static, and free of paths of this machine, which would change the bytes.
fn flags(workspace: &Path) -> String {
    let mut flags = vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Crelocation-model=static".to_owned(),
        "-Cpanic=abort".to_owned(),
        format!("--remap-path-prefix={}=/banger", workspace.display()),
    ];
    if let Some(home) = cargo_home() {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    flags.join("\u{1f}")
}

fn cargo_home() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

/// Returns a variable of cargo, or nothing where another build system does not set it.
fn text(name: &str) -> String {
    env::var_os(name).map(OsString::into_string).and_then(Result::ok).unwrap_or_default()
}
