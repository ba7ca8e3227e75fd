//! Runs one command and tells what it took.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// How long a command may take on the clock before it is ended.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often the bytes on the disk are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A command of the measured binary.
#[derive(Clone, Debug, Default)]
pub(super) struct CostCommand {
    pub(super) arguments: Vec<String>,
    /// Length of the hostile input.
    pub(super) input_bytes: u64,
    /// Requests that a server for this input counted.
    pub(super) requests: Arc<AtomicU64>,
}

/// What a command took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Spent {
    pub(super) cpu: f64,
    pub(super) peak_bytes: u64,
    pub(super) written_bytes: u64,
    pub(super) status: Option<i32>,
    pub(super) ending: String,
    /// The last of what it said on standard error.
    pub(super) message: String,
    pub(super) is_late: bool,
}

/// Runs the command in a home of its own below `home`, by a process of its own, so that its children
/// alone are counted.
pub(super) fn measure(banger: &Path, home: &Path, command: &CostCommand) -> anyhow::Result<Spent> {
    let output = Command::new(std::env::current_exe()?)
        .arg("measure-command")
        .arg(home)
        .arg(banger)
        .arg("--")
        .args(&command.arguments)
        .output()
        .context("cannot start the measuring process")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).context("the measuring process printed something else")
}

/// Returns the command with nothing of the caller's environment but its `PATH`.
pub(super) fn in_home(banger: &Path, home: &Path) -> Command {
    let mut command = Command::new(banger);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CACHE_HOME", home.join("cache"))
        .env("TMPDIR", home)
        .current_dir(home);
    command
}

/// Body of the measuring process: runs the command and prints what it took.
pub(crate) fn measure_command(home: &Path, banger: &Path, arguments: &[String]) -> anyhow::Result<()> {
    let before = allocated(home);
    let errors = home.join("stderr");
    let mut child = in_home(banger, home)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&errors)?)
        .spawn()?;
    let started = Instant::now();
    let mut most = before;
    let (mut is_late, mut looks) = (false, Instant::now());
    let status: ExitStatus = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > PATIENCE && !is_late {
            is_late = true;
            child.kill()?;
        }
        if looks.elapsed() > LOOK {
            most = most.max(allocated(home));
            looks = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    most = most.max(allocated(home));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = crate::measure::seconds(usage.user_time()) + crate::measure::seconds(usage.system_time());
    let mut message = String::new();
    std::fs::File::open(&errors)?.take(1 << 20).read_to_string(&mut message).ok();
    let tail = message.trim_end().lines().last().unwrap_or_default();
    let spent = Spent {
        cpu: cpu.as_secs_f64(),
        peak_bytes: u64::try_from(usage.max_rss())? * 1024,
        // Files without a name are seen by the kernel alone.
        written_bytes: (most - before).max(u64::try_from(usage.block_writes())? * 512),
        status: status.code(),
        ending: status.to_string(),
        message: tail.to_owned(),
        is_late,
    };
    println!("{}", serde_json::to_string(&spent)?);
    Ok(())
}

/// Returns the bytes that are allocated for all files below `dir`.
fn allocated(dir: &Path) -> u64 {
    let mut pending: Vec<PathBuf> = vec![dir.to_owned()];
    let mut bytes = 0;
    while let Some(dir) = pending.pop() {
        // What is gone meanwhile takes nothing.
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                pending.push(entry.path());
            }
        }
    }
    bytes
}
