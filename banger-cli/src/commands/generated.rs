//! `banger completions | man`: what is made of the definitions of the arguments.

use std::fs;
use std::io::{self, Write as _};

use camino::Utf8Path;
use clap::CommandFactory as _;
use serde::Serialize;

use crate::args::Arguments;
use crate::failure::{CommandError, output};
use crate::printer::{Printer, raw_output};

/// Mode of a manual page, before the umask.
const PAGE_MODE: u32 = 0o666;

pub(super) fn completions(shell: clap_complete::Shell, printer: &Printer) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        shell: String,
        script: &'a str,
    }
    // Not to standard output itself: the generator panics where that fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "banger", &mut script);
    let script = String::from_utf8_lossy(&script);
    match printer.is_json() {
        true => {
            output(printer.result(&Document { version: 1, shell: shell.to_string(), script: &script }, ""))
        }
        // Many lines of our own, which are to be what they are.
        false => output(raw_output().write_all(script.as_bytes())),
    }
}

pub(super) fn manual_pages(dir: &Utf8Path, printer: &Printer) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        directory: &'a Utf8Path,
        first_page: &'a Utf8Path,
    }
    banger::HostPlace::check_path(dir.as_std_path()).map_err(banger::Error::new_file(dir))?;
    fs::create_dir_all(dir).map_err(write_error(dir))?;
    let mut command = Arguments::command().disable_help_subcommand(true);
    // The full names of the subcommands.
    command.build();
    write_pages(command, dir)?;
    let first_page = dir.join("banger.1");
    let document = Document { version: 1, directory: dir, first_page: &first_page };
    output(printer.result(&document, &format!("{first_page}\n")))
}

/// Writes the page of a command and those of its subcommands.
fn write_pages(command: clap::Command, dir: &Utf8Path) -> Result<(), banger::Error> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_pages(subcommand.clone(), dir)?;
    }
    let page = clap_mangen::Man::new(command);
    let path = dir.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).map_err(write_error(&path))?;
    let written = banger::write_new_file(path.as_std_path(), PAGE_MODE, &text);
    written.map_err(banger::Error::new_file(&path))
}

fn write_error(path: &Utf8Path) -> impl FnOnce(io::Error) -> banger::Error {
    let path = path.to_owned();
    move |source| banger::OutputError::Io { action: "write", path, source }.into()
}
