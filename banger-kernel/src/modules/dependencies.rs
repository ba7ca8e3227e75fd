//! Writes `modules.dep` where a package leaves that to the machine that installs it.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;

use banger_tree::{Cost, NAME_MEMORY_BYTES};
use camino::{Utf8Path, Utf8PathBuf};

use super::dependency_order::MAX_NEEDED;
use super::module_info::{ModuleInfo, module_name};
use crate::error::KernelError;
use crate::kernel::MODULES_DEP;
use crate::run::ImportRun;

/// Missing modules that are named in a warning.
const MAX_NAMED: usize = 5;

/// The files in a directory of modules, in the order of their paths.
#[derive(Debug, Default)]
pub(crate) struct ModuleTree {
    /// Paths of all files, relative to the directory.
    pub(crate) files: Vec<Utf8PathBuf>,
    /// Bytes of all files.
    pub(crate) size_bytes: u64,
}

impl ModuleTree {
    /// Returns the files that are modules.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (&Utf8Path, String)> {
        self.files.iter().filter_map(|path| Some((path.as_path(), module_name(path.file_name()?)?)))
    }
}

/// Lists the files in a directory that an import made.
pub(crate) fn list_modules(dir: &Utf8Path) -> Result<ModuleTree, KernelError> {
    let mut tree = ModuleTree::default();
    let mut pending = vec![Utf8PathBuf::new()];
    while let Some(below) = pending.pop() {
        let at = dir.join(&below);
        for entry in at.read_dir_utf8().map_err(KernelError::io("read", &at))? {
            let entry = entry.map_err(KernelError::io("read", &at))?;
            let metadata = entry.metadata().map_err(KernelError::io("read", entry.path()))?;
            let path = below.join(entry.file_name());
            if metadata.is_dir() {
                pending.push(path);
            } else {
                tree.size_bytes += metadata.len();
                tree.files.push(path);
            }
        }
    }
    tree.files.sort();
    Ok(tree)
}

/// Writes `modules.dep` for the modules in `dir`; returns a warning if modules need others that are missing.
///
/// Format: modules.dep(5). The modules that a module needs stand in the reverse order of loading.
pub(crate) fn write_dependencies(
    run: &ImportRun<'_>,
    dir: &Utf8Path,
    tree: &ModuleTree,
) -> Result<Option<String>, KernelError> {
    let mut modules = ModulesByName::new();
    for (path, name) in tree.modules() {
        run.check()?;
        let info = ModuleInfo::read(&dir.join(path), path.as_str())?;
        let names: usize = info.depends.iter().map(String::len).sum();
        run.charge(Cost::TreeBytes, names as u64 + NAME_MEMORY_BYTES * info.depends.len() as u64)?;
        modules.insert(name, (path, info));
    }
    let mut missing: Vec<&str> = Vec::new();
    let mut lines = BTreeMap::new();
    for (name, (path, info)) in &modules {
        run.check()?;
        let mut closure =
            Closure { modules: &modules, seen: HashSet::from([name.as_str()]), order: Vec::new() };
        for needed in &info.depends {
            closure.add(needed, &mut missing);
        }
        if closure.seen.len() > MAX_NEEDED {
            let reason = format!("the module needs more than {MAX_NEEDED} others");
            return Err(KernelError::damaged(path, reason));
        }
        let mut line = format!("{path}:");
        for needed in closure.order.iter().rev() {
            write!(line, " {needed}").expect("writing to a String cannot fail");
        }
        lines.insert(*path, line + "\n");
    }
    let path = dir.join(MODULES_DEP);
    let text: String = lines.into_values().collect();
    fs::write(&path, text).map_err(KernelError::write(&path))?;
    missing.sort_unstable();
    missing.dedup();
    Ok((!missing.is_empty()).then(|| {
        let named = missing[..missing.len().min(MAX_NAMED)].join(", ");
        let more = match missing.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("modules need {named}{more}, which the source does not have")
    }))
}

/// Modules by name, with path and facts.
type ModulesByName<'a> = BTreeMap<String, (&'a Utf8Path, ModuleInfo)>;

/// The modules that one module needs.
struct Closure<'a> {
    modules: &'a ModulesByName<'a>,
    seen: HashSet<&'a str>,
    /// In the order of loading.
    order: Vec<&'a Utf8Path>,
}

impl<'a> Closure<'a> {
    /// Adds a module behind all modules that it needs. A circle ends at its first module.
    fn add(&mut self, name: &'a str, missing: &mut Vec<&'a str>) {
        if self.seen.len() > MAX_NEEDED || !self.seen.insert(name) {
            return;
        }
        let Some((path, info)) = self.modules.get(name) else {
            missing.push(name);
            return;
        };
        for needed in &info.depends {
            self.add(needed, missing);
        }
        self.order.push(path);
    }
}
