//! Errors: a stable code is returned, and an object tells the rest.

use std::ffi::{CString, c_char, c_int};

use pipeline::{ErrorContext, ErrorKind, ErrorReport, Failure};

use crate::c_text::c_text;
use crate::object::boxed_out;

/// A fault of banger itself: a panic was caught.
pub const BANGER_ERROR_INTERNAL: c_int = 510;
/// A pointer is NULL that must not be, a text is not UTF-8, or an option has a value of another type.
pub const BANGER_ERROR_ARGUMENT: c_int = 511;
/// The option is unknown to this version of the library, or the call does not use it.
pub const BANGER_ERROR_OPTION: c_int = 512;
/// The host has no threads or memory left.
pub const BANGER_ERROR_RESOURCES: c_int = 513;
/// The call was cancelled: by a banger_cancel or by a progress function.
pub const BANGER_ERROR_CANCELLED: c_int = 505;

/// The kind of a failure: what a program decides by. Expect kinds that this header does not know.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum banger_failure_kind {
    /// The caller asked to stop.
    BANGER_KIND_CANCELLED = 1,
    /// A file, image, name or path does not exist.
    BANGER_KIND_NOT_FOUND = 2,
    /// Something exists already in the place of what was to be made.
    BANGER_KIND_EXISTS = 3,
    /// A server or the host refuses access.
    BANGER_KIND_ACCESS = 4,
    /// A server cannot be reached, or does not answer as it has to.
    BANGER_KIND_NETWORK = 5,
    /// The disk, the quota or the image is full.
    BANGER_KIND_NO_SPACE = 6,
    /// The input costs more than a limit allows.
    BANGER_KIND_LIMIT = 7,
    /// Another process or thread uses the file.
    BANGER_KIND_IN_USE = 8,
    /// The input is damaged or malformed.
    BANGER_KIND_DAMAGED = 9,
    /// The input is sound, but has something that banger does not support.
    BANGER_KIND_UNSUPPORTED = 10,
    /// An argument or option has a value that makes no sense.
    BANGER_KIND_ARGUMENT = 11,
    /// A guest answered with an error, or not at all.
    BANGER_KIND_GUEST = 12,
    /// The host failed otherwise, or banger has a fault.
    BANGER_KIND_INTERNAL = 13,
    /// Makes the type 32 bits wide; not a kind.
    BANGER_KIND_FORCE_32BIT = 0x7fff_ffff,
}

impl banger_failure_kind {
    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Cancelled => Self::BANGER_KIND_CANCELLED,
            ErrorKind::NotFound => Self::BANGER_KIND_NOT_FOUND,
            ErrorKind::Exists => Self::BANGER_KIND_EXISTS,
            ErrorKind::Access => Self::BANGER_KIND_ACCESS,
            ErrorKind::Network => Self::BANGER_KIND_NETWORK,
            ErrorKind::NoSpace => Self::BANGER_KIND_NO_SPACE,
            ErrorKind::Limit => Self::BANGER_KIND_LIMIT,
            ErrorKind::InUse => Self::BANGER_KIND_IN_USE,
            ErrorKind::Damaged => Self::BANGER_KIND_DAMAGED,
            ErrorKind::Unsupported => Self::BANGER_KIND_UNSUPPORTED,
            ErrorKind::Argument => Self::BANGER_KIND_ARGUMENT,
            ErrorKind::Guest => Self::BANGER_KIND_GUEST,
            _ => Self::BANGER_KIND_INTERNAL,
        }
    }
}

/// Why a call failed. Free it with banger_error_free.
#[derive(Debug)]
pub struct banger_error {
    code: c_int,
    kind: banger_failure_kind,
    is_transient: bool,
    os_error: c_int,
    message: CString,
    advice: CString,
    json: CString,
}

/// Why a call failed, on the way to C.
#[derive(Debug)]
pub(crate) struct Fault(Box<banger_error>);

impl Fault {
    /// A fault of the call itself rather than of a stage: code, kind, and what is wrong with what.
    fn of_call(code: c_int, kind: ErrorKind, message: String) -> Self {
        let report = serde_json::json!({
            "version": ErrorReport::VERSION,
            "code": code,
            "kind": kind,
            "message": message,
            "context": ErrorContext::default(),
        });
        Self(Box::new(banger_error {
            code,
            kind: banger_failure_kind::of(kind),
            is_transient: code == BANGER_ERROR_RESOURCES,
            os_error: 0,
            message: c_text(message),
            advice: CString::default(),
            json: c_text(report.to_string()),
        }))
    }

    /// An argument that is NULL or malformed: "path is NULL".
    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::of_call(BANGER_ERROR_ARGUMENT, ErrorKind::Argument, message.into())
    }

    /// An option that is unknown, or that the call does not use.
    pub(crate) fn option(message: impl Into<String>) -> Self {
        Self::of_call(BANGER_ERROR_OPTION, ErrorKind::Argument, message.into())
    }

    /// Threads, memory or file descriptors that the host does not give.
    pub(crate) fn resources(message: impl Into<String>) -> Self {
        Self::of_call(BANGER_ERROR_RESOURCES, ErrorKind::Internal, message.into())
    }

    /// A panic that was caught.
    pub(crate) fn panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let text =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        let message = format!("a fault of banger: {}", text.unwrap_or("a panic without a message"));
        Self::of_call(BANGER_ERROR_INTERNAL, ErrorKind::Internal, message)
    }

    /// Hands the error out, where the caller wants it, and returns its code.
    ///
    /// # Safety
    /// `error` is NULL or may be written.
    pub(crate) unsafe fn hand_out(self, error: *mut *mut banger_error) -> c_int {
        let code = self.0.code;
        // SAFETY: as the function's own condition.
        unsafe { boxed_out(error, self.0) };
        code
    }
}

impl<E: Failure> From<E> for Fault {
    fn from(failure: E) -> Self {
        let mut report = ErrorReport::of(&failure);
        // Each stage has a code of its own for this; callers of C get one.
        if report.kind == ErrorKind::Cancelled {
            report.code = BANGER_ERROR_CANCELLED.unsigned_abs();
        }
        Self(Box::new(banger_error {
            code: c_int::try_from(report.code).unwrap_or(BANGER_ERROR_INTERNAL),
            kind: banger_failure_kind::of(report.kind),
            is_transient: failure.is_transient(),
            os_error: failure.os_error().unwrap_or(0),
            json: c_text(report.to_json()),
            message: c_text(report.message),
            advice: c_text(report.advice.unwrap_or_default()),
        }))
    }
}

/// Returns the code of the failure: the number that the call returned. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_error_code(error: *const banger_error) -> c_int {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { error.as_ref() }.map_or(0, |error| error.code)
}

/// Returns the kind of the failure, a banger_failure_kind. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_error_kind(error: *const banger_error) -> c_int {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { error.as_ref() }.map_or(0, |error| error.kind as c_int)
}

/// Returns whether the same call may succeed later without any change by the caller.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_error_is_transient(error: *const banger_error) -> bool {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { error.as_ref() }.is_some_and(|error| error.is_transient)
}

/// Returns the host's error number (errno), where the host failed, and 0 otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_error_errno(error: *const banger_error) -> c_int {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { error.as_ref() }.map_or(0, |error| error.os_error)
}

/// Returns what failed and on what, in one line of UTF-8. It lives as long as the error. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_error_message(error: *const banger_error) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// Returns what the caller can do, naming options as docs/ffi.md does. It lives as long as the error. "" if
/// there is nothing, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_error_advice(error: *const banger_error) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.advice.as_ptr())
}

/// Returns the error as a JSON object: version, code, kind, message, advice, context. It lives as long as the
/// error. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_error_json(error: *const banger_error) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.json.as_ptr())
}

/// Frees an error. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_error_free(error: *mut banger_error) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(error) };
}
