//! What every start of QEMU needs: the initramfs, and the process.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use banger_kernel::initramfs::{InitramfsOptions, RootDisk};
use banger_kernel::{BootPlan, Kernel, RenderedPlan};
use camino::{Utf8Path, Utf8PathBuf};

use super::disk::absolute;
use super::error::VmError;
use crate::boot::small_initramfs;
use crate::dirs::Dirs;
use crate::error::Error;

/// Drivers of the machine's other devices, for kernels that have them as modules.
const DRIVERS: [&str; 4] = ["virtio_console", "virtio_net", "virtio_rng", "af_packet"];

/// Returns the initramfs for the machine's devices, `None` if the kernel needs none or has one of its user.
/// With `verity` it verifies the root: the kernel's own does not.
pub(super) fn initramfs(kernel: &Kernel, verity: bool, dirs: &Dirs) -> Result<Option<Utf8PathBuf>, Error> {
    if let Some(initrd) = kernel.files.initrd.as_ref().filter(|_| !verity) {
        return Ok(Some(absolute(initrd)));
    }
    let options = InitramfsOptions::default()
        .with_disks(vec![RootDisk::VirtioPci])
        .with_verity(verity)
        .with_optional_modules(DRIVERS.map(str::to_owned).to_vec());
    Ok(small_initramfs(kernel, dirs, &options)?.map(|path| absolute(&path)))
}

/// Starts QEMU in `directory`, away from the signals of the caller's terminal.
pub(super) fn spawn(
    program: &Utf8Path,
    plan: &BootPlan,
    directory: &Utf8Path,
    with_input: bool,
) -> Result<Child, VmError> {
    let RenderedPlan::Command(words) = plan.render() else {
        unreachable!("the plan of QEMU is a command");
    };
    let mut command = Command::new(program);
    command
        .args(words.get(1..).unwrap_or_default())
        .current_dir(directory)
        .process_group(0)
        .stdin(if with_input { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => VmError::NoMonitor { program: program.to_string() },
        _ => VmError::io("start", program)(source),
    })
}
