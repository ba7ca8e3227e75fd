//! `banger rootfs ls | cat | stat`.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{
    CopyError, EditError, Ext4Editor, FileType, GuestPath, Listing, Operand, RootfsEntry, RootfsPlace, View,
    escape_bytes, in_file, open, time_text,
};
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use camino::Utf8Path;
use serde::Serialize;

use super::stat_format::StatFormat;
use crate::args::{CatArguments, LsArguments, StatArguments};
use crate::failure::{CommandError, output};
use crate::json;
use crate::printer::{Printer, raw_output};
use crate::text::{Text, table};
use crate::units::Size;

/// Xattr that marks a file whose permissions are more than its mode.
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

/// Opens a file system, and says what one who reads it should know.
pub(super) fn open_noted(place: &RootfsPlace, printer: &Printer) -> Result<Ext4Editor, CommandError> {
    let rootfs = open(place)?;
    let file = &place.file;
    rootfs.notes().iter().for_each(|note| printer.warning(&format!("{file}: {note}")));
    Ok(rootfs)
}

pub(super) fn ls(arguments: &LsArguments, printer: &Printer) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        file: &'a Utf8Path,
        entries: &'a [RootfsEntry],
        directories: &'a [Listing],
    }
    let file = &arguments.file.file;
    let is_long = arguments.long || arguments.numeric;
    let rootfs = open_noted(&arguments.file.place(), printer)?;
    let failed = || in_file(file);
    let view = View::new(&rootfs).map_err(failed())?;
    let (mut entries, mut directories) = (Vec::new(), Vec::new());
    for path in &arguments.paths {
        let operand = Operand::parse(path.as_bytes()).map_err(failed())?;
        let path = operand.path.clone();
        let entry = view.entry(&view.operand(&operand).map_err(failed())?).map_err(failed())?;
        let is_directory = match entry.file_type {
            FileType::Directory => true,
            // One that leads nowhere is listed itself.
            FileType::Symlink if !is_long && !arguments.directory => view
                .resolve(&path)
                .and_then(|path| view.entry(&path))
                .is_ok_and(|entry| entry.file_type == FileType::Directory),
            _ => false,
        };
        if !is_directory || arguments.directory {
            entries.push(entry);
        } else if arguments.recursive {
            directories.extend(view.list_all(&path).map_err(failed())?);
        } else {
            directories.push(view.list(&path).map_err(failed())?);
        }
    }
    if arguments.by_time || arguments.by_size || arguments.reverse {
        sort(&mut entries, arguments);
    }
    for listing in &mut directories {
        sort(&mut listing.entries, arguments);
    }
    let rows = entries.iter().map(|entry| (entry.path.to_string(), entry)).collect();
    let mut text = lines(rows, arguments);
    let has_headings = arguments.recursive || arguments.paths.len() > 1;
    for listing in &directories {
        if has_headings {
            if !text.is_empty() {
                text.line("");
            }
            text.line(&format!("{}:", listing.path));
        }
        let dots = match arguments.all && !printer.is_json() {
            true => dots(&view, &listing.path).map_err(failed())?,
            false => Vec::new(),
        };
        let name = |entry: &RootfsEntry| escape_bytes(entry.path.file_name().unwrap_or(b"/"));
        let mut rows: Vec<(String, &RootfsEntry)> =
            dots.iter().map(|(name, entry)| ((*name).to_owned(), entry)).collect();
        rows.extend(listing.entries.iter().map(|entry| (name(entry), entry)));
        text.append(&lines(rows, arguments));
    }
    let document = Document { version: 1, file, entries: &entries, directories: &directories };
    output(printer.result(&document, text))
}

/// Returns `.` and `..` of a directory, by their names.
fn dots(view: &View<'_>, path: &GuestPath) -> Result<Vec<(&'static str, RootfsEntry)>, EditError> {
    let dir = view.resolve(path)?;
    let parent = dir.parent().unwrap_or_else(GuestPath::root);
    Ok(vec![(".", view.entry(&dir)?), ("..", view.entry(&parent)?)])
}

/// Sorts entries, which come by name.
fn sort(entries: &mut [RootfsEntry], arguments: &LsArguments) {
    if arguments.by_time {
        entries.sort_by_key(|entry| Reverse((entry.modified.seconds, entry.modified.nanoseconds)));
    } else if arguments.by_size {
        entries.sort_by_key(|entry| Reverse(entry.size_bytes));
    }
    if arguments.reverse {
        entries.reverse();
    }
}

/// One line an entry.
fn lines(rows: Vec<(String, &RootfsEntry)>, arguments: &LsArguments) -> Text {
    let is_long = arguments.long || arguments.numeric;
    let name = |name: String, entry: &RootfsEntry| {
        let mark = if arguments.classify { mark_of(entry, is_long) } else { "" };
        name + mark
    };
    if !is_long && !arguments.inode {
        return rows.into_iter().map(|(text, entry)| name(text, entry)).collect();
    }
    let inode = |entry: &RootfsEntry| arguments.inode.then(|| entry.inode.to_string());
    if !is_long {
        let rows: Vec<[String; 2]> = rows
            .into_iter()
            .map(|(text, entry)| [inode(entry).unwrap_or_default(), name(text, entry)])
            .collect();
        return table(&rows);
    }
    let rows =
        rows.into_iter().map(|(text, entry)| (inode(entry), long_row(entry, arguments, name(text, entry))));
    match arguments.inode {
        true => {
            let with_inode = rows.map(|(inode, [mode, links, user, group, size, time, name])| {
                [inode.unwrap_or_default(), mode, links, user, group, size, time, name]
            });
            table(&with_inode.collect::<Vec<[String; 8]>>())
        }
        false => table(&rows.map(|(_, row)| row).collect::<Vec<[String; 7]>>()),
    }
}

/// The character for a type, as `ls -F` has it.
fn mark_of(entry: &RootfsEntry, is_long: bool) -> &'static str {
    match entry.file_type {
        FileType::Directory => "/",
        // The target stands behind it.
        FileType::Symlink if is_long => "",
        FileType::Symlink => "@",
        FileType::Fifo => "|",
        FileType::Socket => "=",
        FileType::Regular if entry.mode & 0o111 != 0 => "*",
        _ => "",
    }
}

/// A size as `ls -h` has it: rounded up, one digit behind the point below ten.
pub(super) fn human_size(bytes: u64) -> String {
    let (mut unit, mut divisor) = (0, 1_u64);
    while bytes / divisor >= 1024 && unit < 6 {
        divisor <<= 10;
        unit += 1;
    }
    if unit == 0 {
        return bytes.to_string();
    }
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(divisor));
    let whole = u128::from(bytes).div_ceil(u128::from(divisor));
    let letter = ["", "K", "M", "G", "T", "P", "E"];
    match (tenths < 100, whole >= 1024 && unit < 6) {
        (true, _) => format!("{}.{}{}", tenths / 10, tenths % 10, letter[unit]),
        (false, true) => format!("1.0{}", letter[unit + 1]),
        (false, false) => format!("{whole}{}", letter[unit]),
    }
}

fn long_row(entry: &RootfsEntry, arguments: &LsArguments, name: String) -> [String; 7] {
    let numeric = arguments.numeric;
    let who = |id: u32, name: &Option<String>| match name {
        Some(name) if !numeric => name.clone(),
        _ => id.to_string(),
    };
    let more = if entry.xattrs.value(ACCESS_ACL).is_some() { "+" } else { "" };
    let size = match entry.device {
        Some((major, minor)) => format!("{major}, {minor}"),
        None if arguments.human_readable => human_size(entry.size_bytes),
        None => entry.size_bytes.to_string(),
    };
    let time = time_text(entry.modified);
    let time = time.get(..16).unwrap_or(&time).replace('T', " ");
    let name = match &entry.target {
        Some(target) => format!("{name} -> {}", escape_bytes(target)),
        None => name,
    };
    let mode = entry.mode_text() + more;
    [
        mode,
        entry.nlink.to_string(),
        who(entry.uid, &entry.user),
        who(entry.gid, &entry.group),
        size,
        time,
        name,
    ]
}

pub(super) fn cat(arguments: &CatArguments, printer: &Printer) -> Result<(), CommandError> {
    let file = &arguments.file.file;
    let rootfs = open_noted(&arguments.file.place(), printer)?;
    let failed = || in_file(file);
    let view = View::new(&rootfs).map_err(failed())?;
    // Nothing is printed when one of the paths is wrong.
    let mut paths = Vec::new();
    for path in &arguments.paths {
        let operand = Operand::parse(path.as_bytes()).map_err(failed())?;
        let path = view.operand(&operand).map_err(failed())?;
        view.check_file(&path).map_err(failed())?;
        paths.push(path);
    }
    let copy = |path: &GuestPath, out: &mut dyn io::Write| {
        view.copy_to(path, out).map_err(|error| match error {
            CopyError::Read(error) => CommandError::from(in_file(file)(error)),
            CopyError::Output(error) => output(Err(error)).expect_err("it is an error"),
        })
    };
    if !printer.is_json() {
        let mut out = raw_output();
        for path in &paths {
            copy(path, &mut out)?;
        }
        return output(out.flush());
    }
    check_sizes(&view, &paths, arguments)?;
    // Piece by piece: `--max-output` may allow more than memory holds.
    let mut out = raw_output();
    let json_text = |text: &str| {
        let mut line = Vec::new();
        json::write_line(&mut line, &text).expect("a string is JSON");
        String::from_utf8(line).expect("JSON is UTF-8").trim_end().to_owned()
    };
    output(write!(
        out,
        "{{\n  \"version\": 1,\n  \"file\": {},\n  \"contents\": [",
        json_text(file.as_str())
    ))?;
    for (at, path) in paths.iter().enumerate() {
        let entry = view.resolve(path).and_then(|path| view.entry(&path)).map_err(failed())?;
        let gap = if at == 0 { "" } else { "," };
        let (name, size) = (json_text(&path.to_string()), entry.size_bytes);
        output(write!(
            out,
            "{gap}\n    {{\n      \"path\": {name},\n      \"size_bytes\": {size},\n      \"base64\": \""
        ))?;
        let mut encoder = EncoderWriter::new(&mut out, &STANDARD);
        copy(path, &mut encoder)?;
        output(encoder.finish().map(drop))?;
        drop(encoder);
        output(out.write_all(b"\"\n    }"))?;
    }
    output(out.write_all(b"\n  ]\n}\n").and_then(|()| out.flush()))
}

/// Checks that the files fit into a document: a sparse one has a size far beyond any memory.
fn check_sizes(view: &View<'_>, paths: &[GuestPath], arguments: &CatArguments) -> Result<(), CommandError> {
    let Size(max_bytes) = arguments.max_output;
    let mut total = 0_u64;
    for path in paths {
        let entry = view.resolve(path).and_then(|path| view.entry(&path));
        total = total.saturating_add(entry.map_err(in_file(&arguments.file.file))?.size_bytes);
        if total > max_bytes {
            let (total, most) = (Size(total), Size(max_bytes));
            let reason = format!("up to this file there are {total}, and at most {most} are printed");
            return Err(CommandError::argument("rootfs cat --json", path.to_string(), reason)
                .advised("allow more with --max-output SIZE, or leave out --json"));
        }
    }
    Ok(())
}

pub(super) fn stat(arguments: &StatArguments, printer: &Printer) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        file: &'a Utf8Path,
        entries: &'a [RootfsEntry],
    }
    let file = &arguments.file.file;
    let format = match (&arguments.format, &arguments.printf) {
        (Some(text), _) => Some(StatFormat::parse(text.as_bytes(), false)?),
        (None, Some(text)) => Some(StatFormat::parse(text.as_bytes(), true)?),
        (None, None) => None,
    };
    let rootfs = open_noted(&arguments.file.place(), printer)?;
    let view = View::new(&rootfs).map_err(in_file(file))?;
    let entry = |path: &OsString| {
        let path = view.operand(&Operand::parse(path.as_bytes())?)?;
        view.entry(&if arguments.dereference { view.resolve(&path)? } else { path })
    };
    let entries: Vec<RootfsEntry> =
        arguments.paths.iter().map(entry).collect::<Result<_, _>>().map_err(in_file(file))?;
    if let (Some(format), false) = (&format, printer.is_json()) {
        return print_formatted(format, &entries, &arguments.paths);
    }
    let mut text = Text::default();
    for entry in &entries {
        if !text.is_empty() {
            text.line("");
        }
        text.append(&description(entry));
    }
    output(printer.result(&Document { version: 1, file, entries: &entries }, text))
}

/// Prints what a format says of each entry. The format escapes what it prints, and may leave out the
/// end of the line.
fn print_formatted(
    format: &StatFormat,
    entries: &[RootfsEntry],
    names: &[OsString],
) -> Result<(), CommandError> {
    let text: String =
        entries.iter().zip(names).map(|(entry, name)| format.apply(entry, name.as_bytes())).collect();
    let mut out = raw_output();
    output(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// One line a field.
fn description(entry: &RootfsEntry) -> Text {
    let mut text = Text::default();
    let mut line = |key: &str, value: &str| text.field(key, value);
    let who = |id: u32, name: &Option<String>| match name {
        Some(name) => format!("{id} ({name})"),
        None => id.to_string(),
    };
    line("path", &entry.path.to_string());
    line("type", entry.file_type.name());
    if let Some(target) = &entry.target {
        line("target", &escape_bytes(target));
    }
    if let Some((major, minor)) = entry.device {
        line("device", &format!("{major}, {minor}"));
    }
    line("size", &entry.size_bytes.to_string());
    line("mode", &format!("{:04o} ({})", entry.mode, entry.mode_text()));
    line("owner", &who(entry.uid, &entry.user));
    line("group", &who(entry.gid, &entry.group));
    line("modified", &time_text(entry.modified));
    line("inode", &entry.inode.to_string());
    line("links", &entry.nlink.to_string());
    if let Some(capabilities) = &entry.capabilities {
        line("capabilities", capabilities);
    }
    for (name, value) in entry.xattrs.iter() {
        line("xattr", &format!("{}={}", escape_bytes(name), xattr_value(value)));
    }
    text
}

/// Text in quotes, anything else in hexadecimal digits, as setfattr takes both.
fn xattr_value(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if escape_bytes(value) == text && !text.contains('"') => format!("\"{text}\""),
        _ => value.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_as_ls_has_them() {
        for (bytes, want) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1025, "1.1K"),
            (10_137, "9.9K"),
            (10_138, "10K"),
            (1_048_575, "1.0M"),
            (1 << 30, "1.0G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(human_size(bytes), want, "{bytes}");
        }
    }
}
