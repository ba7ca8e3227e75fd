//! `/sbin/init`.

use banger_guest::config::paths;
use banger_tree::FileType;

use crate::detect::{INIT, OPENRC_INIT};
use crate::edit::Edit;
use crate::error::InjectError;
use crate::plan::{BootPlan, InitLink, MOVED_INIT};
use crate::report::FixupKind;

/// Makes `/sbin/init` what the plan says.
pub(crate) fn install(edit: &mut Edit<'_>, plan: &BootPlan) -> Result<(), InjectError> {
    let target = match plan.init {
        InitLink::Keep => return Ok(()),
        InitLink::Banger => paths::INIT,
        InitLink::OpenrcInit => OPENRC_INIT,
    };
    edit.fixing(FixupKind::Init, |edit| {
        match (&plan.init_path, plan.move_init) {
            (Some(real), true) if plan.init_is_symlink => edit.symlink(MOVED_INIT, real)?,
            (Some(_), true) => edit.rename(INIT, MOVED_INIT)?,
            _ => {}
        }
        if edit.stat(INIT)?.is_some_and(|stat| stat.file_type == FileType::Directory) {
            edit.warn(format!("{INIT} is a directory, and no kernel starts that"));
            return Ok(());
        }
        edit.symlink(INIT, target)
    })
}
