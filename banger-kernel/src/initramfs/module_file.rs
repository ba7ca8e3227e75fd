//! One module: its file, decompressed.

use std::io::{Cursor, Read as _};

use banger_oci::decompress::decompressor;

use super::error::InitramfsError;
use super::index::ModuleIndex;
use super::modinfo::{ModuleInfo, module_info};
use super::source::{ModuleSource, too_large};

/// The largest module, compressed or not. The largest drivers of distributions, for graphics, have 20 MiB.
const MODULE_BYTES: u64 = 64 << 20;

/// A module that was read.
#[derive(Clone, Debug)]
pub(super) struct ModuleFile {
    /// The name, as the kernel has it.
    pub(super) name: String,
    /// The path in the module directory.
    path: String,
    /// The ELF file.
    pub(super) bytes: Vec<u8>,
    pub(super) info: ModuleInfo,
}

impl ModuleFile {
    /// Reads the module at `path` or, compressed, beside it; `None` if there is no file.
    pub(super) fn read(
        source: &dyn ModuleSource,
        name: &str,
        path: &str,
    ) -> Result<Option<Self>, InitramfsError> {
        for path in ModuleIndex::candidates(path) {
            let failed = |source| InitramfsError::Read { path: path.clone(), source };
            if let Some(bytes) = source.read(&path, MODULE_BYTES).map_err(failed)? {
                return Self::parse(name, path, bytes).map(Some);
            }
        }
        Ok(None)
    }

    fn parse(name: &str, path: String, bytes: Vec<u8>) -> Result<Self, InitramfsError> {
        let is_too_large = |bytes: &Vec<u8>| bytes.len() as u64 > MODULE_BYTES;
        if is_too_large(&bytes) {
            return Err(InitramfsError::Read { path, source: too_large(MODULE_BYTES) });
        }
        let mut plain = Vec::new();
        let unpacked = decompressor(Cursor::new(bytes))
            .and_then(|reader| reader.take(MODULE_BYTES + 1).read_to_end(&mut plain));
        let damaged = |path, reason: String| Err(InitramfsError::Damaged { path, reason });
        if let Err(error) = unpacked {
            return damaged(path, error.to_string());
        }
        if is_too_large(&plain) {
            return damaged(path, too_large(MODULE_BYTES).to_string());
        }
        match module_info(&plain) {
            Ok(info) => Ok(Self { name: name.to_owned(), path, bytes: plain, info }),
            Err(reason) => damaged(path, reason.to_owned()),
        }
    }

    /// Checks that a kernel would load the module.
    pub(super) fn check(&self, release: &str, machine: u16) -> Result<(), InitramfsError> {
        let path = self.path.clone();
        if self.info.release != release {
            let (found, release) = (self.info.release.clone(), release.to_owned());
            return Err(InitramfsError::WrongRelease { path, found, release });
        }
        match self.info.machine == machine {
            true => Ok(()),
            false => Err(InitramfsError::WrongProcessor { path }),
        }
    }
}
