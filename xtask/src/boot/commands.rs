//! `banger` as a user calls it, with directories of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::bench::Bench;
use super::guest::ensure_that;

/// A user's state and cache.
#[derive(Debug)]
pub(crate) struct User {
    banger: PathBuf,
    directory: PathBuf,
}

impl User {
    /// A user without images, with the kernel of the tests as the only one.
    pub(crate) fn new(bench: &Bench, name: &str) -> anyhow::Result<Self> {
        let directory = bench.directory().join(format!("{name}.user"));
        std::fs::create_dir_all(&directory)?;
        let user = Self { banger: bench.program().to_owned(), directory };
        let kernel = bench.kernel_directory().to_owned();
        user.succeeds(&["kernel", "import", &path(&kernel)?, "--name", "debian"])?;
        Ok(user)
    }

    /// A file of this user.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The command with these arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.banger);
        command
            .args(arguments)
            .env("BANGER_STATE_DIR", self.directory.join("state"))
            .env("BANGER_CACHE_DIR", self.directory.join("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command(arguments).output().with_context(|| format!("{arguments:?}"))
    }

    /// Runs it and returns its standard output; it must end with status 0.
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        if !output.status.success() {
            bail!("{arguments:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it; it must end with `status`. Returns its standard output and error.
    pub(crate) fn ends_with(&self, status: i32, arguments: &[&str]) -> anyhow::Result<(String, String)> {
        let output = self.run(arguments)?;
        let [out, error] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        ensure_that!(output.status.code() == Some(status), "{arguments:?}: {}: {out}{error}", output.status);
        Ok((out, error))
    }

    /// Starts it.
    pub(crate) fn start(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("{arguments:?}"))
    }

    /// The machines of this user: directories below `vms`, and processes with one of them in their arguments.
    pub(crate) fn machines(&self) -> anyhow::Result<(Vec<PathBuf>, Vec<i32>)> {
        let vms = self.directory.join("state/vms");
        let entries = std::fs::read_dir(&vms).into_iter().flatten();
        let directories = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        let word = vms.to_string_lossy().into_owned();
        let mut processes = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&word) {
                processes.push(pid);
            }
        }
        Ok((directories, processes))
    }

    /// Fails if a machine or a part of one is there.
    pub(crate) fn has_no_machine(&self) -> anyhow::Result<()> {
        let (directories, processes) = self.machines()?;
        ensure_that!(directories.is_empty() && processes.is_empty(), "left: {directories:?} {processes:?}");
        Ok(())
    }

    /// Waits until a machine runs; returns its process.
    pub(crate) fn wait_for_machine(&self) -> anyhow::Result<i32> {
        let started = Instant::now();
        loop {
            if let [process] = self.machines()?.1.as_slice() {
                return Ok(*process);
            }
            if started.elapsed() > Duration::from_secs(60) {
                bail!("no machine started");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A path as text.
pub(crate) fn path(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned())
}

/// Waits until a command has ended, at most a minute.
pub(crate) fn wait_for_end(child: &mut Child) -> anyhow::Result<std::process::ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started.elapsed() > Duration::from_secs(60) {
            bail!("it did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
