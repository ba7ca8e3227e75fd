//! Clones of images: the disk of one machine.

use std::ffi::{c_char, c_int};

use pipeline::rootfs::NewSize;
use pipeline::{CloneRequest, CloneTarget, Identity, MachineSettings, clone_image};

use crate::call::{borrowed, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::image::banger_image;
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::request::{network_config, uuid, variables};
use crate::store::banger_store;
use crate::string::text;

/// Copies an image for one machine. A `target` with a slash is the path of an ext4 file, any other the name of a new
/// managed image, which must be free. The copy has another identity: no machine-id, host keys, random seeds and DHCP
/// leases, and another UUID. `options` may keep the identity, and give a size, a hostname, keys, a network, an environment
/// and files. They may be NULL. The copy keeps holes, and uses reflink where the host can; it is complete, or absent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_clone(
    store: *const banger_store,
    wanted: *const c_char,
    target: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    image: *mut *mut banger_image,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, image, || {
            let (store, wanted) = (borrowed(store, "store")?, text(wanted, "wanted")?);
            let request = clone_request(wanted, text(target, "target")?, OptionReader::of(options))?;
            banger_image::cloned(clone_image(&request, &store.dirs, &cancellation(cancel))?)
        })
    }
}

fn clone_request(wanted: &str, target: &str, given: OptionReader<'_>) -> Result<CloneRequest, Fault> {
    let target = CloneTarget::parse(target, given.flag(BANGER_OPT_FORCE).unwrap_or(false))?;
    let settings = MachineSettings::default()
        .with_hostname(given.text(BANGER_OPT_HOSTNAME).map(str::to_owned))
        .with_ssh_keys(given.list(BANGER_OPT_SSH_KEY).to_vec())
        .with_env(variables(&given, BANGER_OPT_CLONE_ENV)?);
    // The hostname is in the settings.
    let network = network_config(&given)?.with_hostname(None);
    let has_network = network != Default::default();
    let request = CloneRequest::new(wanted, target)
        .with_identity(given.parsed_text::<Identity>(BANGER_OPT_CLONE_IDENTITY)?.unwrap_or_default())
        .with_uuid(uuid(&given)?)
        .with_size(given.number(BANGER_OPT_SIZE_BYTES)?.map(NewSize::Bytes))
        .with_settings(settings)
        .with_network(has_network.then_some(network))
        .with_copies(given.parsed_list(BANGER_OPT_CLONE_PUT)?);
    given.finish("banger_store_clone")?;
    Ok(request)
}
