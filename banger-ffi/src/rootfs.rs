//! Looking into the file system in an ext4 file.

use std::ffi::{c_char, c_int, c_uint};
use std::ptr;
use std::slice;

use camino::{Utf8Path, Utf8PathBuf};
use pipeline::guest::DEFAULT_MAX_OUTPUT_BYTES;
use pipeline::rootfs::{
    EditError, FileDocument, Part, RootfsPlace, View, in_file, open, open_to_edit, read_up_to, xattr,
};
use pipeline::{Cancellation, Ext4Editor, FileType, GuestPath, Rootfs as _, RootfsError, Stat, Timestamp};
use serde::Serialize;

use crate::call::{borrowed, guarded, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::sized::{SizedStruct, guarded_sized};
use crate::string::{banger_string, counted, guest_path, host_path};
use crate::turns::{Turn, Turns};

use banger_file_type::*;

/// banger_rootfs_open: open the file to change it, alone. Other programs that lock it are kept out until
/// banger_rootfs_free.
pub const BANGER_EDIT: c_uint = 1;

/// Type of a file: the numbers of d_type in dirent.h. Expect types that this header does not know.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum banger_file_type {
    /// A named pipe.
    BANGER_FILE_FIFO = 1,
    /// A character device.
    BANGER_FILE_CHAR_DEVICE = 2,
    /// A directory.
    BANGER_FILE_DIRECTORY = 4,
    /// A block device.
    BANGER_FILE_BLOCK_DEVICE = 6,
    /// A regular file.
    BANGER_FILE_REGULAR = 8,
    /// A symbolic link.
    BANGER_FILE_SYMLINK = 10,
    /// A Unix socket.
    BANGER_FILE_SOCKET = 12,
    /// Makes the type 32 bits wide; not a type.
    BANGER_FILE_FORCE_32BIT = 0x7fff_ffff,
}

impl banger_file_type {
    /// The number of a type.
    pub(crate) fn number(file_type: FileType) -> u32 {
        let file_type = match file_type {
            FileType::Fifo => BANGER_FILE_FIFO,
            FileType::CharDevice => BANGER_FILE_CHAR_DEVICE,
            FileType::Directory => BANGER_FILE_DIRECTORY,
            FileType::BlockDevice => BANGER_FILE_BLOCK_DEVICE,
            FileType::Regular => BANGER_FILE_REGULAR,
            FileType::Symlink => BANGER_FILE_SYMLINK,
            FileType::Socket => BANGER_FILE_SOCKET,
        };
        file_type as u32
    }
}

/// What is at a path: as lstat(2) tells.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct banger_stat {
    /// Number of the inode: equal for hard links of one file, stable until the next change.
    pub inode: u64,
    /// Bytes of a regular file or of the target of a symlink; 0 for other types.
    pub size_bytes: u64,
    /// Last modification: seconds since 1970, rounded down.
    pub mtime_seconds: i64,
    /// Last modification: nanoseconds behind the seconds.
    pub mtime_nanoseconds: u32,
    /// Type: a banger_file_type.
    pub file_type: u32,
    /// Permissions with setuid, setgid and sticky: 0 to 07777, without type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of hard links.
    pub nlink: u32,
    /// Major number of a device.
    pub device_major: u32,
    /// Minor number of a device.
    pub device_minor: u32,
}

impl SizedStruct for banger_stat {
    const FIRST_BYTES: usize = 56;
}

impl From<&Stat> for banger_stat {
    fn from(stat: &Stat) -> Self {
        let (device_major, device_minor) = stat.device.unwrap_or_default();
        Self {
            inode: stat.inode,
            size_bytes: stat.size_bytes,
            mtime_seconds: stat.attributes.mtime.seconds,
            mtime_nanoseconds: stat.attributes.mtime.nanoseconds,
            file_type: banger_file_type::number(stat.file_type),
            mode: stat.attributes.mode.into(),
            uid: stat.attributes.uid,
            gid: stat.attributes.gid,
            nlink: stat.nlink,
            device_major,
            device_minor,
        }
    }
}

/// The file system in an ext4 file. Threads may share it: their calls take turns. Free it with
/// banger_rootfs_free.
///
/// Paths are absolute and are bytes; symlinks in parents are followed inside the file system, the last component
/// is not (banger_rootfs_resolve follows it). A path goes with its length, or with BANGER_STRLEN.
#[derive(Debug)]
pub struct banger_rootfs {
    file: Utf8PathBuf,
    is_editable: bool,
    timestamp: Option<Timestamp>,
    max_read_bytes: u64,
    editor: Turns<Ext4Editor>,
}

impl banger_rootfs {
    /// The ext4 file.
    pub(crate) fn file(&self) -> &Utf8Path {
        &self.file
    }

    /// The time of what a call makes now.
    pub(crate) fn now(&self) -> Timestamp {
        self.timestamp.unwrap_or_else(|| Timestamp::now().clamped_to_ext4())
    }

    /// Waits for the turn of this call, which `cancellation` ends.
    pub(crate) fn turn(&self, cancellation: &Cancellation) -> Result<Turn<'_, Ext4Editor>, Fault> {
        let mut editor = self.editor.wait(cancellation)?;
        editor.set_cancellation(cancellation);
        Ok(editor)
    }

    /// As [`turn`](Self::turn), for a call that changes the file system.
    pub(crate) fn edit_turn(&self, cancellation: &Cancellation) -> Result<Turn<'_, Ext4Editor>, Fault> {
        match self.is_editable {
            true => self.turn(cancellation),
            false => Err(Fault::argument("the file system was opened without BANGER_EDIT")),
        }
    }

    /// Looks into the file system.
    pub(crate) fn look<T, E: Into<EditError>>(
        &self,
        work: impl FnOnce(&Ext4Editor) -> Result<T, E>,
    ) -> Result<T, Fault> {
        Ok(work(&*self.turn(&Cancellation::default())?).map_err(in_file(&self.file))?)
    }

    /// Changes the file system.
    pub(crate) fn edit<T, E: Into<EditError>>(
        &self,
        cancellation: &Cancellation,
        work: impl FnOnce(&mut Ext4Editor) -> Result<T, E>,
    ) -> Result<T, Fault> {
        Ok(work(&mut *self.edit_turn(cancellation)?).map_err(in_file(&self.file))?)
    }
}

/// The arguments that all calls for one path have.
///
/// # Safety
/// The pointers are as the header says.
pub(crate) unsafe fn place<'a>(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
) -> Result<(&'a banger_rootfs, GuestPath), Fault> {
    // SAFETY: as the function's own condition.
    unsafe { Ok((borrowed(rootfs, "rootfs")?, guest_path(path, length)?)) }
}

/// Opens the file system in `file`: an ext4, ext3 or ext2 file, or a block device that is not mounted. `flags` is
/// 0 to look into it, or BANGER_EDIT. A file that another program or handle has locked is an error of the kind
/// BANGER_KIND_IN_USE, after at most 200 ms.
///
/// Changes stay in memory until banger_rootfs_commit. Options: SOURCE_DATE_EPOCH, the time of what is written
/// (default: now); MAX_OUTPUT_BYTES, the largest file that banger_rootfs_read returns; PARTITION or OFFSET_BYTES, the part
/// of `file` that holds the file system (default: all of it).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_open(
    file: *const c_char,
    flags: c_uint,
    options: *const banger_options,
    rootfs: *mut *mut banger_rootfs,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, rootfs, || {
            let (file, given) = (host_path(file, "file")?, OptionReader::of(options));
            let seconds = given.number(BANGER_OPT_SOURCE_DATE_EPOCH)?;
            let max_read_bytes = given.number(BANGER_OPT_MAX_OUTPUT_BYTES)?;
            let place = RootfsPlace::new(file).with_part(part(&given)?);
            given.finish("banger_rootfs_open")?;
            let opened = match flags {
                0 => open(place),
                BANGER_EDIT => open_to_edit(place),
                _ => return Err(Fault::argument(format!("this version does not know the flags {flags:#x}"))),
            };
            Ok(Box::new(banger_rootfs {
                file: file.to_owned(),
                is_editable: flags == BANGER_EDIT,
                timestamp: seconds.map(|seconds| Timestamp::from_seconds(seconds).clamped_to_ext4()),
                max_read_bytes: max_read_bytes.unwrap_or(DEFAULT_MAX_OUTPUT_BYTES),
                editor: Turns::new(opened?),
            }))
        })
    }
}

/// Returns the part of a file that holds the file system.
fn part(given: &OptionReader<'_>) -> Result<Part, Fault> {
    match (given.text(BANGER_OPT_PARTITION), given.number(BANGER_OPT_OFFSET_BYTES)?) {
        (None, None) => Ok(Part::Whole),
        (Some(partition), None) => {
            let Ok(wanted) = partition.parse();
            Ok(Part::Partition(wanted))
        }
        (None, Some(offset)) => Ok(Part::Offset(offset)),
        (Some(_), Some(_)) => {
            let (one, other) = (BANGER_OPT_PARTITION, BANGER_OPT_OFFSET_BYTES);
            Err(Fault::argument(format!("{one:?} and {other:?} exclude each other")))
        }
    }
}

/// Closes the file system. Changes since the last commit are lost: the file system is as it was. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_free(rootfs: *mut banger_rootfs) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(rootfs) };
}

/// Tells what is at `path`, a symlink itself. `size` is sizeof(banger_stat). It is error 700, of the kind
/// BANGER_KIND_NOT_FOUND, if the path does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_stat(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    stat: *mut banger_stat,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_sized(error, stat, size, "stat", || {
            let (rootfs, path) = place(rootfs, path, length)?;
            rootfs.look(|fs| match fs.stat(&path)? {
                Some(stat) => Ok(banger_stat::from(&stat)),
                None => Err(RootfsError::NotFound { path }),
            })
        })
    }
}

/// Tells what is at `path` as JSON: an entry of `banger rootfs stat --json`, with the names of the owner, the
/// target of a symlink, capabilities and extended attributes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_entry(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            banger_string::json(&rootfs.look(|fs| View::new(fs)?.entry(&path))?)
        })
    }
}

/// Returns `path` with every symlink followed, the last one too. Where it leads must exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_resolve(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    resolved: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, resolved, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            Ok(banger_string::of(rootfs.look(|fs| fs.resolve(&path))?.as_bytes()))
        })
    }
}

/// Returns the bytes of the regular file `path`. A file larger than the option MAX_OUTPUT_BYTES of
/// banger_rootfs_open (default: 64 MiB) is error 712: read it with banger_rootfs_read_at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_read(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    content: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, content, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            Ok(banger_string::of(rootfs.look(|fs| read_up_to(fs, &path, rootfs.max_read_bytes))?))
        })
    }
}

/// Reads up to `size` bytes of the regular file `path`, from `offset` on, into `buffer`. Writes their number to
/// `read_bytes`: it is less than `size` only at the end of the file, and 0 behind it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_read_at(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    offset: u64,
    buffer: *mut u8,
    size: usize,
    read_bytes: *mut usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded(error, read_bytes, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            if buffer.is_null() && size > 0 {
                return Err(Fault::argument("buffer is NULL"));
            }
            if size > isize::MAX.cast_unsigned() {
                return Err(Fault::argument("size is too large"));
            }
            let buffer = match size {
                0 => &mut [],
                _ => {
                    // It may be memory that nobody has written yet.
                    ptr::write_bytes(buffer, 0, size);
                    slice::from_raw_parts_mut(buffer, size)
                }
            };
            rootfs.look(|fs| fs.read_at(&path, offset, buffer))
        })
    }
}

/// Returns the target of the symlink `path`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_read_link(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    target: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, target, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            Ok(banger_string::of(rootfs.look(|fs| fs.read_link(&path))?))
        })
    }
}

/// Returns the value of the extended attribute `name` of `path`. It is error 727, of the kind
/// BANGER_KIND_NOT_FOUND, if there is no such attribute.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_xattr(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    name: *const c_char,
    value: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, value, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let name = counted(name, crate::string::BANGER_STRLEN, "name")?;
            Ok(banger_string::of(rootfs.look(|fs| xattr(fs, &path, name))?))
        })
    }
}

/// Returns the extended attributes of `path` as JSON: the object `xattrs` has a name and a value in base64 for
/// each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_xattrs(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    #[derive(Serialize)]
    struct PathXattrs {
        xattrs: pipeline::Xattrs,
    }
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let xattrs = rootfs.look(|fs| match fs.stat(&path)? {
                Some(stat) => Ok(stat.attributes.xattrs),
                None => Err(RootfsError::NotFound { path }),
            })?;
            banger_string::json(&FileDocument::new(&rootfs.file, PathXattrs { xattrs }))
        })
    }
}

/// Returns the size of the file system in bytes. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_size_bytes(rootfs: *const banger_rootfs) -> u64 {
    // SAFETY: the caller's pointer is NULL or alive.
    let rootfs = unsafe { rootfs.as_ref() };
    crate::object::sheltered(0, || {
        let turn = rootfs.and_then(|rootfs| rootfs.turn(&Cancellation::default()).ok());
        turn.map_or(0, |editor| editor.size_bytes())
    })
}

/// Checks the whole file system but the bytes of files, with all checksums. Returns JSON with `file`, `uuid`,
/// `size_bytes`, `free_bytes`, `inodes`, `used_inodes`, `problems` (at most 100 sentences) and `problem_count`.
/// Damage is no error: look at `problems`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_verify(
    rootfs: *const banger_rootfs,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let rootfs = borrowed(rootfs, "rootfs")?;
            let report = rootfs.turn(&cancellation(cancel))?.verify().map_err(in_file(&rootfs.file))?;
            banger_string::json(&FileDocument::new(&rootfs.file, report))
        })
    }
}
