//! AF_VSOCK: sockets between a guest and its host, vsock(7).

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, listen, socket_with};

use super::checked;

/// The address of the host.
pub(crate) const HOST_CID: u32 = libc::VMADDR_CID_HOST;

/// Listens on a port, for anybody.
pub(crate) fn listener(port: u32, backlog: i32) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::VSOCK, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let mut address = empty_address();
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = libc::VMADDR_CID_ANY;
    address.svm_port = port;
    // SAFETY: the address is initialised, outlives the call, and its length is that of its type.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), address_length()) })?;
    listen(&socket, backlog)?;
    Ok(socket)
}

/// The next connection, and the CID it comes from.
pub(crate) fn accept(listener: &OwnedFd) -> Result<(OwnedFd, u32), Errno> {
    let mut address = empty_address();
    let mut length = address_length();
    // SAFETY: the kernel writes at most `length` bytes, which is the size of the address; the
    // descriptor that comes back is new and owned by nobody.
    let socket = unsafe {
        let fd = libc::accept4(
            listener.as_raw_fd(),
            (&raw mut address).cast(),
            &raw mut length,
            libc::SOCK_CLOEXEC,
        );
        OwnedFd::from_raw_fd(checked(fd)?)
    };
    Ok((socket, address.svm_cid))
}

fn empty_address() -> libc::sockaddr_vm {
    // SAFETY: every field is a number or an array of numbers, for which zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn address_length() -> libc::socklen_t {
    size_of::<libc::sockaddr_vm>() as libc::socklen_t
}
