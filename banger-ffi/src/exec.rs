//! A program that runs in a guest: what it writes, and its input.

use std::ffi::{c_int, c_void};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::ptr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pipeline::Cancellation;
use pipeline::guest::{ExecEvent, ExecInput, ExecSession, ExitStatus, GuestError, Pty};

use crate::call::{borrowed, guarded_object, guarded_unit};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::guest::{BANGER_FOREVER, banger_exit, banger_guest, exec_request};
use crate::option_reader::OptionReader;
use crate::options::banger_options;
use crate::sized::{SizedStruct, guarded_sized};
use crate::string::bytes;

use banger_exec_kind::*;

/// What a program did. Expect kinds that this header does not know.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum banger_exec_kind {
    /// Nothing within the time.
    BANGER_EXEC_NOTHING = 0,
    /// It wrote to standard output, or to its terminal.
    BANGER_EXEC_OUTPUT = 1,
    /// It wrote to standard error.
    BANGER_EXEC_ERROR_OUTPUT = 2,
    /// It ended: banger_exec_exit tells how. Nothing follows.
    BANGER_EXEC_ENDED = 3,
    /// Something that this version has no kind for.
    BANGER_EXEC_OTHER = 4,
    /// Makes the type 32 bits wide; not a kind.
    BANGER_EXEC_FORCE_32BIT = 0x7fff_ffff,
}

/// One thing that a program did.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct banger_exec_event {
    /// The bytes that it wrote; NULL if it wrote nothing. They live until the next banger_exec_next for the program.
    pub data: *const c_void,
    /// Number of the bytes.
    pub length: usize,
    /// What it did: a banger_exec_kind.
    pub kind: u32,
    /// Always 0.
    pub reserved: u32,
}

impl SizedStruct for banger_exec_event {
    const FIRST_BYTES: usize = 2 * size_of::<usize>() + 8;
}

/// A program that runs in a guest. One thread at a time reads it with banger_exec_next; other functions may be called
/// by any thread meanwhile. Free it with banger_exec_free.
#[derive(Debug)]
pub struct banger_exec {
    pid: u32,
    fd: RawFd,
    input: ExecInput,
    cancellation: Cancellation,
    reader: Mutex<ExecReader>,
    ended: Mutex<Option<ExitStatus>>,
}

#[derive(Debug)]
struct ExecReader {
    session: ExecSession,
    /// What C looks at.
    last: Vec<u8>,
}

/// The input of a program: bytes, signals, the size of its terminal. Threads may share it. Free it with
/// banger_exec_input_free, before or after the banger_exec.
#[derive(Debug)]
pub struct banger_exec_input {
    input: ExecInput,
    cancellation: Cancellation,
}

impl banger_exec_input {
    fn fault(&self, source: io::Error) -> Fault {
        match self.cancellation.is_cancelled() {
            true => GuestError::Cancelled.into(),
            false => GuestError::Input { source }.into(),
        }
    }
}

/// Starts a program in the guest. Options: as for banger_guest_run, and EXEC_STDIN. `cancel` ends all calls for the
/// program and kills it, also later: it has to live until banger_exec_start returns, and may be freed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_start(
    guest: *const banger_guest,
    options: *const banger_options,
    cancel: *const banger_cancel,
    exec: *mut *mut banger_exec,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, exec, || {
            let client = banger_guest::client(guest, cancel)?;
            let request = exec_request(OptionReader::of(options), "banger_exec_start")?;
            let session = client.exec(&request)?;
            Ok(Box::new(banger_exec {
                pid: session.pid(),
                fd: session.as_fd().as_raw_fd(),
                input: session.input(),
                cancellation: cancellation(cancel),
                reader: Mutex::new(ExecReader { session, last: Vec::new() }),
                ended: Mutex::new(None),
            }))
        })
    }
}

/// Waits for what the program does next, for at most `timeout_ms` (0 does not wait, BANGER_FOREVER has no limit), and
/// writes it to `event`. `size` is sizeof(banger_exec_event).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_next(
    exec: *mut banger_exec,
    timeout_ms: u64,
    event: *mut banger_exec_event,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe { guarded_sized(error, event, size, "event", || borrowed(exec, "exec")?.next(timeout_ms)) }
}

impl banger_exec {
    fn next(&self, timeout_ms: u64) -> Result<banger_exec_event, Fault> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = match timeout_ms {
            BANGER_FOREVER => Duration::MAX,
            timeout_ms => Duration::from_millis(timeout_ms),
        };
        let has_ended = self.ended().is_some();
        let (kind, data) = match if has_ended { None } else { reader.session.next_event_within(timeout)? } {
            None if has_ended => (BANGER_EXEC_ENDED, Vec::new()),
            None => (BANGER_EXEC_NOTHING, Vec::new()),
            Some(ExecEvent::Output(data)) => (BANGER_EXEC_OUTPUT, data),
            Some(ExecEvent::ErrorOutput(data)) => (BANGER_EXEC_ERROR_OUTPUT, data),
            Some(ExecEvent::Ended(status)) => {
                *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
                (BANGER_EXEC_ENDED, Vec::new())
            }
            Some(_) => (BANGER_EXEC_OTHER, Vec::new()),
        };
        reader.last = data;
        let data = if reader.last.is_empty() { ptr::null() } else { reader.last.as_ptr().cast() };
        Ok(banger_exec_event { data, length: reader.last.len(), kind: kind as u32, reserved: 0 })
    }

    fn ended(&self) -> Option<ExitStatus> {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells how the program ended, after banger_exec_next has told that it did. `size` is sizeof(banger_exit).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_exit(
    exec: *const banger_exec,
    exit: *mut banger_exit,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_sized(error, exit, size, "exit", || {
            let ended = borrowed(exec, "exec")?.ended();
            ended.map(banger_exit::from).ok_or_else(|| Fault::argument("the program has not ended yet"))
        })
    }
}

/// Returns the process id of the program in the guest. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_pid(exec: *const banger_exec) -> u32 {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { exec.as_ref() }.map_or(0, |exec| exec.pid)
}

/// Returns a file descriptor that is readable when the program did something, for poll, select or epoll: then call
/// banger_exec_next with a timeout of 0. It belongs to the banger_exec: do not read from it, and do not close it. -1
/// for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_fd(exec: *const banger_exec) -> c_int {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { exec.as_ref() }.map_or(-1, |exec| exec.fd)
}

/// Ends the connection, which kills a program that still runs, and frees it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_free(exec: *mut banger_exec) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(exec) };
}

/// Returns the input of the program, for other threads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_open_input(
    exec: *const banger_exec,
    input: *mut *mut banger_exec_input,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, input, || {
            let banger_exec { input, cancellation, .. } = borrowed(exec, "exec")?;
            Ok(Box::new(banger_exec_input { input: input.clone(), cancellation: cancellation.clone() }))
        })
    }
}

/// Writes all `length` bytes at `data` to the program's standard input or terminal. Waits while the program does not
/// take them, as long as another thread reads it with banger_exec_next. It is error 904 once the program has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_input_write(
    input: *const banger_exec_input,
    data: *const u8,
    length: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let (input, data) = (borrowed(input, "input")?, bytes(data, length, "data")?);
            input.input.clone().write_all(data).map_err(|source| input.fault(source))
        })
    }
}

/// Sends a signal to the process group of the program. `number` is that of Linux.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_input_signal(
    input: *const banger_exec_input,
    number: c_int,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let input = borrowed(input, "input")?;
            input.input.signal(number).map_err(|source| input.fault(source))
        })
    }
}

/// Gives the terminal of the program another size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_input_resize(
    input: *const banger_exec_input,
    rows: u16,
    columns: u16,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let input = borrowed(input, "input")?;
            input.input.resize(Pty::new(rows, columns)).map_err(|source| input.fault(source))
        })
    }
}

/// Ends the standard input of the program; on a terminal it sends the end-of-file character.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_input_close(
    input: *const banger_exec_input,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let input = borrowed(input, "input")?;
            input.input.close().map_err(|source| input.fault(source))
        })
    }
}

/// Frees an input; the input of the program stays open. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_exec_input_free(input: *mut banger_exec_input) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(input) };
}
