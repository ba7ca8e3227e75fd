//! Directories of the file system in an ext4 file.

use std::ffi::{c_char, c_int};
use std::ptr;

use pipeline::{DirEntry, Rootfs as _};

use crate::call::{borrowed_mut, guarded_object};
use crate::error::banger_error;
use crate::rootfs::{banger_file_type, banger_rootfs, place};
use crate::sized::{SizedStruct, guarded_sized};

/// One entry of a directory.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct banger_dirent {
    /// The name, never "." or "..", with a NUL byte behind it; NULL at the end of the directory. It lives as long
    /// as the banger_dir.
    pub name: *const c_char,
    /// Bytes of the name.
    pub name_length: usize,
    /// Number of the inode, as in banger_stat.
    pub inode: u64,
    /// Type: a banger_file_type.
    pub file_type: u32,
    /// Always 0.
    pub reserved: u32,
}

impl SizedStruct for banger_dirent {
    const FIRST_BYTES: usize = 2 * size_of::<usize>() + 16;
}

/// The entries of a directory, as they were when it was read. One thread at a time may use it. Free it with
/// banger_dir_free.
#[derive(Debug)]
pub struct banger_dir {
    /// With a NUL byte behind each name.
    entries: Vec<DirEntry>,
    next: usize,
}

/// Reads the directory `path`. The entries are ordered by the bytes of their names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_read_dir(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    dir: *mut *mut banger_dir,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, dir, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let mut entries = rootfs.look(|fs| fs.read_dir(&path))?;
            entries.iter_mut().for_each(|entry| entry.name.push(0));
            Ok(Box::new(banger_dir { entries, next: 0 }))
        })
    }
}

/// Writes the next entry to `entry`, whose name is NULL at the end. `size` is sizeof(banger_dirent).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_dir_next(
    dir: *mut banger_dir,
    entry: *mut banger_dirent,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_sized(error, entry, size, "entry", || {
            let dir = borrowed_mut(dir, "dir")?;
            let Some(found) = dir.entries.get(dir.next) else {
                let name = ptr::null();
                return Ok(banger_dirent { name, name_length: 0, inode: 0, file_type: 0, reserved: 0 });
            };
            dir.next += 1;
            Ok(banger_dirent {
                name: found.name.as_ptr().cast(),
                name_length: found.name.len() - 1,
                inode: found.inode,
                file_type: banger_file_type::number(found.file_type),
                reserved: 0,
            })
        })
    }
}

/// Frees the entries of a directory. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_dir_free(dir: *mut banger_dir) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(dir) };
}
