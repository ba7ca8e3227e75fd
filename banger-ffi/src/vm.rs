//! Runs programs in virtual machines, and builds images.

use std::ffi::{c_char, c_int, c_void};
use std::time::Duration;

use pipeline::guest::{AnswerDocument, OutputAnswer};
use pipeline::vm::{VmRequest, VmRun, run_program};
use pipeline::{ImageBuildRequest, build_image};

use crate::call::{borrowed, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::event::banger_progress_fn;
use crate::guest::exec_request;
use crate::image::banger_image;
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::store::banger_store;
use crate::string::{banger_string, optional_text, text};
use crate::task::Task;

/// Runs a program in a virtual machine with a copy of a managed image, without input, and returns the document of
/// `banger vm run --json`: how it ended, `stdout` and `stderr`. The machine and the copy are gone when this returns.
/// `image` is a name, an id or the unique prefix of an id; `kernel`, too, and NULL is that of the image, else the only
/// one for its processor. Needs QEMU. What the options do not set is as in the image. Options: EXEC_ARGV, EXEC_ENV, EXEC_CLEAR_ENV,
/// EXEC_USER, EXEC_WORKING_DIR, EXEC_TIMEOUT_MS, MAX_OUTPUT_BYTES, SIZE_BYTES, HOSTNAME, BOOT_CPUS, BOOT_MEMORY_MIB
/// (default: 1024), BOOT_APPEND, BOOT_ACCELERATION (default: KVM if it works), and those that begin with VM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_vm_run(
    store: *const banger_store,
    image: *const c_char,
    kernel: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    progress: banger_progress_fn,
    user_data: *mut c_void,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let dirs = borrowed(store, "store")?.dirs.clone();
            let kernel = optional_text(kernel, "kernel")?.map(str::to_owned);
            let run = run_request(text(image, "image")?, kernel, OptionReader::of(options))?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                let output = run_program(&run, &dirs, events, stop)?;
                banger_string::json(&AnswerDocument::new(OutputAnswer::from(output)))
            })
        })
    }
}

/// Builds the managed image `name` from the managed image `base`, by steps in a virtual machine, as `banger image
/// build` does. An older image of the name is replaced; if it was built by the same steps, it stays, and
/// banger_image_is_unchanged tells so. `kernel` is as for banger_vm_run. Options: BUILD_STEP, BUILD_NO_CACHE,
/// SIZE_BYTES, VERITY, HOSTNAME, BOOT_CPUS, BOOT_MEMORY_MIB, BOOT_APPEND, BOOT_ACCELERATION, VM_BOOT_TIMEOUT_MS,
/// VM_QEMU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_build(
    store: *const banger_store,
    base: *const c_char,
    name: *const c_char,
    kernel: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    progress: banger_progress_fn,
    user_data: *mut c_void,
    image: *mut *mut banger_image,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, image, || {
            let dirs = borrowed(store, "store")?.dirs.clone();
            let kernel = optional_text(kernel, "kernel")?.map(str::to_owned);
            let (base, name) = (text(base, "base")?, text(name, "name")?);
            let request = build_request(base, name, kernel, OptionReader::of(options))?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                let built = build_image(&request, &dirs, events, stop)?;
                banger_image::built(built)
            })
        })
    }
}

fn run_request(image: &str, kernel: Option<String>, given: OptionReader<'_>) -> Result<VmRun, Fault> {
    let mut vm = vm_request(&given)?;
    vm.forwards = given.parsed_list(BANGER_OPT_VM_FORWARD)?;
    vm.first_boot = given.flag(BANGER_OPT_VM_FIRST_BOOT).unwrap_or(false);
    let size_bytes = given.number(BANGER_OPT_SIZE_BYTES)?;
    let max_output_bytes = given.number(BANGER_OPT_MAX_OUTPUT_BYTES)?;
    let timeout = given.number(BANGER_OPT_VM_TIMEOUT_MS)?.map(Duration::from_millis);
    let exec = exec_request(given, "banger_vm_run")?;
    let mut run = VmRun::new(image, exec).with_kernel(kernel).with_vm(vm);
    run.size_bytes = size_bytes;
    run.max_output_bytes = max_output_bytes.unwrap_or(run.max_output_bytes);
    run.timeout = timeout;
    Ok(run)
}

fn build_request(
    base: &str,
    name: &str,
    kernel: Option<String>,
    given: OptionReader<'_>,
) -> Result<ImageBuildRequest, Fault> {
    let steps = given.list(BANGER_OPT_BUILD_STEP).iter().map(|step| step.parse());
    let request = ImageBuildRequest::new(base, name.parse()?)
        .with_steps(steps.collect::<Result<_, _>>()?)
        .with_kernel(kernel)
        .with_vm(vm_request(&given)?)
        .with_size_bytes(given.number(BANGER_OPT_SIZE_BYTES)?)
        .with_verity(given.parsed_text(BANGER_OPT_VERITY)?)
        .with_no_cache(given.flag(BANGER_OPT_BUILD_NO_CACHE).unwrap_or(false));
    given.finish("banger_image_build")?;
    Ok(request)
}

/// Returns the machine that the options describe.
fn vm_request(given: &OptionReader<'_>) -> Result<VmRequest, Fault> {
    let mut request = VmRequest::default()
        .with_acceleration(given.parsed_text(BANGER_OPT_BOOT_ACCELERATION)?)
        .with_qemu(given.text(BANGER_OPT_VM_QEMU).map(Into::into))
        .with_hostname(given.text(BANGER_OPT_HOSTNAME).map(str::to_owned))
        .with_append(given.list(BANGER_OPT_BOOT_APPEND).to_vec());
    request.cpus = given.number(BANGER_OPT_BOOT_CPUS)?.unwrap_or(request.cpus);
    request.memory_mib = given.number(BANGER_OPT_BOOT_MEMORY_MIB)?.unwrap_or(request.memory_mib);
    if let Some(timeout) = given.number(BANGER_OPT_VM_BOOT_TIMEOUT_MS)? {
        request.boot_timeout = Duration::from_millis(timeout);
    }
    Ok(request)
}
