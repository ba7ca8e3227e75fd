//! Programs of the machine and of the test cache.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::Skip;

/// The root directory of the workspace that the tests were built from.
#[must_use]
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// Where made images and unpacked tools are kept: `$BANGER_TEST_CACHE`, or
/// `target/test-cache` in the workspace.
#[must_use]
pub fn cache_dir() -> PathBuf {
    std::env::var_os("BANGER_TEST_CACHE").map_or_else(
        || workspace_root().join("target/test-cache"),
        |dir| {
            // Tests run in their crate's directory, scripts in the caller's.
            std::path::absolute(dir).expect("BANGER_TEST_CACHE is not empty")
        },
    )
}

/// The path of the program `name`, looked for in `PATH` and the system directories.
///
/// # Errors
///
/// A [`Skip`] that names the program and the script that installs it.
pub fn tool(name: &str) -> Result<PathBuf, Skip> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Users' PATHs on Debian lack the directories of e2fsprogs.
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| Skip::new(format!("{name} is not installed: run scripts/setup-tests once")))
}

/// The path of `name` (`e2fsck`, `mke2fs`, `debugfs`, …) of the newer e2fsprogs
/// that `scripts/setup-tests` unpacks into the cache.
///
/// # Errors
///
/// A [`Skip`] when it is not there.
pub fn newer_e2fsprogs(name: &str) -> Result<PathBuf, Skip> {
    let path = cache_dir().join("tools/e2fsprogs/bin").join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Skip::new(format!("no newer {name} in the test cache: run scripts/setup-tests once")))
    }
}

/// The program oras that `scripts/setup-tests` builds.
///
/// # Errors
///
/// A [`Skip`] when it is not there.
pub fn oras() -> Result<Command, Skip> {
    let path = cache_dir().join("tools/oras/bin/oras");
    match path.is_file() {
        true => Ok(command_at(path)),
        false => Err(Skip::new("no oras in the test cache: run scripts/setup-tests once")),
    }
}

/// Nothing when the tests run as root.
///
/// # Errors
///
/// A [`Skip`] that names what for.
pub fn root(what_for: &str) -> Result<(), Skip> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(Skip::new(format!("{what_for} needs root")))
    }
}

/// What `command` printed.
///
/// # Panics
///
/// When it cannot be started or fails, with all that it printed.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    match try_run(command) {
        Ok(output) => output,
        Err(report) => panic!("{report}"),
    }
}

/// What `command` printed, or a report of its failure.
///
/// # Errors
///
/// One text with the command line, its status and all that it printed.
pub fn try_run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(format!(
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        ))
    }
}

/// A command for the program `name`, in the C locale and UTC.
///
/// # Errors
///
/// A [`Skip`] when the program is missing.
pub fn command(name: &str) -> Result<Command, Skip> {
    Ok(command_at(tool(name)?))
}

pub(crate) fn command_at(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command
}
