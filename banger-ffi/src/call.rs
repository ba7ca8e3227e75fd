//! What every function does: catch panics, write the answer on success only, hand out the error otherwise.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Fault, banger_error};

/// Runs `body`, and writes what it returns to `out`. Returns 0, or the code of the error that it writes to
/// `error`. Neither is touched otherwise.
///
/// # Safety
/// `error` is NULL or may be written; `out` is NULL, which is an error, or may be written.
pub(crate) unsafe fn guarded<T>(
    error: *mut *mut banger_error,
    out: *mut T,
    body: impl FnOnce() -> Result<T, Fault>,
) -> c_int {
    let body =
        || if out.is_null() { Err(Fault::argument("the place of the answer is NULL")) } else { body() };
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(Fault::panic(&*panic)));
    match result {
        Ok(value) => {
            // SAFETY: `out` is not NULL, and the caller lets it be written.
            unsafe { out.write(value) };
            0
        }
        // SAFETY: as the function's own condition.
        Err(fault) => unsafe { fault.hand_out(error) },
    }
}

/// As [`guarded`], for an answer that is an object of its own.
///
/// # Safety
/// As [`guarded`].
pub(crate) unsafe fn guarded_object<T>(
    error: *mut *mut banger_error,
    out: *mut *mut T,
    body: impl FnOnce() -> Result<Box<T>, Fault>,
) -> c_int {
    // SAFETY: as the function's own condition.
    unsafe { guarded(error, out, || body().map(Box::into_raw)) }
}

/// As [`guarded`], for a call without an answer.
///
/// # Safety
/// As [`guarded`].
pub(crate) unsafe fn guarded_unit(
    error: *mut *mut banger_error,
    body: impl FnOnce() -> Result<(), Fault>,
) -> c_int {
    let mut answer = ();
    // SAFETY: as the function's own condition; the place of the answer is here.
    unsafe { guarded(error, &raw mut answer, body) }
}

/// Returns what `pointer` points to; `name` is the argument's, for the error.
///
/// # Safety
/// `pointer` is NULL or an object of this library that lives as long as the call.
pub(crate) unsafe fn borrowed<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Fault> {
    // SAFETY: as the function's own condition.
    unsafe { pointer.as_ref() }.ok_or_else(|| Fault::argument(format!("{name} is NULL")))
}

/// As [`borrowed`], for an object that the call changes.
///
/// # Safety
/// As [`borrowed`], and no other thread uses it meanwhile.
pub(crate) unsafe fn borrowed_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T, Fault> {
    // SAFETY: as the function's own condition.
    unsafe { pointer.as_mut() }.ok_or_else(|| Fault::argument(format!("{name} is NULL")))
}
