//! The plan, as plain data.

use camino::Utf8PathBuf;
use serde::Serialize;

use super::error::BootPlanError;
use super::request::{Acceleration, BootRequest, QemuOptions, TapDevice};
use super::verity::VerityDisk;
use super::vmm::Vmm;
use crate::initramfs::RootDisk;
use crate::kernel::{Kernel, KernelArchitecture, KernelFormat};

/// The name of the virtio port that leads to the agent.
pub(super) const AGENT_PORT: &str = "banger.agent";

/// The device that the small initramfs makes of a verified disk.
const VERIFIED_DEVICE: &str = "/dev/dm-0";

/// A kernel file that a virtual machine monitor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BootFormat {
    /// An ELF executable.
    Vmlinux,
    /// The compressed kernel of x86.
    BzImage,
    /// An arm64 `Image`.
    Image,
}

/// Everything that a virtual machine monitor needs to start an image: plain data.
///
/// ```
/// use banger_kernel::{BootPlan, BootRequest, Kernel, KernelArchitecture, KernelFiles, KernelFormat, Vmm};
///
/// let files = KernelFiles::new("/kernels/vmlinux");
/// let kernel = Kernel::new("6.1.0", KernelArchitecture::Amd64, KernelFormat::Vmlinux, files);
/// let plan = BootPlan::new(&kernel, &BootRequest::new(Vmm::Firecracker, "/images/rootfs.ext4"))?;
/// assert_eq!(plan.command_line, "console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw");
/// # Ok::<(), banger_kernel::BootPlanError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BootPlan {
    /// The monitor.
    pub vmm: Vmm,
    /// The processor of the guest.
    pub architecture: KernelArchitecture,
    /// The kernel file.
    pub kernel: Utf8PathBuf,
    /// Its format.
    pub kernel_format: BootFormat,
    /// The initrd.
    pub initrd: Option<Utf8PathBuf>,
    /// The kernel's command line: console, root, network.
    pub command_line: String,
    /// The root disk: a raw file or a block device.
    pub disk: Utf8PathBuf,
    /// Whether the guest cannot write to the disk.
    pub read_only: bool,
    /// The hash tree by which the guest verifies the disk.
    pub verity: Option<VerityDisk>,
    /// Processors of the guest.
    pub cpus: u32,
    /// Memory of the guest in MiB.
    pub memory_mib: u32,
    /// The Unix socket in which the monitor offers the guest's vsock.
    pub vsock: Option<Utf8PathBuf>,
    /// The guest's address on vsock.
    pub guest_cid: u32,
    /// The tap device of the host that the guest's network card is connected to.
    pub tap: Option<TapDevice>,
    /// What only QEMU lets choose; the other monitors ignore it.
    pub qemu: QemuOptions,
}

impl BootPlan {
    /// Plans the start of `request` with `kernel`.
    ///
    /// # Errors
    /// The monitor does not start this kernel, has not so many processors, or cannot be given one of the paths. Or only an initrd
    /// finds the root, and `kernel` has neither an initrd nor modules. Or the disk is to be verified, and the initrd of
    /// `kernel` cannot.
    pub fn new(kernel: &Kernel, request: &BootRequest) -> Result<Self, BootPlanError> {
        let (file, kernel_format) = kernel_file(kernel, request.vmm)?;
        request.check()?;
        let files = &kernel.files;
        if request.verity.is_some()
            && request.initrd.is_none()
            && files.initrd.is_some()
            && files.modules.is_none()
        {
            return Err(BootPlanError::VerityInitrd { release: kernel.release.clone() });
        }
        // A verified root always gets one.
        let has_initrd = request.verity.is_some()
            || request.initrd.is_some()
            || files.initrd.is_some()
            || files.modules.is_some();
        if let Some(root) = request.root.as_ref().filter(|root| !has_initrd && needs_initrd(root)) {
            return Err(BootPlanError::Root { root: root.clone() });
        }
        Ok(Self {
            vmm: request.vmm,
            architecture: kernel.architecture,
            kernel: file,
            kernel_format,
            initrd: request.initrd.clone().or_else(|| kernel.files.initrd.clone()),
            command_line: command_line(kernel.architecture, request)?,
            disk: request.disk.clone(),
            read_only: request.read_only || request.verity.is_some(),
            verity: request.verity.clone(),
            cpus: request.cpus,
            memory_mib: request.memory_mib,
            vsock: request.vsock.clone(),
            guest_cid: request.guest_cid,
            tap: request.tap.clone(),
            qemu: request.qemu.clone(),
        })
    }
}

/// A kernel itself looks at partition tables only (`init/do_mounts.c`).
fn needs_initrd(root: &str) -> bool {
    ["UUID=", "LABEL="].iter().any(|start| root.starts_with(start))
}

/// Returns the file of `kernel` that `vmm` starts.
pub(crate) fn kernel_file(kernel: &Kernel, vmm: Vmm) -> Result<(Utf8PathBuf, BootFormat), BootPlanError> {
    let (files, architecture) = (&kernel.files, kernel.architecture);
    let refuse = |reason| {
        let release = kernel.release.clone();
        Err(BootPlanError::Kernel { vmm, release, architecture, reason })
    };
    match (kernel.format, vmm) {
        (KernelFormat::Image, _) => Ok((files.image.clone(), BootFormat::Image)),
        (KernelFormat::Vmlinux, Vmm::Virtualization) => refuse("it starts arm64 kernels only"),
        // These enter a vmlinux at its 64-bit entry point.
        (KernelFormat::Vmlinux, Vmm::Firecracker | Vmm::Libkrun) => {
            Ok((files.image.clone(), BootFormat::Vmlinux))
        }
        (KernelFormat::Vmlinux, Vmm::CloudHypervisor) if kernel.has_pvh_entry => {
            Ok((files.image.clone(), BootFormat::Vmlinux))
        }
        (KernelFormat::Vmlinux, Vmm::CloudHypervisor | Vmm::Qemu) => match &files.bz_image {
            Some(bz_image) => Ok((bz_image.clone(), BootFormat::BzImage)),
            None if kernel.has_pvh_entry => Ok((files.image.clone(), BootFormat::Vmlinux)),
            None => refuse("its vmlinux has no PVH entry point, and there is no bzImage"),
        },
    }
}

fn command_line(architecture: KernelArchitecture, request: &BootRequest) -> Result<String, BootPlanError> {
    let console = match (request.vmm, architecture) {
        (Vmm::Libkrun | Vmm::Virtualization, _) => "hvc0",
        (Vmm::CloudHypervisor | Vmm::Qemu, KernelArchitecture::Arm64) => "ttyAMA0",
        _ => "ttyS0",
    };
    let mut words = vec![format!("console={console}")];
    match request.vmm {
        // Firecracker ends when the guest resets its keyboard controller, and has no PCI by default.
        Vmm::Firecracker => words.extend(["reboot=k", "panic=1", "pci=off"].map(str::to_owned)),
        // A panic resets, and that ends the monitor.
        _ => words.push("panic=-1".to_owned()),
    }
    if is_without_clock(request) {
        words.push("tsc_early_khz=2000000".to_owned());
    }
    let device = match request.root_disk() {
        RootDisk::Nvme => "/dev/nvme0n1",
        _ => "/dev/vda",
    };
    let mut root = request.root.as_deref().unwrap_or(device);
    if let Some(verity) = &request.verity {
        let data = if root.is_empty() { device } else { root };
        words.push(verity.word(data, request.root_disk())?.to_string());
        // A kernel without the initramfs must not find the disk by itself.
        root = VERIFIED_DEVICE;
    }
    if !root.is_empty() {
        words.push(format!("root={root}"));
        words.push(if request.read_only || request.verity.is_some() { "ro" } else { "rw" }.to_owned());
    }
    words.extend(request.network.iter().flat_map(|network| network.to_command_line()));
    if request.vmm == Vmm::Qemu && request.qemu.agent_port.is_some() {
        words.push(format!("banger.agent=serial:/dev/virtio-ports/{AGENT_PORT}"));
    }
    words.extend(request.append.iter().cloned());
    Ok(words.join(" "))
}

/// A `microvm` with ACPI has no timer whose frequency is known. KVM tells that of the processor's own; otherwise the
/// kernel waits for ever for the first tick, unless it is told one. Any will do.
fn is_without_clock(request: &BootRequest) -> bool {
    let QemuOptions { acceleration, disk, .. } = &request.qemu;
    request.vmm == Vmm::Qemu && *disk == RootDisk::VirtioMmio && *acceleration == Acceleration::Tcg
}
