//! The symbols that a module exports, and those that it takes from the kernel and from other modules.

use std::collections::HashSet;

use elf::ElfBytes;
use elf::abi::SHN_UNDEF;
use elf::endian::AnyEndian;

use super::module_info::section;

/// Start of the names of symbols that hold the checksum of an exported symbol.
const CRC: &str = "__crc_";
/// Length of an entry of `__versions`, `struct modversion_info`: a checksum and a name.
const VERSION_BYTES: usize = 64;

/// The symbols of one module, in the order of its symbol table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ModuleSymbols {
    /// Symbols for other modules.
    pub(super) exports: Vec<String>,
    /// Symbols of the kernel or of other modules; `None` if the module has no symbol table.
    pub(super) imports: Option<Vec<String>>,
}

impl ModuleSymbols {
    pub(super) fn parse(elf: &ElfBytes<'_, AnyEndian>) -> Result<Self, &'static str> {
        const MALFORMED: &str = "its symbol table is malformed";
        let mut symbols = Self::default();
        if let Some((table, names)) = elf.symbol_table().map_err(|_| MALFORMED)? {
            let mut imports = Vec::new();
            for symbol in table.iter().skip(1) {
                let index = usize::try_from(symbol.st_name).map_err(|_| MALFORMED)?;
                let name = names.get_raw(index).map_err(|_| MALFORMED)?;
                // The kernel knows no other names.
                let Ok(name) = str::from_utf8(name) else { continue };
                if symbol.st_shndx == SHN_UNDEF && !name.is_empty() {
                    imports.push(name.to_owned());
                }
                symbols.exports.extend(name.strip_prefix(CRC).map(str::to_owned));
            }
            add_versions(elf, &mut imports)?;
            symbols.imports = Some(imports);
        }
        if symbols.exports.is_empty() {
            // A kernel without CONFIG_MODVERSIONS has no checksums.
            let names = section(elf, "__ksymtab_strings")?.unwrap_or_default();
            let names = names.split(|byte| *byte == 0).filter_map(|name| str::from_utf8(name).ok());
            symbols.exports.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
        }
        Ok(symbols)
    }
}

/// Adds the symbols that only `__versions` names: `module_layout` is one.
fn add_versions(elf: &ElfBytes<'_, AnyEndian>, imports: &mut Vec<String>) -> Result<(), &'static str> {
    let versions = section(elf, "__versions")?.unwrap_or_default();
    let known: HashSet<&str> = imports.iter().map(String::as_str).collect();
    let mut more = Vec::new();
    for entry in versions.chunks_exact(VERSION_BYTES) {
        let name = entry[8..].split(|byte| *byte == 0).next().unwrap_or_default();
        more.extend(str::from_utf8(name).ok().filter(|name| !known.contains(name)).map(str::to_owned));
    }
    imports.extend(more);
    Ok(())
}
