//! Text and bytes, in and out.

use std::ffi::{CStr, c_char};
use std::slice;

use camino::Utf8Path;
use pipeline::GuestPath;

use crate::error::Fault;

/// The length of a text that ends with a NUL byte.
pub const BANGER_STRLEN: usize = usize::MAX;

/// Bytes that the library made: a document or the content of a file. Free it with banger_string_free.
#[derive(Debug)]
pub struct banger_string {
    /// With a NUL behind the last byte.
    bytes: Vec<u8>,
}

impl banger_string {
    /// Returns the bytes as an object for C.
    pub(crate) fn of(bytes: impl Into<Vec<u8>>) -> Box<Self> {
        let mut bytes = bytes.into();
        bytes.push(0);
        Box::new(Self { bytes })
    }

    /// Returns `value` as a JSON document.
    pub(crate) fn json(value: &impl serde::Serialize) -> Result<Box<Self>, Fault> {
        Ok(Self::of(json_text(value)?))
    }
}

/// Returns the bytes. A NUL byte follows the last one. The pointer lives as long as the string. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_string_data(string: *const banger_string) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { string.as_ref() }.map_or(std::ptr::null(), |string| string.bytes.as_ptr().cast())
}

/// Returns the number of bytes, without the NUL byte behind them. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_string_length(string: *const banger_string) -> usize {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { string.as_ref() }.map_or(0, |string| string.bytes.len() - 1)
}

/// Frees a string. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_string_free(string: *mut banger_string) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(string) };
}

/// Returns `value` as the text of a JSON document.
pub(crate) fn json_text(value: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value).map_err(|error| Fault::argument(format!("not JSON: {error}")))
}

/// Returns the text at `text`, or `None` for NULL. `name` is the argument's, for the error.
///
/// # Safety
/// `text` is NULL or ends with a NUL byte, and lives as long as the call.
pub(crate) unsafe fn optional_text<'a>(text: *const c_char, name: &str) -> Result<Option<&'a str>, Fault> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: as the function's own condition.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Fault::argument(format!("{name} is not UTF-8")))
}

/// Returns the text at `text`, which must not be NULL.
///
/// # Safety
/// As [`optional_text`].
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str, Fault> {
    // SAFETY: as the function's own condition.
    unsafe { optional_text(text, name) }?.ok_or_else(|| Fault::argument(format!("{name} is NULL")))
}

/// Returns the path of the host at `path`, which must not be NULL.
///
/// # Safety
/// As [`optional_text`].
pub(crate) unsafe fn host_path<'a>(path: *const c_char, name: &str) -> Result<&'a Utf8Path, Fault> {
    // SAFETY: as the function's own condition.
    match unsafe { text(path, name) }? {
        "" => Err(Fault::argument(format!("{name} is empty"))),
        path => Ok(Utf8Path::new(path)),
    }
}

/// Returns the `length` bytes at `data`; NULL is fine for no bytes.
///
/// # Safety
/// `data` has `length` bytes, which nobody changes during the call.
pub(crate) unsafe fn bytes<'a>(data: *const u8, length: usize, name: &str) -> Result<&'a [u8], Fault> {
    if length > isize::MAX.cast_unsigned() {
        return Err(Fault::argument(format!("{name} has an impossible length")));
    }
    match (data.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Fault::argument(format!("{name} is NULL"))),
        // SAFETY: as the function's own condition, and the length fits.
        (false, _) => Ok(unsafe { slice::from_raw_parts(data, length) }),
    }
}

/// Returns the bytes at `text`: `length` of them, or those before the NUL byte with [`BANGER_STRLEN`].
///
/// # Safety
/// As [`bytes`], or as [`optional_text`] with [`BANGER_STRLEN`].
pub(crate) unsafe fn counted<'a>(text: *const c_char, length: usize, name: &str) -> Result<&'a [u8], Fault> {
    if text.is_null() {
        return Err(Fault::argument(format!("{name} is NULL")));
    }
    if length == BANGER_STRLEN {
        // SAFETY: as the function's own condition.
        return Ok(unsafe { CStr::from_ptr(text) }.to_bytes());
    }
    // SAFETY: as the function's own condition.
    unsafe { bytes(text.cast(), length, name) }
}

/// Returns the absolute path of a guest at `path`.
///
/// # Safety
/// As [`counted`].
pub(crate) unsafe fn guest_path(path: *const c_char, length: usize) -> Result<GuestPath, Fault> {
    // SAFETY: as the function's own condition.
    let path = unsafe { counted(path, length, "path") }?;
    Ok(GuestPath::parse(path)?)
}
