//! The directory of the modules of a kernel.

mod dependencies;
mod module_info;

pub(crate) use dependencies::{ModuleTree, list_modules, write_dependencies};
pub(crate) use module_info::ModuleInfo;
