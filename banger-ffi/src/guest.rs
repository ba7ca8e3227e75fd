//! What can be asked of a guest that runs.

use std::ffi::{c_char, c_int};
use std::ptr;
use std::time::Duration;

use pipeline::guest::{
    AnswerDocument, CopyAnswer, CopyIn, Exec, ExitStatus, GuestClient, GuestError, GuestTimeouts,
    InterfaceAnswer, Pty, ShutdownAction,
};
use pipeline::rootfs::{PatientReader, PatientWriter};

use serde::Serialize;

use crate::call::{borrowed, guarded, guarded_object, guarded_unit};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::object::boxed_out;
use crate::option_reader::OptionReader;
use crate::options::{banger_option::*, banger_options};
use crate::request::{environment, network_config};
use crate::rootfs_edit::file_of;
use crate::sized::{SizedStruct, guarded_sized};
use crate::string::{banger_string, text};
use crate::task::Task;

use banger_exit_kind::*;

/// In an argument of milliseconds: no limit.
pub const BANGER_FOREVER: u64 = u64::MAX;

/// The agent of a guest. Threads may share it. Each call is a connection of its own, so it stays valid when the
/// guest reboots. Free it with banger_guest_free.
#[derive(Debug)]
pub struct banger_guest(GuestClient);

impl banger_guest {
    /// The client for one call.
    ///
    /// # Safety
    /// The pointers are NULL or alive.
    pub(crate) unsafe fn client(
        guest: *const Self,
        cancel: *const banger_cancel,
    ) -> Result<GuestClient, Fault> {
        // SAFETY: as the function's own condition.
        let (guest, cancellation) = unsafe { (borrowed(guest, "guest")?, cancellation(cancel)) };
        Ok(guest.0.clone().with_cancellation(cancellation))
    }
}

/// How a program ended. Expect kinds that this header does not know.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum banger_exit_kind {
    /// It exited, with a status.
    BANGER_EXIT_EXITED = 1,
    /// A signal killed it.
    BANGER_EXIT_KILLED = 2,
    /// Something that this version has no kind for.
    BANGER_EXIT_OTHER = 3,
    /// Makes the type 32 bits wide; not a kind.
    BANGER_EXIT_FORCE_32BIT = 0x7fff_ffff,
}

/// How a program ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct banger_exit {
    /// How: a banger_exit_kind.
    pub kind: u32,
    /// The status, 0 to 255, if it exited.
    pub status: i32,
    /// The number of the signal on Linux, if one killed it.
    pub signal: i32,
    /// Always 0.
    pub reserved: u32,
}

impl SizedStruct for banger_exit {
    const FIRST_BYTES: usize = 16;
}

impl From<ExitStatus> for banger_exit {
    fn from(status: ExitStatus) -> Self {
        let (kind, status, signal) = match status {
            ExitStatus::Exited { status } => (BANGER_EXIT_EXITED, status, 0),
            ExitStatus::Killed { signal } => (BANGER_EXIT_KILLED, 0, signal),
            _ => (BANGER_EXIT_OTHER, 0, 0),
        };
        Self { kind: kind as u32, status, signal, reserved: 0 }
    }
}

/// Makes a client of the agent at `address`: "PATH:PORT", the Unix socket in which a VMM offers the guest's vsock;
/// "vsock:CID:PORT", "unix:PATH" or "tcp:ADDRESS:PORT". The port is 5000 if it is missing. Nothing is connected yet.
/// Options: CONNECT_TIMEOUT_MS, REPLY_TIMEOUT_MS, MAX_COPY_BYTES, MAX_OUTPUT_BYTES.
///
/// Every call ends by its time limit, and within 200 ms after its banger_cancel is set, also while the guest or the
/// VMM is silent. A guest is not trusted: text of it may hold control characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_new(
    address: *const c_char,
    options: *const banger_options,
    guest: *mut *mut banger_guest,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, guest, || {
            let address = text(address, "address")?.parse().map_err(GuestError::from)?;
            let given = OptionReader::of(options);
            let (mut client, mut timeouts) = (GuestClient::new(address), GuestTimeouts::default());
            if let Some(connect) = given.number(BANGER_OPT_CONNECT_TIMEOUT_MS)? {
                timeouts = timeouts.with_connect(Duration::from_millis(connect));
            }
            if let Some(reply) = given.number(BANGER_OPT_REPLY_TIMEOUT_MS)? {
                timeouts = timeouts.with_reply(Duration::from_millis(reply));
            }
            if let Some(bytes) = given.number(BANGER_OPT_MAX_COPY_BYTES)? {
                client = client.with_max_copy_bytes(bytes);
            }
            if let Some(bytes) = given.number(BANGER_OPT_MAX_OUTPUT_BYTES)? {
                client = client.with_max_output_bytes(bytes);
            }
            given.finish("banger_guest_new")?;
            Ok(Box::new(banger_guest(client.with_timeouts(timeouts))))
        })
    }
}

/// Frees a client. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_free(guest: *mut banger_guest) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(guest) };
}

/// Asks the guest and hands out its answer as JSON.
///
/// # Safety
/// The pointers are as the header says.
unsafe fn answer<T: Serialize>(
    guest: *const banger_guest,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
    ask: impl FnOnce(&GuestClient) -> Result<T, GuestError>,
) -> c_int {
    // SAFETY: as the function's own condition.
    unsafe {
        guarded_object(error, json, || {
            banger_string::json(&AnswerDocument::new(ask(&banger_guest::client(guest, cancel)?)?))
        })
    }
}

/// Asks whether the agent is there. Returns JSON with `agent_version`, `protocol` and `uptime_ms`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_health(
    guest: *const banger_guest,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe { answer(guest, cancel, json, error, GuestClient::health) }
}

/// Asks again and again until the agent answers, for at most `timeout_ms`. Returns JSON as banger_guest_health.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_wait_ready(
    guest: *const banger_guest,
    timeout_ms: u64,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        answer(guest, cancel, json, error, |client| {
            client.wait_until_ready(Duration::from_millis(timeout_ms))
        })
    }
}

/// Asks what the guest is and how far it has come. Returns JSON as `banger guest info --json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_info(
    guest: *const banger_guest,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe { answer(guest, cancel, json, error, GuestClient::info) }
}

/// Configures the network of the guest. Returns JSON with `interface`. Options: NETWORK_INTERFACE, NETWORK_ADDRESS,
/// NETWORK_GATEWAY, NETWORK_DNS, HOSTNAME, and NETWORK_PERSIST to keep it for later boots.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_set_network(
    guest: *const banger_guest,
    options: *const banger_options,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let (client, given) = (banger_guest::client(guest, cancel)?, OptionReader::of(options));
            let network = network_config(&given)?;
            let persist = given.flag(BANGER_OPT_NETWORK_PERSIST).unwrap_or(false);
            given.finish("banger_guest_set_network")?;
            let interface = client.set_network(&network, persist)?;
            banger_string::json(&AnswerDocument::new(InterfaceAnswer { interface }))
        })
    }
}

/// Grows the root file system of the guest to the size of its block device. Returns JSON with `before_bytes` and
/// `after_bytes`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_grow(
    guest: *const banger_guest,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe { answer(guest, cancel, json, error, GuestClient::grow) }
}

/// Powers the guest off, or reboots it. It goes down after the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_shutdown(
    guest: *const banger_guest,
    reboot: bool,
    cancel: *const banger_cancel,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let action = if reboot { ShutdownAction::Reboot } else { ShutdownAction::PowerOff };
            Ok(banger_guest::client(guest, cancel)?.shutdown(action)?)
        })
    }
}

/// Waits until the program that banger-init runs has ended, for at most `timeout_ms` (BANGER_FOREVER: no limit), and
/// tells how. `size` is sizeof(banger_exit).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_wait(
    guest: *const banger_guest,
    timeout_ms: u64,
    cancel: *const banger_cancel,
    exit: *mut banger_exit,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_sized(error, exit, size, "exit", || {
            let timeout = (timeout_ms != BANGER_FOREVER).then(|| Duration::from_millis(timeout_ms));
            Ok(banger_guest::client(guest, cancel)?.wait(timeout)?.into())
        })
    }
}

/// Writes the file `path` of the guest with all bytes that can be read from the file descriptor `fd`, from its
/// position on; it may be a pipe, and stays open. Writes their number to `copied_bytes`. An earlier file stays until
/// everything has arrived. Options: COPY_MODE, COPY_UID, COPY_GID (default: those of the earlier file, or 0644 of
/// 0:0), COPY_PARENTS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_copy_in_fd(
    guest: *const banger_guest,
    path: *const c_char,
    fd: c_int,
    options: *const banger_options,
    cancel: *const banger_cancel,
    copied_bytes: *mut u64,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded(error, copied_bytes, || {
            let client = banger_guest::client(guest, cancel)?;
            let (path, given) = (text(path, "path")?, OptionReader::of(options));
            let request = CopyIn::new(path)
                .with_mode(given.number::<u32>(BANGER_OPT_COPY_MODE)?)
                .with_uid(given.number::<u32>(BANGER_OPT_COPY_UID)?)
                .with_gid(given.number::<u32>(BANGER_OPT_COPY_GID)?)
                .with_parents(given.flag(BANGER_OPT_COPY_PARENTS).unwrap_or(false));
            given.finish("banger_guest_copy_in_fd")?;
            let mut content = PatientReader::new(file_of(fd)?, &cancellation(cancel));
            Ok(client.copy_in(&request, &mut content)?)
        })
    }
}

/// Reads the file `path` of the guest and writes its bytes to the file descriptor `fd`, which may be a pipe and stays
/// open. Returns JSON with `bytes`. A file larger than the option MAX_COPY_BYTES of banger_guest_new (default: 64 GiB)
/// is error 921. A pipe that nobody reads is an error; it raises no SIGPIPE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_copy_out_fd(
    guest: *const banger_guest,
    path: *const c_char,
    fd: c_int,
    cancel: *const banger_cancel,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let cancellation = cancellation(cancel);
            let client = banger_guest::client(guest, cancel)?;
            let (path, file) = (text(path, "path")?.to_owned(), file_of(fd)?);
            // Signals are blocked on the thread of a task.
            Task::run(&cancellation, None, ptr::null_mut(), move |_, stop| {
                let client = client.with_cancellation(stop.clone());
                let (_, bytes) = client.copy_out(&path, &mut PatientWriter::new(file, stop))?;
                banger_string::json(&AnswerDocument::new(CopyAnswer { bytes }))
            })
        })
    }
}

/// Runs a program in the guest to its end, without input, and tells how it ended. `size` is sizeof(banger_exit).
/// What it wrote goes to `output` and `error_output`, each of which may be NULL: both together are at most the option
/// MAX_OUTPUT_BYTES of banger_guest_new (default: 64 MiB), else it is error 920. Options: EXEC_ARGV, EXEC_ENV,
/// EXEC_CLEAR_ENV, EXEC_USER, EXEC_WORKING_DIR, EXEC_TIMEOUT_MS, EXEC_ROWS and EXEC_COLUMNS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_guest_run(
    guest: *const banger_guest,
    options: *const banger_options,
    cancel: *const banger_cancel,
    output: *mut *mut banger_string,
    error_output: *mut *mut banger_string,
    exit: *mut banger_exit,
    size: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_sized(error, exit, size, "exit", || {
            let client = banger_guest::client(guest, cancel)?;
            let exec = exec_request(OptionReader::of(options), "banger_guest_run")?;
            let ended = client.run(&exec)?;
            boxed_out(output, banger_string::of(ended.stdout));
            boxed_out(error_output, banger_string::of(ended.stderr));
            Ok(ended.status.into())
        })
    }
}

/// Returns the program that the options name. `call` is the function's name.
pub(crate) fn exec_request(given: OptionReader<'_>, call: &str) -> Result<Exec, Fault> {
    let text = |key| given.text(key).map(str::to_owned);
    let (rows, columns) = (given.number(BANGER_OPT_EXEC_ROWS)?, given.number(BANGER_OPT_EXEC_COLUMNS)?);
    let pty = match (rows, columns) {
        (None, None) => None,
        (Some(rows), Some(columns)) => Some(Pty::new(rows, columns)),
        _ => {
            let (rows, columns) = (BANGER_OPT_EXEC_ROWS, BANGER_OPT_EXEC_COLUMNS);
            return Err(Fault::argument(format!("{rows:?} and {columns:?} go together")));
        }
    };
    let exec = Exec::new(given.list(BANGER_OPT_EXEC_ARGV))
        .with_env(environment(&given)?)
        .with_clear_env(given.flag(BANGER_OPT_EXEC_CLEAR_ENV).unwrap_or(false))
        .with_user(text(BANGER_OPT_EXEC_USER))
        .with_working_dir(text(BANGER_OPT_EXEC_WORKING_DIR))
        .with_timeout_ms(given.number::<u64>(BANGER_OPT_EXEC_TIMEOUT_MS)?)
        .with_stdin(call == "banger_exec_start" && given.flag(BANGER_OPT_EXEC_STDIN).unwrap_or(false))
        .with_pty(pty);
    given.finish(call)?;
    match exec.argv.is_empty() {
        true => Err(Fault::argument(format!("{BANGER_OPT_EXEC_ARGV:?} is missing"))),
        false => Ok(exec),
    }
}
