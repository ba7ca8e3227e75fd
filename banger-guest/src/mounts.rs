//! The file systems that a running system needs and no image brings.

use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_remount};

use crate::bounded;
use crate::report::say;

/// How much of the list of mounts is read.
const MOUNTS_BYTES: u64 = 16 * 1024 * 1024;

/// A mount that there should be.
#[derive(Debug, Clone, Copy)]
struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: &'static std::ffi::CStr,
    /// Whether a kernel may do without it.
    optional: bool,
}

const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

const MOUNTS: [Mount; 7] = [
    Mount { kind: "proc", target: "/proc", flags: SAFE, data: c"", optional: false },
    Mount { kind: "sysfs", target: "/sys", flags: SAFE, data: c"", optional: false },
    Mount {
        kind: "devtmpfs",
        target: "/dev",
        flags: MountFlags::NOSUID,
        data: c"mode=0755",
        optional: false,
    },
    Mount {
        kind: "devpts",
        target: "/dev/pts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: c"mode=0620,gid=5,ptmxmode=0666",
        optional: false,
    },
    Mount {
        kind: "tmpfs",
        target: "/dev/shm",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=1777",
        optional: false,
    },
    Mount {
        kind: "tmpfs",
        target: "/run",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=0755",
        optional: false,
    },
    Mount { kind: "cgroup2", target: "/sys/fs/cgroup", flags: SAFE, data: c"nsdelegate", optional: true },
];

/// Links that programs expect in `/dev` and devtmpfs does not make.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Mount points of an initramfs, which move to the root file system.
pub(crate) const EARLY: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Mounts what an initramfs needs to find the root file system.
pub(crate) fn mount_early(name: &str) {
    MOUNTS.iter().filter(|mount| EARLY.contains(&mount.target)).for_each(|mount| mount_one(name, mount));
}

/// Mounts everything that is not mounted. Failures are reported: a guest without a mount is better than no
/// guest.
pub(crate) fn mount_all(name: &str) {
    make_root_writable(name);
    mount_missing(name, |_| true);
}

/// Mounts what every machine needs and neither kernel nor initramfs nor the init of the image has mounted. That
/// init may mount the rest in its own way.
pub(crate) fn mount_base(name: &str) {
    mount_missing(name, |mount| !mount.optional);
}

fn mount_missing(name: &str, is_wanted: impl Fn(&Mount) -> bool) {
    MOUNTS.iter().filter(|mount| is_wanted(mount)).for_each(|mount| mount_one(name, mount));
    for (target, link) in LINKS {
        // It usually exists already.
        let _ = symlink(target, link);
    }
}

fn mount_one(name: &str, what: &Mount) {
    if is_mount_point(Path::new(what.target)) {
        return;
    }
    let mounted = std::fs::create_dir_all(what.target)
        .and_then(|()| Ok(mount(what.kind, what.target, what.kind, what.flags, Some(what.data))?));
    match mounted {
        Ok(()) => {}
        // The kernel mounted it between the look and the call.
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {}
        Err(_) if what.optional => {}
        Err(error) => say(name, format_args!("cannot mount {} on {}: {error}", what.kind, what.target)),
    }
}

/// Whether something is mounted on a directory: it is on another device than its parent.
fn is_mount_point(directory: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev());
    match (device(directory), device(directory.parent().unwrap_or(directory))) {
        (Ok(own), Ok(parent)) => own != parent,
        _ => false,
    }
}

/// The kernel mounts the root read-only unless it is told `rw`.
pub(crate) fn make_root_writable(name: &str) {
    let read_only = statvfs("/").is_ok_and(|root| root.f_flag.contains(StatVfsMountFlags::RDONLY));
    if read_only && let Err(error) = mount_remount("/", MountFlags::empty(), "") {
        say(name, format_args!("the root file system stays read-only: {error}"));
    }
}

/// Makes every file system read-only that can be, so that it is whole when the machine stops.
pub(crate) fn make_read_only() -> io::Result<()> {
    let mounts = String::from_utf8_lossy(&bounded::read_start(Path::new("/proc/self/mounts"), MOUNTS_BYTES)?)
        .into_owned();
    let targets = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let source = fields.next()?;
        // Those without a device have nothing that lasts. A space in a path is written `\040`.
        source.starts_with('/').then_some(fields.next()?)
    });
    // Those inside others come later in the list, and first here.
    for target in targets.collect::<Vec<_>>().into_iter().rev() {
        let _ = mount_remount(target.replace("\\040", " ").as_str(), MountFlags::RDONLY, "");
    }
    rustix::fs::sync();
    // `/dev/root`, as the kernel calls it, is not a path everywhere.
    mount_remount("/", MountFlags::RDONLY, "")?;
    Ok(())
}
