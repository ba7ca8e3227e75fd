//! `banger doctor`.

use banger::Dirs;
use banger::doctor::{DoctorHost, DoctorItem, DoctorReport, DoctorStatus, examine_host};

use crate::failure::{CommandError, output};
use crate::printer::Printer;
use crate::text::Text;

pub(super) fn doctor(dirs: Dirs, printer: &Printer) -> Result<(), CommandError> {
    let report = examine_host(&DoctorHost::of_process(dirs));
    output(printer.result(&report, text(&report)))?;
    match report.usable {
        true => Ok(()),
        false => Err(CommandError::Unsound),
    }
}

fn text(report: &DoctorReport) -> Text {
    let mut text = Text::default();
    let system = report.distribution.as_deref().unwrap_or(report.os);
    text.line(&format!("banger {} on {system}, {}", report.banger_version, report.architecture));
    for item in &report.items {
        let DoctorItem { name, found, needed_for, advice, .. } = item;
        let mark = match item.status {
            DoctorStatus::Ok => "ok",
            DoctorStatus::Missing => "missing",
            _ => "unusable",
        };
        text.line(&format!("{mark:<8}  {name:<19}  {found}"));
        if item.status != DoctorStatus::Ok {
            text.line(&format!("{:<29}  for {needed_for}", ""));
        }
        if let Some(advice) = advice {
            text.line(&format!("{:<29}  {advice}", ""));
        }
    }
    text
}
