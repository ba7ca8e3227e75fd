//! Changing the file system in an ext4 file.

use std::ffi::{c_char, c_int};
use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};

use pipeline::rootfs::{EditError, PatientReader, remove_xattr, set_xattr, write_over};
use pipeline::{
    AttributeChange, Attributes, Cancellation, GuestPath, NodeKind, Rootfs as _, RootfsError, Timestamp,
};

use crate::call::{borrowed, guarded, guarded_unit};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::rootfs::{banger_file_type, banger_rootfs, place};
use crate::sized::{SizedStruct, sized};
use crate::string::{BANGER_STRLEN, bytes, counted, guest_path};

/// In a field of nanoseconds: the time of the call, as UTIME_NOW of utimensat(2).
pub const BANGER_TIME_NOW: u32 = 0x3fff_ffff;
/// `banger_rootfs_set_owner`: keep this one as it is, as chown(2) does with -1.
pub const BANGER_KEEP_ID: u32 = u32::MAX;

/// Permissions, owner and time of something that is made. Extended attributes are set later, with
/// banger_rootfs_set_xattr.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct banger_attrs {
    /// Last modification: seconds since 1970, rounded down.
    pub mtime_seconds: i64,
    /// Last modification: nanoseconds behind the seconds, or BANGER_TIME_NOW.
    pub mtime_nanoseconds: u32,
    /// Permissions with setuid, setgid and sticky: 0 to 07777, without type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl SizedStruct for banger_attrs {
    const FIRST_BYTES: usize = 24;
}

fn mode(mode: u32) -> Result<u16, Fault> {
    u16::try_from(mode)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Fault::argument(format!("{mode:#o} is not a mode of 0 to 07777")))
}

fn time(rootfs: &banger_rootfs, seconds: i64, nanoseconds: u32) -> Result<Timestamp, Fault> {
    match nanoseconds {
        BANGER_TIME_NOW => Ok(rootfs.now()),
        0..1_000_000_000 => Ok(Timestamp { seconds, nanoseconds }),
        _ => Err(Fault::argument(format!("{nanoseconds} is not a number of nanoseconds"))),
    }
}

/// Returns the attributes at `given`, or for NULL those with `default_mode`.
///
/// # Safety
/// `given` is NULL, or `size` bytes there can be read.
unsafe fn attributes(
    rootfs: &banger_rootfs,
    given: *const banger_attrs,
    size: usize,
    default_mode: u16,
) -> Result<Attributes, Fault> {
    // SAFETY: as the function's own condition.
    let given = unsafe { sized(given, size, "attrs") }?;
    let Some(banger_attrs { mtime_seconds, mtime_nanoseconds, mode: bits, uid, gid }) = given else {
        return Ok(Attributes { mtime: rootfs.now(), ..Attributes::with_mode(default_mode) });
    };
    let mtime = time(rootfs, mtime_seconds, mtime_nanoseconds)?;
    Ok(Attributes { uid, gid, mtime, ..Attributes::with_mode(mode(bits)?) })
}

/// Returns a copy of the descriptor `fd`, as a file: both have one position.
pub(crate) fn file_of(fd: RawFd) -> Result<File, Fault> {
    let failed = |error| Fault::argument(format!("cannot use the file descriptor {fd}: {error}"));
    if fd < 0 {
        return Err(failed(std::io::Error::from_raw_os_error(libc::EBADF)));
    }
    // SAFETY: it is borrowed for this call alone, and the kernel refuses one that is not open.
    let owned = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned();
    Ok(File::from(owned.map_err(failed)?))
}

/// Changes attributes of `path`.
fn change(rootfs: &banger_rootfs, path: &GuestPath, change: &AttributeChange) -> Result<(), Fault> {
    rootfs.edit(&Cancellation::default(), |fs| fs.set_attributes(path, change))
}

/// Makes the empty directory `path`; its parent must exist. `size` is sizeof(banger_attrs). `attrs` may be NULL:
/// 0755, of 0:0, now.
///
/// This and the calls below change no time but that of what they make. They change the file system in memory:
/// reads by the same handle see it, and banger_rootfs_commit makes it last. A call that fails changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_create_dir(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    attrs: *const banger_attrs,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let attributes = attributes(rootfs, attrs, size, 0o755)?;
            rootfs.edit(&Cancellation::default(), |fs| fs.create_dir(&path, &attributes))
        })
    }
}

/// Writes the regular file `path` with the `data_length` bytes at `data`, in the place of anything there but a
/// directory; its parent must exist. Other hard links of a file that is replaced keep the old bytes. `size` is
/// sizeof(banger_attrs).
///
/// `attrs` may be NULL: a file that is replaced gives its mode, owner and extended attributes (no capability), and
/// a new one is 0644 of 0:0; the time is now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_write(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    data: *const u8,
    data_length: usize,
    attrs: *const banger_attrs,
    size: usize,
    cancel: *const banger_cancel,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let mut data = bytes(data, data_length, "data")?;
            write(rootfs, &path, &mut data, attrs, size, &cancellation(cancel))
        })
    }
}

/// As banger_rootfs_write, with all bytes that can be read from the file descriptor `fd`, from its position on.
/// It may be a pipe. It stays open. Zeros become holes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_write_from_fd(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    fd: c_int,
    attrs: *const banger_attrs,
    size: usize,
    cancel: *const banger_cancel,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let cancellation = cancellation(cancel);
            let mut content = PatientReader::new(file_of(fd)?, &cancellation);
            write(rootfs, &path, &mut content, attrs, size, &cancellation)
        })
    }
}

/// # Safety
/// As [`attributes`].
unsafe fn write(
    rootfs: &banger_rootfs,
    path: &GuestPath,
    content: &mut dyn std::io::Read,
    attrs: *const banger_attrs,
    size: usize,
    cancellation: &Cancellation,
) -> Result<(), Fault> {
    if attrs.is_null() {
        return rootfs.edit(cancellation, |fs| write_over(fs, path, content, rootfs.now()));
    }
    // SAFETY: as the function's own condition.
    let attributes = unsafe { attributes(rootfs, attrs, size, 0) }?;
    rootfs.edit(cancellation, |fs| fs.write_file(path, content, &attributes))
}

/// Makes the symlink `path` with the target `target`, which is stored as it is. `target_length` is the length of the
/// target, or BANGER_STRLEN; `size` is sizeof(banger_attrs). `attrs` may be NULL: 0777, of 0:0, now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_symlink(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    target: *const c_char,
    target_length: usize,
    attrs: *const banger_attrs,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let target = counted(target, target_length, "target")?;
            let attributes = attributes(rootfs, attrs, size, 0o777)?;
            rootfs.edit(&Cancellation::default(), |fs| fs.symlink(&path, target, &attributes))
        })
    }
}

/// Gives `existing`, which is not a directory, the further name `path`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_hard_link(
    rootfs: *mut banger_rootfs,
    existing: *const c_char,
    existing_length: usize,
    path: *const c_char,
    length: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let existing = guest_path(existing, existing_length)?;
            rootfs.edit(&Cancellation::default(), |fs| fs.hard_link(&existing, &path))
        })
    }
}

/// Makes a device, FIFO or socket at `path`. `file_type` is a banger_file_type; `major` and `minor` are the numbers
/// of a device and 0 otherwise; `size` is sizeof(banger_attrs). `attrs` may be NULL: 0644, of 0:0, now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_mknod(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    file_type: u32,
    major: u32,
    minor: u32,
    attrs: *const banger_attrs,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    const CHAR: u32 = banger_file_type::BANGER_FILE_CHAR_DEVICE as u32;
    const BLOCK: u32 = banger_file_type::BANGER_FILE_BLOCK_DEVICE as u32;
    const FIFO: u32 = banger_file_type::BANGER_FILE_FIFO as u32;
    const SOCKET: u32 = banger_file_type::BANGER_FILE_SOCKET as u32;
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let kind = match file_type {
                CHAR => NodeKind::CharDevice { major, minor },
                BLOCK => NodeKind::BlockDevice { major, minor },
                FIFO => NodeKind::Fifo,
                SOCKET => NodeKind::Socket,
                other => return Err(Fault::argument(format!("mknod makes no file of type {other}"))),
            };
            let attributes = attributes(rootfs, attrs, size, 0o644)?;
            rootfs.edit(&Cancellation::default(), |fs| fs.mknod(&path, &kind, &attributes))
        })
    }
}

/// Removes `path`, and everything below it if it is a directory. Error 725 says that one commit cannot hold so many
/// changes: remove parts, with commits in between.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_remove(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    cancel: *const banger_cancel,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            rootfs.edit(&cancellation(cancel), |fs| fs.remove(&path))
        })
    }
}

/// Moves `from` to `path`, which must not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_rename(
    rootfs: *mut banger_rootfs,
    from: *const c_char,
    from_length: usize,
    path: *const c_char,
    length: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let from = guest_path(from, from_length)?;
            rootfs.edit(&Cancellation::default(), |fs| fs.rename(&from, &path))
        })
    }
}

/// Sets the permissions of `path`, 0 to 07777.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_set_mode(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    mode: u32,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let mode = Some(self::mode(mode)?);
            change(rootfs, &path, &AttributeChange { mode, ..AttributeChange::default() })
        })
    }
}

/// Sets owner and group of `path`; BANGER_KEEP_ID keeps one. Bits such as setuid and capabilities stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_set_owner(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    uid: u32,
    gid: u32,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let [uid, gid] = [uid, gid].map(|id| (id != BANGER_KEEP_ID).then_some(id));
            change(rootfs, &path, &AttributeChange { uid, gid, ..AttributeChange::default() })
        })
    }
}

/// Sets the time of the last modification of `path`. `nanoseconds` is less than 1000000000, or BANGER_TIME_NOW.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_set_mtime(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    seconds: i64,
    nanoseconds: u32,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let mtime = Some(time(rootfs, seconds, nanoseconds)?);
            change(rootfs, &path, &AttributeChange { mtime, ..AttributeChange::default() })
        })
    }
}

/// Sets the extended attribute `name` of `path`, such as "user.note", to the `value_length` bytes at `value`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_set_xattr(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    name: *const c_char,
    value: *const u8,
    value_length: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let name = counted(name, BANGER_STRLEN, "name")?;
            let value = bytes(value, value_length, "value")?;
            rootfs.edit(&Cancellation::default(), |fs| set_xattr(fs, &path, name, value))
        })
    }
}

/// Removes the extended attribute `name` of `path`. It is error 727 if there is no such attribute.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_remove_xattr(
    rootfs: *mut banger_rootfs,
    path: *const c_char,
    length: usize,
    name: *const c_char,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let name = counted(name, BANGER_STRLEN, "name")?;
            rootfs.edit(&Cancellation::default(), |fs| remove_xattr(fs, &path, name))
        })
    }
}

/// Returns whether so many changes wait that banger_rootfs_commit should come before more of them. False for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_is_commit_due(rootfs: *const banger_rootfs) -> bool {
    // SAFETY: the caller's pointer is NULL or alive.
    let rootfs = unsafe { rootfs.as_ref() };
    crate::object::sheltered(false, || {
        let turn = rootfs.and_then(|rootfs| rootfs.turn(&Cancellation::default()).ok());
        turn.is_some_and(|editor| editor.is_commit_due())
    })
}

/// Makes all changes since the last commit last, or none of them: also a crash leaves the one or the other. A
/// commit that has begun to count cannot be cancelled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_commit(
    rootfs: *mut banger_rootfs,
    cancel: *const banger_cancel,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let cancellation = cancellation(cancel);
            borrowed(rootfs, "rootfs")?.edit(&cancellation, |fs| match cancellation.is_cancelled() {
                true => Err(RootfsError::Cancelled),
                false => fs.commit(),
            })
        })
    }
}

/// Makes the file system `size_bytes` large, and the file with it, which stays sparse; writes to `new_size_bytes` how
/// large it is then: a little less, where the end would be hardly more than metadata. A smaller size moves content away
/// from the end; after a crash the content is the same, and the size is the old one or the new one. It commits, also all
/// changes made before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_resize(
    rootfs: *mut banger_rootfs,
    size_bytes: u64,
    cancel: *const banger_cancel,
    new_size_bytes: *mut u64,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded(error, new_size_bytes, || {
            let rootfs = borrowed(rootfs, "rootfs")?;
            rootfs.edit(&cancellation(cancel), |fs| fs.resize(size_bytes).map_err(EditError::from))
        })
    }
}

/// Writes to `size_bytes` the smallest size that banger_rootfs_resize can give the file system as it is now. It changes
/// nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_minimum_size(
    rootfs: *mut banger_rootfs,
    cancel: *const banger_cancel,
    size_bytes: *mut u64,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded(error, size_bytes, || {
            let rootfs = borrowed(rootfs, "rootfs")?;
            rootfs.edit(&cancellation(cancel), |fs| fs.minimum_size_bytes().map_err(EditError::from))
        })
    }
}
