//! Pushes of managed images.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;

use camino::Utf8Path;
use pipeline::{ImagePushRequest, Reference, SigningKey, push_image};

use crate::call::{borrowed, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::event::banger_progress_fn;
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::request::push_options;
use crate::store::banger_store;
use crate::string::{banger_string, text};
use crate::task::Task;

/// Pushes the managed image `image`, a name, an id or the unique beginning of an id, as a finished root file system to
/// `reference`: a registry, "oci:DIR[:NAME]" or "oci-archive:FILE[:NAME]". Returns the document of `banger image push
/// --json`. banger_pull makes the same file of it, byte for byte. `options`, `cancel` and `progress` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_push(
    store: *const banger_store,
    image: *const c_char,
    reference: *const c_char,
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
            let target = text(reference, "reference")?.parse::<Reference>()?;
            let request = push_request(text(image, "image")?, target, OptionReader::of(options))?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                banger_string::json(&push_image(&request, &dirs, events, stop)?)
            })
        })
    }
}

fn push_request(image: &str, target: Reference, given: OptionReader<'_>) -> Result<ImagePushRequest, Fault> {
    let pull = push_options(&given)?;
    let mount_from = given.parsed(BANGER_OPT_MOUNT_FROM)?;
    let sign_key = sign_key(&given)?;
    let attest = given.text(BANGER_OPT_ATTEST).map(Into::into);
    let epoch = given.number(BANGER_OPT_SOURCE_DATE_EPOCH)?;
    given.finish("banger_image_push")?;
    Ok(ImagePushRequest::new(image, target)
        .with_mount_from(mount_from)
        .with_sign_key(sign_key)
        .with_attest(attest)
        .with_source_date_epoch(epoch)
        .with_pull(pull))
}

fn sign_key(given: &OptionReader<'_>) -> Result<Option<Arc<SigningKey>>, Fault> {
    let (path, password) = (given.text(BANGER_OPT_SIGN_KEY), given.text(BANGER_OPT_SIGN_PASSWORD));
    match (path, password) {
        (Some(path), password) => {
            let key = SigningKey::read(Utf8Path::new(path), password.map(str::as_bytes))?;
            Ok(Some(Arc::new(key)))
        }
        (None, Some(_)) => {
            Err(Fault::argument(format!("{BANGER_OPT_SIGN_PASSWORD:?} goes with {BANGER_OPT_SIGN_KEY:?}")))
        }
        (None, None) => Ok(None),
    }
}
