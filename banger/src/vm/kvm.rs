//! Whether the host's virtualisation works: shown by a start, and remembered.
//!
//! A host may have `/dev/kvm` that opens and starts nothing, for example inside another virtual machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use banger_kernel::{Acceleration, BootPlan, BootRequest, Kernel, KernelArchitecture, QemuOptions, Vmm};
use banger_tree::{Cancellation, write_new_file};
use camino::{Utf8Path, Utf8PathBuf};

use super::console::Console;
use super::disk::VmDisk;
use super::error::VmError;
use super::launch::{initramfs, spawn};
use crate::boot::BootError;
use crate::dirs::Dirs;
use crate::error::Error;

const DEVICE: &str = "/dev/kvm";
/// How long the kernel may take to its first words. With KVM it needs a fraction of a second.
const LIMIT: Duration = Duration::from_secs(5);
/// The first words of a Linux kernel.
const FIRST_WORDS: &str = "Linux version";
/// Another number with each start of the host.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Returns whether QEMU starts kernels by KVM on this host. The function starts `kernel` once; the result holds
/// until the host starts again or QEMU changes, and is kept in the cache of `dirs`.
pub fn kvm_works(kernel: &Kernel, program: &Utf8Path, dirs: &Dirs, cancellation: &Cancellation) -> bool {
    let is_own = match kernel.architecture {
        KernelArchitecture::Amd64 => cfg!(target_arch = "x86_64"),
        KernelArchitecture::Arm64 => cfg!(target_arch = "aarch64"),
        _ => false,
    };
    if !is_own || fs::OpenOptions::new().read(true).write(true).open(DEVICE).is_err() {
        return false;
    }
    let memory = memory_path(program, dirs);
    if let Some(works) = memory.as_ref().and_then(|path| fs::read_to_string(path).ok()) {
        return works.trim() == "yes";
    }
    let works = probe(kernel, program, dirs, cancellation).unwrap_or(false);
    if cancellation.is_cancelled() {
        return works;
    }
    if let Some(path) = memory {
        // Without it the next call tries again.
        let _ = fs::create_dir_all(&dirs.cache);
        let _ = write_new_file(path.as_std_path(), 0o600, if works { b"yes\n" } else { b"no\n" });
    }
    works
}

/// Returns the file that remembers the result for this start of the host and this QEMU.
fn memory_path(program: &Utf8Path, dirs: &Dirs) -> Option<Utf8PathBuf> {
    let boot = fs::read_to_string(BOOT_ID).ok()?;
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = match program.as_str().contains('/') {
        true => program.as_std_path().to_owned(),
        false => std::env::split_paths(&search)
            .map(|directory| directory.join(program))
            .find(|path| path.is_file())?,
    };
    let metadata = fs::metadata(found).ok()?;
    let name = format!("kvm-{}-{}-{}", boot.trim(), metadata.ino(), metadata.mtime());
    Some(dirs.cache.join(name))
}

/// Starts `kernel` without a root, and listens for its first words.
fn probe(
    kernel: &Kernel,
    program: &Utf8Path,
    dirs: &Dirs,
    cancellation: &Cancellation,
) -> Result<bool, Error> {
    let place = VmDisk::empty(dirs)?;
    fs::write(place.path(), vec![0; 4096]).map_err(VmError::io("write", &place.path()))?;
    let request = BootRequest::new(Vmm::Qemu, place.path())
        .with_initrd(initramfs(kernel, false, dirs)?)
        .with_root(Some(String::new()))
        .with_read_only(true)
        .with_qemu(QemuOptions::default().with_acceleration(Acceleration::Kvm));
    let plan = BootPlan::new(kernel, &request).map_err(BootError::from)?;
    let mut child = spawn(program, &plan, place.directory(), false)?;
    let output = child.stdout.take().expect("stdout is a pipe");
    let mut console = Console::read(output, None);
    let started = Instant::now();
    let works = loop {
        if console.has(FIRST_WORDS) {
            break true;
        }
        let has_ended = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        if has_ended || started.elapsed() >= LIMIT || cancellation.sleep(PAUSE) {
            break console.has(FIRST_WORDS);
        }
    };
    // Both fail only after its end.
    let _ = child.kill();
    let _ = child.wait();
    console.join();
    Ok(works)
}
