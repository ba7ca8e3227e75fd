//! What cases ask guests, with failures that say what the guest said.

use std::time::Duration;

use anyhow::{Context as _, bail};
use banger::guest::{
    Exec, ExecOutput, ExitStatus, FirstBoot, FirstBootState, GuestAddress, GuestClient, Info,
};
use camino::Utf8PathBuf;

use super::qemu::Machine;

/// How long a guest may take to its agent, with instructions translated on a busy machine.
pub(crate) const BOOT_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a guest may take to go down.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(90);

/// A guest whose agent answers.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// The client.
    pub(crate) client: GuestClient,
}

impl Guest {
    /// Waits for the agent of `machine`.
    pub(crate) fn wait(machine: &Machine) -> anyhow::Result<Self> {
        machine.wait_for_vsock(BOOT_TIMEOUT)?;
        let path = Utf8PathBuf::from_path_buf(machine.socket())
            .map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))?;
        let client = GuestClient::new(GuestAddress::Hybrid { path, port: banger::guest::DEFAULT_PORT });
        client.wait_until_ready(BOOT_TIMEOUT).context("no agent")?;
        Ok(Self { client })
    }

    /// Runs `argv` and returns what it wrote, whatever became of it.
    pub(crate) fn run(&self, argv: &[&str]) -> anyhow::Result<ExecOutput> {
        let exec = Exec::default()
            .with_argv(argv.iter().map(|&word| word.to_owned()).collect())
            .with_timeout_ms(Some(120_000));
        self.client.run(&exec).with_context(|| format!("{argv:?}"))
    }

    /// Runs `script` in a shell; returns its output without the line's end.
    pub(crate) fn shell(&self, script: &str) -> anyhow::Result<String> {
        let output = self.run(&["/bin/sh", "-c", script])?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if output.status != (ExitStatus::Exited { status: 0 }) {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("{script:?} ended with {:?}: {text} {errors}", output.status);
        }
        Ok(text)
    }

    /// The agent's process id: it is the parent of what it runs.
    pub(crate) fn agent_pid(&self) -> anyhow::Result<String> {
        self.shell("echo $PPID")
    }

    /// Waits until `ready` says yes to what the guest is.
    pub(crate) fn wait_for_info(
        &self,
        what: &str,
        timeout: Duration,
        mut ready: impl FnMut(&Info) -> bool,
    ) -> anyhow::Result<Info> {
        let started = std::time::Instant::now();
        loop {
            let info = self.client.info()?;
            if ready(&info) {
                return Ok(info);
            }
            if started.elapsed() > timeout {
                bail!("no {what} within {} s, but {}", timeout.as_secs(), first_boot(&info));
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Waits until the first boot is done.
    pub(crate) fn wait_for_first_boot(&self, timeout: Duration) -> anyhow::Result<Info> {
        let info = self.wait_for_info("end of the first boot", timeout, |info| {
            !matches!(info.first_boot.state, FirstBootState::Pending | FirstBootState::Running)
        })?;
        match info.first_boot.state {
            FirstBootState::Failed => bail!("{}", first_boot(&info)),
            _ => Ok(info),
        }
    }

    /// Waits until systemd has no jobs of its start left, and returns what it says of itself. Not
    /// `--wait`: that waits for an event which may have passed.
    pub(crate) fn systemd_state(&self) -> anyhow::Result<String> {
        let started = std::time::Instant::now();
        loop {
            let output = self.run(&["systemctl", "is-system-running"])?;
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let is_starting = ["offline", "initializing", "starting"].contains(&state.as_str());
            if !is_starting || started.elapsed() > BOOT_TIMEOUT {
                return Ok(state);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Powers the guest off, and waits until the machine is.
    pub(crate) fn stop(&self, machine: &mut Machine) -> anyhow::Result<()> {
        self.client.shutdown(banger::guest::ShutdownAction::PowerOff)?;
        machine.wait(STOP_TIMEOUT)?;
        Ok(())
    }
}

/// How far a first boot has come, without its log, which is on the console too.
pub(crate) fn first_boot(info: &Info) -> String {
    let FirstBoot { state, attempt, stage, last_error, .. } = &info.first_boot;
    format!("first boot {state:?}, attempt {attempt}, stage {stage:?}, error {last_error:?}")
}

/// Fails with `what` unless `condition` holds.
macro_rules! ensure_that {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            anyhow::bail!($($what)+);
        }
    };
}
pub(crate) use ensure_that;
