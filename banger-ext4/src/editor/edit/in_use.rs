//! Finds other programs that use an image, as far as the host shows them.

use std::fs::{File, TryLockError};
use std::io;

use banger_tree::Advice;
use camino::Utf8Path;

/// The reason why an image cannot be locked exclusively.
pub(crate) enum Refusal {
    /// Somebody uses it: who, and what to do.
    InUse { user: String, advice: Option<Advice> },
    /// The host refuses.
    Io(io::Error),
}

impl Refusal {
    pub(crate) fn locked() -> Self {
        let user = "another program holds a lock on it, such as a running virtual machine or another edit";
        Self::InUse { user: user.to_owned(), advice: None }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens a file or block device to read and write that is not mounted, and no loop device's.
pub(crate) fn open(path: &Utf8Path) -> Result<File, Refusal> {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
        let metadata = std::fs::metadata(path)?;
        if metadata.file_type().is_block_device() {
            // For devices this means: not while it is mounted.
            let exclusive = rustix::fs::OFlags::EXCL.bits();
            options.custom_flags(i32::try_from(exclusive).expect("flags of open fit in an int"));
        } else if let Some(device) = loop_device_of(&metadata) {
            return Err(Refusal::InUse {
                advice: Some(Advice::new(format!("unmount it, then run losetup -d {device}"))),
                user: format!("it is attached to {device}, and perhaps mounted"),
            });
        }
    }
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let advice = Some(Advice::new("unmount it first"));
            Err(Refusal::InUse { user: "it is mounted".to_owned(), advice })
        }
        other => Ok(other?),
    }
}

/// Returns the loop device that has the file behind it.
#[cfg(target_os = "linux")]
fn loop_device_of(metadata: &std::fs::Metadata) -> Option<String> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    let place = (metadata.dev(), metadata.ino());
    for device in std::fs::read_dir("/sys/block").ok()?.flatten() {
        let name = device.file_name();
        if !name.as_bytes().starts_with(b"loop") {
            continue;
        }
        let Ok(mut backing) = std::fs::read(device.path().join("loop/backing_file")) else { continue };
        backing.pop_if(|last| *last == b'\n');
        let backing = std::path::Path::new(std::ffi::OsStr::from_bytes(&backing));
        if std::fs::metadata(backing).is_ok_and(|file| (file.dev(), file.ino()) == place) {
            return Some(format!("/dev/{}", name.display()));
        }
    }
    None
}

/// Tries to take the lock that virtual machine monitors take: of byte ranges, which `flock` does not meet.
pub(crate) fn try_lock_for_monitors(file: &File) -> Result<(), TryLockError> {
    if flock_is_such_a_lock(file) {
        return Ok(());
    }
    match lock_all_bytes(file) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied) => {
            Err(TryLockError::WouldBlock)
        }
        // If the host has no locks of this kind, nobody holds one.
        Err(_) => Ok(()),
    }
}

/// Locks all bytes of `file` for the open file itself (`F_OFD_SETLK`). The kernel drops a POSIX lock as soon
/// as any code in this process closes the same file.
#[cfg(target_os = "linux")]
fn lock_all_bytes(file: &File) -> io::Result<()> {
    set_lock_of_all_bytes(file, nix::libc::F_WRLCK)
}

/// Releases the lock of [`try_lock_for_monitors`], even if another process has a copy of the descriptor.
pub(crate) fn unlock_for_monitors(file: &File) {
    #[cfg(target_os = "linux")]
    if !flock_is_such_a_lock(file) {
        // If the host has no locks of this kind, there was none.
        let _ = set_lock_of_all_bytes(file, nix::libc::F_UNLCK);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

#[cfg(target_os = "linux")]
fn set_lock_of_all_bytes(file: &File, kind: i32) -> io::Result<()> {
    use nix::libc;
    // A length of 0 means up to the end, even if the end moves; the process must be 0.
    let all = libc::flock {
        l_type: libc::c_short::try_from(kind).expect("a kind of lock is small"),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).expect("a kind of offset is small"),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_OFD_SETLK(&all)).map(drop).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn lock_all_bytes(file: &File) -> io::Result<()> {
    rustix::fs::fcntl_lock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(io::Error::from)
}

/// NFS turns one kind of lock into the other, and would conflict with our own lock.
fn flock_is_such_a_lock(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        const NFS_SUPER_MAGIC: u64 = 0x6969;
        rustix::fs::fstatfs(file).is_ok_and(|host| u64::try_from(host.f_type) == Ok(NFS_SUPER_MAGIC))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// Returns another program that has the file open, as far as this user may see that: some monitors
/// take no lock.
#[cfg(target_os = "linux")]
pub(crate) fn other_user_of(file: &File) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let own = file.metadata().ok()?;
    let place = (own.dev(), own.ino());
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if pid == std::process::id() {
            continue;
        }
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has_it = |descriptor: std::fs::DirEntry| {
            std::fs::metadata(descriptor.path()).is_ok_and(|open| (open.dev(), open.ino()) == place)
        };
        if descriptors.flatten().any(has_it) {
            let program = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!(
                "process {pid} ({})",
                banger_tree::escape_bytes(program.trim_end().as_bytes())
            ));
        }
    }
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn other_user_of(_file: &File) -> Option<String> {
    None
}
