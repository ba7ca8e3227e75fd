//! Managed images of ext4 files that exist.

use std::ffi::{c_char, c_int, c_void};

use pipeline::register_image;

use crate::call::{borrowed, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::banger_error;
use crate::event::banger_progress_fn;
use crate::image::banger_image;
use crate::option_reader::OptionReader;
use crate::options::banger_options;
use crate::request::register_request;
use crate::store::banger_store;
use crate::string::host_path;
use crate::task::Task;

/// Makes a managed image of the ext4 file `rootfs`, in the place of an older image of its name, as `banger image
/// register` does. The file stays as it is: the image gets a copy. `options`, `cancel` and `progress` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_register(
    store: *const banger_store,
    rootfs: *const c_char,
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
            let request = register_request(host_path(rootfs, "rootfs")?, OptionReader::of(options))?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                banger_image::pulled(register_image(&request, &dirs, events, stop)?)
            })
        })
    }
}
