//! The store of kernels.

use std::ffi::{c_char, c_int, c_void};

use camino::Utf8PathBuf;
use pipeline::{
    Digest, KernelCatalog, KernelDocument, KernelImportRequest, KernelLimits, KernelListingDocument,
    KernelPackRequest, KernelPullRequest, KernelSourceName, KernelStore, PlainFiles, import_kernel,
    pack_kernels, pull_kernel,
};

use crate::call::{borrowed, guarded_object, guarded_unit};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::event::banger_progress_fn;
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::request::pull_options;
use crate::store::banger_store;
use crate::string::{banger_string, text};
use crate::task::Task;

/// Imports a kernel into the store, and returns its document, as `banger kernel import --json` does. `source` is
/// "host", "image:NAME", "docker://HOST/NAME", "oci:DIR", "oci-archive:FILE", "docker-archive:FILE", an https address
/// with BANGER_OPT_KERNEL_SHA256, or the path of a package, another tar, a kernel image, an ext4 file or a directory.
/// `options`, `cancel` and `progress` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_kernel_import(
    store: *const banger_store,
    source: *const c_char,
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
            let request = import_request(text(source, "source")?, OptionReader::of(options))?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                banger_string::json(&KernelDocument::from(&import_kernel(&request, &dirs, events, stop)?))
            })
        })
    }
}

/// Pulls a kernel bundle, or an image with a kernel, into the store, and returns its document, as `banger kernel pull
/// --json` does. `wanted` is a name in BANGER_OPT_KERNEL_CATALOG, or a reference. `options`, `cancel` and `progress`
/// may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_kernel_pull(
    store: *const banger_store,
    wanted: *const c_char,
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
            let request = pull_request(text(wanted, "wanted")?, OptionReader::of(options))?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                banger_string::json(&KernelDocument::from(&pull_kernel(&request, &dirs, events, stop)?))
            })
        })
    }
}

/// Packs the kernel `wanted`, with those of BANGER_OPT_KERNEL_ALSO, as a bundle in the OCI layout `dir`, a directory
/// that is missing or empty; returns the document of `banger kernel pack --json`. `wanted` is as for
/// banger_kernel_show. `options`, `cancel` and `progress` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_kernel_pack(
    store: *const banger_store,
    wanted: *const c_char,
    dir: *const c_char,
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
            let request = pack_request(text(wanted, "wanted")?, OptionReader::of(options))?;
            let dir = Utf8PathBuf::from(text(dir, "dir")?);
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                banger_string::json(&pack_kernels(&request, &dir, &dirs, events, stop)?)
            })
        })
    }
}

/// Lists the kernels, as `banger kernel list --json` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_kernel_list(
    store: *const banger_store,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let kernels = kernels_of(borrowed(store, "store")?);
            banger_string::json(&KernelListingDocument::new(&kernels.list()?, &kernels))
        })
    }
}

/// Returns the document of the kernel with the name, the id or the unique prefix of an id `wanted`, as `banger
/// kernel show --json` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_kernel_show(
    store: *const banger_store,
    wanted: *const c_char,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (store, wanted) = (borrowed(store, "store")?, text(wanted, "wanted")?);
            let kernels = kernels_of(store);
            let record = kernels.find(wanted)?;
            banger_string::json(&KernelDocument::new(&record, &kernels.directory(&record.id)))
        })
    }
}

/// Removes a kernel. `wanted` is as for banger_kernel_show. A kernel in use stays: that is an error of the kind
/// BANGER_KIND_IN_USE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_kernel_remove(
    store: *const banger_store,
    wanted: *const c_char,
    cancel: *const banger_cancel,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (store, wanted) = (borrowed(store, "store")?, text(wanted, "wanted")?);
            kernels_of(store).remove(wanted, &cancellation(cancel))?;
            Ok(())
        })
    }
}

fn kernels_of(store: &banger_store) -> KernelStore {
    KernelStore::new(&store.dirs.state)
}

/// Returns the request of an import. A source with files that belong to it is a kernel image.
fn import_request(source: &str, given: OptionReader<'_>) -> Result<KernelImportRequest, Fault> {
    let path = |key| given.text(key).map(Utf8PathBuf::from);
    let files = PlainFiles::new(source)
        .with_initrd(path(BANGER_OPT_KERNEL_INITRD))
        .with_modules(path(BANGER_OPT_KERNEL_MODULES))
        .with_config(path(BANGER_OPT_KERNEL_CONFIG));
    let first = match files == PlainFiles::new(source) {
        true => source.parse()?,
        false => KernelSourceName::Files(files),
    };
    let mut sources = vec![first];
    let packages = given.list(BANGER_OPT_KERNEL_PACKAGE).iter();
    sources.extend(packages.map(|path| KernelSourceName::Path(path.into())));
    let sha256 = given.text(BANGER_OPT_KERNEL_SHA256);
    let sha256 = sha256.map(|hex| format!("sha256:{hex}").parse()).transpose();
    let sha256: Option<Digest> =
        sha256.map_err(|error| Fault::argument(format!("{BANGER_OPT_KERNEL_SHA256:?}: {error}")))?;
    let limits = kernel_limits(&given)?;
    let pull = pull_options(&given)?;
    let name = given.parsed(BANGER_OPT_NAME)?;
    given.finish("banger_kernel_import")?;
    Ok(KernelImportRequest::new(KernelSourceName::Host)
        .with_sources(sources)
        .with_name(name)
        .with_sha256(sha256)
        .with_pull(pull)
        .with_limits(limits))
}

/// Returns the request of a pull.
fn pull_request(wanted: &str, given: OptionReader<'_>) -> Result<KernelPullRequest, Fault> {
    let files: Vec<Utf8PathBuf> =
        given.list(BANGER_OPT_KERNEL_CATALOG).iter().map(Utf8PathBuf::from).collect();
    let name = given.parsed(BANGER_OPT_NAME)?;
    let (limits, pull) = (kernel_limits(&given)?, pull_options(&given)?);
    given.finish("banger_kernel_pull")?;
    Ok(KernelPullRequest::new(wanted)
        .with_catalog(KernelCatalog::load(&files)?)
        .with_name(name)
        .with_limits(limits)
        .with_pull(pull))
}

/// Returns the request of a bundle.
fn pack_request(wanted: &str, given: OptionReader<'_>) -> Result<KernelPackRequest, Fault> {
    let mut kernels = vec![wanted.to_owned()];
    kernels.extend(given.list(BANGER_OPT_KERNEL_ALSO).iter().cloned());
    let owned = |key| given.text(key).map(str::to_owned);
    let mut request = KernelPackRequest::new(kernels)
        .with_licence(owned(BANGER_OPT_KERNEL_LICENCE))
        .with_source_url(owned(BANGER_OPT_KERNEL_SOURCE_URL))
        .with_source_commit(owned(BANGER_OPT_KERNEL_SOURCE_COMMIT));
    if let Some(tag) = owned(BANGER_OPT_KERNEL_TAG) {
        request = request.with_tag(tag);
    }
    given.finish("banger_kernel_pack")?;
    Ok(request)
}

fn kernel_limits(given: &OptionReader<'_>) -> Result<KernelLimits, Fault> {
    let mut limits = KernelLimits::default();
    for (limit, key) in [
        (&mut limits.max_kernel_bytes, BANGER_OPT_MAX_KERNEL_BYTES),
        (&mut limits.max_content_bytes, BANGER_OPT_MAX_CONTENT_BYTES),
        (&mut limits.max_tar_bytes, BANGER_OPT_MAX_TAR_BYTES),
        (&mut limits.max_entries, BANGER_OPT_MAX_ENTRIES),
    ] {
        *limit = given.number(key)?.unwrap_or(*limit);
    }
    Ok(limits)
}
