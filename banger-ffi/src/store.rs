//! The store of images and the cache of blobs.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use pipeline::{
    BlobCache, CacheDocument, CacheVerificationDocument, Dirs, ImageName, ImagePruneDocument,
    ImagePruneOptions, ImageStore, ListingDocument, PruneDocument, PruneOptions, Puller, PullerOptions,
};

use crate::call::{borrowed, guarded_object, guarded_unit};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::image::banger_image;
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::string::{banger_string, host_path, text};

/// A store of images with its cache of blobs. Threads may share it. Pulls by one store share threads,
/// connections, logins and limits on parallel work. Free it with banger_store_free.
#[derive(Debug)]
pub struct banger_store {
    pub(crate) dirs: Dirs,
    pub(crate) puller: Puller,
}

impl banger_store {
    fn images(&self) -> ImageStore {
        ImageStore::new(&self.dirs.state)
    }

    fn cache(&self) -> BlobCache {
        BlobCache::at(self.dirs.cache.join("oci"))
    }
}

/// Opens a store: `state` is the directory of the images, `cache` that of downloaded blobs. They are made when
/// they are needed. NULL is the user's own directory, which XDG_STATE_HOME, XDG_CACHE_HOME and HOME tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_open(
    state: *const c_char,
    cache: *const c_char,
    store: *mut *mut banger_store,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, store, || {
            let mut dirs = match state.is_null() || cache.is_null() {
                true => Dirs::of_user()?,
                false => Dirs::new("", ""),
            };
            if !state.is_null() {
                dirs.state = host_path(state, "state")?.to_owned();
            }
            if !cache.is_null() {
                dirs.cache = host_path(cache, "cache")?.to_owned();
            }
            Ok(Box::new(banger_store { dirs, puller: Puller::new(PullerOptions::default()) }))
        })
    }
}

/// Frees a store; what is in it stays. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_free(store: *mut banger_store) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(store) };
}

/// Lists the images, as `banger image list --json` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_list(
    store: *const banger_store,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let images = borrowed(store, "store")?.images();
            banger_string::json(&ListingDocument::new(&images.list()?, &images))
        })
    }
}

/// Finds the image with the name, the id or the unique prefix of an id `wanted`, and keeps it at its path until
/// it is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_find(
    store: *const banger_store,
    wanted: *const c_char,
    cancel: *const banger_cancel,
    image: *mut *mut banger_image,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, image, || {
            let (store, wanted) = (borrowed(store, "store")?, text(wanted, "wanted")?);
            banger_image::stored(store.images().open(wanted, &cancellation(cancel))?)
        })
    }
}

/// Removes an image. `wanted` is as for banger_store_find. An image in use, also by a banger_image, stays: that
/// is an error of the kind BANGER_KIND_IN_USE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_remove(
    store: *const banger_store,
    wanted: *const c_char,
    cancel: *const banger_cancel,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (store, wanted) = (borrowed(store, "store")?, text(wanted, "wanted")?);
            store.images().remove(wanted, &cancellation(cancel))?;
            Ok(())
        })
    }
}

/// Removes images, as `banger image prune --json` does: those that KEEP does not name and that are old enough for
/// OLDER_THAN_MS, or with ALL all of them. One of these options has to be set. Images in use, also by a banger_image,
/// stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_prune(
    store: *const banger_store,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let images = borrowed(store, "store")?.images();
            let options = image_prune_options(OptionReader::of(options))?;
            let report = images.prune(&options, &cancellation(cancel))?;
            let dry_run = options.dry_run;
            banger_string::json(&ImagePruneDocument::new(&report, dry_run))
        })
    }
}

/// Gives an image another name, which must be free. `wanted` is as for banger_store_find.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_rename(
    store: *const banger_store,
    wanted: *const c_char,
    name: *const c_char,
    cancel: *const banger_cancel,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (store, wanted) = (borrowed(store, "store")?, text(wanted, "wanted")?);
            let name: ImageName = text(name, "name")?.parse()?;
            store.images().rename(wanted, name, &cancellation(cancel))?;
            Ok(())
        })
    }
}

/// Copies the ext4 file of an image to `file`, with its holes, by reflink where the host can. `wanted` is as for
/// banger_store_find; `replace` says whether a file that exists is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_export(
    store: *const banger_store,
    wanted: *const c_char,
    file: *const c_char,
    replace: bool,
    cancel: *const banger_cancel,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (store, wanted) = (borrowed(store, "store")?, text(wanted, "wanted")?);
            let file = host_path(file, "file")?;
            store.images().export(wanted, file, replace, &cancellation(cancel))?;
            Ok(())
        })
    }
}

/// Checks an image against its record and its checksums, as `banger image verify --json` does; the document is
/// that of the one image. Damage is no error: look at `problems`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_store_verify(
    store: *const banger_store,
    wanted: *const c_char,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (store, wanted) = (borrowed(store, "store")?, text(wanted, "wanted")?);
            banger_string::json(&store.images().verify(wanted, &cancellation(cancel))?)
        })
    }
}

/// Lists the blobs of the cache, as `banger image cache list --json` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_cache_list(
    store: *const banger_store,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            banger_string::json(&CacheDocument::new(&borrowed(store, "store")?.cache().list()?))
        })
    }
}

/// Removes blobs from the cache, as `banger image cache prune --json` does: those that the options tell, and
/// none without options. Blobs of a running pull stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_cache_prune(
    store: *const banger_store,
    options: *const banger_options,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let cache = borrowed(store, "store")?.cache();
            let options = prune_options(OptionReader::of(options))?;
            banger_string::json(&PruneDocument::new(&cache.prune(&options)?, options.dry_run))
        })
    }
}

/// Hashes the blobs of the cache, as `banger image cache verify --json` does, and removes damaged ones if `remove`
/// says so. Damage is no error: look at `damaged`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_cache_verify(
    store: *const banger_store,
    remove: bool,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let report = borrowed(store, "store")?.cache().verify(remove, &cancellation(cancel))?;
            banger_string::json(&CacheVerificationDocument::new(&report))
        })
    }
}

fn prune_options(given: OptionReader<'_>) -> Result<PruneOptions, Fault> {
    let options = PruneOptions::default()
        .with_older_than(given.number(BANGER_OPT_OLDER_THAN_MS)?.map(Duration::from_millis))
        .with_max_size_bytes(given.number(BANGER_OPT_MAX_SIZE_BYTES)?)
        .with_all(given.flag(BANGER_OPT_ALL).unwrap_or(false))
        .with_dry_run(given.flag(BANGER_OPT_DRY_RUN).unwrap_or(false));
    given.finish("banger_cache_prune")?;
    Ok(options)
}

fn image_prune_options(given: OptionReader<'_>) -> Result<ImagePruneOptions, Fault> {
    let all = given.flag(BANGER_OPT_ALL).unwrap_or(false);
    let options = ImagePruneOptions::default()
        .with_keep(given.list(BANGER_OPT_KEEP).to_vec())
        .with_older_than(given.number(BANGER_OPT_OLDER_THAN_MS)?.map(Duration::from_millis))
        .with_dry_run(given.flag(BANGER_OPT_DRY_RUN).unwrap_or(false));
    given.finish("banger_store_prune")?;
    let selects = !options.keep.is_empty() || options.older_than.is_some();
    match all == selects {
        true => Err(Fault::argument("one of KEEP, OLDER_THAN_MS and ALL has to be set, and ALL alone")),
        false => Ok(options),
    }
}
