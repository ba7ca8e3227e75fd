//! Images of registries before their pull, and logins.

use std::ffi::{c_char, c_int, c_void};

use pipeline::{LoginDocument, LogoutDocument, Progress, inspect_image};

use crate::call::{borrowed, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::banger_error;
use crate::event::banger_progress_fn;
use crate::option_reader::OptionReader;
use crate::options::banger_options;
use crate::request::{login_request, logout_request, metadata_request};
use crate::store::banger_store;
use crate::string::{banger_string, optional_text, text};
use crate::task::Task;

/// Returns what manifest and configuration of an image tell, as `banger image inspect --json` does, without a download
/// of its layers. `reference` and options are as for banger_metadata_of_image. `options`, `cancel` and `progress` may
/// be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_inspect(
    store: *const banger_store,
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
            let (store, reference) = (borrowed(store, "store")?, text(reference, "reference")?);
            let given = OptionReader::of(options);
            let mut request = metadata_request(reference.parse()?, given, "banger_image_inspect")?;
            request.puller = Some(store.puller.clone());
            let dirs = store.dirs.clone();
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                banger_string::json(&inspect_image(&request, &dirs, events, stop)?)
            })
        })
    }
}

/// Checks a credential at a registry, HOST or HOST:PORT, and keeps it where podman and docker find it, as `banger login`
/// does; returns the document of `banger login --json`. USER and PASSWORD, or IDENTITY_TOKEN, are the credential.
/// AUTH with the value "user", which is the default, keeps it in the user's own files; AUTH_FILE in the first of these.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_login(
    store: *const banger_store,
    registry: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (store, registry) = (borrowed(store, "store")?, text(registry, "registry")?);
            let (options, credential) = login_request(OptionReader::of(options))?;
            let stop = cancellation(cancel);
            let login = store.puller.log_in(registry, &credential, &options, &Progress::none(), &stop)?;
            banger_string::json(&LoginDocument::from(&login))
        })
    }
}

/// Removes the credentials of a registry from the user's files, or those of AUTH_FILE, and from the helpers that they
/// name; returns the document of `banger logout --json`. NULL is all registries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_logout(
    store: *const banger_store,
    registry: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (store, registry) = (borrowed(store, "store")?, optional_text(registry, "registry")?);
            let options = logout_request(OptionReader::of(options))?;
            let removed = store.puller.log_out(registry, &options, &cancellation(cancel))?;
            banger_string::json(&LogoutDocument::from(&removed))
        })
    }
}
