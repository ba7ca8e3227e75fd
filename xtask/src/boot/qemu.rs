//! A virtual machine in QEMU.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use banger_kernel::initramfs::RootDisk;
use banger_kernel::{
    Acceleration, BootPlan, BootRequest, Kernel, KernelArchitecture, KernelFiles, KernelFormat, QemuOptions,
    RenderedPlan, Vmm,
};

use super::console::Console;
use super::initramfs;
use super::network::Network;
use super::paths::utf8;
use super::process::Process;
use super::vsock::VsockDevice;

/// What every machine is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// `qemu-system-x86_64`.
    pub(crate) qemu: PathBuf,
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// The initramfs.
    pub(crate) initramfs: PathBuf,
    /// `vhost-device-vsock`.
    pub(crate) vsock: PathBuf,
    /// How instructions run.
    pub(crate) acceleration: Acceleration,
}

/// One machine to start.
#[derive(Clone, Debug)]
pub(crate) struct MachineOptions {
    /// The disk; none for a machine that only probes.
    pub(crate) disk: Option<PathBuf>,
    /// Disks besides it, on virtio, each with its serial number.
    pub(crate) more_disks: Vec<(&'static str, PathBuf)>,
    /// How the disk is attached.
    pub(crate) bus: RootDisk,
    /// Whether the disk refuses writes.
    pub(crate) read_only: bool,
    /// The initramfs; that of [`Parts`] without it.
    pub(crate) initramfs: Option<PathBuf>,
    /// Words for the kernel's command line.
    pub(crate) append: Vec<String>,
    /// Whether kernel and initramfs leave everything to the init, also `/dev`.
    pub(crate) mounts_nothing: bool,
    /// What the network card leads to; there is none without it.
    pub(crate) network: Option<Network>,
    /// Whether there is a vsock device.
    pub(crate) vsock: bool,
    /// Memory in MiB.
    pub(crate) memory_mib: u32,
}

impl MachineOptions {
    /// A machine with `disk` and a vsock device, and no network.
    pub(crate) fn with_disk(disk: &Path) -> Self {
        Self {
            disk: Some(disk.to_path_buf()),
            more_disks: Vec::new(),
            bus: RootDisk::Nvme,
            read_only: false,
            initramfs: None,
            append: Vec::new(),
            mounts_nothing: false,
            network: None,
            vsock: true,
            memory_mib: 512,
        }
    }
}

/// A running machine; it ends when this goes out of scope.
#[derive(Debug)]
pub(crate) struct Machine {
    process: Process,
    console: Console,
    vsock: Option<VsockDevice>,
}

impl Machine {
    /// Starts a machine; `log` gets its console.
    pub(crate) fn start(parts: &Parts, options: &MachineOptions, log: &Path) -> anyhow::Result<Self> {
        let mut vsock = None;
        if options.vsock {
            vsock = Some(VsockDevice::start(&parts.vsock, 3, &log.with_extension("vsock.log"))?);
        }
        let mut more = Vec::new();
        if let Some(network) = &options.network {
            more.extend(["-netdev".to_owned(), network.netdev()]);
            more.extend(["-device", "virtio-net-pci,netdev=net,romfile="].map(str::to_owned));
        }
        for (serial, disk) in &options.more_disks {
            // Without flushes of the host: they change nothing of what the file contains after a kill.
            let drive = format!("if=none,id=disk-{serial},format=raw,cache=unsafe,file={}", utf8(disk)?);
            let device = format!("virtio-blk-pci,drive=disk-{serial},serial={serial}");
            more.extend(["-drive".to_owned(), drive, "-device".to_owned(), device]);
        }
        let plan = plan(parts, options, vsock.as_ref())?;
        Ok(Self { vsock, ..Self::start_plan(parts, &plan, &more, log)? })
    }

    /// Starts the machine of `plan` with more options; `log` gets its console.
    pub(crate) fn start_plan(
        parts: &Parts,
        plan: &BootPlan,
        more: &[String],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let RenderedPlan::Command(words) = plan.render() else { bail!("QEMU's plan is no command") };
        let mut command = Command::new(&parts.qemu);
        command.args(&words[1..]).args(more);
        let errors = log.with_extension("qemu.log");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(std::fs::File::create(errors)?);
        let mut process = Process::start("qemu", &mut command)?;
        let output = process.child().stdout.take().expect("stdout is a pipe");
        Ok(Self { process, console: Console::read(output, log)?, vsock: None })
    }

    /// Waits until the console says `text`.
    pub(crate) fn wait_for(&mut self, text: &str, timeout: Duration) -> anyhow::Result<()> {
        self.console.wait_for(text, timeout)
    }

    /// Waits until the guest's driver has set the vsock device up. Before that nobody may ask it:
    /// a connection that meets vhost-device-vsock 0.3 between the memory and the queues of its
    /// guest ends the thread that serves them, without a word, and the device never answers again.
    pub(crate) fn wait_for_vsock(&self, timeout: Duration) -> anyhow::Result<()> {
        self.console.wait_until_said(initramfs::DEVICES_ARE_UP, timeout)
    }

    /// Everything the console said.
    pub(crate) fn console_text(&self) -> String {
        self.console.text()
    }

    /// Types `line` at the console.
    pub(crate) fn type_line(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.process.child().stdin.as_mut().expect("stdin is a pipe");
        input
            .write_all(line.as_bytes())
            .and_then(|()| input.write_all(b"\n"))
            .context("the console is closed")
    }

    /// Where the guest's vsock is reached.
    pub(crate) fn socket(&self) -> PathBuf {
        self.vsock.as_ref().expect("the case asked for a vsock device").socket()
    }

    /// Waits until the machine is off.
    pub(crate) fn wait(&mut self, timeout: Duration) -> anyhow::Result<ExitStatus> {
        self.process.wait(timeout).context("the machine is still on")
    }

    /// Stops all of QEMU at once, in the middle of whatever it does.
    pub(crate) fn freeze(&mut self) -> anyhow::Result<()> {
        self.process.freeze()
    }

    /// Lets a frozen machine go on.
    pub(crate) fn thaw(&mut self) -> anyhow::Result<()> {
        self.process.thaw()
    }

    /// Ends it at once, with whatever it had in memory.
    pub(crate) fn cut_power(&mut self) {
        self.process.kill();
        if let Some(vsock) = &mut self.vsock {
            vsock.kill();
        }
    }
}

/// Plans the machine as a user's would be planned.
fn plan(parts: &Parts, options: &MachineOptions, vsock: Option<&VsockDevice>) -> anyhow::Result<BootPlan> {
    let image = utf8(&parts.kernel)?;
    let files = KernelFiles::new(image.clone()).with_bz_image(image);
    let kernel = Kernel::new("of the tests", KernelArchitecture::Amd64, KernelFormat::Vmlinux, files);
    let initramfs = utf8(options.initramfs.as_ref().unwrap_or(&parts.initramfs))?;
    // A machine that only probes has a disk that it does not look at.
    let disk = options.disk.as_deref().map_or_else(|| Ok(initramfs.clone()), utf8)?;
    let nothing = options.mounts_nothing.then(|| "boot-test.nothing".to_owned());
    let mut words = vec!["loglevel=5".to_owned()];
    words.extend(options.append.iter().cloned().chain(nothing));
    let qemu = QemuOptions::default().with_acceleration(parts.acceleration).with_disk(options.bus);
    let request = BootRequest::new(Vmm::Qemu, disk)
        .with_memory_mib(options.memory_mib)
        .with_initrd(initramfs)
        // The cases say themselves which root there is, and how it is mounted.
        .with_root(String::new())
        .with_read_only(options.read_only || options.disk.is_none())
        .with_vsock(vsock.map(|device| utf8(&device.device_socket())).transpose()?)
        .with_append(words)
        .with_qemu(qemu);
    Ok(BootPlan::new(&kernel, &request)?)
}
