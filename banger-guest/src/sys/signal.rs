//! Signals: sending them, reading them from a descriptor, and handling fatal ones in process 1.

use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::Pid;

use super::checked;

/// The highest signal of Linux.
const MAX_SIGNAL: i32 = 64;

/// The target of a signal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Process(Pid),
    Group(Pid),
    /// Every process but the caller and process 1.
    Everyone,
}

/// Sends a signal, also a real-time one, which rustix cannot send.
pub(crate) fn send(target: Target, signal: i32) -> Result<(), Errno> {
    if !(1..=MAX_SIGNAL).contains(&signal) {
        return Err(Errno::INVAL);
    }
    let pid = match target {
        Target::Process(pid) => pid.as_raw_nonzero().get(),
        Target::Group(pid) => -pid.as_raw_nonzero().get(),
        Target::Everyone => -1,
    };
    // SAFETY: kill takes two numbers and touches no memory of this process.
    checked(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Blocks signals and gives a descriptor on which they arrive.
pub(crate) fn receive(signals: &[i32]) -> Result<OwnedFd, Errno> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set that the other calls read or change; a null pointer
    // for the old mask is allowed; the descriptor that signalfd returns is new and owned by nobody.
    unsafe {
        checked(libc::sigemptyset(set.as_mut_ptr()))?;
        for signal in signals {
            checked(libc::sigaddset(set.as_mut_ptr(), *signal))?;
        }
        checked(libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut()))?;
        let fd = checked(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The signals that have arrived on a descriptor of [`receive`].
pub(crate) fn arrived(descriptor: &OwnedFd) -> Vec<i32> {
    // The number is the first field of `struct signalfd_siginfo`, a u32 of 128 bytes.
    let mut buffer = [0_u8; 128];
    let mut signals = Vec::new();
    while let Ok(128) = rustix::io::read(descriptor, &mut buffer) {
        let [a, b, c, d, ..] = buffer;
        signals.extend(i32::try_from(u32::from_ne_bytes([a, b, c, d])));
    }
    signals
}

/// Unblocks every signal and ignores none. A child inherits both settings, and a shell cannot catch a signal
/// that was ignored at its start.
pub(crate) fn reset_all() -> Result<(), Errno> {
    for signal in 1..=MAX_SIGNAL {
        // SAFETY: an all-zero sigaction may be written over, and both calls may be made between fork
        // and exec; where the first fails there is nothing to change. Handlers stay: exec takes them
        // away, and where it fails process 1 goes on with them.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            if libc::sigaction(signal, ptr::null(), &raw mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
            {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set that sigprocmask reads; the old mask is not asked for.
    // Both may be called between fork and exec.
    unsafe {
        checked(libc::sigemptyset(set.as_mut_ptr()))?;
        checked(libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), ptr::null_mut()))?;
    }
    Ok(())
}

/// Ignores the signals that ask this process to end.
pub(crate) fn ignore_termination() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT] {
        // SAFETY: SIG_IGN is a disposition and no handler. It fails for no valid signal but KILL and STOP.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Makes the faults of process 1 power the machine off: dying of them would panic the kernel.
pub(crate) fn power_off_on_faults() -> Result<(), Errno> {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGSYS] {
        // SAFETY: an all-zero sigaction is one without flags and with an empty mask; the handler has
        // the type that goes without SA_SIGINFO, never returns, and calls nothing but system calls.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            let handler: extern "C" fn(libc::c_int) = power_off_on_fault;
            action.sa_sigaction = handler as libc::sighandler_t;
            checked(libc::sigaction(signal, &raw const action, ptr::null_mut()))?;
        }
    }
    Ok(())
}

extern "C" fn power_off_on_fault(_signal: libc::c_int) {
    const MESSAGE: &[u8] = b"banger-init: a fault in process 1, powering off\n";
    // SAFETY: write, sync and reboot are system calls that may be made in a handler, and the
    // message is a constant of the length given.
    unsafe {
        libc::write(2, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
        loop {
            libc::pause();
        }
    }
}
