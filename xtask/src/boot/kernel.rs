//! Debian's cloud kernel, unpacked by `scripts/make-boot-tools`, and its modules.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A kernel with the modules that belong to it.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// The bzImage.
    pub(crate) image: PathBuf,
    /// The directory of its modules, which has the name of its release.
    pub(crate) module_directory: PathBuf,
    /// Module files by name, with `_` for every `-` as the kernel has it.
    modules: BTreeMap<String, PathBuf>,
}

impl Kernel {
    /// Opens the kernel unpacked in `dir`.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let image = dir.join("vmlinuz");
        if !image.is_file() {
            bail!("no kernel in {}: run scripts/make-boot-tools once", dir.display());
        }
        let all = dir.join("lib/modules");
        let module_directory = std::fs::read_dir(&all)
            .with_context(|| all.display().to_string())?
            .next()
            .with_context(|| format!("{} is empty", all.display()))??
            .path();
        let mut modules = BTreeMap::new();
        find_modules(&module_directory, &mut modules)?;
        Ok(Self { image, module_directory, modules })
    }

    /// Its release.
    pub(crate) fn release(&self) -> anyhow::Result<&str> {
        let name = self.module_directory.file_name().and_then(OsStr::to_str);
        name.context("the directory of the modules has no name")
    }

    /// Returns the files of `names` and of all that they need, in the order to load them.
    ///
    /// What the kernel has built in has no file, and is left out.
    pub(crate) fn load_order(&self, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let mut order = Vec::new();
        for name in names {
            self.add(name, &mut order)?;
        }
        Ok(order)
    }

    fn add(&self, name: &str, order: &mut Vec<PathBuf>) -> anyhow::Result<()> {
        let Some(path) = self.modules.get(&canonical(name)) else {
            return Ok(());
        };
        if order.contains(path) {
            return Ok(());
        }
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        for needed in depends(&bytes) {
            self.add(&needed, order)?;
        }
        order.push(path.clone());
        Ok(())
    }
}

fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

fn find_modules(dir: &Path, modules: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            find_modules(&path, modules)?;
        } else if path.extension() == Some(OsStr::new("ko"))
            && let Some(stem) = path.file_stem().and_then(OsStr::to_str)
        {
            modules.insert(canonical(stem), path);
        }
    }
    Ok(())
}

/// The modules that a module file says it needs: `depends=a,b` among the strings of its
/// `.modinfo` section.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value: Vec<u8> = module[at + KEY.len()..].iter().copied().take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&value).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::depends;

    #[test]
    fn needs_are_read_from_modinfo() {
        assert_eq!(
            depends(b"\x7fELF\0license=GPL\0depends=failover,net_failover\0x"),
            ["failover", "net_failover"]
        );
        assert!(depends(b"license=GPL\0depends=\0intree=Y").is_empty());
        assert!(depends(b"no such string").is_empty());
    }
}
