//! The format of `stat -c` and `stat --printf`.

use std::fmt::Write as _;

use banger::rootfs::{FileType, RootfsEntry, escape_bytes, time_text};

use crate::failure::CommandError;

/// Letters that a format can have.
const LETTERS: &[u8] = b"aAfFgGhinNstTuUyY";

/// What to print of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StatFormat {
    parts: Vec<FormatPart>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FormatPart {
    Text(String),
    Value { letter: u8, width: usize, to_the_left: bool, with_zeros: bool },
}

impl StatFormat {
    /// Reads a format; with `is_printf` it has escapes, and no new line comes after it.
    pub(super) fn parse(format: &[u8], is_printf: bool) -> Result<Self, CommandError> {
        let mut parts = Vec::new();
        let mut text: Vec<u8> = Vec::new();
        let mut rest = format;
        while let [first, behind @ ..] = rest {
            rest = behind;
            match first {
                b'%' if behind.first() == Some(&b'%') => {
                    text.push(b'%');
                    rest = &behind[1..];
                }
                b'%' => {
                    parts.push(FormatPart::Text(escape_but_lines(&std::mem::take(&mut text))));
                    let (part, behind) = value(behind).map_err(|reason| {
                        let name = if is_printf { "--printf" } else { "--format" };
                        CommandError::argument(name, escape_bytes(format), reason)
                    })?;
                    parts.push(part);
                    rest = behind;
                }
                b'\\' if is_printf => rest = unescape(behind, &mut text),
                other => text.push(*other),
            }
        }
        if !is_printf {
            text.push(b'\n');
        }
        parts.push(FormatPart::Text(escape_but_lines(&text)));
        Ok(Self { parts })
    }

    /// Returns what the format says of an entry that was asked for as `name`.
    pub(super) fn apply(&self, entry: &RootfsEntry, name: &[u8]) -> String {
        let mut all = String::new();
        for part in &self.parts {
            match part {
                FormatPart::Text(text) => all.push_str(text),
                FormatPart::Value { letter, width, to_the_left, with_zeros } => {
                    let text = text_of(*letter, entry, name);
                    let written = match (to_the_left, with_zeros) {
                        (true, _) => write!(all, "{text:<width$}"),
                        (false, true) => write!(all, "{text:0>width$}"),
                        (false, false) => write!(all, "{text:>width$}"),
                    };
                    written.expect("writing to a String cannot fail");
                }
            }
        }
        all
    }
}

/// Reads what stands behind a percent sign; returns that and the rest.
fn value(mut rest: &[u8]) -> Result<(FormatPart, &[u8]), String> {
    let (mut to_the_left, mut with_zeros, mut width) = (false, false, 0_usize);
    while let [flag @ (b'-' | b'0' | b'#' | b'+' | b' ' | b'\''), behind @ ..] = rest {
        to_the_left |= *flag == b'-';
        with_zeros |= *flag == b'0';
        rest = behind;
    }
    while let [digit @ b'0'..=b'9', behind @ ..] = rest {
        width = (width * 10 + usize::from(digit - b'0')).min(1024);
        rest = behind;
    }
    match rest {
        [letter, behind @ ..] if LETTERS.contains(letter) => {
            Ok((FormatPart::Value { letter: *letter, width, to_the_left, with_zeros }, behind))
        }
        [letter, ..] => {
            let known: Vec<String> =
                LETTERS.iter().map(|letter| format!("%{}", char::from(*letter))).collect();
            Err(format!("%{} is not known; there are {}", escape_bytes(&[*letter]), known.join(" ")))
        }
        [] => Err("a letter is missing behind the last %; write %% for a percent sign".to_owned()),
    }
}

/// Adds what an escape means; returns the rest.
fn unescape<'a>(rest: &'a [u8], text: &mut Vec<u8>) -> &'a [u8] {
    let Some((letter, mut behind)) = rest.split_first() else {
        text.push(b'\\');
        return rest;
    };
    match letter {
        b'n' => text.push(b'\n'),
        b't' => text.push(b'\t'),
        b'0'..=b'7' => {
            let mut number = u32::from(letter - b'0');
            for _ in 0..2 {
                let [digit @ b'0'..=b'7', more @ ..] = behind else { break };
                number = number * 8 + u32::from(digit - b'0');
                behind = more;
            }
            text.push(u8::try_from(number & 0xff).expect("it is masked"));
        }
        b'\\' | b'"' => text.push(*letter),
        other => text.extend([b'\\', *other]),
    }
    behind
}

/// Text of the user's, in which new lines, tabs and NUL are meant.
fn escape_but_lines(text: &[u8]) -> String {
    String::from_utf8(text.to_vec()).unwrap_or_else(|_| escape_bytes(text))
}

fn text_of(letter: u8, entry: &RootfsEntry, name: &[u8]) -> String {
    let who = |name: &Option<String>| name.clone().unwrap_or_else(|| "UNKNOWN".to_owned());
    let (major, minor) = entry.device.unwrap_or_default();
    match letter {
        b'a' => format!("{:o}", entry.mode),
        b'A' => entry.mode_text(),
        b'f' => format!("{:x}", entry.file_type.mode_bits() | entry.mode),
        b'F' => type_text(entry).to_owned(),
        b'g' => entry.gid.to_string(),
        b'G' => who(&entry.group),
        b'h' => entry.nlink.to_string(),
        b'i' => entry.inode.to_string(),
        b'n' => escape_bytes(name),
        b'N' => match &entry.target {
            Some(target) => format!("'{}' -> '{}'", escape_bytes(name), escape_bytes(target)),
            None => format!("'{}'", escape_bytes(name)),
        },
        b's' => entry.size_bytes.to_string(),
        b't' => format!("{major:x}"),
        b'T' => format!("{minor:x}"),
        b'u' => entry.uid.to_string(),
        b'U' => who(&entry.user),
        b'Y' => entry.modified.seconds.to_string(),
        _ => {
            let text = time_text(entry.modified);
            // Without the fraction and the zone, which follow with all digits.
            let seconds = text.get(..19).unwrap_or(&text).replace('T', " ");
            format!("{seconds}.{:09} +0000", entry.modified.nanoseconds)
        }
    }
}

fn type_text(entry: &RootfsEntry) -> &'static str {
    match entry.file_type {
        FileType::Regular if entry.size_bytes == 0 => "regular empty file",
        FileType::Regular => "regular file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::CharDevice => "character special file",
        FileType::BlockDevice => "block special file",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
    }
}
