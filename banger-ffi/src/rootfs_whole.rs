//! Calls for a whole file system in an ext4 file: scripts, copies, sizes, searches, comparisons, repairs.

use std::ffi::{c_char, c_int};
use std::path::PathBuf;
use std::slice;

use pipeline::rootfs::{
    ChangedPaths, Destination, DiffDocument, EditError, EditScript, FileDocument, Find, FoundEntries,
    Operand, OwnerChange, Put, PutSource, diff, disk_usage, edit_open, find, get_files, in_file, parse_time,
    repair, run_script,
};
use pipeline::{Cancellation, FileType};

use crate::call::{borrowed, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::rootfs::{banger_rootfs, place};
use crate::string::{banger_string, counted, host_path};

/// Carries out a script of edits and commits it, all of it or nothing: the JSON document of docs/edit-script.md, of
/// `length` bytes or BANGER_STRLEN. Returns the document of `banger rootfs edit --json`. Earlier changes by the handle
/// belong to the commit. After an error, and after a trial, the handle has forgotten all changes since the last commit.
/// Option: DRY_RUN, a trial that changes no byte of the file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_edit_script(
    rootfs: *mut banger_rootfs,
    script: *const c_char,
    length: usize,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let rootfs = borrowed(rootfs, "rootfs")?;
            let script = counted(script, length, "script")?;
            let given = OptionReader::of(options);
            let dry_run = given.flag(BANGER_OPT_DRY_RUN).unwrap_or(false);
            given.finish("banger_rootfs_edit_script")?;
            let script = EditScript::parse(script).map_err(in_file(rootfs.file()))?;
            let stop = cancellation(cancel);
            let report =
                rootfs.edit(&stop, |editor| run_script(editor, &script, rootfs.now(), dry_run, &stop))?;
            banger_string::json(&FileDocument::new(rootfs.file(), report))
        })
    }
}

/// Copies the file or directory `source` of the host to `path` and commits. A `path` that is a directory gets the copy
/// under its own name. A single file is read back from the image, and its bytes are compared. Returns the document of
/// `banger rootfs put --json`. Earlier changes by the handle belong to the commit. After an error, the handle has
/// forgotten all changes since the last commit. Options: PUT_IF_MATCH, PUT_MODE, PUT_OWNER, PUT_PARENTS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_put(
    rootfs: *mut banger_rootfs,
    source: *const c_char,
    path: *const c_char,
    length: usize,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let rootfs = borrowed(rootfs, "rootfs")?;
            let source = PathBuf::from(host_path(source, "source")?.as_std_path());
            let path = counted(path, length, "path")?;
            let given = OptionReader::of(options);
            let how = put_of(&given).map_err(in_file(rootfs.file()));
            given.finish("banger_rootfs_put")?;
            let destination = Destination::parse(path).map_err(in_file(rootfs.file()))?;
            let (how, stop) = (how?, cancellation(cancel));
            let paths = rootfs.edit(&stop, |editor| {
                edit_open(editor, rootfs.now(), &stop, |edit| {
                    edit.put(vec![PutSource::Path(source)], &destination, &how)
                })
            })?;
            banger_string::json(&FileDocument::new(rootfs.file(), ChangedPaths::new(paths)))
        })
    }
}

fn put_of(given: &OptionReader<'_>) -> Result<Put, EditError> {
    let (if_match, mode) = (given.text(BANGER_OPT_PUT_IF_MATCH), given.text(BANGER_OPT_PUT_MODE));
    let (owner, parents) = (given.text(BANGER_OPT_PUT_OWNER), given.flag(BANGER_OPT_PUT_PARENTS));
    Ok(Put::default()
        .with_if_match(if_match.map(str::parse).transpose()?)
        .with_mode(mode.map(str::parse).transpose()?)
        .with_owner(owner.map(|owner| OwnerChange::parse(owner.as_bytes())).transpose()?)
        .with_parents(parents.unwrap_or(false)))
}

/// Copies `path`, with all that is below it, to `destination` of the host: a new name, or a directory. The copy is
/// complete or absent; it has all attributes that the user of this process may set, and replaces nothing. Returns the
/// document of `banger rootfs get --json`. The copy has changes that are not committed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_get(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    destination: *const c_char,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (rootfs, operand) = start(rootfs, path, length)?;
            let destination = host_path(destination, "destination")?;
            let stop = cancellation(cancel);
            let turn = rootfs.turn(&stop)?;
            let report = get_files(&*turn, rootfs.file(), &[operand], destination, &stop)?;
            banger_string::json(&FileDocument::new(rootfs.file(), report))
        })
    }
}

/// The arguments of a call that walks from one path on.
///
/// # Safety
/// The pointers are as the header says.
unsafe fn start<'a>(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
) -> Result<(&'a banger_rootfs, Operand), Fault> {
    // SAFETY: as the function's own condition.
    unsafe {
        let (rootfs, _) = place(rootfs, path, length)?;
        let operand = Operand::parse(counted(path, length, "path")?);
        Ok((rootfs, operand.map_err(in_file(rootfs.file()))?))
    }
}

/// Returns the document of `banger rootfs df --json`: how much space and how many inodes are in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_usage(
    rootfs: *const banger_rootfs,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let rootfs = borrowed(rootfs, "rootfs")?;
            let usage = rootfs.look(|editor| editor.usage())?;
            banger_string::json(&FileDocument::new(rootfs.file(), usage))
        })
    }
}

/// Returns the document of `banger rootfs du --json`: the space that `path` takes, with all that is below it. A file
/// with several hard links counts once. Option: USAGE_DETAIL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_disk_usage(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (rootfs, operand) = start(rootfs, path, length)?;
            let given = OptionReader::of(options);
            let detail = given.parsed_text(BANGER_OPT_USAGE_DETAIL)?.unwrap_or_default();
            given.finish("banger_rootfs_disk_usage")?;
            let stop = cancellation(cancel);
            let turn = rootfs.turn(&stop)?;
            let report = disk_usage(&turn, slice::from_ref(&operand), detail, &stop);
            banger_string::json(&FileDocument::new(rootfs.file(), report.map_err(in_file(rootfs.file()))?))
        })
    }
}

/// Returns the document of `banger rootfs find --json`: the files at and below `path` that meet all conditions. Options:
/// FIND_NAME, FIND_PATH, FIND_TYPE, FIND_SIZE, FIND_NEWER, FIND_PERM, FIND_UID, FIND_GID, FIND_MAX_DEPTH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_find(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (rootfs, operand) = start(rootfs, path, length)?;
            let given = OptionReader::of(options);
            let conditions = conditions_of(&given, rootfs);
            given.finish("banger_rootfs_find")?;
            let (conditions, stop) = (conditions?, cancellation(cancel));
            let turn = rootfs.turn(&stop)?;
            let mut entries = Vec::new();
            let found = find(&*turn, &operand, &conditions, &stop, |entry| {
                entries.push(entry);
                Ok::<(), EditError>(())
            });
            found.map_err(in_file(rootfs.file()))?;
            banger_string::json(&FileDocument::new(rootfs.file(), FoundEntries::new(entries)))
        })
    }
}

fn conditions_of(given: &OptionReader<'_>, rootfs: &banger_rootfs) -> Result<Find, Fault> {
    let file_type = |name: &String| {
        let found = FileType::ALL.into_iter().find(|file_type| file_type.name() == name);
        found.ok_or_else(|| Fault::argument(format!("{BANGER_OPT_FIND_TYPE:?} cannot be {name:?}")))
    };
    let types = given.list(BANGER_OPT_FIND_TYPE).iter().map(file_type).collect::<Result<_, _>>();
    let size = given.parsed_text(BANGER_OPT_FIND_SIZE);
    let (uid, gid) = (given.number(BANGER_OPT_FIND_UID), given.number(BANGER_OPT_FIND_GID));
    let max_depth = given.number(BANGER_OPT_FIND_MAX_DEPTH);
    let (name, path) = (given.text(BANGER_OPT_FIND_NAME), given.text(BANGER_OPT_FIND_PATH));
    let (newer, perm) = (given.text(BANGER_OPT_FIND_NEWER), given.text(BANGER_OPT_FIND_PERM));
    let texts = || {
        Ok::<_, EditError>(
            Find::default()
                .with_name(name.map(str::parse).transpose()?)
                .with_path(path.map(str::parse).transpose()?)
                .with_newer(newer.map(parse_time).transpose()?)
                .with_perm(perm.map(str::parse).transpose()?),
        )
    };
    Ok(texts()
        .map_err(in_file(rootfs.file()))?
        .with_types(types?)
        .with_size(size?)
        .with_uid(uid?)
        .with_gid(gid?)
        .with_max_depth(max_depth?))
}

/// Returns the document of `banger rootfs diff --json`: the paths in which `other` differs from `rootfs`, and what differs.
/// The bytes of files are compared. Both have their changes that are not committed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_diff(
    rootfs: *const banger_rootfs,
    other: *const banger_rootfs,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (old, new) = (borrowed(rootfs, "rootfs")?, borrowed(other, "other")?);
            if std::ptr::eq(old, new) {
                return Err(Fault::argument("both file systems are the same handle"));
            }
            let stop: Cancellation = cancellation(cancel);
            // Two threads that compare the same handles must not wait for each other.
            let (old_turn, new_turn) = match std::ptr::from_ref(old) < std::ptr::from_ref(new) {
                true => {
                    let turn = old.turn(&stop)?;
                    (turn, new.turn(&stop)?)
                }
                false => {
                    let turn = new.turn(&stop)?;
                    (old.turn(&stop)?, turn)
                }
            };
            let report = diff((&*old_turn, old.file()), (&*new_turn, new.file()), &stop)?;
            banger_string::json(&FileDocument::new(old.file(), DiffDocument::new(new.file(), &report)))
        })
    }
}

/// Repairs what is unambiguous in the ext4 file `file`, in one commit: counters, bitmaps, and their checksums. Returns the
/// document of `banger rootfs repair --json`. Other damage is no error: look at `problems`. Then nothing was changed.
/// Damage that makes the file unreadable is an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_repair(
    file: *const c_char,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let file = host_path(file, "file")?;
            banger_string::json(&FileDocument::new(file, repair(file, &cancellation(cancel))?))
        })
    }
}
