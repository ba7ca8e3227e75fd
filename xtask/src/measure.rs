//! What a script takes: wall time, CPU time, memory, bytes written.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// What one run of a script took, its children included.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Seconds on the clock.
    pub(crate) wall: f64,
    /// Seconds of CPU time, user and system.
    pub(crate) cpu: f64,
    /// Most memory of the largest process, in bytes.
    pub(crate) peak_bytes: u64,
    /// Bytes that went to the disk or will.
    pub(crate) written_bytes: u64,
}

/// Runs `script` in a process of its own and returns what it took.
pub(crate) fn run(script: &str) -> anyhow::Result<Usage> {
    let output = Command::new(std::env::current_exe()?)
        .args(["measure", script])
        .output()
        .context("cannot start the measuring process")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).context("the measuring process printed something else")
}

/// Runs `script` and prints what it took.
pub(crate) fn measure(script: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", script]).output()?;
    let wall = started.elapsed();
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    let usage = Usage {
        wall: wall.as_secs_f64(),
        cpu: cpu.as_secs_f64(),
        peak_bytes: u64::try_from(usage.max_rss())? * 1024,
        written_bytes: u64::try_from(usage.block_writes())? * 512,
    };
    println!("{}", serde_json::to_string(&usage)?);
    Ok(())
}

pub(crate) fn seconds(time: TimeVal) -> Duration {
    let microseconds = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}

/// The median of each figure.
pub(crate) fn median(runs: &[Usage]) -> Usage {
    let of = |figure: fn(&Usage) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let bytes_of = |figure: fn(&Usage) -> u64| {
        let mut values: Vec<u64> = runs.iter().map(figure).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    Usage {
        wall: of(|usage| usage.wall),
        cpu: of(|usage| usage.cpu),
        peak_bytes: bytes_of(|usage| usage.peak_bytes),
        written_bytes: bytes_of(|usage| usage.written_bytes),
    }
}
