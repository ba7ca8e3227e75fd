//! The metadata of all paths of a file system, apart from their bytes.

use std::ffi::{c_char, c_int, c_void};

use pipeline::rootfs::{in_file, metadata_of};
use pipeline::{Metadata, MetadataEntry, MetadataKind};

use crate::call::{borrowed, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::event::banger_progress_fn;
use crate::option_reader::OptionReader;
use crate::options::banger_options;
use crate::request::metadata_request;
use crate::rootfs::{banger_file_type, banger_rootfs};
use crate::sized::{SizedStruct, guarded_sized};
use crate::store::banger_store;
use crate::string::{banger_string, counted, text};
use crate::task::Task;

/// Type, permissions, owner, time and extended attributes of each path of a file system, parents before children.
/// Threads may share it. Free it with banger_metadata_free.
#[derive(Debug)]
pub struct banger_metadata {
    metadata: Metadata,
    /// The path of each entry, with a NUL behind the last byte.
    paths: Vec<Vec<u8>>,
}

impl banger_metadata {
    fn of(metadata: Metadata) -> Box<Self> {
        let path = |entry: &MetadataEntry| [entry.path.as_bytes(), &[0]].concat();
        Box::new(Self { paths: metadata.entries.iter().map(path).collect(), metadata })
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// What is known of one path.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct banger_metadata_entry {
    /// The absolute path, with a NUL byte behind it. It lives as long as the banger_metadata.
    pub path: *const c_char,
    /// Bytes of the path.
    pub path_length: usize,
    /// Last modification: seconds since 1970, rounded down.
    pub mtime_seconds: i64,
    /// Last modification: nanoseconds behind the seconds.
    pub mtime_nanoseconds: u32,
    /// Type: a banger_file_type.
    pub file_type: u32,
    /// Permissions with setuid, setgid and sticky: 0 to 07777, without type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of extended attributes; banger_metadata_json has them.
    pub xattr_count: u32,
    /// Major number of a device.
    pub device_major: u32,
    /// Minor number of a device.
    pub device_minor: u32,
}

impl SizedStruct for banger_metadata_entry {
    const FIRST_BYTES: usize = 2 * size_of::<usize>() + 40;
}

/// Downloads an image and returns the metadata of the root file system that its layers make, without writing a
/// file system. `reference` and the options that name the image, the registry and limits are as for banger_pull.
/// `options`, `cancel` and `progress` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_metadata_of_image(
    store: *const banger_store,
    reference: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    progress: banger_progress_fn,
    user_data: *mut c_void,
    metadata: *mut *mut banger_metadata,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, metadata, || {
            let (store, reference) = (borrowed(store, "store")?, text(reference, "reference")?);
            let given = OptionReader::of(options);
            let mut request = metadata_request(reference.parse()?, given, "banger_metadata_of_image")?;
            request.puller = Some(store.puller.clone());
            let dirs = store.dirs.clone();
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| {
                Ok(banger_metadata::of(pipeline::image_metadata(&request, &dirs, events, stop)?))
            })
        })
    }
}

/// Returns the metadata of an open file system, with the changes that are not committed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_metadata_of_rootfs(
    rootfs: *const banger_rootfs,
    cancel: *const banger_cancel,
    metadata: *mut *mut banger_metadata,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, metadata, || {
            let (rootfs, cancellation) = (borrowed(rootfs, "rootfs")?, cancellation(cancel));
            let editor = rootfs.turn(&cancellation)?;
            let metadata = metadata_of(&*editor, &cancellation).map_err(in_file(rootfs.file()))?;
            Ok(banger_metadata::of(metadata))
        })
    }
}

/// Reads what banger_metadata_json has written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_metadata_from_json(
    json: *const c_char,
    length: usize,
    metadata: *mut *mut banger_metadata,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, metadata, || {
            let malformed = |error| Fault::argument(format!("json is not metadata: {error}"));
            let json = counted(json, length, "json")?;
            Ok(banger_metadata::of(serde_json::from_slice(json).map_err(malformed)?))
        })
    }
}

/// Returns the metadata as JSON: `entries`, each `path`, `type`, `mode`, `uid`, `gid`, `mtime`, and where it has them
/// `major` and `minor`, and `xattrs` (base64). Paths are escaped as in all documents.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_metadata_json(
    metadata: *const banger_metadata,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe { guarded_object(error, json, || banger_string::json(&borrowed(metadata, "metadata")?.metadata)) }
}

/// Returns the number of entries. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_metadata_length(metadata: *const banger_metadata) -> usize {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { metadata.as_ref() }.map_or(0, |metadata| metadata.paths.len())
}

/// Writes the entry `index`, from 0 on, to `entry`. `size` is sizeof(banger_metadata_entry).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_metadata_at(
    metadata: *const banger_metadata,
    index: usize,
    entry: *mut banger_metadata_entry,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_sized(error, entry, size, "entry", || {
            let banger_metadata { metadata, paths } = borrowed(metadata, "metadata")?;
            let (Some(found), Some(path)) = (metadata.entries.get(index), paths.get(index)) else {
                return Err(Fault::argument(format!("there is no entry {index} of {}", paths.len())));
            };
            let (device_major, device_minor) = match found.kind {
                MetadataKind::CharDevice { major, minor } | MetadataKind::BlockDevice { major, minor } => {
                    (major, minor)
                }
                _ => (0, 0),
            };
            Ok(banger_metadata_entry {
                path: path.as_ptr().cast(),
                path_length: path.len() - 1,
                mtime_seconds: found.attributes.mtime.seconds,
                mtime_nanoseconds: found.attributes.mtime.nanoseconds,
                file_type: banger_file_type::number(found.kind.file_type()),
                mode: found.attributes.mode.into(),
                uid: found.attributes.uid,
                gid: found.attributes.gid,
                xattr_count: u32::try_from(found.attributes.xattrs.len()).unwrap_or(u32::MAX),
                device_major,
                device_minor,
            })
        })
    }
}

/// Frees metadata. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_metadata_free(metadata: *mut banger_metadata) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(metadata) };
}
