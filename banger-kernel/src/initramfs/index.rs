//! The lists of a module directory: which modules there are, which the kernel has built in, and what they need.

use std::collections::{BTreeMap, BTreeSet};

use super::error::InitramfsError;
use super::source::{ModuleSource, too_large};

/// The longest list. `modules.alias` of a distribution has about 2 MiB.
const LIST_BYTES: u64 = 16 << 20;

/// The largest number of modules, and of aliases. Distributions have about 6000 modules.
const ENTRIES_MAX: usize = 1 << 16;

/// The largest number of modules that one module needs.
pub(super) const NEEDS_MAX: usize = 256;

/// The endings of compressed modules. `modules.order` does not have them.
const COMPRESSED: [&str; 4] = ["", ".zst", ".xz", ".gz"];

/// A module by its lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListedModule {
    /// The file, relative to the module directory.
    pub(super) path: String,
    /// The files of the modules that must be loaded before; the first to load comes last. `modules.order` has
    /// none: there the module itself says them.
    needs: String,
}

impl ListedModule {
    /// Returns the names of the modules that must be loaded before, in the order of loading.
    pub(super) fn needs(&self) -> impl Iterator<Item = String> + '_ {
        self.needs.split_ascii_whitespace().rev().take(NEEDS_MAX).filter_map(name_of)
    }
}

/// The lists of a module directory.
#[derive(Clone, Debug, Default)]
pub(super) struct ModuleIndex {
    modules: BTreeMap<String, ListedModule>,
    builtin: BTreeSet<String>,
    /// Without those that have wildcards, which are for devices.
    aliases: BTreeMap<String, Vec<String>>,
}

impl ModuleIndex {
    /// Reads the lists. All of them may be missing, as in the directory of a kernel without modules.
    pub(super) fn read(source: &dyn ModuleSource, builtin: &[String]) -> Result<Self, InitramfsError> {
        let mut index = Self::default();
        index.builtin.extend(builtin.iter().map(|name| canonical(name)));
        for line in list(source, "modules.builtin")?.unwrap_or_default().lines() {
            index.builtin.extend(name_of(line.trim()));
        }
        match list(source, "modules.dep")? {
            // `kernel/a.ko: kernel/b.ko kernel/c.ko`
            Some(text) => {
                for (path, needs) in text.lines().filter_map(|line| line.split_once(':')) {
                    index.add(path.trim(), needs)?;
                }
            }
            None => {
                for line in list(source, "modules.order")?.unwrap_or_default().lines() {
                    index.add(line.trim(), "")?;
                }
            }
        }
        for line in list(source, "modules.alias")?.unwrap_or_default().lines() {
            index.add_alias(line)?;
        }
        Ok(index)
    }

    fn add(&mut self, path: &str, needs: &str) -> Result<(), InitramfsError> {
        if let (Some(path), Some(name)) = (inner_path(path), name_of(path)) {
            // The first one counts, as with depmod.
            self.modules
                .entry(name)
                .or_insert_with(|| ListedModule { path: path.to_owned(), needs: needs.to_owned() });
        }
        check_count("the kernel has too many modules", self.modules.len())
    }

    /// Takes a line of `modules.alias`: `alias crc32c crc32c_generic`.
    fn add_alias(&mut self, line: &str) -> Result<(), InitramfsError> {
        let mut words = line.split_ascii_whitespace();
        if let (Some("alias"), Some(alias), Some(module), None) =
            (words.next(), words.next(), words.next(), words.next())
            && !alias.contains(['*', '?', '['])
        {
            let modules = self.aliases.entry(canonical(alias)).or_default();
            if modules.len() < NEEDS_MAX {
                modules.push(canonical(module));
            }
        }
        check_count("the modules have too many aliases", self.aliases.len())
    }

    /// Whether the kernel has the driver built in.
    pub(super) fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(name)
    }

    /// Returns the module of a name.
    pub(super) fn module(&self, name: &str) -> Option<&ListedModule> {
        self.modules.get(name)
    }

    /// Returns the module that a name or an alias leads to; `None` if the kernel has it built in or not at all.
    pub(super) fn resolve(&self, name: &str) -> Option<String> {
        let name = canonical(name);
        let aliased = self.aliases.get(&name).map(Vec::as_slice).unwrap_or_default();
        let candidates = [vec![name.clone()], aliased.to_vec(), vec![generic(&name)]].concat();
        if candidates.iter().any(|name| self.is_builtin(name)) {
            return None;
        }
        candidates.into_iter().find(|name| self.modules.contains_key(name))
    }

    /// Returns the paths to try for a file of the lists.
    pub(super) fn candidates(path: &str) -> impl Iterator<Item = String> + '_ {
        COMPRESSED.into_iter().map(move |ending| format!("{path}{ending}"))
    }
}

fn check_count(what: &str, count: usize) -> Result<(), InitramfsError> {
    match count > ENTRIES_MAX {
        true => Err(InitramfsError::Limit { what: what.to_owned(), limit: ENTRIES_MAX.to_string() }),
        false => Ok(()),
    }
}

/// Returns the usual name of the module behind an alias of the crypto API, `crypto-crc32c` or `crc32c`. Packages
/// have no `modules.alias`, as `depmod` makes it at the installation.
fn generic(alias: &str) -> String {
    format!("{}_generic", alias.strip_prefix("crypto_").unwrap_or(alias))
}

/// Returns a module's name as the kernel has it, with `_` for every `-`.
pub(super) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns the name of the module in a file; `None` for a file that is not a module, or whose name could not be
/// one.
fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, ending) = file.split_once(".ko")?;
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    (is_name && COMPRESSED.contains(&ending)).then(|| canonical(name))
}

/// Returns a path relative to the module directory. Old versions of depmod write absolute ones.
fn inner_path(path: &str) -> Option<&str> {
    let path = match path.strip_prefix('/') {
        None => path,
        Some(path) => {
            let path = path.strip_prefix("usr/").unwrap_or(path).strip_prefix("lib/modules/")?;
            path.split_once('/')?.1
        }
    };
    path.split('/').all(|component| !["", ".", ".."].contains(&component)).then_some(path)
}

/// Returns a list as text; `None` if the file does not exist.
fn list(source: &dyn ModuleSource, path: &str) -> Result<Option<String>, InitramfsError> {
    let failed = |source| InitramfsError::Read { path: path.to_owned(), source };
    let Some(bytes) = source.read(path, LIST_BYTES).map_err(failed)? else {
        return Ok(None);
    };
    // A source may overlook the limit.
    if u64::try_from(bytes.len()).map_or(true, |length| length > LIST_BYTES) {
        return Err(failed(too_large(LIST_BYTES)));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files() {
        let cases = [
            ("kernel/drivers/virtio/virtio-pci.ko", Some("virtio_pci")),
            ("virtio.ko.xz", Some("virtio")),
            ("a/b.ko.zst", Some("b")),
            ("a/b.ko.gz", Some("b")),
            ("a/b.ko.exe", None),
            ("a/b", None),
            ("a/.ko", None),
            ("a/b\nc.ko", None),
            ("", None),
        ];
        for (path, name) in cases {
            assert_eq!(name_of(path).as_deref(), name, "{path:?}");
        }
    }

    #[test]
    fn paths_stay_inside_the_directory() {
        let cases = [
            ("kernel/a.ko", Some("kernel/a.ko")),
            ("/lib/modules/6.1/kernel/a.ko", Some("kernel/a.ko")),
            ("/usr/lib/modules/6.1/kernel/a.ko", Some("kernel/a.ko")),
            ("/etc/a.ko", None),
            ("../a.ko", None),
            ("kernel/../../a.ko", None),
            ("kernel//a.ko", None),
            ("./a.ko", None),
            ("", None),
        ];
        for (path, inner) in cases {
            assert_eq!(inner_path(path), inner, "{path:?}");
        }
    }

    #[test]
    fn modules_dep_goes_before_modules_order() {
        let read = |path: &str, _: u64| {
            Ok(match path {
                "modules.dep" => Some(b"k/a-1.ko.xz: k/c.ko.xz k/b.ko.xz\nnonsense\n../x.ko:\n".to_vec()),
                "modules.order" => Some(b"k/other.ko\n".to_vec()),
                "modules.builtin" => Some(b"k/in-side.ko\n".to_vec()),
                "modules.alias" => Some(
                    b"# comment\nalias pci:v* a_1\nalias some-thing a_1\nalias crc32c in_side\nalias x\n"
                        .to_vec(),
                ),
                _ => None,
            })
        };
        let index = ModuleIndex::read(&read, &["given-name".to_owned()]).expect("it can be read");
        let module = index.module("a_1").expect("it is listed");
        assert_eq!(module.path, "k/a-1.ko.xz");
        let needs: Vec<String> = module.needs().collect();
        assert_eq!(needs, ["b", "c"], "the first to load comes last in the file");
        assert_eq!(index.module("other"), None);
        assert_eq!(index.module("x"), None);
        assert!(index.is_builtin("in_side") && index.is_builtin("given_name"));
        assert_eq!(index.resolve("some_thing").as_deref(), Some("a_1"));
        assert_eq!(index.resolve("some-thing").as_deref(), Some("a_1"));
        assert_eq!(index.resolve("crc32c"), None, "it is built in");
        assert_eq!(index.resolve("unknown"), None);
        assert_eq!(index.aliases.len(), 2, "aliases with wildcards are not kept");
    }

    #[test]
    fn lists_have_a_limit() {
        let long = |path: &str, _: u64| Ok((path == "modules.dep").then(|| vec![b'\n'; (16 << 20) + 1]));
        let error = ModuleIndex::read(&long, &[]).expect_err("it is too long");
        assert!(matches!(&error, InitramfsError::Read { path, .. } if path == "modules.dep"), "{error}");
        let lines = |form: fn(u32) -> String| (0..70_000).map(form).collect::<String>().into_bytes();
        let (modules, aliases) =
            (lines(|number| format!("m{number}.ko:\n")), lines(|number| format!("alias a{number} b\n")));
        for (file, content, reason) in [
            ("modules.dep", modules, "the kernel has too many modules, and the limit is 65536"),
            ("modules.alias", aliases, "the modules have too many aliases, and the limit is 65536"),
        ] {
            let source = |path: &str, _: u64| Ok((path == file).then(|| content.clone()));
            assert_eq!(ModuleIndex::read(&source, &[]).expect_err(file).to_string(), reason);
        }
        let line = format!("a.ko:{}\n", " b.ko".repeat(1000)).into_bytes();
        let source = |path: &str, _: u64| Ok((path == "modules.dep").then(|| line.clone()));
        let index = ModuleIndex::read(&source, &[]).expect("it can be read");
        assert_eq!(index.module("a").map(|module| module.needs().count()), Some(NEEDS_MAX));
    }
}
