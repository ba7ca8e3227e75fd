//! `banger rootfs ls | cat | stat`.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use banger::rootfs::{
    CopyError, Entry, Ext4Editor, FileType, GuestPath, Listing, View, escape_bytes, in_file, open, time_text,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;
use serde::Serialize;

use super::guest_path;
use crate::args::{CatArguments, LsArguments, StatArguments};
use crate::commands::images::table;
use crate::commands::{Failure, output};
use crate::printer::Printer;

/// Xattr that marks a file whose permissions are more than its mode.
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

/// Opens `file`, and says what one who reads it should know.
fn open_noted(file: &Utf8Path, printer: &Printer) -> Result<Ext4Editor, Failure> {
    let rootfs = open(file)?;
    rootfs.notes().iter().for_each(|note| printer.warning(&format!("{file}: {note}")));
    Ok(rootfs)
}

pub(super) fn ls(arguments: &LsArguments, printer: &Printer) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        file: &'a Utf8Path,
        entries: &'a [Entry],
        directories: &'a [Listing],
    }
    let file = &arguments.file.file;
    let rootfs = open_noted(file, printer)?;
    let failed = || in_file(file);
    let view = View::new(&rootfs).map_err(failed())?;
    let (mut entries, mut directories) = (Vec::new(), Vec::new());
    for path in &arguments.paths {
        let path = guest_path(path).map_err(failed())?;
        let entry = view.entry(&path).map_err(failed())?;
        let is_directory = match entry.file_type {
            FileType::Directory => true,
            // One that leads nowhere is listed itself.
            FileType::Symlink if !arguments.long => view
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
    let mut text = lines(&entries, arguments, |entry| entry.path.to_string());
    let has_headings = arguments.recursive || arguments.paths.len() > 1;
    for listing in &directories {
        if has_headings {
            let gap = if text.is_empty() { "" } else { "\n" };
            writeln!(text, "{gap}{}:", listing.path).expect("writing to a String cannot fail");
        }
        let name = |entry: &Entry| escape_bytes(entry.path.file_name().unwrap_or(b"/"));
        text.push_str(&lines(&listing.entries, arguments, name));
    }
    let document = Document { version: 1, file, entries: &entries, directories: &directories };
    output(printer.result(&document, &text))
}

/// One line an entry.
fn lines(entries: &[Entry], arguments: &LsArguments, name: impl Fn(&Entry) -> String) -> String {
    if !arguments.long {
        return entries.iter().map(|entry| name(entry) + "\n").collect();
    }
    let rows: Vec<[String; 7]> =
        entries.iter().map(|entry| long_row(entry, arguments.numeric, name(entry))).collect();
    table(&rows)
}

fn long_row(entry: &Entry, numeric: bool, name: String) -> [String; 7] {
    let who = |id: u32, name: &Option<String>| match name {
        Some(name) if !numeric => name.clone(),
        _ => id.to_string(),
    };
    let more = if entry.xattrs.value(ACCESS_ACL).is_some() { "+" } else { "" };
    let size = match entry.device {
        Some((major, minor)) => format!("{major}, {minor}"),
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

pub(super) fn cat(arguments: &CatArguments, printer: &Printer) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        file: &'a Utf8Path,
        contents: Vec<Content>,
    }
    #[derive(Serialize)]
    struct Content {
        path: GuestPath,
        size_bytes: u64,
        base64: String,
    }
    let file = &arguments.file.file;
    let rootfs = open_noted(file, printer)?;
    let view = View::new(&rootfs).map_err(in_file(file))?;
    let paths: Vec<GuestPath> = arguments
        .paths
        .iter()
        .map(|path| guest_path(path))
        .collect::<Result<_, _>>()
        .map_err(in_file(file))?;
    // Nothing is printed when one of the paths is wrong.
    for path in &paths {
        view.check_file(path).map_err(in_file(file))?;
    }
    let copy = |path: &GuestPath, out: &mut dyn io::Write| {
        view.copy_to(path, out).map_err(|error| match error {
            CopyError::Read(error) => Failure::from(in_file(file)(error)),
            CopyError::Output(error) => output(Err(error)).expect_err("it is an error"),
        })
    };
    if !printer.is_json() {
        let mut out = printer.bytes();
        for path in &paths {
            copy(path, &mut out)?;
        }
        return output(out.flush());
    }
    let mut contents = Vec::new();
    for path in paths {
        let mut bytes = Vec::new();
        let size_bytes = copy(&path, &mut bytes)?;
        contents.push(Content { path, size_bytes, base64: STANDARD.encode(bytes) });
    }
    output(printer.result(&Document { version: 1, file, contents }, ""))
}

pub(super) fn stat(arguments: &StatArguments, printer: &Printer) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        file: &'a Utf8Path,
        entries: &'a [Entry],
    }
    let file = &arguments.file.file;
    let rootfs = open_noted(file, printer)?;
    let view = View::new(&rootfs).map_err(in_file(file))?;
    let entry = |path| {
        let path = guest_path(path)?;
        view.entry(&if arguments.dereference { view.resolve(&path)? } else { path })
    };
    let entries: Vec<Entry> =
        arguments.paths.iter().map(|path| entry(path)).collect::<Result<_, _>>().map_err(in_file(file))?;
    let texts: Vec<String> = entries.iter().map(description).collect();
    output(printer.result(&Document { version: 1, file, entries: &entries }, &texts.join("\n")))
}

/// One line a field.
fn description(entry: &Entry) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        writeln!(text, "{key:<12} {value}").expect("writing to a String cannot fail")
    };
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
