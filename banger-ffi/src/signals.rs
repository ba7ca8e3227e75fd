//! Masks of signals: threads of the library block the process's signals, and the programs that they start do not.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Runs `spawn` with the signals of this thread blocked: a new thread takes its signal mask from here, and the
/// host's handlers have to run on the host's threads. Signals that tell of a fault of the thread stay.
pub(crate) fn without_signals<R>(spawn: impl FnOnce() -> R) -> R {
    let mut blocked = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the sets are written before they are read, and the signals exist.
    let is_masked = unsafe {
        libc::sigfillset(blocked.as_mut_ptr());
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS] {
            libc::sigdelset(blocked.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, blocked.as_ptr(), before.as_mut_ptr()) == 0
    };
    let result = spawn();
    if is_masked {
        // SAFETY: `before` was written by the call above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    result
}

/// Lets a program start without blocked signals. It would inherit the mask of a thread of the library: SIGTERM would not
/// end it, and it would get no SIGCHLD.
pub(crate) fn unblock_in_child(command: &mut Command) {
    let unblock = || {
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is written before it is read.
        let code = unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
        };
        if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
    };
    // SAFETY: both functions may be called between fork and exec (signal-safety(7)), and nothing allocates.
    unsafe { command.pre_exec(unblock) };
}
