//! `banger completions | man`: what is made of the definitions of the arguments.

use std::fs;
use std::io::Write as _;

use camino::Utf8Path;
use clap::CommandFactory as _;
use serde::Serialize;

use super::{Failure, output};
use crate::args::Arguments;
use crate::printer::{Printer, raw_output};

pub(super) fn completions(shell: clap_complete::Shell, printer: &Printer) -> Result<(), Failure> {
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

pub(super) fn manual_pages(dir: &Utf8Path, printer: &Printer) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u32,
        directory: &'a Utf8Path,
        first_page: &'a Utf8Path,
    }
    fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), dir))
        .map_err(|source| banger::Error::Output { action: "write", path: dir.to_owned(), source })?;
    let first_page = dir.join("banger.1");
    let document = Document { version: 1, directory: dir, first_page: &first_page };
    output(printer.result(&document, &format!("{first_page}\n")))
}
