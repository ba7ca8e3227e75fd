//! Disks that become container images again.

use std::ffi::{c_char, c_int, c_void};

use pipeline::{CommitRequest, LayerCompression, commit_image};

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

/// Makes a container image of the disk `disk`, a managed image or the path of an ext4 file, and writes it to `reference`:
/// a registry, "oci:DIR[:NAME]" or "oci-archive:FILE[:NAME]". The image has the layers of the managed image `base`, from
/// which the machine of the disk started, and one with what the disk changed. Both images are given by name, id or the
/// unique beginning of an id; a `disk` with a slash is always a path. Returns the document of `banger image commit
/// --json`. `options`, `cancel` and `progress` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_commit(
    store: *const banger_store,
    disk: *const c_char,
    base: *const c_char,
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
            let (disk, base) = (text(disk, "disk")?, text(base, "base")?);
            let request = CommitRequest::new(disk, base, text(reference, "reference")?.parse()?);
            let request = with_options(request, OptionReader::of(options))?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                banger_string::json(&commit_image(&request, &dirs, events, stop)?)
            })
        })
    }
}

fn with_options(request: CommitRequest, given: OptionReader<'_>) -> Result<CommitRequest, Fault> {
    let pull = push_options(&given)?;
    let compression = match given.text(BANGER_OPT_COMMIT_COMPRESSION) {
        None | Some("gzip") => LayerCompression::Gzip,
        Some("zstd") => LayerCompression::Zstd,
        Some(other) => {
            return Err(Fault::argument(format!(
                "{BANGER_OPT_COMMIT_COMPRESSION:?} cannot be {other:?}: it is \"gzip\" or \"zstd\""
            )));
        }
    };
    let request = request
        .with_squash(given.flag(BANGER_OPT_COMMIT_SQUASH).unwrap_or(false))
        .with_compression(compression)
        .with_comment(given.text(BANGER_OPT_COMMIT_MESSAGE).map(str::to_owned))
        .with_author(given.text(BANGER_OPT_COMMIT_AUTHOR).map(str::to_owned))
        .with_created_seconds(given.number::<i64>(BANGER_OPT_SOURCE_DATE_EPOCH)?)
        .with_mount_from(given.parsed(BANGER_OPT_MOUNT_FROM)?)
        .with_pull(pull);
    given.finish("banger_image_commit")?;
    Ok(request)
}
