//! All modules of a kernel as a root file system needs them, with the files that `depmod` makes.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;

use banger_tree::{Budget, Cancellation, Cost, NAME_MEMORY_BYTES};
use camino::{Utf8Path, Utf8PathBuf};

use super::dependencies::list_modules;
use super::dependency_order::DependencyOrder;
use super::depmod_files::{self, IndexedModule, builtin_aliases, builtin_names};
use super::index_trie::IndexError;
use super::module_info::{ModuleInfo, module_name, parse_elf, read_module};
use super::module_symbols::ModuleSymbols;
use crate::error::KernelError;

/// Longest list of modules, `modules.order` or one of the built-in ones; real ones have up to 2 MiB.
const MAX_LIST_BYTES: u64 = 64 << 20;
/// Most modules: kmod counts them with 16 bits.
const MAX_MODULES: usize = 65_534;
/// Directory whose modules are preferred to others of the same name.
const UPDATES: &str = "updates/";

/// The modules of a kernel, for `/lib/modules/<release>` of a root file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleSet {
    /// Paths of the files to take as they are, relative to the directory of the modules, in order.
    pub files: Vec<Utf8PathBuf>,
    /// Files that [`ModuleSet::read`] made from the modules, as `depmod` does: names and bytes. They replace
    /// files of the same names.
    pub indexes: Vec<(&'static str, Vec<u8>)>,
    /// Names of the modules, in order.
    pub names: Vec<String>,
}

impl ModuleSet {
    /// Reads all modules in `directory`, which has the content of `/lib/modules/<release>`, and makes their
    /// indexes. Modules may be compressed. The result depends only on the names and bytes of the files.
    ///
    /// # Errors
    /// A module is damaged or too large, there are too many, or the caller asks to stop.
    pub fn read(directory: &Utf8Path, cancellation: &Cancellation) -> Result<Self, KernelError> {
        let budget = Budget::unlimited().with_limit(Cost::TreeBytes, Cost::TreeBytes.default_limit());
        let set = SetReader { directory, budget, cancellation };
        let mut files = list_modules(directory)?.files;
        let modules = set.modules(&files)?;
        let indexes = set.indexes(&modules)?;
        files.retain(|path| !indexes.iter().any(|(name, _)| path == name));
        let mut names: Vec<String> = modules.into_iter().map(|module| module.name).collect();
        names.sort();
        Ok(Self { files, indexes, names })
    }

    /// Returns whether the kernel has this module.
    pub fn has(&self, name: &str) -> bool {
        self.names.binary_search_by(|module| module.as_str().cmp(name)).is_ok()
    }
}

struct SetReader<'a> {
    directory: &'a Utf8Path,
    budget: Budget,
    cancellation: &'a Cancellation,
}

impl SetReader<'_> {
    fn charge(&self, bytes: usize) -> Result<(), KernelError> {
        let charged = self.budget.charge(Cost::TreeBytes, bytes as u64);
        charged.map_err(|over| KernelError::Budget { path: self.directory.to_string(), over })
    }

    /// Reads the modules, in the order of their numbers: as `modules.order` lists them, then by path.
    fn modules(&self, files: &[Utf8PathBuf]) -> Result<Vec<IndexedModule>, KernelError> {
        let list = self.list("modules.order")?.unwrap_or_default();
        let lines = String::from_utf8_lossy(&list);
        let mut order = HashMap::new();
        for (number, line) in lines.lines().enumerate() {
            order.entry(line).or_insert(number);
        }
        let place = |path: &Utf8Path| {
            let name = path.as_str();
            let name = [".gz", ".xz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            order.get(name).copied().unwrap_or(usize::MAX)
        };
        let mut chosen: Vec<(usize, &Utf8Path)> = preferred(files).map(|path| (place(path), path)).collect();
        chosen.sort();
        if chosen.len() > MAX_MODULES {
            let reason = format!("it has {} modules, and kmod knows {MAX_MODULES} at most", chosen.len());
            return Err(KernelError::unsupported(self.directory, reason));
        }
        chosen.into_iter().map(|(_, path)| self.module(path)).collect()
    }

    fn module(&self, path: &Utf8Path) -> Result<IndexedModule, KernelError> {
        if self.cancellation.is_cancelled() {
            return Err(KernelError::Cancelled);
        }
        let bytes = read_module(&self.directory.join(path), path.as_str())?;
        let parse = || {
            let elf = parse_elf(&bytes)?;
            Ok((ModuleInfo::parse(&elf)?, ModuleSymbols::parse(&elf)?))
        };
        let (info, symbols) = parse().map_err(|reason: &str| KernelError::damaged(path, reason))?;
        let texts = [&info.aliases, &info.softdeps, &info.weakdeps, &info.depends, &symbols.exports];
        for text in texts.into_iter().chain(&symbols.imports).flatten() {
            self.charge(text.len() + NAME_MEMORY_BYTES as usize)?;
        }
        let name = path.file_name().and_then(module_name).unwrap_or_default();
        Ok(IndexedModule { path: path.to_owned(), name, info, symbols })
    }

    fn indexes(&self, modules: &[IndexedModule]) -> Result<Vec<(&'static str, Vec<u8>)>, KernelError> {
        let order = DependencyOrder::new(direct_needs(modules));
        let mut lines = Vec::with_capacity(modules.len());
        for (number, module) in modules.iter().enumerate() {
            let needs = order.all_needs(number);
            let needs =
                needs.ok_or_else(|| KernelError::damaged(&module.path, "it needs too many modules"))?;
            let mut line = format!("{}:", module.path);
            for needed in needs {
                line.push(' ');
                line.push_str(modules[needed].path.as_str());
            }
            self.charge(line.len())?;
            lines.push(line);
        }
        let failed = |path: &str| {
            let path = self.directory.join(path);
            move |error: IndexError| KernelError::damaged(&path, error.to_string())
        };
        let mut made = vec![
            ("modules.alias", depmod_files::aliases(modules)),
            ("modules.dep", lines.iter().map(|line| format!("{line}\n")).collect::<String>()),
            ("modules.devname", depmod_files::device_names(modules)),
            ("modules.softdep", depmod_files::soft_dependencies(modules)),
            ("modules.symbols", depmod_files::symbols(modules)),
            ("modules.weakdep", depmod_files::weak_dependencies(modules)),
        ]
        .into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect::<Vec<_>>();
        made.extend([
            ("modules.alias.bin", depmod_files::aliases_bin(modules).map_err(failed(""))?),
            ("modules.dep.bin", depmod_files::dependencies_bin(modules, &lines).map_err(failed(""))?),
            ("modules.symbols.bin", depmod_files::symbols_bin(modules).map_err(failed(""))?),
        ]);
        if let Some(list) = self.list("modules.builtin")? {
            made.push(("modules.builtin.bin", builtin_names(&list).map_err(failed("modules.builtin"))?));
        }
        if let Some(list) = self.list("modules.builtin.modinfo")? {
            let index = builtin_aliases(&list).map_err(failed("modules.builtin.modinfo"))?;
            made.push(("modules.builtin.alias.bin", index));
        }
        made.sort();
        Ok(made)
    }

    /// Returns the bytes of a list that the build of the kernel made, if there is one.
    fn list(&self, name: &str) -> Result<Option<Vec<u8>>, KernelError> {
        let path = self.directory.join(name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(KernelError::io("open", &path))?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_LIST_BYTES + 1).read_to_end(&mut bytes).map_err(KernelError::io("read", &path))?;
        if bytes.len() as u64 > MAX_LIST_BYTES {
            let (path, limit_bytes) = (path.to_string(), MAX_LIST_BYTES);
            return Err(KernelError::TooLarge { path, limit_bytes, setting: None });
        }
        Ok(Some(bytes))
    }
}

/// Returns the files that are modules, one for each name.
fn preferred(files: &[Utf8PathBuf]) -> impl Iterator<Item = &Utf8Path> {
    let mut chosen: BTreeMap<String, &Utf8Path> = BTreeMap::new();
    for path in files {
        let Some(name) = path.file_name().and_then(module_name) else { continue };
        let is_update = |path: &Utf8Path| path.as_str().starts_with(UPDATES);
        let place = chosen.entry(name).or_insert(path);
        if is_update(path) && !is_update(place) {
            *place = path;
        }
    }
    chosen.into_values()
}

/// Returns the modules that each module needs itself: those that export its symbols.
fn direct_needs(modules: &[IndexedModule]) -> Vec<Vec<usize>> {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (number, module) in modules.iter().enumerate() {
        by_name.insert(&module.name, number);
        owners.extend(module.symbols.exports.iter().map(|symbol| (symbol.as_str(), number)));
    }
    let needs_of = |module: &IndexedModule| {
        let (names, numbers) = match &module.symbols.imports {
            Some(imports) => (imports, &owners),
            // A module without a symbol table still says what it needs.
            None => (&module.info.depends, &by_name),
        };
        let mut needs = Vec::new();
        for name in names {
            needs.extend(numbers.get(name.as_str()).filter(|number| !needs.contains(*number)).copied());
        }
        needs
    };
    modules.iter().map(needs_of).collect()
}
