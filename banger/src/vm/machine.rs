//! A running machine.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::{Child, ChildStdin, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use banger_guest::config::{InterfaceAddress, NetworkConfig};
use banger_guest::protocol::ShutdownAction;
use banger_kernel::{Acceleration, BootPlan, BootRequest, Kernel, QemuOptions, UserNetwork, Vmm};
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal, kill_process};

use super::console::{Console, last_lines};
use super::disk::{VmDisk, absolute};
use super::error::VmError;
use super::kvm::kvm_works;
use super::launch::{initramfs, spawn};
use super::request::VmRequest;
use crate::boot::BootError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::guest::{GuestAddress, GuestClient, GuestError};

/// Name of the agent's socket in the directory of the machine.
const AGENT_SOCKET: &str = "agent.sock";
/// The longest path of a Unix socket: `sun_path` of unix(7), with its final NUL.
const SOCKET_PATH_BYTES: usize = 108;
/// How long one wait for the agent lasts, before the process is looked at.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// How long the guest may take to configure its network after its agent answers.
const NETWORK_TIME: Duration = Duration::from_secs(10);
/// The pause between two looks at the network.
const NETWORK_PAUSE: Duration = Duration::from_millis(50);
/// The pause between two looks at the process.
const PAUSE: Duration = Duration::from_millis(10);

/// A running machine. On drop it ends at once, as by a power cut, and its disk is removed.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    console: Console,
    errors: Console,
    client: GuestClient,
    acceleration: Acceleration,
    boot_timeout: Duration,
    cancellation: Cancellation,
    disk: Option<VmDisk>,
    /// Keeps the directory of the agent's socket open, if its path is too long.
    _directory: Option<File>,
}

impl Machine {
    /// Starts a machine with `disk` and `kernel`. Returns when its process runs; the guest is not up then, see
    /// [`wait_until_ready`](Self::wait_until_ready).
    ///
    /// # Errors
    /// QEMU is not installed or does not start, the kernel has no driver for the disk, or a directory of `dirs`
    /// cannot be written.
    pub fn start(
        disk: VmDisk,
        kernel: &Kernel,
        request: &VmRequest,
        dirs: &Dirs,
        cancellation: &Cancellation,
    ) -> Result<Self, Error> {
        let program = program(kernel, request);
        let acceleration = match request.acceleration {
            Some(acceleration) => acceleration,
            None if kvm_works(kernel, &program, dirs, cancellation) => Acceleration::Kvm,
            None => Acceleration::Tcg,
        };
        let initramfs = initramfs(kernel, disk.verity().is_some(), dirs)?;
        let plan = plan(&disk, kernel, request, acceleration, initramfs)?;
        let (directory, client) = agent_client(disk.directory())?;
        let client = client.with_cancellation(cancellation.clone());
        let mut child = spawn(&program, &plan, disk.directory(), request.console_input)?;
        let output = child.stdout.take().expect("stdout is a pipe");
        let errors = child.stderr.take().expect("stderr is a pipe");
        Ok(Self {
            console: Console::read(output, request.console.clone()),
            errors: Console::read(errors, None),
            child,
            client,
            acceleration,
            boot_timeout: request.boot_timeout,
            cancellation: cancellation.clone(),
            disk: Some(disk),
            _directory: directory,
        })
    }

    /// Returns how the guest's instructions run.
    pub fn acceleration(&self) -> Acceleration {
        self.acceleration
    }

    /// Returns the client of the guest's agent. The agent has one peer at a time.
    pub fn client(&self) -> &GuestClient {
        &self.client
    }

    /// Returns the writer of the console, once, if the request asked for it.
    pub fn console_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits until the agent in the guest answers.
    ///
    /// # Errors
    /// The machine ends, the time of the request is over, or the caller asks to stop.
    pub fn wait_until_ready(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            match self.client.wait_until_ready(ATTEMPT) {
                Ok(_) => return self.wait_for_network(),
                Err(GuestError::Cancelled) => return Err(Error::Cancelled),
                Err(_) => {}
            }
            if let Some(status) = self.ended()? {
                return Err(self.ended_early(status).into());
            }
            if started.elapsed() >= self.boot_timeout {
                let last_lines = self.last_lines();
                return Err(VmError::NotReady { after: self.boot_timeout, last_lines }.into());
            }
        }
    }

    /// Waits until the guest has its address: its agent may be faster. An image that configures its network
    /// otherwise does not keep the caller for long.
    fn wait_for_network(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let address = format!("{}/", UserNetwork::ADDRESS);
        while started.elapsed() < NETWORK_TIME {
            let interfaces = match self.client.info() {
                Ok(info) => info.interfaces,
                Err(GuestError::Cancelled) => return Err(Error::Cancelled),
                Err(error) => return Err(self.cause(error)),
            };
            if interfaces
                .iter()
                .any(|one| one.up && one.addresses.iter().any(|text| text.starts_with(&address)))
            {
                return Ok(());
            }
            if self.cancellation.sleep(NETWORK_PAUSE) {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }

    /// Returns why the machine ended in the place of the error of a connection that ended with it.
    pub fn cause(&mut self, error: GuestError) -> Error {
        match error {
            GuestError::Cancelled => Error::Cancelled,
            error => self.why_it_ended().map_or(Error::Guest(error), Error::Vm),
        }
    }

    /// Waits until the machine is off, at most for `timeout`; `None` waits for ever.
    ///
    /// # Errors
    /// The time is over, or the caller asks to stop. The machine runs on.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<ExitStatus, Error> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if let Some(after) = timeout.filter(|timeout| started.elapsed() >= *timeout) {
                return Err(VmError::NotDown { after, last_lines: self.last_lines() }.into());
            }
            if self.cancellation.sleep(PAUSE) {
                return Err(Error::Cancelled);
            }
        }
    }

    /// Asks the guest to power off, and waits for it; returns the disk, with everything on it.
    ///
    /// # Errors
    /// The agent does not answer, the guest does not power off within `timeout`, or QEMU fails. Then the machine
    /// and its disk are gone.
    pub fn shut_down(mut self, timeout: Duration) -> Result<VmDisk, Error> {
        self.client.shutdown(ShutdownAction::PowerOff)?;
        self.wait(Some(timeout))?;
        self.into_disk()
    }

    /// Returns the disk of a machine that is off.
    ///
    /// # Errors
    /// QEMU failed.
    pub fn into_disk(mut self) -> Result<VmDisk, Error> {
        let status = self.wait(None)?;
        match status.success() {
            true => Ok(self.disk.take().expect("only functions that end the machine take it")),
            false => Err(self.ended_early(status).into()),
        }
    }

    /// Returns the path of the disk. While the machine runs, only [`paused`](Self::paused) makes it safe to read.
    pub fn disk_path(&self) -> Utf8PathBuf {
        self.disk.as_ref().map(VmDisk::path).unwrap_or_default()
    }

    /// Stops the machine's processors while `work` runs. A disk that is copied by `work` is as after a power cut:
    /// the journal of its file system makes it sound.
    ///
    /// # Errors
    /// The host refuses, or `work` fails.
    pub fn paused<T>(&mut self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let failed = VmError::io("stop the process of", Utf8Path::new("the machine"));
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::STOP).map_err(|error| failed(error.into()))?;
        let done = work();
        kill_process(pid, Signal::CONT).map_err(|error| failed(error.into()))?;
        done
    }

    /// Returns the error of a machine that ended although it has work, if it has ended or ends now.
    fn why_it_ended(&mut self) -> Option<VmError> {
        // The connection ends a little before the process.
        let started = Instant::now();
        while started.elapsed() < ATTEMPT {
            if let Ok(Some(status)) = self.ended() {
                return Some(self.ended_early(status));
            }
            sleep(PAUSE);
        }
        None
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, VmError> {
        self.child.try_wait().map_err(VmError::io("wait for", Utf8Path::new("QEMU")))
    }

    /// Returns the error of a machine whose process ended with `status` although it has work.
    pub fn ended_early(&mut self, status: ExitStatus) -> VmError {
        self.console.join();
        self.errors.join();
        VmError::Ended { status, last_lines: self.last_lines() }
    }

    /// Returns what QEMU says and the last lines of the console.
    fn last_lines(&self) -> String {
        let parts = [last_lines(&self.errors.text()), last_lines(&self.console.text())];
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        parts.join(" | ")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only after its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.console.join();
        self.errors.join();
    }
}

/// Returns the program that starts `kernel`.
fn program(kernel: &Kernel, request: &VmRequest) -> Utf8PathBuf {
    match &request.qemu {
        Some(program) => absolute_program(program),
        None => match kernel.architecture {
            banger_kernel::KernelArchitecture::Arm64 => "qemu-system-aarch64".into(),
            _ => "qemu-system-x86_64".into(),
        },
    }
}

/// QEMU starts in the directory of its machine.
fn absolute_program(program: &Utf8Path) -> Utf8PathBuf {
    match program.as_str().contains('/') {
        true => absolute(program),
        false => program.to_owned(),
    }
}

fn plan(
    disk: &VmDisk,
    kernel: &Kernel,
    request: &VmRequest,
    acceleration: Acceleration,
    initramfs: Option<Utf8PathBuf>,
) -> Result<BootPlan, Error> {
    let address = InterfaceAddress::new(UserNetwork::ADDRESS.into(), UserNetwork::PREFIX)
        .expect("a prefix of 24 fits an address of 32 bits");
    let network = NetworkConfig::default()
        .with_addresses(vec![address])
        .with_gateways(vec![UserNetwork::GATEWAY.into()])
        .with_dns(vec![UserNetwork::DNS.into()])
        .with_hostname(request.hostname.clone());
    let qemu = QemuOptions::default()
        .with_acceleration(acceleration)
        .with_agent_port(Some(AGENT_SOCKET.into()))
        .with_user_network(Some(UserNetwork::new(request.forwards.clone())));
    let mut words = Vec::new();
    // Every character on a serial line costs time.
    words.extend(request.console.is_none().then(|| "quiet".to_owned()));
    words.extend((!request.first_boot).then(|| "banger.first-boot=off".to_owned()));
    words.extend((!request.entrypoint).then(|| "banger.entrypoint=off".to_owned()));
    words.extend(request.append.iter().cloned());
    let boot = BootRequest::new(Vmm::Qemu, disk.path())
        .with_cpus(request.cpus)
        .with_memory_mib(request.memory_mib)
        .with_initrd(initramfs)
        .with_verity(disk.verity().cloned())
        .with_network(Some(network))
        .with_append(words)
        .with_qemu(qemu);
    let mut plan = BootPlan::new(kernel, &boot).map_err(BootError::from)?;
    plan.kernel = absolute(&plan.kernel);
    Ok(plan)
}

/// Returns the client of the agent, and the directory if it has to stay open.
fn agent_client(directory: &Utf8Path) -> Result<(Option<File>, GuestClient), VmError> {
    let path = directory.join(AGENT_SOCKET);
    if path.as_str().len() < SOCKET_PATH_BYTES {
        return Ok((None, GuestClient::new(GuestAddress::Unix(path))));
    }
    let open = File::open(directory).map_err(VmError::io("open", directory))?;
    let short = format!("/proc/self/fd/{}/{AGENT_SOCKET}", open.as_raw_fd());
    Ok((Some(open), GuestClient::new(GuestAddress::Unix(short.into()))))
}
