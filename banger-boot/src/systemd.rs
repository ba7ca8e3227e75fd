//! Units for systemd, and repairs so that systemd of a container image starts without failures.

use banger_tree::FileType;

use crate::agents::GuestAgents;
use crate::detect::Facts;
use crate::edit::Edit;
use crate::error::InjectError;
use crate::report::FixupKind;

const UNITS: [(&str, &str); 3] = [
    ("banger-network.service", include_str!("../assets/systemd/banger-network.service")),
    ("banger-first-boot.service", include_str!("../assets/systemd/banger-first-boot.service")),
    ("banger-vsock-agent.service", include_str!("../assets/systemd/banger-vsock-agent.service")),
];
const SSH_KEYS: &str = include_str!("../assets/systemd/banger-ssh-keys.service");
const PRESET: &str = include_str!("../assets/systemd/00-banger.preset");

const ETC: &str = "/etc/systemd/system";
const LIBS: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

/// The first systemd that restarts oneshot services.
const RESTARTS_ONESHOT: u32 = 244;

/// Units that container builds mask because a container does not need them.
const MASKED: [&str; 4] =
    ["getty.target", "systemd-logind.service", "systemd-remount-fs.service", "console-getty.service"];

/// `EM_X86_64`.
const X86_64: [u8; 2] = [62, 0];

/// Every text of this module.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    UNITS.into_iter().map(|(_, text)| text).chain([SSH_KEYS, PRESET])
}

/// Writes the units, enables them, and has a preset keep them so.
pub(crate) fn install(edit: &mut Edit<'_>, facts: &Facts) -> Result<(), InjectError> {
    let version = version(edit)?;
    for (name, text) in UNITS {
        let text = match version {
            // It refuses the whole unit; the next boot tries again.
            Some(version) if version < RESTARTS_ONESHOT && text.contains("Type=oneshot") => text
                .lines()
                .filter(|line| !line.starts_with("Restart"))
                .map(|line| format!("{line}\n"))
                .collect(),
            _ => text.to_owned(),
        };
        unit(edit, name, &text)?;
    }
    edit.file("/etc/systemd/system-preset/00-banger.preset", PRESET.as_bytes(), 0o644)?;
    if facts.sshd {
        // Without keys, which an image must not bring, sshd would fail.
        edit.fixing(FixupKind::SshKeysAtBoot, |edit| unit(edit, "banger-ssh-keys.service", SSH_KEYS))?;
    }
    Ok(())
}

fn unit(edit: &mut Edit<'_>, name: &str, text: &str) -> Result<(), InjectError> {
    edit.file(&format!("{ETC}/{name}"), text.as_bytes(), 0o644)?;
    edit.symlink(&format!("{ETC}/multi-user.target.wants/{name}"), &format!("{ETC}/{name}"))
}

/// Returns systemd's version, out of the name of its private library.
fn version(edit: &Edit<'_>) -> Result<Option<u32>, InjectError> {
    for dir in ["/usr/lib/systemd", "/lib/systemd", "/usr/lib64/systemd"] {
        for name in edit.names(dir)? {
            let name = String::from_utf8_lossy(&name).into_owned();
            let rest = name.strip_prefix("libsystemd-shared-").unwrap_or_default();
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(version) = digits.parse() {
                return Ok(Some(version));
            }
        }
    }
    Ok(None)
}

/// Unmasks units that a machine needs, masks units that would fail, and opens the serial console.
pub(crate) fn fix(edit: &mut Edit<'_>, facts: &Facts, agents: &GuestAgents) -> Result<(), InjectError> {
    let has_dbus = facts.dbus;
    for name in MASKED {
        if is_masked(edit, name)? && (has_dbus || name != "systemd-logind.service") {
            edit.fixing(FixupKind::UnitUnmasked, |edit| edit.remove(&format!("{ETC}/{name}")))?;
        }
    }
    if !has_dbus && exists_in_lib(edit, "systemd-logind.service")? {
        mask(edit, "systemd-logind.service")?;
    }
    serial_getty(edit, facts, agents)
}

/// Enables a login on the serial console if possible; else masks the unit that would fail.
fn serial_getty(edit: &mut Edit<'_>, facts: &Facts, agents: &GuestAgents) -> Result<(), InjectError> {
    const TEMPLATE: &str = "serial-getty@.service";
    if !facts.agetty {
        // systemd starts gettys on every console by itself.
        for name in [TEMPLATE, "getty@.service", "console-getty.service"] {
            if exists_in_lib(edit, name)? {
                mask(edit, name)?;
            }
        }
        edit.warn("no agetty in the image: no login on the serial console");
        return Ok(());
    }
    if !facts.udev {
        // Without udev no device is ever known to be there, and a getty that belongs to one waits
        // until it times out; the console is always there.
        if exists_in_lib(edit, TEMPLATE)? {
            mask(edit, TEMPLATE)?;
        }
        return want(edit, "console-getty.service", "console-getty.service");
    }
    // On other processors the first serial port has other names, and a wait for a missing one would delay the
    // boot. The console on the kernel command line has a getty in any case.
    if agents.binary.get(18..20) == Some(&X86_64) {
        want(edit, "serial-getty@ttyS0.service", TEMPLATE)?;
    }
    Ok(())
}

/// Has `getty.target` start `name`, which the unit file `template` describes.
fn want(edit: &mut Edit<'_>, name: &str, template: &str) -> Result<(), InjectError> {
    for dir in LIBS {
        if edit.lookup(&format!("{dir}/{template}"))?.is_some() {
            let link = format!("{ETC}/getty.target.wants/{name}");
            if edit.stat(&link)?.is_some() {
                return Ok(());
            }
            return edit
                .fixing(FixupKind::SerialGetty, |edit| edit.symlink(&link, &format!("{dir}/{template}")));
        }
    }
    edit.warn(format!("systemd has no {template}: no login on the serial console"));
    Ok(())
}

fn mask(edit: &mut Edit<'_>, name: &str) -> Result<(), InjectError> {
    if is_masked(edit, name)? {
        return Ok(());
    }
    edit.fixing(FixupKind::UnitMasked, |edit| edit.symlink(&format!("{ETC}/{name}"), "/dev/null"))
}

/// A mask is a symlink to `/dev/null`, or an empty file.
fn is_masked(edit: &Edit<'_>, name: &str) -> Result<bool, InjectError> {
    let text = format!("{ETC}/{name}");
    Ok(match edit.stat(&text)? {
        Some(stat) if stat.file_type == FileType::Symlink => edit.read_link(&text)? == b"/dev/null",
        Some(stat) => stat.file_type == FileType::Regular && stat.size_bytes == 0,
        None => false,
    })
}

fn exists_in_lib(edit: &Edit<'_>, name: &str) -> Result<bool, InjectError> {
    for dir in LIBS {
        if edit.lookup(&format!("{dir}/{name}"))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
