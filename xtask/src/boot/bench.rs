//! What all cases share: the parts of machines, the program under test, a directory for disks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use banger::Cancellation;
use banger::boot::{Acceleration, BootImage, BootPlan, CheckRequest, Outcome, RootDisk, Vmm, check_image};
use banger_kernel::{KernelLimits, KernelSource, import_kernel};
use banger_testkit::{Image, Skip, TAG, tools};
use tempfile::TempDir;

use super::initramfs;
use super::kernel::Kernel;
use super::paths::utf8;
use super::qemu::{Machine, MachineOptions, Parts};

/// Modules that the cases need and the cloud kernel does not have built in.
const MODULES: [&str; 5] =
    ["virtio_pci", "virtio_net", "virtio_console", "vmw_vsock_virtio_transport", "virtio_rng"];

/// Where cases are tried out.
#[derive(Debug)]
pub(crate) struct Bench {
    parts: Parts,
    kernel: Kernel,
    kernel_directory: PathBuf,
    imported: banger::Kernel,
    banger: PathBuf,
    packages: PathBuf,
    scratch: TempDir,
}

impl Bench {
    /// Gathers everything; a [`Skip`] says what is missing.
    pub(crate) fn set_up(banger: Option<&Path>) -> Result<anyhow::Result<Self>, Skip> {
        let qemu = tools::tool("qemu-system-x86_64")?;
        let busybox = tools::tool("busybox")?;
        let boot = tools::cache_dir().join("boot");
        let missing =
            |what: &str| Skip::new(format!("no {what} in the test cache: run scripts/make-boot-tools"));
        let vsock = boot.join("vsock/bin/vhost-device-vsock");
        if !vsock.is_file() {
            return Err(missing("vhost-device-vsock"));
        }
        if !boot.join("kernel/vmlinuz").is_file() {
            return Err(missing("kernel"));
        }
        Ok(Self::assemble(qemu, &busybox, vsock, &boot, banger))
    }

    fn assemble(
        qemu: PathBuf,
        busybox: &Path,
        vsock: PathBuf,
        boot: &Path,
        program: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("boot-test-").tempdir_in(tools::cache_dir())?;
        let kernel_directory = boot.join("kernel");
        let kernel = Kernel::open(&kernel_directory)?;
        let initramfs = scratch.path().join("initramfs");
        initramfs::write(&initramfs, busybox, &kernel.load_order(&MODULES)?, initramfs::DISK_INIT)?;
        let mut parts =
            Parts { qemu, kernel: kernel.image.clone(), initramfs, vsock, acceleration: Acceleration::Tcg };
        parts.acceleration = acceleration(&parts, scratch.path());
        let packages = boot.join("debs");
        let banger = match program {
            Some(program) => std::path::absolute(program)?,
            None => banger()?,
        };
        let imported = import(&kernel_directory, &scratch.path().join("imported"))?;
        Ok(Self { parts, kernel, kernel_directory, imported, banger, packages, scratch })
    }

    /// How machines run.
    pub(crate) fn acceleration(&self) -> Acceleration {
        self.parts.acceleration
    }

    /// The kernel that machines run.
    pub(crate) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The kernel as an import makes it.
    pub(crate) fn imported(&self) -> &banger::Kernel {
        &self.imported
    }

    /// Fails unless a check of `disk`, attached to `bus`, has no error. The case that boots it shows that this is
    /// true.
    pub(crate) fn check(&self, disk: &Path, bus: RootDisk) -> anyhow::Result<()> {
        let image = BootImage::file(utf8(disk)?);
        let request = CheckRequest::new(Vmm::Qemu).with_disk(bus);
        let findings = check_image(&image, &self.imported, &request, &Cancellation::new())?;
        match findings.first() {
            Some(finding) if finding.outcome == Outcome::Error => {
                bail!("the check of {} over {}: {finding:?}", image.path, bus.description())
            }
            _ => Ok(()),
        }
    }

    /// The packages for a repository.
    pub(crate) fn packages(&self) -> &Path {
        &self.packages
    }

    /// The program under test.
    pub(crate) fn program(&self) -> &Path {
        &self.banger
    }

    /// The directory of the unpacked package of the kernel.
    pub(crate) fn kernel_directory(&self) -> &Path {
        &self.kernel_directory
    }

    /// Where disks and logs are.
    pub(crate) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Leaves disks and logs behind.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.scratch.disable_cleanup(true);
        self.scratch.path().to_path_buf()
    }

    /// Starts a machine whose console goes to `<name>.console.log`.
    pub(crate) fn start(&self, name: &str, options: &MachineOptions) -> anyhow::Result<Machine> {
        Machine::start(&self.parts, options, &self.scratch.path().join(format!("{name}.console.log")))
    }

    /// Starts the machine of `plan`, whose console goes to `<name>.console.log`.
    pub(crate) fn start_plan(&self, name: &str, plan: &BootPlan) -> anyhow::Result<Machine> {
        Machine::start_plan(&self.parts, plan, &[], &self.scratch.path().join(format!("{name}.console.log")))
    }

    /// Runs `banger` and returns its exit status.
    pub(crate) fn banger_status<I: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> anyhow::Result<Option<i32>> {
        Ok(Command::new(&self.banger).args(arguments).output()?.status.code())
    }

    /// Runs `banger` and returns what it printed.
    pub(crate) fn banger<I: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> anyhow::Result<String> {
        let mut command = Command::new(&self.banger);
        command
            .env("BANGER_STATE_DIR", self.scratch.path().join("state"))
            .env("BANGER_CACHE_DIR", self.scratch.path().join("cache"))
            .args(arguments);
        let output = tools::try_run(&mut command).map_err(|report| anyhow::anyhow!("{report}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Pulls a made image into the disk `name`, with more `options` of `banger image pull`.
    pub(crate) fn pull(&self, image: Image, name: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
        let layout = image.layout().map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
        self.pull_reference(&format!("oci:{}:{TAG}", layout.display()), name, options)
    }

    /// Pulls `reference` into the disk `name`, and checks that the kernel starts it from an NVMe disk.
    pub(crate) fn pull_reference(
        &self,
        reference: &str,
        name: &str,
        options: &[&str],
    ) -> anyhow::Result<PathBuf> {
        let disk = self.scratch.path().join(format!("{name}.ext4"));
        let path = disk.to_str().context("the scratch directory has a name in UTF-8")?;
        let mut arguments = vec!["image", "pull", reference, "--output", path];
        arguments.extend_from_slice(options);
        self.banger(arguments)?;
        self.check(&disk, RootDisk::Nvme)?;
        Ok(disk)
    }
}

/// Imports the kernel unpacked in `from` into the directory `to`.
fn import(from: &Path, to: &Path) -> anyhow::Result<banger::Kernel> {
    std::fs::create_dir(to)?;
    let (source, limits) = (utf8(from)?, KernelLimits::default());
    let source = [KernelSource::Path(&source)];
    let imported = import_kernel(&source, &utf8(to)?, &limits, &|_| {}, &Cancellation::new())?;
    Ok(imported.kernel)
}

/// The program under test, built when it is not up to date.
fn banger() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        // Not one package alone: with the features of the whole workspace it shares what the tests built.
        .args(["build", "--quiet", "--locked", "--bin", "banger"])
        .current_dir(tools::workspace_root())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("banger does not build");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| tools::workspace_root().join("target"), PathBuf::from);
    Ok(target.join("debug/banger"))
}

/// KVM where a machine gets to user space with it in a few seconds. That `/dev/kvm` opens is not
/// enough: nested virtualisation can be there and never get past the first instructions.
fn acceleration(parts: &Parts, scratch: &Path) -> Acceleration {
    if std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return Acceleration::Tcg;
    }
    let options = MachineOptions {
        disk: None,
        more_disks: Vec::new(),
        bus: RootDisk::Nvme,
        read_only: false,
        initramfs: None,
        append: vec!["boot-test.probe".to_owned()],
        mounts_nothing: false,
        network: None,
        vsock: false,
        memory_mib: 256,
    };
    let parts = Parts { acceleration: Acceleration::Kvm, ..parts.clone() };
    let probe = Machine::start(&parts, &options, &scratch.join("probe.console.log"))
        .and_then(|mut machine| machine.wait_for("probe reached user space", Duration::from_secs(8)));
    match probe {
        Ok(()) => Acceleration::Kvm,
        Err(_) => Acceleration::Tcg,
    }
}
