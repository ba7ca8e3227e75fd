//! What `check_kernel` says, shown by machines: each row with an error does not come up, each other row does.
//!
//! The rows are variants of one kernel that really lack something. The other cases show more rows without an error:
//! each image that they boot was checked before (`Bench::pull_reference`), under each contract, over NVMe; and the
//! case `initramfs` boots over PCI and MMIO.
//!
//! What needs kernels of another configuration is in the case `check-kernels`.
//!
//! Rows of `banger-kernel/tests/it/check.rs` that no machine shows: those of Firecracker, Cloud Hypervisor, libkrun and
//! Virtualization, which emulate nothing and so need KVM or macOS; those of arm64; and `metadata_csum` on a kernel
//! before 3.5, which no compiler of today builds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use banger::boot::{
    BootImage, BootPlan, BootRequest, CheckRequest, Finding, InitramfsOptions, Outcome, Profile, QemuOptions,
    RootDisk, Vmm, check_image,
};
use banger::{Cancellation, Kernel, KernelArchitecture, KernelFiles, KernelFormat};
use banger_kernel::initramfs::{ModuleDirectory, make_initramfs};
use banger_kernel::{KernelLimits, KernelSource, PlainFiles, import_kernel};
use banger_testkit::{TAG, tools};
use camino::Utf8PathBuf;
use serde_json::json;

use crate::boot::bench::Bench;
use crate::boot::guest::{STOP_TIMEOUT, ensure_that};
use crate::boot::paths::utf8;
use crate::boot::{disk, images};

/// How long a machine may take to its program, or to its end.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What the program of the image says when it runs.
const UP: &str = "program: it is up";

/// The name of the case and of its disks.
const NAME: &str = "checks";

/// A boot that is checked and tried.
pub(super) struct CheckedBoot {
    pub(super) name: &'static str,
    /// The kernel that is checked.
    pub(super) kernel: Kernel,
    /// The kernel file that is started; `None` for that of the plan.
    pub(super) file: Option<Utf8PathBuf>,
    pub(super) disk: PathBuf,
    pub(super) initrd: Option<Utf8PathBuf>,
    pub(super) check: CheckRequest,
    pub(super) append: Vec<String>,
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let image = pull(bench)?;
    let good = boot(bench, "good", bench.imported().clone(), &image, RootDisk::VirtioPci)?;

    // Without the modules of the kernel it boots, and Docker does not work.
    let docker = good.check.clone().with_profiles(vec![Profile::Docker]);
    let console = comes_up(bench, &good)?;
    let without_modules = CheckedBoot { check: docker, ..good };
    expect(&without_modules, Some("OVERLAY_FS"))?;
    ensure_that!(console.contains("overlay: 255"), "there is an overlay without its module: {console}");
    // With them it does.
    let with_modules = CheckedBoot { name: "docker", disk: add_overlay(bench, &image)?, ..without_modules };
    let console = comes_up(bench, &with_modules)?;
    ensure_that!(console.contains("overlay: 0"), "there is no overlay with its module: {console}");

    for BadBoot { boot, subject, reason } in errors(bench, &image)? {
        expect(&boot, Some(subject))?;
        stays_down(bench, &boot, reason)?;
    }
    Ok(())
}

/// A boot with an error.
struct BadBoot {
    boot: CheckedBoot,
    /// The subject of the error.
    subject: &'static str,
    /// What the guest says of it; `None` if QEMU does not start it.
    reason: Option<&'static str>,
}

/// Makes the rows with an error.
fn errors(bench: &Bench, image: &Path) -> anyhow::Result<Vec<BadBoot>> {
    let good = |name| boot(bench, name, bench.imported().clone(), image, RootDisk::VirtioPci);
    let mut rows = Vec::new();
    let mut row = |boot, subject, reason| rows.push(BadBoot { boot, subject, reason });

    // Another processor. What QEMU would be told of it is told of the own kernel.
    let arm64 = utf8(&bench.directory().join("checks.Image"))?;
    fs::write(&arm64, [&[0; 56][..], b"ARM\x64", &[0; 4096]].concat())?;
    let kernel =
        Kernel::new("6.1.0-arm64", KernelArchitecture::Arm64, KernelFormat::Image, KernelFiles::new(&arm64));
    row(CheckedBoot { kernel, file: Some(arm64), ..good("arm64")? }, "architecture", None);

    let kernel = without_pvh_entry(bench)?;
    let file = Some(kernel.files.image.clone());
    row(CheckedBoot { kernel, file, ..good("no-pvh")? }, "format", None);

    for (name, driver, option, bus) in [
        ("no-blk", "virtio_blk", "VIRTIO_BLK", RootDisk::VirtioPci),
        ("no-pci", "virtio_pci", "VIRTIO_PCI", RootDisk::VirtioPci),
        ("no-mmio", "virtio_mmio", "VIRTIO_MMIO", RootDisk::VirtioMmio),
    ] {
        let kernel = without_driver(bench, name, driver, option)?;
        row(boot(bench, name, kernel, image, bus)?, option, Some("no disk is /dev/vda"));
    }

    // Drivers are modules, and nothing loads them.
    let without = good("no-initrd")?;
    let check = without.check.clone().with_initrd(false);
    let without = CheckedBoot { initrd: None, check, ..without };
    row(without, "VIRTIO_BLK", Some("Unable to mount root fs"));

    let shared = disk::clone(image, "checks-shared")?;
    add_feature(&shared, "shared_blocks")?;
    let shared = CheckedBoot { disk: shared, ..good("shared-blocks")? };
    row(shared, "shared_blocks", Some("unsupported optional features"));

    let without_init = disk::clone(image, "checks-init")?;
    disk::remove(&without_init, "/sbin/init")?;
    let without = CheckedBoot { disk: without_init, ..good("no-init")? };
    row(without, "init", Some("cannot start the system"));
    let other = good("other-init")?;
    let check = other.check.clone().with_init("/no/such/init".to_owned());
    let other = CheckedBoot { check, append: vec!["init=/no/such/init".to_owned()], ..other };
    row(other, "init", Some("cannot start init=/no/such/init"));
    Ok(rows)
}

/// Pulls an image whose program says that it is up, and whether it can make an overlay.
fn pull(bench: &Bench) -> anyhow::Result<PathBuf> {
    let layout = bench.directory().join("checks.layout");
    let module = overlay_place(bench)?;
    let script = format!(
        "b=/busybox; [ ! -e {module} ] || $b insmod {module}; cd /run; $b mkdir l u w m; \
         $b mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none m; echo overlay: $?; echo {UP}"
    );
    images::write_static_program(&layout, json!({"Entrypoint": ["/busybox", "sh", "-c", script]}))?;
    bench.pull_reference(&format!("oci:{}:{TAG}", layout.display()), NAME, &["--size", "64M"])
}

/// The row of a boot with the small initramfs of `kernel`.
pub(super) fn boot(
    bench: &Bench,
    name: &'static str,
    kernel: Kernel,
    disk: &Path,
    bus: RootDisk,
) -> anyhow::Result<CheckedBoot> {
    let guest = banger::embedded_guest("amd64").context("no guest binary is embedded")?;
    let modules = kernel.files.modules.clone().context("the kernel has modules")?;
    let options = InitramfsOptions::default();
    let made = make_initramfs(&kernel.release, &ModuleDirectory::new(modules), guest, &options)?;
    let initrd = utf8(&bench.directory().join(format!("checks-{name}.cpio")))?;
    fs::write(&initrd, &made.bytes)?;
    let check = CheckRequest::new(Vmm::Qemu).with_disk(bus);
    let (disk, append) = (disk.to_path_buf(), vec!["rootwait=1".to_owned()]);
    Ok(CheckedBoot { name, kernel, file: None, disk, initrd: Some(initrd), check, append })
}

impl CheckedBoot {
    pub(super) fn findings(&self) -> anyhow::Result<Vec<Finding>> {
        let image = BootImage::file(utf8(&self.disk)?);
        Ok(check_image(&image, &self.kernel, &self.check, &Cancellation::new())?)
    }

    /// Plans the boot; the kernel file of a row that has its own is put into a plan for the kernel of the bench.
    pub(super) fn plan(&self, bench: &Bench) -> anyhow::Result<BootPlan> {
        let qemu = QemuOptions::default()
            .with_acceleration(bench.acceleration())
            .with_disk(self.check.disk.context("a row names its disk")?);
        let request = BootRequest::new(Vmm::Qemu, utf8(&self.disk)?)
            .with_memory_mib(512)
            .with_initrd(self.initrd.clone())
            .with_append(self.append.clone())
            .with_qemu(qemu);
        let kernel = if self.file.is_some() { bench.imported() } else { &self.kernel };
        let mut plan = BootPlan::new(kernel, &request)?;
        if let Some(file) = &self.file {
            plan.kernel.clone_from(file);
        }
        Ok(plan)
    }
}

/// Fails unless the check has an error of this subject, or no error at all.
pub(super) fn expect(boot: &CheckedBoot, subject: Option<&str>) -> anyhow::Result<()> {
    let findings = boot.findings()?;
    let errors: Vec<String> = findings
        .iter()
        .filter(|finding| finding.outcome == Outcome::Error)
        .map(|finding| finding.subject.to_string())
        .collect();
    let is_expected = match subject {
        Some(subject) => errors.iter().any(|error| error == subject),
        None => errors.is_empty(),
    };
    ensure_that!(is_expected, "{}: expected {subject:?}, and the errors are {errors:?}", boot.name);
    Ok(())
}

/// Shows that a boot without an error comes up; returns its console.
fn comes_up(bench: &Bench, boot: &CheckedBoot) -> anyhow::Result<String> {
    expect(boot, None)?;
    let mut machine = bench.start_plan(&format!("checks-{}", boot.name), &boot.plan(bench)?)?;
    machine.wait_for(UP, TIMEOUT).with_context(|| boot.name)?;
    machine.wait(STOP_TIMEOUT).with_context(|| boot.name)?;
    Ok(machine.console_text())
}

/// Shows that a boot does not come up for this reason: the machine ends, and its program never ran.
fn stays_down(bench: &Bench, boot: &CheckedBoot, reason: Option<&str>) -> anyhow::Result<()> {
    let mut machine = bench.start_plan(&format!("checks-{}", boot.name), &boot.plan(bench)?)?;
    let status = machine.wait(TIMEOUT).with_context(|| boot.name)?;
    let console = machine.console_text();
    if console.contains(UP) {
        bail!("{} came up, and the check has an error", boot.name);
    }
    match reason {
        Some(reason) => ensure_that!(console.contains(reason), "{} does not say {reason:?}", boot.name),
        None => ensure_that!(!status.success(), "QEMU started {}", boot.name),
    }
    Ok(())
}

/// The kernel without a driver: neither its configuration nor its modules have it.
fn without_driver(bench: &Bench, name: &str, driver: &str, option: &str) -> anyhow::Result<Kernel> {
    let kernel = bench.imported();
    let modules = kernel.files.modules.as_ref().context("the kernel has modules")?;
    let config = kernel.files.config.as_ref().context("the kernel has a configuration")?;
    let directory = utf8(&bench.directory().join(format!("checks-{name}.modules")))?;
    fs::create_dir(&directory)?;
    fs::copy(modules.join("modules.builtin"), directory.join("modules.builtin"))?;
    symlink(modules.join("kernel"), directory.join("kernel"))?;
    without_lines(&modules.join(banger_kernel::MODULES_DEP), &directory.join("modules.dep"), |line| {
        line.split(':').next().is_some_and(|path| path.ends_with(&format!("/{driver}.ko")))
    })?;
    let own = directory.join("config");
    without_lines(config, &own, |line| line.starts_with(&format!("CONFIG_{option}=")))?;
    let mut kernel = kernel.clone();
    kernel.files = kernel.files.with_config(own).with_modules(directory);
    Ok(kernel)
}

/// Copies a text without the one line that `is_left_out`.
fn without_lines(
    from: &camino::Utf8Path,
    to: &camino::Utf8Path,
    is_left_out: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let text = fs::read_to_string(from)?;
    let kept: Vec<&str> = text.lines().filter(|line| !is_left_out(line)).collect();
    ensure_that!(text.lines().count() == kept.len() + 1, "{from} has no such line, or several");
    fs::write(to, kept.join("\n") + "\n")?;
    Ok(())
}

/// The vmlinux without its note for PVH, imported again.
fn without_pvh_entry(bench: &Bench) -> anyhow::Result<Kernel> {
    /// Head of the note: lengths of name and descriptor, `XEN_ELFNOTE_PHYS32_ENTRY`, name.
    const NOTES: [&[u8]; 2] =
        [b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0", b"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0"];
    let mut vmlinux = fs::read(&bench.imported().files.image)?;
    let find = |note: &[u8]| vmlinux.windows(note.len()).position(|bytes| bytes == note);
    let at = NOTES.into_iter().find_map(find).context("the kernel has no note for PVH")?;
    vmlinux[at + 8] = 0xff;
    let path = utf8(&bench.directory().join("checks.vmlinux"))?;
    fs::write(&path, vmlinux)?;
    let directory = utf8(&bench.directory().join("checks-no-pvh"))?;
    fs::create_dir(&directory)?;
    let files = PlainFiles::new(path);
    let source = [KernelSource::Files(&files)];
    let limits = KernelLimits::default();
    let imported = import_kernel(&source, &directory, &limits, &|_| {}, &Cancellation::new())?;
    ensure_that!(!imported.kernel.has_pvh_entry, "the note is still there");
    Ok(imported.kernel)
}

/// Sets a feature of a file system that mke2fs does not set.
fn add_feature(disk: &Path, feature: &str) -> anyhow::Result<()> {
    let debugfs = tools::tool("debugfs").map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    let output =
        Command::new(debugfs).args(["-w", "-R", &format!("feature {feature}")]).arg(disk).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure_that!(output.status.success() && said.contains(feature), "debugfs: {said}");
    Ok(())
}

/// The place of the module for overlays in a guest.
fn overlay_place(bench: &Bench) -> anyhow::Result<String> {
    Ok(format!("/lib/modules/{}/kernel/fs/overlayfs/overlay.ko", bench.kernel().release()?))
}

/// Makes a copy of the image that has the module for overlays.
fn add_overlay(bench: &Bench, image: &Path) -> anyhow::Result<PathBuf> {
    let copy = disk::clone(image, "checks-docker")?;
    let modules = bench.imported().files.modules.as_ref().context("the kernel has modules")?;
    let module = modules.join("kernel/fs/overlayfs/overlay.ko");
    let disk = copy.to_str().context("the scratch directory has a name in UTF-8")?;
    bench.banger(["rootfs", "put", disk, module.as_str(), &overlay_place(bench)?, "--parents"])?;
    Ok(copy)
}
