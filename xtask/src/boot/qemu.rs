//! A virtual machine in QEMU.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::console::Console;
use super::initramfs;
use super::network::Network;
use super::process::Process;
use super::vsock::VsockDevice;

/// How QEMU runs the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acceleration {
    /// The host's virtualisation.
    Kvm,
    /// Translation, where the host has none that works.
    Tcg,
}

impl Acceleration {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => &["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

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

/// How the disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskBus {
    /// NVMe: the kernel of the tests has its driver built in.
    Nvme,
    /// virtio-blk over PCI.
    VirtioPci,
    /// virtio-blk over MMIO, in a machine of the type `microvm`, which has no PCI.
    VirtioMmio,
}

impl DiskBus {
    fn machine(self) -> &'static str {
        match self {
            Self::Nvme | Self::VirtioPci => "q35",
            Self::VirtioMmio => "microvm",
        }
    }

    fn device(self) -> &'static str {
        match self {
            Self::Nvme => "nvme,drive=disk,serial=disk",
            Self::VirtioPci => "virtio-blk-pci,drive=disk",
            Self::VirtioMmio => "virtio-blk-device,drive=disk",
        }
    }
}

/// A `microvm` with ACPI has no timer whose frequency is known. Under KVM the kernel gets that of the processor's
/// own; without it the kernel waits for ever for the first tick, unless it is told one. Any will do.
const CLOCK: &str = " tsc_early_khz=2000000";

/// One machine to start.
#[derive(Clone, Debug)]
pub(crate) struct MachineOptions {
    /// The disk; none for a machine that only probes.
    pub(crate) disk: Option<PathBuf>,
    /// How the disk is attached.
    pub(crate) bus: DiskBus,
    /// Whether the disk refuses writes.
    pub(crate) read_only: bool,
    /// The initramfs; that of [`Parts`] without it.
    pub(crate) initramfs: Option<PathBuf>,
    /// Words for the kernel's command line.
    pub(crate) append: Vec<String>,
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
            bus: DiskBus::Nvme,
            read_only: false,
            initramfs: None,
            append: Vec::new(),
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
        let mut command = Command::new(&parts.qemu);
        let backend = if options.vsock { ",memory-backend=memory" } else { "" };
        command.args(["-machine", &format!("{}{backend}", options.bus.machine())]);
        command.args(parts.acceleration.arguments());
        command.args(["-smp", "1", "-m", &format!("{}M", options.memory_mib)]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        command.arg("-kernel").arg(&parts.kernel).arg("-initrd");
        command.arg(options.initramfs.as_ref().unwrap_or(&parts.initramfs));
        // A panic ends the machine at once, by a reboot that QEMU does not do.
        let mut append = "console=ttyS0 panic=-1 loglevel=5".to_owned();
        if options.bus == DiskBus::VirtioMmio && parts.acceleration == Acceleration::Tcg {
            append.push_str(CLOCK);
        }
        for word in &options.append {
            append.push(' ');
            append.push_str(word);
        }
        command.args(["-append", &append]);
        if let Some(disk) = &options.disk {
            let read_only = if options.read_only { "on" } else { "off" };
            let drive = format!("if=none,id=disk,format=raw,readonly={read_only},file={}", disk.display());
            command.args(["-device", options.bus.device(), "-drive", &drive]);
        }
        if let Some(network) = &options.network {
            command.args(["-netdev", &network.netdev()]);
            command.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        }
        let mut vsock = None;
        if options.vsock {
            let size = options.memory_mib;
            command.args(["-object", &format!("memory-backend-memfd,id=memory,size={size}M,share=on")]);
            let device = VsockDevice::start(&parts.vsock, 3, &log.with_extension("vsock.log"))?;
            command.args(device.qemu_arguments());
            vsock = Some(device);
        }
        let errors = log.with_extension("qemu.log");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(std::fs::File::create(errors)?);
        let mut process = Process::start("qemu", &mut command)?;
        let output = process.child().stdout.take().expect("stdout is a pipe");
        Ok(Self { process, console: Console::read(output, log)?, vsock })
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

    /// Ends it at once, with whatever it had in memory.
    pub(crate) fn cut_power(&mut self) {
        self.process.kill();
        if let Some(vsock) = &mut self.vsock {
            vsock.kill();
        }
    }
}
