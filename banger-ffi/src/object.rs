//! Objects that C holds: given out in a box, taken back once.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`, and returns `otherwise` where it panics: for functions that cannot fail.
pub(crate) fn sheltered<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// Gives `value` to C at `place`, or drops it where `place` is NULL.
///
/// # Safety
/// `place` is NULL or may be written.
pub(crate) unsafe fn boxed_out<T>(place: *mut *mut T, value: Box<T>) {
    if !place.is_null() {
        // SAFETY: it is not NULL, and the caller lets it be written.
        unsafe { place.write(Box::into_raw(value)) };
    }
}

/// Takes an object back from C and drops it. NULL is fine.
///
/// # Safety
/// `pointer` came from [`guarded_object`](crate::call::guarded_object) or [`boxed_out`], and nobody uses it any more.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: as the function's own condition.
        let owned = unsafe { Box::from_raw(pointer) };
        sheltered((), || drop(owned));
    }
}
