//! The system calls without a safe form in rustix. Each block of `unsafe` says why it is sound.
#![allow(
    unsafe_code,
    reason = "calls of the C library on values made here; nothing else in the binary has a raw pointer"
)]

pub(crate) mod device_mapper;
pub(crate) mod exec;
pub(crate) mod resize;
pub(crate) mod signal;
pub(crate) mod vsock;

use rustix::io::Errno;

/// Returns the result of a call of the C library, or its error.
fn checked(returned: libc::c_int) -> Result<libc::c_int, Errno> {
    if returned >= 0 {
        return Ok(returned);
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
