//! Detects the parts of a root file system that decide how it boots.

use banger_guest::config::{GuestConfig, paths};
use banger_guest::files::os_release::{OS_RELEASE_FILES, OsRelease};
use banger_tree::{FileType, GuestPath, Rootfs, RootfsError};

use crate::edit::{lookup, lstat, path, read_text};
use crate::error::InjectError;
use crate::first_boot_script;

/// The path at which the kernel and this crate look for init.
pub(crate) const INIT: &str = "/sbin/init";
/// s6-overlay's init.
pub(crate) const S6_INIT: &str = "/init";
/// OpenRC's own init.
pub(crate) const OPENRC_INIT: &str = "/sbin/openrc-init";

/// The program that `/sbin/init` leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitKind {
    Systemd,
    Openrc,
    Runit,
    Busybox,
    /// An init without services in this crate, for example sysvinit.
    Other,
    /// banger-init, of an earlier injection.
    Banger,
    /// A symlink to nothing, or something that is not a program.
    Unusable,
    Missing,
}

/// Results of the detection.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) init: InitKind,
    /// The program that `/sbin/init` leads to, if there is one.
    pub(crate) init_path: Option<GuestPath>,
    pub(crate) init_is_symlink: bool,
    pub(crate) openrc: bool,
    pub(crate) openrc_init: bool,
    pub(crate) s6_overlay: bool,
    pub(crate) shell: bool,
    pub(crate) sshd: bool,
    pub(crate) package_manager: bool,
    pub(crate) agetty: bool,
    pub(crate) udev: bool,
    pub(crate) dbus: bool,
    /// `ID` of os-release, then the words of `ID_LIKE`.
    pub(crate) os_ids: Vec<String>,
    /// The handover that an earlier injection decided on.
    pub(crate) earlier_handover: Option<String>,
}

const PROGRAM_DIRS: [&str; 6] =
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

impl Facts {
    pub(crate) fn of(rootfs: &dyn Rootfs) -> Result<Self, InjectError> {
        let init_path = program(rootfs, INIT)?;
        let init_stat = lstat(rootfs, &path(INIT))?;
        let init = match (&init_path, &init_stat) {
            (Some(real), _) => kind_of(rootfs, real)?,
            (None, Some(_)) => InitKind::Unusable,
            (None, None) => InitKind::Missing,
        };
        let mut os_release = None;
        for file in OS_RELEASE_FILES {
            if os_release.is_none() {
                os_release = read_text(rootfs, file)?;
            }
        }
        let os_release = OsRelease::parse(&os_release.unwrap_or_default());
        let config = read_text(rootfs, paths::GUEST_CONFIG)?;
        let config = config.and_then(|json| GuestConfig::from_json(&json).ok());
        let mut package_manager = false;
        for name in first_boot_script::package_managers() {
            package_manager = package_manager || any_program(rootfs, name)?;
        }
        Ok(Self {
            init,
            init_path,
            init_is_symlink: init_stat.is_some_and(|stat| stat.file_type == FileType::Symlink),
            openrc: any_program(rootfs, "openrc")?,
            openrc_init: program(rootfs, OPENRC_INIT)?.is_some(),
            s6_overlay: is_s6_overlay(rootfs)?,
            shell: program(rootfs, "/bin/sh")?.is_some(),
            sshd: any_program(rootfs, "sshd")?,
            package_manager,
            agetty: any_program(rootfs, "agetty")?,
            udev: program(rootfs, "/usr/lib/systemd/systemd-udevd")?.is_some()
                || program(rootfs, "/lib/systemd/systemd-udevd")?.is_some(),
            dbus: any_program(rootfs, "dbus-daemon")? || any_program(rootfs, "dbus-broker")?,
            os_ids: os_release.ids().map(str::to_owned).collect(),
            earlier_handover: config.and_then(|config| config.handover),
        })
    }
}

fn kind_of(rootfs: &dyn Rootfs, real: &GuestPath) -> Result<InitKind, RootfsError> {
    let same_file = |other: &str| -> Result<bool, RootfsError> {
        let (ours, theirs) = (rootfs.stat(real)?, lookup(rootfs, &path(other))?);
        Ok(ours.zip(theirs).is_some_and(|(ours, (_, theirs))| ours.inode == theirs.inode))
    };
    if same_file(paths::AGENT)? {
        return Ok(InitKind::Banger);
    }
    let name = real.file_name().unwrap_or_default();
    Ok(match name {
        b"systemd" => InitKind::Systemd,
        b"openrc-init" => InitKind::Openrc,
        b"runit" | b"runit-init" => InitKind::Runit,
        _ if name.starts_with(b"busybox") => InitKind::Busybox,
        // Its applets may be hard links.
        _ if same_file("/bin/busybox")? || same_file("/usr/bin/busybox")? => InitKind::Busybox,
        _ => InitKind::Other,
    })
}

/// Returns whether `/init` is s6-overlay's of version 3, the first with `s6-rc.d`.
fn is_s6_overlay(rootfs: &dyn Rootfs) -> Result<bool, RootfsError> {
    if program(rootfs, S6_INIT)?.is_none() {
        return Ok(false);
    }
    for dir in ["/etc/s6-overlay", "/package/admin/s6-overlay"] {
        if lookup(rootfs, &path(dir))?.is_some_and(|(_, stat)| stat.file_type == FileType::Directory) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn program(rootfs: &dyn Rootfs, text: &str) -> Result<Option<GuestPath>, RootfsError> {
    find_program(rootfs, &path(text))
}

/// Returns the real path of the program that `path` leads to: a file that is executable and not empty.
///
/// # Errors
/// The root file system cannot be read.
pub fn find_program(rootfs: &dyn Rootfs, path: &GuestPath) -> Result<Option<GuestPath>, RootfsError> {
    let found = lookup(rootfs, path)?;
    Ok(found.filter(|(_, stat)| is_program(stat)).map(|(real, _)| real))
}

fn is_program(stat: &banger_tree::Stat) -> bool {
    stat.file_type == FileType::Regular && stat.attributes.mode & 0o111 != 0 && stat.size_bytes > 0
}

/// Returns whether a program is in any directory that programs are in.
pub(crate) fn any_program(rootfs: &dyn Rootfs, name: &str) -> Result<bool, RootfsError> {
    for dir in PROGRAM_DIRS {
        if program(rootfs, &format!("{dir}/{name}"))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
