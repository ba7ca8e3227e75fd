//! The order in which modules are loaded: each one behind those that it needs.

use super::error::InitramfsError;
use super::index::{ModuleIndex, canonical};
use super::module_file::ModuleFile;
use super::source::ModuleSource;

/// The largest number of modules. The drivers of a root disk are about 20.
const MODULES_MAX: usize = 256;

/// The longest chain of modules that need each other.
const DEPTH_MAX: usize = 32;

/// The total size of all modules, decompressed.
const TOTAL_BYTES: usize = 256 << 20;

/// Modules in the order of loading, under construction.
pub(super) struct LoadOrder<'a> {
    release: &'a str,
    machine: u16,
    source: &'a dyn ModuleSource,
    index: &'a ModuleIndex,
    files: Vec<ModuleFile>,
    /// The modules whose needs are being added, outermost first.
    open: Vec<String>,
    /// Of all modules that were read, also of those that were not kept.
    read_count: usize,
    read_bytes: usize,
}

impl<'a> LoadOrder<'a> {
    pub(super) fn new(
        release: &'a str,
        machine: u16,
        source: &'a dyn ModuleSource,
        index: &'a ModuleIndex,
    ) -> Self {
        let (files, open) = (Vec::new(), Vec::new());
        Self { release, machine, source, index, files, open, read_count: 0, read_bytes: 0 }
    }

    /// Adds drivers and everything that they need. After an error the order is as before.
    pub(super) fn add_all(
        &mut self,
        drivers: &[impl AsRef<str>],
        purpose: &str,
    ) -> Result<(), InitramfsError> {
        let before = self.files.len();
        for driver in drivers {
            if let Err(error) = self.add(driver.as_ref(), purpose) {
                self.files.truncate(before);
                self.open.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Returns the modules in the order of loading.
    pub(super) fn finish(self) -> Vec<ModuleFile> {
        self.files
    }

    fn add(&mut self, name: &str, purpose: &str) -> Result<(), InitramfsError> {
        let name = canonical(name);
        if self.index.is_builtin(&name) || self.files.iter().any(|file| file.name == name) {
            return Ok(());
        }
        if self.open.contains(&name) {
            return Err(InitramfsError::Circle { module: name });
        }
        let index = self.index;
        let missing = |path: Option<&str>| InitramfsError::MissingDriver {
            driver: name.clone(),
            purpose: purpose.to_owned(),
            release: self.release.to_owned(),
            path: path.map(str::to_owned),
        };
        let module = index.module(&name).ok_or_else(|| missing(None))?;
        let file = ModuleFile::read(self.source, &name, &module.path)?;
        let file = file.ok_or_else(|| missing(Some(&module.path)))?;
        file.check(self.release, self.machine)?;
        self.count(&file)?;
        self.open.push(name.clone());
        let purpose = format!("module `{name}`");
        for needed in module.needs().chain(file.info.needs.iter().cloned()) {
            self.add(&needed, &purpose)?;
        }
        for wanted in &file.info.wants {
            self.add_wanted(wanted, &purpose)?;
        }
        self.open.pop();
        self.files.push(file);
        Ok(())
    }

    /// Adds a module that another one wants before it, if that is possible: ext4 of some kernels asks for
    /// `crc32c` only when a file system is mounted.
    pub(super) fn add_wanted(&mut self, name: &str, purpose: &str) -> Result<(), InitramfsError> {
        let Some(module) = self.index.resolve(name).filter(|module| !self.open.contains(module)) else {
            return Ok(());
        };
        let (before, depth) = (self.files.len(), self.open.len());
        match self.add(&module, purpose) {
            Err(InitramfsError::MissingDriver { .. } | InitramfsError::Circle { .. }) => {
                self.files.truncate(before);
                self.open.truncate(depth);
                Ok(())
            }
            result => result,
        }
    }

    /// Checks the limits.
    fn count(&mut self, file: &ModuleFile) -> Result<(), InitramfsError> {
        self.read_count = self.read_count.saturating_add(1);
        self.read_bytes = self.read_bytes.saturating_add(file.bytes.len());
        let limit = |what: &str, limit: String| Err(InitramfsError::Limit { what: what.to_owned(), limit });
        if self.read_count > MODULES_MAX {
            return limit("the drivers need too many modules", format!("{MODULES_MAX} modules"));
        }
        if self.read_bytes > TOTAL_BYTES {
            return limit("the modules are too large", format!("{} MiB", TOTAL_BYTES >> 20));
        }
        if self.open.len() >= DEPTH_MAX {
            return limit("the modules need each other in too long a chain", format!("{DEPTH_MAX} modules"));
        }
        Ok(())
    }
}
