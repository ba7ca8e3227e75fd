//! The contents of the files that `depmod` makes: depmod(8), modules.dep(5).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::Utf8PathBuf;

use super::index_trie::{IndexError, IndexTrie};
use super::module_info::ModuleInfo;
use super::module_symbols::ModuleSymbols;

/// A module with what the indexes say of it.
#[derive(Debug)]
pub(super) struct IndexedModule {
    /// The file, relative to the directory of the modules.
    pub(super) path: Utf8PathBuf,
    pub(super) name: String,
    pub(super) info: ModuleInfo,
    pub(super) symbols: ModuleSymbols,
}

/// Modules with their numbers, which are the priorities in an index.
fn numbered(modules: &[IndexedModule]) -> impl Iterator<Item = (u32, &IndexedModule)> {
    (0..).zip(modules)
}

pub(super) fn aliases(modules: &[IndexedModule]) -> String {
    let mut text = "# Aliases extracted from modules themselves.\n".to_owned();
    for module in modules {
        for alias in &module.info.aliases {
            line(&mut text, format_args!("alias {alias} {}", module.name));
        }
    }
    text
}

pub(super) fn aliases_bin(modules: &[IndexedModule]) -> Result<Vec<u8>, IndexError> {
    let mut trie = IndexTrie::default();
    for (number, module) in numbered(modules) {
        for alias in module.info.aliases.iter().filter_map(|alias| normalized(alias)) {
            trie.insert(&alias, &module.name, number)?;
        }
    }
    trie.finish()
}

/// `lines` are those of `modules.dep`.
pub(super) fn dependencies_bin(modules: &[IndexedModule], lines: &[String]) -> Result<Vec<u8>, IndexError> {
    let mut trie = IndexTrie::default();
    for ((number, module), line) in numbered(modules).zip(lines) {
        trie.insert(&module.name, line, number)?;
    }
    trie.finish()
}

pub(super) fn soft_dependencies(modules: &[IndexedModule]) -> String {
    let mut text = "# Soft dependencies extracted from modules themselves.\n".to_owned();
    for module in modules {
        for softdep in &module.info.softdeps {
            line(&mut text, format_args!("softdep {} {softdep}", module.name));
        }
    }
    text
}

pub(super) fn weak_dependencies(modules: &[IndexedModule]) -> String {
    let mut text = "# Weak dependencies extracted from modules themselves.\n".to_owned();
    for module in modules {
        for weakdep in &module.info.weakdeps {
            line(&mut text, format_args!("weakdep {} {weakdep}", module.name));
        }
    }
    text
}

pub(super) fn symbols(modules: &[IndexedModule]) -> String {
    let mut text = "# Aliases for symbols, used by symbol_request().\n".to_owned();
    for (symbol, (_, module)) in owners(modules) {
        line(&mut text, format_args!("alias symbol:{symbol} {}", module.name));
    }
    text
}

pub(super) fn symbols_bin(modules: &[IndexedModule]) -> Result<Vec<u8>, IndexError> {
    let mut trie = IndexTrie::default();
    for (symbol, (number, module)) in owners(modules) {
        trie.insert(&format!("symbol:{symbol}"), &module.name, number)?;
    }
    trie.finish()
}

/// Returns the exported symbols, each with the last module that exports it.
fn owners(modules: &[IndexedModule]) -> BTreeMap<&str, (u32, &IndexedModule)> {
    let mut owners = BTreeMap::new();
    for (number, module) in numbered(modules) {
        owners.extend(module.symbols.exports.iter().map(|symbol| (symbol.as_str(), (number, module))));
    }
    owners
}

/// The device nodes that load a module when they are opened.
pub(super) fn device_names(modules: &[IndexedModule]) -> String {
    let mut text = "# Device nodes to trigger on-demand module loading.\n".to_owned();
    for module in modules {
        let (mut name, mut number) = (None, None);
        for alias in &module.info.aliases {
            if let Some(device) = alias.strip_prefix("devname:") {
                name = Some(device);
            } else if let Some(found) = device_number(alias) {
                number = Some(found);
            }
            if name.is_some() && number.is_some() {
                break;
            }
        }
        if let (Some(name), Some((kind, major, minor))) = (name, number) {
            line(&mut text, format_args!("{} {name} {kind}{major}:{minor}", module.name));
        }
    }
    text
}

/// Returns the device in `char-major-10-200` or `block-major-7-0`.
fn device_number(alias: &str) -> Option<(char, u32, u32)> {
    let (kind, numbers) = match alias.strip_prefix("char-major-") {
        Some(numbers) => ('c', numbers),
        None => ('b', alias.strip_prefix("block-major-")?),
    };
    let (major, minor) = numbers.split_once('-')?;
    Some((kind, major.parse().ok()?, minor.parse().ok()?))
}

/// The names of built-in modules, out of `modules.builtin`: `kernel/fs/ext4/ext4.ko`.
pub(super) fn builtin_names(list: &[u8]) -> Result<Vec<u8>, IndexError> {
    let mut trie = IndexTrie::default();
    for path in String::from_utf8_lossy(list).lines() {
        let file = path.rsplit('/').next().unwrap_or_default();
        let name = file.split('.').next().unwrap_or_default();
        if path.starts_with(|first: char| first.is_ascii_alphabetic()) {
            trie.insert(&name.replace('-', "_"), "", 0)?;
        }
    }
    trie.finish()
}

/// The aliases of built-in modules, out of `modules.builtin.modinfo`: `ext4.alias=fs-ext4`, NUL.
pub(super) fn builtin_aliases(list: &[u8]) -> Result<Vec<u8>, IndexError> {
    let mut trie = IndexTrie::default();
    for field in list.split(|byte| *byte == 0) {
        let field = String::from_utf8_lossy(field);
        let Some((module, alias)) = field.split_once('.') else { continue };
        let Some(alias) = alias.strip_prefix("alias=").and_then(normalized) else { continue };
        trie.insert(&alias, module, 0)?;
    }
    trie.finish()
}

/// Returns an alias with `_` for each `-` outside of brackets; `None` if a bracket has no partner. kmod
/// normalizes the names that it looks up in the same way.
fn normalized(alias: &str) -> Option<String> {
    let mut is_inside = false;
    let normalize = |c: char| {
        match c {
            '[' if !is_inside => is_inside = true,
            ']' if !is_inside => return None,
            ']' => is_inside = false,
            '-' if !is_inside => return Some('_'),
            _ => {}
        }
        Some(c)
    };
    let text: Option<String> = alias.chars().map(normalize).collect();
    text.filter(|_| !is_inside)
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_have_no_dashes_but_in_brackets() {
        for (alias, want) in [
            ("fs-ext4", Some("fs_ext4")),
            ("usb:v*[0-9]-x", Some("usb:v*[0-9]_x")),
            ("a[b", None),
            ("a]b", None),
        ] {
            assert_eq!(normalized(alias).as_deref(), want, "{alias}");
        }
    }

    #[test]
    fn devices_have_a_kind_and_two_numbers() {
        for (alias, want) in [
            ("char-major-10-200", Some(('c', 10, 200))),
            ("block-major-7-0", Some(('b', 7, 0))),
            ("char-major-10-*", None),
            ("block-major-7", None),
            ("major-7-0", None),
        ] {
            assert_eq!(device_number(alias), want, "{alias}");
        }
    }
}
