//! Roots that banger's own initramfs finds, mounts and starts: a short boot for each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use banger_kernel::initramfs::{
    InitramfsCompression, InitramfsOptions, ModuleDirectory, RootDisk, make_initramfs,
};
use banger_testkit::TAG;
use serde_json::json;

use crate::boot::bench::Bench;
use crate::boot::guest::{STOP_TIMEOUT, ensure_that};
use crate::boot::qemu::{Machine, MachineOptions};
use crate::boot::{images, partitions};

/// The identity of the file system of [`write_root`].
pub(super) const UUID: &str = "0fedcba9-8765-4321-8fed-cba987654321";
const LABEL: &str = "banger root";

/// The largest initramfs for a kernel of a distribution.
const SIZE_MAX: usize = 3 << 20;

/// How long a machine may take to its init.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Says how it was started and what there is, and powers off when the console has written it.
const INIT: &str = "#!/busybox sh
echo \"init: $0 $* in $(/busybox grep -c . /proc/mounts) mounts, variable=$variable\"
/busybox grep ' / ' /proc/mounts
[ -e /sys/class/block ] && [ -c /dev/null ] && [ ! -e /banger ] && echo 'init: everything is in its place'
/busybox sleep 0.3
/busybox poweroff -f
";

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let plain = write_initramfs(bench, "initramfs", &InitramfsOptions::default())?;
    let root = write_root(bench, "initramfs")?;
    for bus in RootDisk::ALL {
        bench.check(&root, bus)?;
    }

    // By UUID, over PCI, writable; the initramfs is compressed.
    let compressed = InitramfsOptions::default().with_compression(InitramfsCompression::Zstd);
    let options = MachineOptions {
        initramfs: Some(write_initramfs(bench, "initramfs-zstd", &compressed)?),
        ..machine(&plain, &root, RootDisk::VirtioPci, &[&format!("root=UUID={UUID}"), "rw"])
    };
    let mut pci = start(bench, "initramfs-1", &options, "/sbin/init  in", "/dev/vda / ext4 rw,relatime")?;
    pci.wait_for("init: everything is in its place", TIMEOUT)?;
    pci.wait(STOP_TIMEOUT)?;

    // By LABEL, over MMIO, read-only because nothing else is said. The arguments and variables arrive.
    let words =
        [&*format!("root=\"LABEL={LABEL}\""), "init=/bin/own", "variable=set", "quiet", "--", "one two"];
    let options = machine(&plain, &root, RootDisk::VirtioMmio, &words);
    let mut mmio =
        start(bench, "initramfs-2", &options, "/bin/own one two in", "/dev/vda / ext4 ro,relatime")?;
    mmio.wait(STOP_TIMEOUT)?;
    ensure_that!(mmio.console_text().contains("variable=set"), "the variable did not arrive");

    // By PARTUUID of a GPT, over NVMe, with options of the file system and of every file system.
    let parted = root.with_file_name("initramfs-3.ext4");
    partitions::write_gpt(&parted, &root)?;
    let name = format!("root=PARTUUID={}", partitions::PARTITION_UUID);
    let words = [&*name, "rw", "rootwait", "rootfstype=ext4", "rootflags=noatime,nodelalloc"];
    let options = machine(&plain, &parted, RootDisk::Nvme, &words);
    let expected = "/dev/nvme0n1p3 / ext4 rw,noatime,nodelalloc";
    start(bench, "initramfs-3", &options, "/sbin/init  in", expected)?.wait(STOP_TIMEOUT)?;

    // By PARTUUID of an MBR, over MMIO.
    let parted = root.with_file_name("initramfs-4.ext4");
    partitions::write_mbr(&parted, &root)?;
    let name = format!("root=PARTUUID={}", partitions::MBR_PARTITION_UUID.to_uppercase());
    let options = machine(&plain, &parted, RootDisk::VirtioMmio, &[&name]);
    start(bench, "initramfs-4", &options, "/sbin/init  in", "/dev/vda2 / ext4 ro,relatime")?
        .wait(STOP_TIMEOUT)?;
    banger_init(bench, &plain)
}

/// By device, over PCI: an image as `banger image pull` makes it, with banger-init and its entry point.
fn banger_init(bench: &Bench, initramfs: &Path) -> anyhow::Result<()> {
    let layout = bench.directory().join("initramfs.layout");
    let script = "echo program: $(/busybox sort -u -k2,2 /proc/mounts | /busybox cut -d' ' -f2,3); exit 5";
    images::write_static_program(&layout, json!({"Entrypoint": ["/busybox", "sh", "-c", script]}))?;
    let reference = format!("oci:{}:{TAG}", layout.display());
    let disk = bench.pull_reference(&reference, "initramfs-5", &["--size", "64M"])?;
    let options = machine(initramfs, &disk, RootDisk::VirtioPci, &["root=/dev/vda"]);
    let mut machine = bench.start("initramfs-5", &options)?;
    machine.wait_for("program: / ext4 /dev devtmpfs /dev/pts devpts", TIMEOUT)?;
    machine.wait_for("/proc proc /run tmpfs /sys sysfs", TIMEOUT)?;
    machine.wait_for("banger-init: entrypoint exited with status 5", TIMEOUT)?;
    machine.wait(STOP_TIMEOUT)?;
    Ok(())
}

/// Starts a machine and waits until its init says how it was started, and how its root is mounted.
fn start(
    bench: &Bench,
    name: &str,
    options: &MachineOptions,
    init: &str,
    mount: &str,
) -> anyhow::Result<Machine> {
    let mut machine = bench.start(name, options)?;
    machine.wait_for(&format!("init: {init} 4 mounts"), TIMEOUT).with_context(|| name.to_owned())?;
    machine.wait_for(mount, TIMEOUT).with_context(|| name.to_owned())?;
    Ok(machine)
}

/// A machine with a disk and nothing else.
pub(super) fn machine(initramfs: &Path, disk: &Path, bus: RootDisk, words: &[&str]) -> MachineOptions {
    MachineOptions {
        bus,
        initramfs: Some(initramfs.to_path_buf()),
        append: words.iter().map(|&word| word.to_owned()).collect(),
        vsock: false,
        memory_mib: 256,
        ..MachineOptions::with_disk(disk)
    }
}

/// Makes an initramfs for the kernel of the bench.
pub(super) fn write_initramfs(
    bench: &Bench,
    name: &str,
    options: &InitramfsOptions,
) -> anyhow::Result<PathBuf> {
    let kernel = bench.kernel();
    let guest = banger::embedded_guest("amd64").context("no guest binary is embedded")?;
    let modules = ModuleDirectory::new(&kernel.module_directory);
    let make = || make_initramfs(kernel.release()?, &modules, guest, options).context("make_initramfs");
    let initramfs = make()?;
    ensure_that!(initramfs.bytes.len() < SIZE_MAX, "the initramfs has {} bytes", initramfs.bytes.len());
    ensure_that!(make()? == initramfs, "the second initramfs is another one");
    let path = bench.directory().join(format!("{name}.cpio"));
    std::fs::write(&path, &initramfs.bytes)?;
    Ok(path)
}

/// Makes a root file system of busybox and two inits, called `<name>.ext4`.
pub(super) fn write_root(bench: &Bench, name: &str) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let tree = bench.directory().join(format!("{name}.layout"));
    for directory in ["bin", "sbin", "dev", "proc", "sys"] {
        std::fs::create_dir_all(tree.join(directory))?;
    }
    let programs = [("busybox", images::busybox()?), ("sbin/init", INIT.into()), ("bin/own", INIT.into())];
    for (path, content) in programs {
        let path = tree.join(path);
        std::fs::write(&path, content)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    let disk = bench.directory().join(format!("{name}.ext4"));
    let (tree, target) = (tree.display().to_string(), disk.display().to_string());
    bench.banger(["rootfs", "build", &tree, &target, "--size", "16M", "--label", LABEL, "--uuid", UUID])?;
    Ok(disk)
}
