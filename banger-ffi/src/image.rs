//! Images: what a pull leaves and what the store holds.

use std::ffi::{CString, c_char};

use camino::Utf8Path;
use pipeline::{BuiltImage, ClonedImage, ImageDocument, ImageLease, ImageRecord, PulledFile, StoredImage};

use crate::c_text::c_text;
use crate::error::Fault;
use crate::string::json_text;

/// An image: an ext4 file and what is known of it. A managed image keeps its path until this is freed, even if
/// another image takes its name. Threads may share it. Free it with banger_image_free.
#[derive(Debug)]
pub struct banger_image {
    path: CString,
    id: CString,
    name: CString,
    digest: CString,
    json: CString,
    size_bytes: u64,
    is_unchanged: bool,
    /// Keeps a managed image at its path.
    _lease: Option<ImageLease>,
}

impl banger_image {
    /// The image that a pull left.
    pub(crate) fn pulled(image: PulledFile) -> Result<Box<Self>, Fault> {
        let document = json_text(&ImageDocument::from(&image))?;
        Ok(Self::of(document, &image.path, image.record, image.unchanged, image.lease))
    }

    /// The image that a build left.
    pub(crate) fn built(built: BuiltImage) -> Result<Box<Self>, Fault> {
        let BuiltImage { image, unchanged, .. } = built;
        let document = json_text(&ImageDocument::from(&image))?;
        Ok(Self::of(document, &image.path, image.record, unchanged, Some(image.lease)))
    }

    /// A clone.
    pub(crate) fn cloned(clone: ClonedImage) -> Result<Box<Self>, Fault> {
        let document = json_text(&ImageDocument::from(&clone))?;
        Ok(Self::of(document, &clone.path, clone.record, false, clone.lease))
    }

    /// An image of the store.
    pub(crate) fn stored(image: StoredImage) -> Result<Box<Self>, Fault> {
        let document = json_text(&ImageDocument::from(&image))?;
        Ok(Self::of(document, &image.path, image.record, false, Some(image.lease)))
    }

    fn of(
        document: impl Into<Vec<u8>>,
        path: &Utf8Path,
        record: ImageRecord,
        is_unchanged: bool,
        lease: Option<ImageLease>,
    ) -> Box<Self> {
        Box::new(Self {
            path: c_text(path.as_str()),
            id: c_text(record.id.as_str()),
            name: c_text(record.name.as_str()),
            digest: c_text(record.digest),
            json: c_text(document),
            size_bytes: record.size_bytes,
            is_unchanged,
            _lease: lease,
        })
    }
}

/// Returns the path of the ext4 file. It lives as long as the image. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_path(image: *const banger_image) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { image.as_ref() }.map_or(c"".as_ptr(), |image| image.path.as_ptr())
}

/// Returns the id of the image. It lives as long as the image. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_id(image: *const banger_image) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { image.as_ref() }.map_or(c"".as_ptr(), |image| image.id.as_ptr())
}

/// Returns the name of the image. It lives as long as the image. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_name(image: *const banger_image) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { image.as_ref() }.map_or(c"".as_ptr(), |image| image.name.as_ptr())
}

/// Returns the digest of the image's manifest, or of the file that was registered. It lives as long as the image. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_digest(image: *const banger_image) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { image.as_ref() }.map_or(c"".as_ptr(), |image| image.digest.as_ptr())
}

/// Returns the image's record as a JSON object, as `banger image pull --json` and `banger image show --json`
/// print it. It lives as long as the image. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_json(image: *const banger_image) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { image.as_ref() }.map_or(c"".as_ptr(), |image| image.json.as_ptr())
}

/// Returns the length of the ext4 file. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_size_bytes(image: *const banger_image) -> u64 {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { image.as_ref() }.map_or(0, |image| image.size_bytes)
}

/// Returns whether a pull found the image up to date and left it as it was. False for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_is_unchanged(image: *const banger_image) -> bool {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { image.as_ref() }.is_some_and(|image| image.is_unchanged)
}

/// Frees an image; its file stays. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_image_free(image: *mut banger_image) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(image) };
}
