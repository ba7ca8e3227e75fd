//! `/etc/inittab`, in which busybox init and sysvinit list the programs to start.
//!
//! Both have lines of four fields: id, runlevels, action, program. The id is the terminal under busybox.

use banger_guest::config::BootContract;

use crate::detect::{Facts, InitKind, any_program, program};
use crate::edit::Edit;
use crate::error::InjectError;
use crate::report::FixupKind;

/// The file.
pub(crate) const INITTAB: &str = "/etc/inittab";

/// Comments out lines that cannot work in this machine. Adds a login on the serial console if the file has none.
pub(crate) fn fix(edit: &mut Edit<'_>, facts: &Facts, contract: BootContract) -> Result<(), InjectError> {
    comment_out(edit)?;
    unmount_at_shutdown(edit, facts)?;
    serial_login(edit, facts, contract)
}

/// A line that starts a program.
#[derive(Debug, PartialEq, Eq)]
struct ProgramLine<'a> {
    id: &'a str,
    action: &'a str,
    command: &'a str,
}

impl<'a> ProgramLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim_start();
        let mut fields = line.splitn(4, ':');
        let (id, _, action, command) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let command = command.trim();
        // `initdefault` has no program.
        (!line.starts_with('#') && !command.is_empty()).then_some(Self { id, action, command })
    }

    /// Returns the program, if the line names it: a line with characters of a shell is for a shell.
    fn program(&self) -> Option<&'a str> {
        const OF_A_SHELL: [char; 19] =
            ['~', '`', '!', '$', '^', '&', '*', '(', ')', '=', '|', '\\', '{', '}', '[', ']', ';', '"', '\''];
        if self.command.contains(OF_A_SHELL) || self.command.contains(['<', '>', '?']) {
            return None;
        }
        // `-` asks busybox for a login shell, `+` and `@` sysvinit for other records.
        self.command.split_whitespace().next().map(|word| word.trim_start_matches(['-', '+', '@']))
    }

    /// Returns whether the line is a login on a virtual console: a terminal of a graphics card.
    fn is_on_virtual_console(&self) -> bool {
        let is_getty = self.program().is_some_and(|path| path.ends_with("getty"));
        is_getty && (is_virtual(self.id) || self.command.split_whitespace().any(is_virtual))
    }

    fn is_on_serial_line(&self) -> bool {
        [self.id, self.command].iter().any(|text| text.contains("ttyS") || text.contains("console"))
    }
}

/// Returns whether `word` is `tty1` and so on, or `/dev/tty1`.
fn is_virtual(word: &str) -> bool {
    let number = word.strip_prefix("/dev/").unwrap_or(word).strip_prefix("tty");
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Comments out lines that start programs that are not there, and logins on terminals that are not there: init
/// would start them again and again.
fn comment_out(edit: &mut Edit<'_>) -> Result<(), InjectError> {
    let Some(text) = text(edit)? else { return Ok(()) };
    let mut changed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let reason = ProgramLine::parse(line).map(|line| objection(edit, &line)).transpose()?.flatten();
        if let Some(reason) = reason {
            changed += &format!("# banger: {reason}: ");
        }
        changed.push_str(line);
    }
    if changed != text {
        edit.fixing(FixupKind::InittabLine, |edit| edit.content(INITTAB, changed.as_bytes(), 0o644))?;
    }
    Ok(())
}

/// Returns why a line cannot work, or `None` if it may.
fn objection(edit: &Edit<'_>, line: &ProgramLine<'_>) -> Result<Option<&'static str>, InjectError> {
    let Some(path) = line.program() else { return Ok(None) };
    let is_there = match path.starts_with('/') {
        true => program(edit.rootfs(), path)?.is_some(),
        false => any_program(edit.rootfs(), path)?,
    };
    Ok(match is_there {
        false => Some("no such program"),
        true if line.is_on_virtual_console() => Some("no such terminal"),
        true => None,
    })
}

/// Lets busybox unmount at shutdown where no line of the image does that: the next boot needs no journal then.
fn unmount_at_shutdown(edit: &mut Edit<'_>, facts: &Facts) -> Result<(), InjectError> {
    const UNMOUNT: &str = "/bin/umount";
    let Some(text) = text(edit)?.filter(|_| facts.init == InitKind::Busybox) else { return Ok(()) };
    let does = text.lines().filter_map(ProgramLine::parse).any(|line| line.action == "shutdown");
    if does || program(edit.rootfs(), UNMOUNT)?.is_none() {
        return Ok(());
    }
    add(edit, FixupKind::Shutdown, &text, &format!("::shutdown:{UNMOUNT} -a -r\n"))
}

/// Adds a getty to an inittab without a getty on a serial console.
fn serial_login(edit: &mut Edit<'_>, facts: &Facts, contract: BootContract) -> Result<(), InjectError> {
    let Some(text) = text(edit)? else { return Ok(()) };
    let mut getty = None;
    for dir in ["/sbin", "/usr/sbin", "/bin", "/usr/bin"] {
        let path = format!("{dir}/getty");
        if getty.is_none() && edit.lookup(&path)?.is_some() {
            getty = Some(path);
        }
    }
    let is_serial = text.lines().filter_map(ProgramLine::parse).any(|line| line.is_on_serial_line());
    let Some(getty) = getty.filter(|_| !is_serial) else { return Ok(()) };
    let line = match facts.init {
        // Speed 0 leaves the line as the kernel set it up.
        InitKind::Busybox => format!("ttyS0::respawn:{getty} -L 0 ttyS0 vt100\n"),
        InitKind::Other if contract == BootContract::Openrc => {
            format!("S0:2345:respawn:{getty} -L 115200 ttyS0 vt100\n")
        }
        _ => return Ok(()),
    };
    add(edit, FixupKind::SerialGetty, &text, &line)
}

fn text(edit: &Edit<'_>) -> Result<Option<String>, InjectError> {
    let Some(bytes) = edit.read(INITTAB)? else { return Ok(None) };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        // What is not text is left alone.
        Err(_) => Ok(None),
    }
}

fn add(edit: &mut Edit<'_>, kind: FixupKind, text: &str, line: &str) -> Result<(), InjectError> {
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let text = format!("{text}{newline}{line}");
    edit.fixing(kind, |edit| edit.content(INITTAB, text.as_bytes(), 0o644))
}

#[cfg(test)]
mod tests {
    use super::{ProgramLine, is_virtual};

    #[test]
    fn lines_are_understood() {
        let program = |line| ProgramLine::parse(line).and_then(|line| line.program());
        for (line, want) in [
            ("::sysinit:/sbin/openrc sysinit", Some("/sbin/openrc")),
            ("::askfirst:-/bin/sh", Some("/bin/sh")),
            ("::respawn:-sh", Some("sh")),
            ("1:2345:respawn:/sbin/getty 38400 tty1", Some("/sbin/getty")),
            ("::once:/bin/echo a; /bin/b", None),
            ("::sysinit:/bin/mount -t proc none /proc 2>/dev/null", None),
            ("id:2:initdefault:", None),
            ("# ::once:/bin/a", None),
            ("nothing", None),
        ] {
            assert_eq!(program(line), want, "{line}");
        }
    }

    #[test]
    fn virtual_consoles_are_told_from_serial_lines() {
        let is = |line| ProgramLine::parse(line).is_some_and(|line| line.is_on_virtual_console());
        assert!(is("tty1::respawn:/sbin/getty 38400 tty1"));
        assert!(is("2:23:respawn:/sbin/getty 38400 tty2"));
        assert!(is("c1:12345:respawn:/sbin/agetty --noclear 38400 tty1 linux"));
        assert!(!is("ttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100"));
        assert!(!is("tty1::once:/usr/bin/game"));
        assert!(!is_virtual("tty") && !is_virtual("ttyAMA0") && is_virtual("/dev/tty12"));
    }
}
