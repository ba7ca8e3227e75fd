//! Structs that the caller gives with their size, as clone3 takes them: later versions add fields at the end.
//!
//! A caller that was built for an older header gives fewer bytes and gets its fields. One that was built for a
//! newer header gives more: what this version does not know is filled with zeros, and has to be zero on the way
//! in.

use std::ffi::c_int;
use std::ptr;
use std::slice;

use crate::call::guarded_unit;
use crate::error::{Fault, banger_error};

/// A struct of the header, made of integers and pointers, for which zeros are a value.
pub(crate) trait SizedStruct: Copy {
    /// Bytes that its first version had.
    const FIRST_BYTES: usize;
}

fn check_size<T: SizedStruct>(size: usize, name: &str) -> Result<(), Fault> {
    match size {
        size if size < T::FIRST_BYTES => {
            Err(Fault::argument(format!("the size of {name} is {size}, less than {}", T::FIRST_BYTES)))
        }
        size if size > 4096 => Err(Fault::argument(format!("the size of {name} cannot be {size}"))),
        _ => Ok(()),
    }
}

/// As [`crate::call::guarded`], for a struct of `size` bytes at `out`.
///
/// # Safety
/// `error` is NULL or may be written; `out` is NULL, or `size` bytes there may be written.
pub(crate) unsafe fn guarded_sized<T: SizedStruct>(
    error: *mut *mut banger_error,
    out: *mut T,
    size: usize,
    name: &str,
    body: impl FnOnce() -> Result<T, Fault>,
) -> c_int {
    let body = || {
        if out.is_null() {
            return Err(Fault::argument(format!("{name} is NULL")));
        }
        check_size::<T>(size, name)?;
        let value = body()?;
        let known = size.min(size_of::<T>());
        // SAFETY: `known` bytes are in `value`, and the caller lets `size` bytes at `out` be written.
        unsafe {
            ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), out.cast::<u8>(), known);
            ptr::write_bytes(out.cast::<u8>().add(known), 0, size - known);
        }
        Ok(())
    };
    // SAFETY: as the function's own condition.
    unsafe { guarded_unit(error, body) }
}

/// Returns the struct of `size` bytes at `given`; `None` for NULL.
///
/// # Safety
/// `given` is NULL, or `size` bytes there can be read.
pub(crate) unsafe fn sized<T: SizedStruct>(
    given: *const T,
    size: usize,
    name: &str,
) -> Result<Option<T>, Fault> {
    if given.is_null() {
        return Ok(None);
    }
    check_size::<T>(size, name)?;
    let known = size.min(size_of::<T>());
    // SAFETY: as the function's own condition; the struct is made of integers, and zeros are a value of it.
    let (value, rest) = unsafe {
        let mut value = std::mem::zeroed::<T>();
        ptr::copy_nonoverlapping(given.cast::<u8>(), (&raw mut value).cast::<u8>(), known);
        (value, slice::from_raw_parts(given.cast::<u8>().add(known), size - known))
    };
    match rest.iter().all(|byte| *byte == 0) {
        true => Ok(Some(value)),
        false => Err(Fault::argument(format!("{name} has fields that this version does not know"))),
    }
}
