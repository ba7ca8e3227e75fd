//! The functions as C calls them.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "a test keeps the rules of the header, or breaks them on purpose"
)]

mod agent;
mod documents;
mod guest;
mod guest_cancel;
mod nulls;
mod random;
mod rootfs;
mod rootfs_whole;
mod sources;

use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::slice;

use camino::{Utf8Path, Utf8PathBuf};
use pipeline::{BuildRequest, Cancellation, EventHandler, ImageSize};

use crate::dir::*;
use crate::error::*;
use crate::options::*;
use crate::rootfs::*;
use crate::string::*;

/// What an error object tells.
#[derive(Debug, PartialEq)]
struct CallError {
    code: c_int,
    kind: c_int,
    message: String,
}

/// Calls a function with a place for its answer; checks that a failure leaves the place alone.
fn answer<T>(call: impl FnOnce(*mut T, *mut *mut banger_error) -> c_int) -> Result<T, CallError> {
    const UNTOUCHED: u8 = 0xa5;
    let mut place = MaybeUninit::<T>::uninit();
    let bytes = place.as_mut_ptr().cast::<u8>();
    unsafe { bytes.write_bytes(UNTOUCHED, size_of::<T>()) };
    let mut error = null_mut();
    let code = call(place.as_mut_ptr(), &raw mut error);
    if code == 0 {
        assert!(error.is_null());
        return Ok(unsafe { place.assume_init() });
    }
    unsafe {
        assert!(slice::from_raw_parts(bytes, size_of::<T>()).iter().all(|byte| *byte == UNTOUCHED));
        assert_eq!(banger_error_code(error), code);
        let message = CStr::from_ptr(banger_error_message(error)).to_str().unwrap().to_owned();
        let kind = banger_error_kind(error);
        banger_error_free(error);
        Err(CallError { code, kind, message })
    }
}

/// As [`answer`], for a function without an answer.
fn done(call: impl FnOnce(*mut *mut banger_error) -> c_int) -> Result<(), CallError> {
    answer(|_: *mut (), error| call(error))
}

/// As [`answer`], for bytes or a document.
fn string(
    call: impl FnOnce(*mut *mut banger_string, *mut *mut banger_error) -> c_int,
) -> Result<Vec<u8>, CallError> {
    answer(call).map(taken)
}

/// Takes the bytes of a string and frees it.
fn taken(string: *mut banger_string) -> Vec<u8> {
    unsafe {
        let (data, length) = (banger_string_data(string), banger_string_length(string));
        assert_eq!(*data.add(length), 0);
        let bytes = slice::from_raw_parts(data.cast::<u8>(), length).to_owned();
        banger_string_free(string);
        bytes
    }
}

fn json(
    call: impl FnOnce(*mut *mut banger_string, *mut *mut banger_error) -> c_int,
) -> Result<serde_json::Value, CallError> {
    string(call).map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Options that are freed.
struct Options(*mut banger_options);

impl Options {
    fn new() -> Self {
        Self(banger_options_new())
    }

    fn text(self, key: banger_option, value: &str) -> Self {
        let value = CString::new(value).unwrap();
        done(|error| unsafe { banger_options_set_string(self.0, key as c_int, value.as_ptr(), error) })
            .unwrap();
        self
    }

    fn number(self, key: banger_option, value: u64) -> Self {
        done(|error| unsafe { banger_options_set_u64(self.0, key as c_int, value, error) }).unwrap();
        self
    }

    fn flag(self, key: banger_option, value: bool) -> Self {
        done(|error| unsafe { banger_options_set_bool(self.0, key as c_int, value, error) }).unwrap();
        self
    }

    fn list(self, key: banger_option, values: &[&str]) -> Self {
        for value in values {
            let value = CString::new(*value).unwrap();
            let add =
                |error| unsafe { banger_options_add_string(self.0, key as c_int, value.as_ptr(), error) };
            done(add).unwrap();
        }
        self
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        unsafe { banger_options_free(self.0) };
    }
}

/// An ext4 file with `/etc/hostname` in it.
struct Disk {
    _directory: tempfile::TempDir,
    file: Utf8PathBuf,
}

impl Disk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().to_owned();
        std::fs::create_dir_all(path.join("tree/etc")).unwrap();
        std::fs::write(path.join("tree/etc/hostname"), "old\n").unwrap();
        let file = path.join("disk.ext4");
        let request = BuildRequest::new(path.join("tree")).with_size(ImageSize::Bytes(32 << 20));
        pipeline::build_rootfs(&request, &file, &EventHandler::none(), &Cancellation::new()).unwrap();
        Self { _directory: directory, file }
    }

    fn try_open(&self, flags: u32, options: Option<&Options>) -> Result<Fs, CallError> {
        let file = CString::new(self.file.as_str()).unwrap();
        let options = options.map_or(null_mut(), |options| options.0);
        answer(|out, error| unsafe { banger_rootfs_open(file.as_ptr(), flags, options, out, error) }).map(Fs)
    }

    fn look(&self) -> Fs {
        self.try_open(0, None).unwrap()
    }

    fn edit(&self) -> Fs {
        self.try_open(BANGER_EDIT, None).unwrap()
    }
}

/// An open file system that is freed.
struct Fs(*mut banger_rootfs);

impl Fs {
    fn read(&self, path: &str) -> Result<Vec<u8>, CallError> {
        let (path, length) = counted(path);
        string(|out, error| unsafe { banger_rootfs_read(self.0, path, length, out, error) })
    }

    fn stat(&self, path: &str) -> Result<banger_stat, CallError> {
        let (path, length) = counted(path);
        answer(|out, error| unsafe {
            banger_rootfs_stat(self.0, path, length, out, size_of::<banger_stat>(), error)
        })
    }
}

impl Drop for Fs {
    fn drop(&mut self) {
        unsafe { banger_rootfs_free(self.0) };
    }
}

/// A path with its length, without a NUL byte behind it.
fn counted(path: &str) -> (*const c_char, usize) {
    (path.as_ptr().cast(), path.len())
}
