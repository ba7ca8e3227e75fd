//! The directory of the modules of a kernel.

mod dependencies;
mod dependency_order;
mod depmod_files;
mod index_trie;
mod module_info;
mod module_set;
mod module_symbols;

pub(crate) use dependencies::{ModuleTree, list_modules, write_dependencies};
pub(crate) use module_info::ModuleInfo;
pub use module_set::ModuleSet;
