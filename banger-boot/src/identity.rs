//! Takes away what belongs to one machine.

use banger_guest::config::{FirstBootMarker, paths};
use banger_tree::{Rootfs, Timestamp};

use crate::edit::Edit;
use crate::error::InjectError;
use crate::fixups;
use crate::report::{Fixup, FixupKind};

/// Seeds and secrets of one machine, which it makes anew.
pub const MACHINE_FILES: [&str; 7] = [
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret",
    "/var/lib/urandom/random-seed",
    "/var/lib/random-seed",
    "/var/lib/misc/random-seed",
    "/var/lib/NetworkManager/secret_key",
    "/var/lib/NetworkManager/timestamps",
];

/// Directories whose files are seeds, or leases and identities of DHCP.
const DIRECTORIES: [&str; 3] = ["/var/lib/seedrng", "/var/lib/dhcp", "/var/lib/dhcpcd"];

/// Beginnings and ends of the names of host keys, by directory.
const HOST_KEYS: [(&str, &str, &str); 1] = [("/etc/dropbear", "dropbear_", "_host_key")];

/// The result of [`renew_identity`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewedIdentity {
    /// The changed paths, in their order.
    pub changes: Vec<Fixup>,
    /// Whether the next boot is a first boot: it makes new host keys.
    pub first_boot_pending: bool,
    /// What the machine will lack, one sentence each.
    pub warnings: Vec<String>,
}

/// Makes a copy of a machine another machine: empties the machine-id, and removes host keys of ssh, random seeds, and
/// leases and identities of DHCP. The next boot makes new ones. A file system without these files stays as it is.
/// The caller commits.
///
/// # Errors
/// The file system cannot be read or changed.
pub fn renew_identity(rootfs: &mut dyn Rootfs, timestamp: Timestamp) -> Result<RenewedIdentity, InjectError> {
    let mut edit = Edit::new(rootfs, timestamp);
    if edit.stat(fixups::MACHINE_ID)?.is_some() {
        edit.fixing(FixupKind::MachineId, fixups::machine_id)?;
    }
    edit.fixing(FixupKind::SshHostKey, |edit| {
        fixups::ssh_host_keys(edit)?;
        HOST_KEYS.iter().try_for_each(|(directory, start, end)| {
            remove_in(edit, directory, |name| name.starts_with(start) && name.ends_with(end))
        })
    })?;
    edit.fixing(FixupKind::MachineState, |edit| {
        MACHINE_FILES.iter().try_for_each(|path| edit.remove(path))?;
        DIRECTORIES.iter().try_for_each(|directory| remove_in(edit, directory, |_| true))
    })?;
    let mut renewed = RenewedIdentity::default();
    if edit.fixed(FixupKind::SshHostKey) {
        renewed.first_boot_pending = make_keys_at_boot(&mut edit)?;
        if edit.stat(paths::GUEST_CONFIG)?.is_none() {
            let text = "the host keys of ssh were removed, and banger's agent is not there to make new ones";
            renewed.warnings.push(text.to_owned());
        }
    }
    renewed.changes = edit.into_fixups();
    Ok(renewed)
}

/// Has a finished first boot repeated, which makes host keys; returns whether one is pending.
fn make_keys_at_boot(edit: &mut Edit<'_>) -> Result<bool, InjectError> {
    if edit.stat(paths::FIRST_BOOT_PENDING)?.is_some() {
        return Ok(true);
    }
    let is_done = edit.stat(paths::FIRST_BOOT_DONE)?.is_some();
    if is_done {
        edit.fixing(FixupKind::SshHostKey, |edit| {
            edit.file(paths::FIRST_BOOT_PENDING, &FirstBootMarker::default().to_json(), 0o644)
        })?;
    }
    Ok(is_done)
}

/// Removes the files of a directory whose names fit.
fn remove_in(edit: &mut Edit<'_>, directory: &str, fits: impl Fn(&str) -> bool) -> Result<(), InjectError> {
    for name in edit.names(directory)? {
        // No program gives such files names that are not UTF-8.
        let Ok(name) = String::from_utf8(name) else { continue };
        if fits(&name) {
            edit.remove(&format!("{directory}/{name}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use banger_tree::{Attributes, GuestPath, MemoryStore, Tree, TreeRootfs};

    use super::*;
    use crate::report::Change;

    fn rootfs_with(files: &[&str], test: impl FnOnce(&mut TreeRootfs<'_>)) {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let mut edit = Edit::new(&mut rootfs, Timestamp::from_seconds(1));
        for file in files {
            edit.file(file, b"of the first machine\n", 0o600).unwrap();
        }
        test(&mut rootfs);
    }

    fn renew(rootfs: &mut TreeRootfs<'_>) -> RenewedIdentity {
        renew_identity(rootfs, Timestamp::from_seconds(7)).unwrap()
    }

    fn is_there(rootfs: &TreeRootfs<'_>, path: &str) -> bool {
        rootfs.stat(&GuestPath::parse(path).unwrap()).unwrap().is_some()
    }

    #[test]
    fn what_belongs_to_one_machine_goes() {
        let gone = [
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssh/ssh_host_rsa_key.pub",
            "/etc/dropbear/dropbear_ed25519_host_key",
            "/var/lib/systemd/random-seed",
            "/var/lib/seedrng/seed.credit",
            "/var/lib/dhcp/dhclient.leases",
        ];
        let kept =
            ["/etc/ssh/sshd_config", "/etc/ssh/ssh_host_notes", "/etc/dropbear/options", "/etc/machine-id"];
        rootfs_with(&[&gone[..], &kept[..]].concat(), |rootfs| {
            let renewed = renew(rootfs);
            assert!(gone.iter().all(|path| !is_there(rootfs, path)));
            assert!(kept.iter().all(|path| is_there(rootfs, path)));
            assert_eq!(rootfs.read(&GuestPath::parse(fixups::MACHINE_ID).unwrap()).unwrap(), b"");
            let removed = renewed.changes.iter().filter(|fixup| fixup.change == Change::Removed).count();
            assert_eq!((removed, renewed.changes.len()), (gone.len(), gone.len() + 1));
            assert_eq!((renewed.first_boot_pending, renewed.warnings.len()), (false, 1));
            assert_eq!(renew(rootfs), RenewedIdentity::default());
        });
    }

    #[test]
    fn a_first_boot_makes_the_keys_again() {
        let files = ["/etc/ssh/ssh_host_rsa_key", paths::FIRST_BOOT_DONE, paths::GUEST_CONFIG];
        rootfs_with(&files, |rootfs| {
            let renewed = renew(rootfs);
            assert!(renewed.first_boot_pending && renewed.warnings.is_empty(), "{renewed:?}");
            assert!(is_there(rootfs, paths::FIRST_BOOT_PENDING));
        });
    }

    #[test]
    fn nothing_is_made_where_nothing_is() {
        rootfs_with(&[], |rootfs| {
            rootfs.create_dir(&GuestPath::parse("/etc").unwrap(), &Attributes::with_mode(0o755)).unwrap();
            assert_eq!(renew(rootfs), RenewedIdentity::default());
            assert!(!is_there(rootfs, fixups::MACHINE_ID));
        });
    }
}
