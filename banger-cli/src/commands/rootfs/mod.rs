//! `banger rootfs`.

mod build;
mod check;
mod compare;
mod edit;
mod find;
mod get;
mod look;
mod measure;
mod operand;
mod script;
mod stat_format;
mod tar;

use crate::args::{ProgressStyle, RootfsCommand};
use crate::failure::CommandError;
use crate::printer::Printer;

pub(super) fn run(
    command: &RootfsCommand,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    match command {
        RootfsCommand::Build(arguments) => build::build(arguments, style, printer),
        RootfsCommand::Ls(arguments) => look::ls(arguments, printer),
        RootfsCommand::Cat(arguments) => look::cat(arguments, printer),
        RootfsCommand::Get(arguments) => get::get(arguments, printer),
        RootfsCommand::Tar(arguments) => tar::tar(arguments, printer),
        RootfsCommand::Df(arguments) => measure::df(arguments, printer),
        RootfsCommand::Du(arguments) => measure::du(arguments, printer),
        RootfsCommand::Find(arguments) => find::find(arguments, printer),
        RootfsCommand::Diff(arguments) => compare::diff(arguments, printer),
        RootfsCommand::Verify(arguments) => check::verify(arguments, printer),
        RootfsCommand::Repair(arguments) => check::repair(arguments, printer),
        RootfsCommand::Stat(arguments) => look::stat(arguments, printer),
        RootfsCommand::Put(arguments) => edit::put(arguments, printer),
        RootfsCommand::Edit(arguments) => script::edit(arguments, printer),
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
