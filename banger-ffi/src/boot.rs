//! Making an open file system boot: ownership, the guest's programs, its network.

use std::ffi::c_int;

use pipeline::rootfs::{FileDocument, in_file};
use pipeline::{Entrypoint, Error, InjectError, InjectRequest, inject_rootfs, write_network_config};

use crate::call::{borrowed, guarded_object, guarded_unit};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::metadata::banger_metadata;
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::request::{environment, guest_options, network_config};
use crate::rootfs::banger_rootfs;
use crate::string::banger_string;

/// Gives each path of `metadata` its permissions, owner, time and extended attributes, and makes the devices, FIFOs
/// and sockets that an unprivileged copy could not make. Returns JSON with `file`, `entries`, `changed`, `unchanged`,
/// `further_names`, `remade`, `mismatches` and `first_mismatches`, each `path` and `reason`. Commit afterwards.
///
/// If it fails, parts may be done: free the file system without a commit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_apply_ownership(
    rootfs: *mut banger_rootfs,
    metadata: *const banger_metadata,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (rootfs, metadata) = (borrowed(rootfs, "rootfs")?, borrowed(metadata, "metadata")?);
            let report = rootfs
                .edit(&cancellation(cancel), |fs| pipeline::apply_ownership(fs, metadata.metadata()))?;
            banger_string::json(&FileDocument::new(rootfs.file(), report))
        })
    }
}

/// Puts the guest's programs into the file system and changes what keeps it from booting, as
/// `banger rootfs inject --json` does, whose document it returns. Commit afterwards. Options: INIT, GUEST_DIR,
/// ARCHITECTURE, HOSTNAME, SOURCE_DATE_EPOCH; and for the program that banger-init runs EXEC_ARGV, EXEC_ENV,
/// EXEC_USER, EXEC_WORKING_DIR.
///
/// If it fails, parts may be done: free the file system without a commit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_inject(
    rootfs: *mut banger_rootfs,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let rootfs = borrowed(rootfs, "rootfs")?;
            let request = inject_request(OptionReader::of(options), rootfs)?;
            let mut editor = rootfs.edit_turn(&cancellation(cancel))?;
            let report = inject_rootfs(&mut *editor, &request).map_err(|error| match error {
                Error::Inject(InjectError::Rootfs(source)) => in_file(rootfs.file())(source),
                other => other,
            })?;
            banger_string::json(&FileDocument::new(rootfs.file(), report))
        })
    }
}

fn inject_request(given: OptionReader<'_>, rootfs: &banger_rootfs) -> Result<InjectRequest, Fault> {
    let argv = given.list(BANGER_OPT_EXEC_ARGV);
    let text = |key| given.text(key).map(str::to_owned);
    let entrypoint = Entrypoint::default()
        .with_argv(argv.to_vec())
        .with_env(environment(&given)?.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
        .with_user(text(BANGER_OPT_EXEC_USER))
        .with_working_dir(text(BANGER_OPT_EXEC_WORKING_DIR));
    let seconds = given.number(BANGER_OPT_SOURCE_DATE_EPOCH)?.unwrap_or_else(|| rootfs.now().seconds);
    let request = InjectRequest::default()
        .with_guest(guest_options(&given)?)
        .with_architecture(text(BANGER_OPT_ARCHITECTURE))
        .with_hostname(text(BANGER_OPT_HOSTNAME))
        .with_timestamp_seconds(seconds)
        .with_entrypoint((!argv.is_empty()).then_some(entrypoint));
    given.finish("banger_rootfs_inject")?;
    Ok(request)
}

/// Writes /etc/banger-network.conf, which the guest reads at each boot. Commit afterwards. Options:
/// NETWORK_INTERFACE, NETWORK_ADDRESS, NETWORK_GATEWAY, NETWORK_DNS, HOSTNAME.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_write_network(
    rootfs: *mut banger_rootfs,
    options: *const banger_options,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, given) = (borrowed(rootfs, "rootfs")?, OptionReader::of(options));
            let network = network_config(&given)?;
            given.finish("banger_rootfs_write_network")?;
            let mut editor = rootfs.edit_turn(&pipeline::Cancellation::default())?;
            Ok(write_network_config(&mut *editor, &network, rootfs.now())?)
        })
    }
}
