//! The section `.modinfo` of a module: what it needs, what it is called, and the kernel that it was built for.

use std::fs::File;
use std::io::Read as _;

use banger_oci::decompress::decompressor;
use camino::Utf8Path;
use elf::ElfBytes;
use elf::endian::AnyEndian;

use crate::error::KernelError;

/// Largest module, not compressed.
const MAX_MODULE_BYTES: u64 = 64 << 20;
/// Most modules that a module may name.
const MAX_DEPENDS: usize = 1024;
/// Ends of the names of modules.
const ENDS: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/// Returns the name of the module in a file, with `_` for each `-` as in the kernel.
pub(crate) fn module_name(file_name: &str) -> Option<String> {
    let name = ENDS.iter().find_map(|end| file_name.strip_suffix(end))?;
    (!name.is_empty()).then(|| name.replace('-', "_"))
}

/// Returns the bytes of the module in the file `path`, not compressed; messages call it `name`.
pub(super) fn read_module(path: &Utf8Path, name: &str) -> Result<Vec<u8>, KernelError> {
    let file = File::open(path).map_err(KernelError::io("open", path))?;
    let mut bytes = Vec::new();
    let read = decompressor(file)
        .and_then(|reader| reader.take(MAX_MODULE_BYTES + 1).read_to_end(&mut bytes).map(drop));
    read.map_err(|error| match error.raw_os_error() {
        Some(_) => KernelError::io("read", path)(error),
        None => KernelError::damaged(name, error.to_string()),
    })?;
    if bytes.len() as u64 > MAX_MODULE_BYTES {
        let (path, limit_bytes) = (name.to_owned(), MAX_MODULE_BYTES);
        return Err(KernelError::TooLarge { path, limit_bytes, setting: None });
    }
    Ok(bytes)
}

/// Returns the ELF file that a module is.
pub(super) fn parse_elf(bytes: &[u8]) -> Result<ElfBytes<'_, AnyEndian>, &'static str> {
    ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(|_| "it is not a kernel module")
}

/// Returns the bytes of the section `name`, if there is one.
pub(super) fn section<'a>(
    elf: &ElfBytes<'a, AnyEndian>,
    name: &str,
) -> Result<Option<&'a [u8]>, &'static str> {
    let section = elf.section_header_by_name(name).map_err(|_| "its ELF sections are malformed")?;
    let Some(section) = section else { return Ok(None) };
    let (data, _) = elf.section_data(&section).map_err(|_| "one of its ELF sections is cut off")?;
    Ok(Some(data))
}

/// The needed fields of a `.modinfo` section.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ModuleInfo {
    /// Names of the modules that it needs.
    pub(crate) depends: Vec<String>,
    /// The release that it was built for.
    pub(crate) release: Option<String>,
    /// Patterns of the devices and names that it is for.
    pub(super) aliases: Vec<String>,
    /// Modules to load before and after it, as the module lists them.
    pub(super) softdeps: Vec<String>,
    /// Modules that it may ask for later.
    pub(super) weakdeps: Vec<String>,
}

impl ModuleInfo {
    /// Reads the module in the file `path`; messages call it `name`.
    pub(crate) fn read(path: &Utf8Path, name: &str) -> Result<Self, KernelError> {
        let bytes = read_module(path, name)?;
        let info = parse_elf(&bytes).and_then(|elf| Self::parse(&elf));
        info.map_err(|reason| KernelError::damaged(name, reason))
    }

    pub(super) fn parse(elf: &ElfBytes<'_, AnyEndian>) -> Result<Self, &'static str> {
        let data =
            section(elf, ".modinfo")?.ok_or("it is not a kernel module: it has no section .modinfo")?;
        let mut info = Self::default();
        for field in data.split(|byte| *byte == 0) {
            let Some((key, value)) = str::from_utf8(field).ok().and_then(|field| field.split_once('='))
            else {
                continue;
            };
            match key {
                "depends" => {
                    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                    info.depends.extend(names.take(MAX_DEPENDS + 1).map(|name| name.replace('-', "_")));
                    if info.depends.len() > MAX_DEPENDS {
                        return Err("it needs more than 1024 modules");
                    }
                }
                "vermagic" => info.release = value.split(' ').next().map(str::to_owned),
                "alias" => info.aliases.push(value.to_owned()),
                "softdep" => info.softdeps.push(value.to_owned()),
                "weakdep" => info.weakdeps.push(value.to_owned()),
                _ => {}
            }
        }
        Ok(info)
    }
}
