//! The programs of e2fsprogs: finds, checks and runs them.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use banger_tree::{Cancellation, ChildSetup};
use camino::{Utf8Path, Utf8PathBuf};

use crate::host;
use banger_ext4::Ext4Error;

/// Directories of administrators' programs, often not in an ordinary user's `PATH`.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/sbin", "/usr/sbin", "/usr/local/sbin"];
/// First version whose `mke2fs` has `-d` and whose libext2fs has metadata checksums.
const FIRST_VERSION: Version = Version { major: 1, minor: 43, patch: 0 };
/// Version that cuts files over 2 GiB short.
const BROKEN_VERSION: Version = Version { major: 1, minor: 47, patch: 3 };

/// A version of e2fsprogs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Reads the version from the output of `-V`: `mke2fs 1.47.0 (5-Feb-2023)`, `… 1.43-WIP …`.
    fn parse(banner: &str) -> Option<(Self, &str)> {
        let text = banner.split_whitespace().nth(1)?;
        let mut numbers = text.split(['.', '-', '~']).map(|part| part.parse::<u32>().ok());
        let (major, minor) = (numbers.next()??, numbers.next()??);
        let patch = numbers.next().flatten().unwrap_or(0);
        Some((Self { major, minor, patch }, text))
    }
}

/// One program that was found and may be used.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    path: PathBuf,
    version: String,
    child_setup: ChildSetup,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

/// Context of a run.
#[derive(Debug)]
pub(crate) struct ToolRun<'a> {
    /// Directory that the program starts in; its file arguments are relative to it, so that odd
    /// characters in the paths of the host never meet the programs' own syntax.
    pub(crate) directory: &'a Utf8Path,
    /// Stops it.
    pub(crate) cancellation: &'a Cancellation,
    /// Seconds since the epoch that the programs shall take for now; at least 1.
    pub(crate) now_seconds: u64,
}

impl Tool {
    /// Returns the program `name`: `configured`, or the first in `PATH` and the directories of
    /// administrators' programs.
    ///
    /// # Errors
    /// The program is missing, prints no version, or has a version that must not be used.
    pub(crate) fn find(
        name: &str,
        configured: Option<&Utf8PathBuf>,
        child_setup: ChildSetup,
    ) -> Result<Self, Ext4Error> {
        let missing = |tool: &str| Ext4Error::ToolMissing { tool: tool.to_owned() };
        let path = match configured {
            Some(path) if !path.is_file() => return Err(missing(path.as_str())),
            Some(path) => path.as_std_path().to_owned(),
            None => search_path()
                .map(|dir| dir.join(name))
                .find(|path| path.is_file())
                .ok_or_else(|| missing(name))?,
        };
        let unfit = |version: &str, reason: &str| Ext4Error::ToolUnfit {
            tool: path.display().to_string(),
            version: version.to_owned(),
            reason: reason.to_owned(),
        };
        let mut command = Command::new(&path);
        child_setup.apply(&mut command);
        let output = command.arg("-V").env("LC_ALL", "C").stdin(Stdio::null()).output();
        let output =
            output.map_err(|error| unfit("of unknown version", &format!("it does not start: {error}")))?;
        let banner = if output.stderr.is_empty() { output.stdout } else { output.stderr };
        let banner = String::from_utf8_lossy(&banner);
        let (version, text) = Version::parse(&banner)
            .ok_or_else(|| unfit("of unknown version", "it does not say that it is of e2fsprogs"))?;
        if version < FIRST_VERSION {
            return Err(unfit(text, "banger needs 1.43 or newer, for mke2fs -d and checksums"));
        }
        if version == BROKEN_VERSION {
            return Err(unfit(text, "1.47.3 cuts files over 2 GiB short; use any other version"));
        }
        let version = text.to_owned();
        Ok(Self { path, version, child_setup })
    }

    /// Returns the version that the program says.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Runs the program to its end, with its stderr in `<directory>/stderr`.
    ///
    /// # Errors
    /// It cannot be started or watched, or the run is cancelled: then it was killed.
    pub(crate) fn run(&self, arguments: &[OsString], run: &ToolRun<'_>) -> Result<Outcome, Ext4Error> {
        let log = run.directory.join("stderr");
        let stderr = File::create(&log).map_err(|error| host::failed("create", &log, error))?;
        let mut command = Command::new(&self.path);
        self.child_setup.apply(&mut command);
        let started = command
            .args(arguments)
            .current_dir(run.directory)
            .env("LC_ALL", "C")
            .env("MKE2FS_CONFIG", "/dev/null")
            .env("E2FSCK_CONFIG", "/dev/null")
            .env("E2FSPROGS_FAKE_TIME", run.now_seconds.to_string())
            .env("E2FSCK_TIME", run.now_seconds.to_string())
            .env("SOURCE_DATE_EPOCH", run.now_seconds.to_string())
            .env_remove("MKE2FS_FIRST_META_BG")
            .env_remove("MKE2FS_DEVICE_SECTSIZE")
            .env_remove("MKE2FS_DEVICE_PHYS_SECTSIZE")
            .env_remove("MKE2FS_SKIP_CHECK_MSG")
            .env_remove("MKE2FS_SKIP_PROGRESS")
            .env_remove("DEBUGFS_PAGER")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn();
        let mut child = started.map_err(|error| self.failed(&format!("it does not start: {error}")))?;
        raise_descriptor_limit(&child);
        let status = wait(&mut child, run.cancellation).map_err(|error| self.failed(&error.to_string()))?;
        let status = status.ok_or(Ext4Error::Cancelled)?;
        let stderr = std::fs::read(&log).map_err(|error| host::failed("read", &log, error))?;
        Ok(Outcome { status, stderr: String::from_utf8_lossy(&stderr).into_owned() })
    }

    /// Returns the error of this program, with `reason` on one line.
    pub(crate) fn failed(&self, reason: &str) -> Ext4Error {
        let lines: Vec<&str> = reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let mut reason = lines.join("; ");
        if let Some((at, _)) = reason.char_indices().nth(500) {
            reason.truncate(at);
            reason.push('…');
        }
        Ext4Error::ToolFailed { tool: self.path.display().to_string(), version: self.version.clone(), reason }
    }
}

impl Outcome {
    /// Returns the stderr without the banner `<name> <version> (<date>)`.
    pub(crate) fn complaints(&self, name: &str) -> String {
        let banner = |line: &&str| Version::parse(line).is_some() && line.starts_with(name);
        let lines = self.stderr.lines().filter(|line| !banner(line) && !line.trim().is_empty());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Returns how the program ended, as text.
    pub(crate) fn ending(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "ended for an unknown reason".to_owned(),
        }
    }
}

fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let listed: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
    listed.into_iter().chain(SYSTEM_DIRECTORIES.map(|dir| Path::new(dir).to_owned()))
}

/// Raises the limit on open files: mke2fs may hold one descriptor for each level of a directory tree. A
/// failure is harmless: only trees deeper than the limit need more.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn raise_descriptor_limit(child: &Child) {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let _ = prlimit(pid, Resource::Nofile, raised);
}

/// No call of this host changes the limits of another process.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn raise_descriptor_limit(_child: &Child) {}

/// Waits for `child`; kills it and returns `None` when cancelled.
fn wait(child: &mut Child, cancellation: &Cancellation) -> std::io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if cancellation.is_cancelled() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        for (banner, want) in [
            ("mke2fs 1.47.0 (5-Feb-2023)\n\tUsing EXT2FS Library", Some((1, 47, 0))),
            ("debugfs 1.43 (17-May-2016)", Some((1, 43, 0))),
            ("mke2fs 1.43-WIP (18-May-2015)", Some((1, 43, 0))),
            ("mke2fs 1.47.3 (8-Jul-2025)", Some((1, 47, 3))),
            ("mke2fs 1.47.10~rc1 (x)", Some((1, 47, 10))),
            ("usage: mke2fs", None),
            ("", None),
        ] {
            let version =
                Version::parse(banner).map(|(version, _)| (version.major, version.minor, version.patch));
            assert_eq!(version, want, "{banner:?}");
        }
    }
}
