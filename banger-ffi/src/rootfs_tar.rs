//! A path of the file system in an ext4 file, as a tar.

use std::ffi::{c_char, c_int};
use std::panic::resume_unwind;
use std::thread::scope;

use pipeline::rootfs::{FileDocument, PatientWriter, TarDocument, tar_error, write_tar};
use pipeline::{Ext4Editor, OutputError};

use crate::call::guarded_object;
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::rootfs::{banger_rootfs, place};
use crate::rootfs_edit::file_of;
use crate::signals::without_signals;
use crate::string::banger_string;

/// Writes `path`, with all that is below it, as a tar to the file descriptor `fd`, which may be a pipe and stays open.
/// Names in the tar begin below `path`. A symlink at `path` is followed. The tar has changes that are not committed
/// yet. Returns the document of `banger rootfs tar --json`. Other calls for the file system wait until this one ends. A
/// pipe that nobody reads is an error; it raises no SIGPIPE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_rootfs_tar_fd(
    rootfs: *const banger_rootfs,
    path: *const c_char,
    length: usize,
    fd: c_int,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (rootfs, path) = place(rootfs, path, length)?;
            let (stop, output) = (cancellation(cancel), file_of(fd)?);
            let mut turn = rootfs.turn(&stop)?;
            let (editor, top, running): (&mut Ext4Editor, _, _) = (&mut turn, &path, &stop);
            // Signals are blocked on another thread only: the host's thread has to take its own.
            let written = scope(|scope| {
                let work = move || {
                    let mut output = PatientWriter::new(output, running);
                    write_tar(editor, top, &mut output, &|_| false, running)
                };
                let thread = without_signals(|| scope.spawn(work));
                thread.join().unwrap_or_else(|panic| resume_unwind(panic))
            });
            let failed = OutputError::io("write", format!("/dev/fd/{fd}").as_str().into());
            let report = written.map_err(|error| {
                tar_error(error, rootfs.file(), &stop, |error| Fault::from(failed(error)))
            })?;
            banger_string::json(&FileDocument::new(rootfs.file(), TarDocument::new(path, report)))
        })
    }
}
