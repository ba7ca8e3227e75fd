//! `banger rootfs`.

mod build;
mod edit;
mod look;
mod stat_format;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use banger::rootfs::{EditError, GuestPath, parse_path};

use super::Failure;
use crate::args::{ProgressStyle, RootfsCommand};
use crate::printer::Printer;

/// What stands for the host's standard input.
const STANDARD_INPUT: &str = "-";

pub(super) fn run(command: &RootfsCommand, style: ProgressStyle, printer: &Printer) -> Result<(), Failure> {
    match command {
        RootfsCommand::Build(arguments) => build::build(arguments, style, printer),
        RootfsCommand::Ls(arguments) => look::ls(arguments, printer),
        RootfsCommand::Cat(arguments) => look::cat(arguments, printer),
        RootfsCommand::Stat(arguments) => look::stat(arguments, printer),
        RootfsCommand::Put(arguments) => edit::put(arguments, printer),
        RootfsCommand::Mkdir(arguments) => edit::mkdir(arguments, printer),
        RootfsCommand::Ln(arguments) => edit::ln(arguments, printer),
        RootfsCommand::Mv(arguments) => edit::mv(arguments, printer),
        RootfsCommand::Rm(arguments) => edit::rm(arguments, printer),
        RootfsCommand::Chmod(arguments) => edit::chmod(arguments, printer),
        RootfsCommand::Chown(arguments) => edit::chown(arguments, printer),
        RootfsCommand::Inject(arguments) => edit::inject(arguments, printer),
        RootfsCommand::Resize(arguments) => edit::resize(arguments, printer),
    }
}

fn guest_path(text: &OsStr) -> Result<GuestPath, EditError> {
    parse_path(text.as_bytes())
}
