//! Checks of kernels, boot plans, and the examination of the host.

use std::ffi::{c_char, c_int};

use pipeline::boot::{
    BootImage, BootKernel, BootPlanDocument, BootRequest, CheckRequest, KernelCheckDocument, QemuOptions,
    TapDevice, Vmm, check_image, plan_boot,
};
use pipeline::doctor::{DoctorHost, examine_host};
use pipeline::guest::NetworkConfig;

use crate::call::{borrowed, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::request::network_config;
use crate::store::banger_store;
use crate::string::{banger_string, optional_text, text};

/// Checks whether a kernel can start an image, and returns the document of `banger kernel check --json`; `outcome` is
/// "error" if it cannot. `image` is a name, an id or the unique prefix of an id, or the path of an ext4 file; a text
/// with a slash is always a path. `kernel` is a name, an id or the unique prefix of an id; NULL is the image's own, or
/// the only kernel for its processor. Options: VMM, CHECK_FOR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_kernel_check(
    store: *const banger_store,
    image: *const c_char,
    kernel: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let dirs = &borrowed(store, "store")?.dirs;
            let request = check_request(OptionReader::of(options))?;
            let (wanted, kernel) = (text(image, "image")?, optional_text(kernel, "kernel")?);
            let stop = cancellation(cancel);
            let image = BootImage::open(wanted, dirs, &stop)?;
            let kernel = BootKernel::choose(kernel, &image, dirs, &stop)?;
            let findings = check_image(&image, &kernel.kernel, &request, &stop)?;
            banger_string::json(&KernelCheckDocument::new(&image, &kernel, &request, &findings))
        })
    }
}

/// Plans the start of an image by a virtual machine monitor, and returns the document of `banger image boot-plan
/// --json`: `plan`, and `command` or `configuration`. `image` and `kernel` are as for banger_kernel_check. The small
/// initramfs, if the kernel needs one, is a file in the cache of the store. Options: VMM, BOOT_CPUS, BOOT_MEMORY_MIB,
/// BOOT_INITRD, BOOT_ROOT, BOOT_READ_ONLY, BOOT_VSOCK, BOOT_CID, BOOT_TAP, BOOT_MAC, BOOT_APPEND, BOOT_ACCELERATION,
/// BOOT_DISK, NETWORK_INTERFACE, NETWORK_ADDRESS, NETWORK_GATEWAY, NETWORK_DNS, HOSTNAME.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_boot_plan(
    store: *const banger_store,
    image: *const c_char,
    kernel: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let dirs = &borrowed(store, "store")?.dirs;
            let mut request = boot_request(OptionReader::of(options))?;
            let (wanted, kernel) = (text(image, "image")?, optional_text(kernel, "kernel")?);
            let stop = cancellation(cancel);
            let image = BootImage::open(wanted, dirs, &stop)?;
            let kernel = BootKernel::choose(kernel, &image, dirs, &stop)?;
            request.disk.clone_from(&image.path);
            request.verity = image.verity_disk();
            let plan = plan_boot(&kernel.kernel, &request, dirs)?;
            banger_string::json(&BootPlanDocument::new(&image, &kernel, &plan))
        })
    }
}

/// Returns what this machine has and lacks, as `banger doctor --json` does. `usable` is false if the directories of the
/// store cannot be used. This reads the environment: PATH, and where docker and podman keep credentials.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_doctor(
    store: *const banger_store,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let dirs = borrowed(store, "store")?.dirs.clone();
            banger_string::json(&examine_host(&DoctorHost::of_process(dirs)))
        })
    }
}

fn check_request(given: OptionReader<'_>) -> Result<CheckRequest, Fault> {
    let vmm = given.parsed_text(BANGER_OPT_VMM)?.unwrap_or(Vmm::Qemu);
    let profiles = given.parsed_list(BANGER_OPT_CHECK_FOR)?;
    given.finish("banger_kernel_check")?;
    Ok(CheckRequest::new(vmm).with_profiles(profiles))
}

/// Returns the request, whose disk the caller sets.
fn boot_request(given: OptionReader<'_>) -> Result<BootRequest, Fault> {
    let vmm = given.parsed_text(BANGER_OPT_VMM)?.unwrap_or(Vmm::Qemu);
    let owned = |key| given.text(key).map(str::to_owned);
    let mut qemu = QemuOptions::default();
    qemu.acceleration = given.parsed_text(BANGER_OPT_BOOT_ACCELERATION)?.unwrap_or(qemu.acceleration);
    qemu.disk = given.parsed_text(BANGER_OPT_BOOT_DISK)?.unwrap_or(qemu.disk);
    let mac = owned(BANGER_OPT_BOOT_MAC);
    let network = network_config(&given)?;
    network.check().map_err(|error| Fault::argument(error.to_string()))?;
    let mut request = BootRequest::new(vmm, "")
        .with_initrd(owned(BANGER_OPT_BOOT_INITRD).map(Into::into))
        .with_root(owned(BANGER_OPT_BOOT_ROOT))
        .with_read_only(given.flag(BANGER_OPT_BOOT_READ_ONLY).unwrap_or(false))
        .with_vsock(owned(BANGER_OPT_BOOT_VSOCK).map(Into::into))
        .with_tap(owned(BANGER_OPT_BOOT_TAP).map(|name| TapDevice::new(name).with_mac(mac)))
        .with_network((network != NetworkConfig::default()).then_some(network))
        .with_append(given.list(BANGER_OPT_BOOT_APPEND).to_vec())
        .with_qemu(qemu);
    request.cpus = given.number(BANGER_OPT_BOOT_CPUS)?.unwrap_or(request.cpus);
    request.memory_mib = given.number(BANGER_OPT_BOOT_MEMORY_MIB)?.unwrap_or(request.memory_mib);
    request.guest_cid = given.number(BANGER_OPT_BOOT_CID)?.unwrap_or(request.guest_cid);
    given.finish("banger_boot_plan")?;
    Ok(request)
}
