//! The section `.modinfo` of a module: its dependencies, and the kernel that it was built for.

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

/// The needed fields of a `.modinfo` section.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ModuleInfo {
    /// Names of the modules that it needs.
    pub(crate) depends: Vec<String>,
    /// The release that it was built for.
    pub(crate) release: Option<String>,
}

impl ModuleInfo {
    /// Reads the module in the file `path`; messages call it `name`.
    pub(crate) fn read(path: &Utf8Path, name: &str) -> Result<Self, KernelError> {
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
        Self::parse(&bytes).map_err(|reason| KernelError::damaged(name, reason))
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let elf = ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(|_| "it is not a kernel module")?;
        let section = elf.section_header_by_name(".modinfo").map_err(|_| "its ELF sections are malformed")?;
        let section = section.ok_or("it is not a kernel module: it has no section .modinfo")?;
        let (data, _) = elf.section_data(&section).map_err(|_| "its section .modinfo is cut off")?;
        let mut info = Self::default();
        for field in data.split(|byte| *byte == 0) {
            let Ok(field) = str::from_utf8(field) else { continue };
            if let Some(names) = field.strip_prefix("depends=") {
                let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
                info.depends.extend(names.take(MAX_DEPENDS + 1).map(|name| name.replace('-', "_")));
                if info.depends.len() > MAX_DEPENDS {
                    return Err("it needs more than 1024 modules");
                }
            } else if let Some(magic) = field.strip_prefix("vermagic=") {
                info.release = magic.split(' ').next().map(str::to_owned);
            }
        }
        Ok(info)
    }
}
