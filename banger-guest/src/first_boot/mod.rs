//! The driver of the first boot: keeps the marker, calls the script that knows package managers, and reports
//! why it failed.
//!
//! While `first-boot-pending` exists, the first boot is not done. Each stage is written into it and flushed
//! before it begins. It is removed only after `first-boot-done` is on the disk.

mod log;
mod script;

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use banger_guest::config::{BootContract, FirstBootMarker, GuestConfig, InitMode, paths};
use thiserror::Error;

use crate::bounded;
use crate::contract;
use crate::durable;
use crate::options::{Options, Role};
use crate::report::say;
use crate::root::Root;
use crate::run_state::RunState;

use log::Log;
use script::{Script, StageError, TIMEOUT};

/// The longest marker.
const MARKER_BYTES: u64 = 64 * 1024;

/// Paths of sshd.
const SSHD: [&str; 5] =
    ["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd", "/usr/local/sbin/sshd", "/usr/lib/ssh/sshd"];

/// The reason why the first boot is not done. The text goes into the marker.
#[derive(Debug, Error)]
enum FirstBootError {
    #[error("somebody else drives it")]
    Locked(#[source] io::Error),
    #[error("cannot write {path}: {source}")]
    State { path: &'static str, source: io::Error },
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// The role: does the pending work, once.
pub(crate) fn run(options: &Options) -> ExitCode {
    let root = &options.root;
    let name = Role::FirstBoot.name();
    if is_off(root) {
        return ExitCode::SUCCESS;
    }
    if !root.path(paths::FIRST_BOOT_PENDING).exists() {
        return later_boot(root);
    }
    let mut log = Log::open(root);
    let lock = RunState::of_guest(root).lock_first_boot();
    match lock.map_err(FirstBootError::Locked).and_then(|lock| drive(root, &mut log).map(|()| lock)) {
        Ok(_lock) => {
            log.line("done");
            ExitCode::SUCCESS
        }
        Err(error) => {
            log.line(&format!("failed: {error}"));
            say(name, format_args!("the next boot tries again"));
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the kernel's command line says `banger.first-boot=off`: the first boot waits for another boot.
pub(crate) fn is_off(root: &Root) -> bool {
    root.command_line().value("banger.first-boot") == Some("off")
}

/// Returns whether a guest has work at a boot: the first boot, or the work of an init at later boots.
pub(crate) fn is_needed(root: &Root, config: &GuestConfig) -> bool {
    if is_off(root) {
        return false;
    }
    let is_last_init = config.contract == BootContract::Banger
        && config.init != InitMode::Install
        && config.handover.is_none();
    root.path(paths::FIRST_BOOT_PENDING).exists()
        || (is_last_init && root.path(paths::FIRST_BOOT_DONE).exists())
}

/// Starts what the first boot has installed, if the image has no init that does so.
fn later_boot(root: &Root) -> ExitCode {
    let config = root.guest_config(Role::FirstBoot.name());
    let is_needed = config.as_ref().is_some_and(|config| is_needed(root, config));
    if !is_needed || !root.path(paths::FIRST_BOOT_SCRIPT).exists() {
        return ExitCode::SUCCESS;
    }
    let mut log = Log::open(root);
    let contract = config.as_ref().map(|config| config.contract);
    match Script::new(root, contract, 0).run("start", Instant::now() + TIMEOUT, &mut log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.line(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn drive(root: &Root, log: &mut Log) -> Result<(), FirstBootError> {
    let mut marker = read_marker(root);
    marker.attempt = marker.attempt.saturating_add(1);
    let done = stages(root, log, &mut marker);
    if let Err(error) = done {
        marker.last_error = Some(error.to_string());
        write_marker(root, &marker)?;
        return Err(error);
    }
    finish(root, &marker)
}

fn stages(root: &Root, log: &mut Log, marker: &mut FirstBootMarker) -> Result<(), FirstBootError> {
    let config = root.guest_config(Role::FirstBoot.name());
    let has_sshd = SSHD.iter().any(|path| root.path(path).exists());
    // Where an earlier attempt was cut off, its files may be there and nothing be set up.
    let is_half_installed = marker.stage.as_deref() == Some("install");
    let contract = config.as_ref().map(|config| contract::running(root, config));
    let installs_init = config.as_ref().is_some_and(|config| config.init == InitMode::Install);
    let mut stages = Vec::new();
    if installs_init {
        stages.push("init");
    }
    if !has_sshd || is_half_installed {
        stages.push("install");
    }
    stages.push("keys");
    // A newly installed init starts the services of the packages; it does not run yet.
    if !installs_init || contract != Some(BootContract::Banger) {
        stages.push("enable");
    }
    let script = Script::new(root, contract, marker.attempt);
    let deadline = Instant::now() + TIMEOUT;
    for stage in stages {
        marker.stage = Some(stage.to_owned());
        write_marker(root, marker)?;
        log.line(&format!("attempt {}, stage {stage}", marker.attempt));
        script.run(stage, deadline, log)?;
    }
    Ok(())
}

/// Writes and flushes the marker of the finished first boot, then removes the pending one.
fn finish(root: &Root, marker: &FirstBootMarker) -> Result<(), FirstBootError> {
    let done = FirstBootMarker { attempt: marker.attempt, stage: None, last_error: None };
    durable::replace(&root.path(paths::FIRST_BOOT_DONE), &done.to_json(), 0o644)
        .map_err(|source| FirstBootError::State { path: paths::FIRST_BOOT_DONE, source })?;
    // Flush the files of the package manager: without the marker, lost files would not be installed again.
    rustix::fs::sync();
    durable::remove(&root.path(paths::FIRST_BOOT_PENDING))
        .map_err(|source| FirstBootError::State { path: paths::FIRST_BOOT_PENDING, source })
}

/// Returns the marker; an unreadable or too long one counts as a first boot that never began.
pub(crate) fn read_marker(root: &Root) -> FirstBootMarker {
    let json = bounded::read_whole(&root.path(paths::FIRST_BOOT_PENDING), MARKER_BYTES);
    FirstBootMarker::from_json(&json.unwrap_or_default())
}

fn write_marker(root: &Root, marker: &FirstBootMarker) -> Result<(), FirstBootError> {
    durable::replace(&root.path(paths::FIRST_BOOT_PENDING), &marker.to_json(), 0o644)
        .map_err(|source| FirstBootError::State { path: paths::FIRST_BOOT_PENDING, source })
}
