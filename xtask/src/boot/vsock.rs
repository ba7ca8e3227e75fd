//! A vsock device for QEMU without the host's vhost modules: `vhost-device-vsock` beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::bail;
use tempfile::TempDir;

use super::process::Process;

/// The device's program; the host side of the guest's vsock is a Unix socket.
#[derive(Debug)]
pub(crate) struct VsockDevice {
    process: Process,
    /// Short, because a socket's path has 108 bytes at most.
    sockets: TempDir,
}

impl VsockDevice {
    /// Starts the device for the guest `cid`; what it prints goes to the file `log`.
    pub(crate) fn start(program: &Path, cid: u32, log: &Path) -> anyhow::Result<Self> {
        let sockets = tempfile::Builder::new().prefix("boot-test-").tempdir()?;
        let (device, socket) = (sockets.path().join("device"), sockets.path().join("vsock"));
        let output = std::fs::File::create(log)?;
        let mut command = Command::new(program);
        command
            .env("RUST_LOG", "info")
            .arg(format!("--guest-cid={cid}"))
            .arg(format!("--socket={}", device.display()))
            .arg(format!("--uds-path={}", socket.display()))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut process = Process::start("vhost-device-vsock", &mut command)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !device.exists() {
            if Instant::now() > deadline || !process.is_running() {
                bail!("vhost-device-vsock made no socket: see {}", log.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { process, sockets })
    }

    /// The socket for QEMU; the machine's memory must be shared.
    pub(crate) fn device_socket(&self) -> PathBuf {
        self.sockets.path().join("device")
    }

    /// Where the host connects, with `CONNECT <port>`.
    pub(crate) fn socket(&self) -> PathBuf {
        self.sockets.path().join("vsock")
    }

    /// Ends it, with the machine it belongs to.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}
