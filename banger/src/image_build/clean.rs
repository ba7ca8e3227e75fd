//! What a build leaves on its disk, and what of it does not belong into an image.

use banger_boot::{MACHINE_FILES, inject_guest_agents};
use banger_ext4::Ext4Editor;
use banger_oci::Platform;
use banger_tree::{Cancellation, FileType, Rootfs, RootfsError, Timestamp};
use camino::Utf8Path;

use crate::error::Error;
use crate::guest_binary::{GuestOptions, parse_init_mode};
use crate::inject::agents_for;
use crate::rootfs::{Edit, EditError, Operand, Remove, View, in_file, parse_path, timestamp, write_over};
use crate::store::ImageRecord;

/// Directories whose content goes: caches of package managers, temporary files, and states of one machine.
const EMPTIED: [&str; 19] = [
    "/tmp",
    "/var/tmp",
    "/var/lib/apt/lists",
    "/var/cache/apt",
    "/var/cache/dnf",
    "/var/cache/yum",
    "/var/cache/zypp",
    "/var/cache/apk",
    "/etc/apk/cache",
    "/var/cache/pacman/pkg",
    "/var/cache/xbps",
    "/var/cache/ldconfig",
    "/var/cache/man",
    "/var/log/journal",
    "/var/lib/dhcp",
    "/var/lib/dhcpcd",
    "/var/lib/NetworkManager",
    "/var/lib/systemd/timers",
    "/var/lib/systemd/coredump",
];

/// Files that go besides [`MACHINE_FILES`]: other seeds, and the marks of first boots.
const REMOVED: [&str; 7] = [
    "/var/lib/seedrng",
    "/etc/.updated",
    "/var/.updated",
    "/var/lib/banger/first-boot-done",
    "/var/lib/banger/first-boot-pending",
    "/var/lib/logrotate/status",
    "/var/lib/logrotate/logrotate.status",
];

/// Histories of shells and programs, in the home directories.
const HISTORIES: [&[u8]; 8] = [
    b".bash_history",
    b".ash_history",
    b".zsh_history",
    b".sh_history",
    b".python_history",
    b".lesshst",
    b".viminfo",
    b".wget-hsts",
];

/// The directory of logs. Its files stay, empty: programs may write to a log only if it is there.
const LOGS: &str = "/var/log";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The first line of the file that the guest writes.
const OUR_RESOLV_CONF: &[u8] = b"# Written by banger-network-bootstrap.";
/// The longest `resolv.conf` that is looked at.
const RESOLV_CONF_BYTES: u64 = 64 * 1024;

/// Makes `disk` an image again: takes away what belongs to one machine or to the build, and makes it boot as the
/// record says. Gives free space back to the host. Updates the sizes in the record.
pub(super) fn finish(
    disk: &Utf8Path,
    record: &mut ImageRecord,
    cancellation: &Cancellation,
) -> Result<(), Error> {
    let time = timestamp()?;
    crate::rootfs::edit(disk, time, cancellation, clean)?;
    let mut editor = open(disk, cancellation)?;
    blank_logs(&mut editor, time).map_err(in_file(disk))?;
    describe_in(&mut editor, disk, record, time)?;
    editor.trim().map(drop).map_err(in_file(disk))
}

/// Makes a finished disk boot as the record says, and the record describe it.
pub(super) fn describe(
    disk: &Utf8Path,
    record: &mut ImageRecord,
    cancellation: &Cancellation,
) -> Result<(), Error> {
    describe_in(&mut open(disk, cancellation)?, disk, record, timestamp()?)
}

fn open(disk: &Utf8Path, cancellation: &Cancellation) -> Result<Ext4Editor, Error> {
    let mut editor = Ext4Editor::open_to_edit(disk).map_err(in_file(disk))?;
    editor.set_cancellation(cancellation);
    Ok(editor)
}

fn describe_in(
    editor: &mut Ext4Editor,
    disk: &Utf8Path,
    record: &mut ImageRecord,
    time: Timestamp,
) -> Result<(), Error> {
    if let Some(guest) = &record.build.guest {
        let options = GuestOptions::default().with_init(parse_init_mode(&guest.init)?);
        let platform: Platform = record.platform.parse()?;
        // This resets the machine-id and the host keys, too.
        let agents = agents_for(&options, &platform.architecture, &record.config, time)?;
        let report = inject_guest_agents(editor, &agents)?;
        record.boot_contract = Some(report.contract);
        record.first_boot_pending = report.first_boot_pending;
        record.injected = report.injected;
    }
    editor.commit().map_err(in_file(disk))?;
    let report = editor.verify().map_err(in_file(disk))?;
    if let Some(problem) = report.problems.first() {
        let damage = std::io::Error::other(problem.clone());
        let source = RootfsError::Io { action: "build", image: disk.to_string(), source: damage };
        return Err(in_file(disk)(EditError::from(source)));
    }
    record.set_sizes(&report);
    Ok(())
}

fn clean(edit: &mut Edit<'_>) -> Result<(), EditError> {
    for directory in EMPTIED {
        for name in names(edit, directory)? {
            // apt needs the directories for what it fetches.
            match name.as_slice() {
                b"partial" | b"lock" => {}
                b"archives" => {
                    for name in names(edit, &format!("{directory}/archives"))? {
                        if name != b"partial" && name != b"lock" {
                            remove(edit, &format!("{directory}/archives"), &name)?;
                        }
                    }
                }
                _ => remove(edit, directory, &name)?,
            }
        }
    }
    for path in MACHINE_FILES.into_iter().chain(REMOVED) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        remove(edit, directory, name.as_bytes())?;
    }
    let mut homes = vec!["/root".to_owned()];
    for name in names(edit, "/home")? {
        homes.extend(String::from_utf8(name).ok().map(|name| format!("/home/{name}")));
    }
    for home in homes {
        for history in HISTORIES {
            remove(edit, &home, history)?;
        }
    }
    if is_our_resolv_conf(edit)? {
        remove(edit, "/etc", b"resolv.conf")?;
    }
    Ok(())
}

/// Removes a file or directory if it is there. Symlinks on the way to it are followed.
fn remove(edit: &mut Edit<'_>, directory: &str, name: &[u8]) -> Result<(), EditError> {
    let path = [directory.as_bytes(), b"/", name].concat();
    let how = Remove::default().with_recursive(true).with_force(true);
    edit.remove(&Operand::parse(&path)?, how).map(drop)
}

/// Returns the names in a directory; none if there is no such directory.
fn names(edit: &Edit<'_>, directory: &str) -> Result<Vec<Vec<u8>>, EditError> {
    let view = View::new(edit.as_rootfs())?;
    let Ok(path) = view.resolve(&parse_path(directory.as_bytes())?) else { return Ok(Vec::new()) };
    match edit.as_rootfs().stat(&path)? {
        Some(stat) if stat.file_type == FileType::Directory => {
            let entries = edit.as_rootfs().read_dir(&path)?;
            Ok(entries.into_iter().map(|entry| entry.name).collect())
        }
        _ => Ok(Vec::new()),
    }
}

fn is_our_resolv_conf(edit: &Edit<'_>) -> Result<bool, EditError> {
    let path = parse_path(RESOLV_CONF.as_bytes())?;
    let Some(stat) = edit.as_rootfs().stat(&path)? else { return Ok(false) };
    if stat.file_type != FileType::Regular || stat.size_bytes > RESOLV_CONF_BYTES {
        return Ok(false);
    }
    Ok(edit.as_rootfs().read(&path)?.starts_with(OUR_RESOLV_CONF))
}

/// Empties all logs.
fn blank_logs(rootfs: &mut dyn Rootfs, time: Timestamp) -> Result<(), EditError> {
    let mut directories = vec![parse_path(LOGS.as_bytes())?];
    while let Some(directory) = directories.pop() {
        let is_directory = rootfs.stat(&directory)?.is_some_and(|stat| stat.file_type == FileType::Directory);
        if !is_directory {
            continue;
        }
        for entry in rootfs.read_dir(&directory)? {
            let path = directory.join(&entry.name).map_err(RootfsError::from)?;
            match rootfs.stat(&path)? {
                Some(stat) if stat.file_type == FileType::Directory => directories.push(path),
                Some(stat) if stat.file_type == FileType::Regular && stat.size_bytes > 0 => {
                    write_over(rootfs, &path, &mut std::io::empty(), time)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}
