//! A flag that stops calls from any thread.

use pipeline::Cancellation;

/// A flag that stops calls. Threads may share it. Free it with banger_cancel_free after the last call that
/// uses it has returned.
#[derive(Debug)]
pub struct banger_cancel(Cancellation);

/// Returns a flag that is not set. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn banger_cancel_new() -> *mut banger_cancel {
    Box::into_raw(Box::new(banger_cancel(Cancellation::new())))
}

/// Sets the flag for good: every call that uses it returns error 505 within 200 ms, also one that waits for a
/// server, a guest, a lock or its turn with a file system. Any thread may call this, but not a signal handler. NULL
/// is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_cancel_cancel(cancel: *const banger_cancel) {
    // SAFETY: the caller's pointer is NULL or alive.
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        crate::object::sheltered((), || cancel.0.cancel());
    }
}

/// Returns whether the flag is set. False for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_cancel_is_cancelled(cancel: *const banger_cancel) -> bool {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { cancel.as_ref() }.is_some_and(|cancel| cancel.0.is_cancelled())
}

/// Frees a flag. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_cancel_free(cancel: *mut banger_cancel) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(cancel) };
}

/// Returns the flag at `cancel`; for NULL one that nobody sets.
///
/// # Safety
/// `cancel` is NULL or alive.
pub(crate) unsafe fn cancellation(cancel: *const banger_cancel) -> Cancellation {
    // SAFETY: as the function's own condition.
    unsafe { cancel.as_ref() }.map(|cancel| cancel.0.clone()).unwrap_or_default()
}
