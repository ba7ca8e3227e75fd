//! Which guest binary goes into an image, and what is asked of it.

use std::io;
use std::sync::Arc;

use banger_ext4::{GuestAgents, InitMode, injected_texts};
use banger_oci::Digest;
use banger_oci::digest::{Algorithm, Hasher};
use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use crate::argument::ArgumentError;
use crate::setters::setters;

/// How an image is made to boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestOptions {
    /// Which init it gets.
    pub init: InitMode,
    /// A directory of guest binaries, `banger-guest-amd64` and so on, in the place of the one that
    /// comes with banger.
    pub dir: Option<Utf8PathBuf>,
}

setters! {
    GuestOptions {
        with_init => init: InitMode,
        with_dir => dir: Option<Utf8PathBuf>,
    }
}

/// Why there is no guest binary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestBinaryError {
    /// banger brings none for this processor.
    #[error("this banger brings no guest binary for {architecture}")]
    NotEmbedded {
        /// The processor, as OCI calls it.
        architecture: String,
        /// Name of the file that would do.
        file_name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the guest binary {path}: {source}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// It would not run in the guest.
    #[error("{path} is no guest binary for {architecture}: {reason}")]
    Unfit {
        /// The file.
        path: Utf8PathBuf,
        /// The processor, as OCI calls it.
        architecture: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl GuestBinaryError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::NotEmbedded { .. } => 810,
            Self::Read { .. } => 811,
            Self::Unfit { .. } => 812,
        }
    }
}

impl Failure for GuestBinaryError {
    fn code(&self) -> u32 {
        Self::code(self)
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotEmbedded { .. } => ErrorKind::NotFound,
            Self::Read { source, .. } => ErrorKind::of_io(source),
            Self::Unfit { .. } => ErrorKind::Unsupported,
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::NotEmbedded { file_name, .. } => Some(Advice::with_setting(
                format!("give {{setting}} a directory with {file_name}, or leave the image as it is"),
                Setting("dir"),
            )),
            Self::Read { .. } | Self::Unfit { .. } => None,
        }
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::NotEmbedded { architecture, file_name } => {
                context.with("architecture", architecture).with("file_name", file_name)
            }
            Self::Read { path, .. } => context.with("path", path),
            Self::Unfit { path, architecture, .. } => {
                context.with("path", path).with("architecture", architecture)
            }
        }
    }
}

/// Returns the init mode that users call `name`.
///
/// # Errors
/// There is none of that name.
pub fn parse_init_mode(name: &str) -> Result<InitMode, ArgumentError> {
    InitMode::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
        ArgumentError::new(Setting("init"), name, "there is no such choice")
            .with_advice(Advice::new("choose auto, image, banger or install"))
    })
}

/// The binary that comes with banger, and the processor it is for.
#[cfg(embedded_guest)]
const EMBEDDED: Option<(&str, &[u8])> = Some(("amd64", include_bytes!(env!("BANGER_GUEST"))));
#[cfg(not(embedded_guest))]
const EMBEDDED: Option<(&str, &[u8])> = None;

/// Returns the guest binary that comes with banger for the processor that OCI calls `architecture`,
/// such as `amd64`; `None` where it brings none.
pub fn embedded_guest(architecture: &str) -> Option<&'static [u8]> {
    EMBEDDED.filter(|(embedded, _)| *embedded == architecture).map(|(_, bytes)| bytes)
}

/// Returns the guest binary for the processor that OCI calls `architecture`.
pub(crate) fn guest_binary(
    architecture: &str,
    dir: Option<&Utf8Path>,
) -> Result<Arc<[u8]>, GuestBinaryError> {
    let file_name = format!("banger-guest-{architecture}");
    let Some(dir) = dir else {
        return match embedded_guest(architecture) {
            Some(bytes) => Ok(bytes.into()),
            None => Err(GuestBinaryError::NotEmbedded { architecture: architecture.to_owned(), file_name }),
        };
    };
    let path = dir.join(file_name);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(GuestBinaryError::Read { path, source }),
    };
    match check_binary(&bytes, architecture) {
        Ok(()) => Ok(bytes.into()),
        Err(reason) => Err(GuestBinaryError::Unfit { path, architecture: architecture.to_owned(), reason }),
    }
}

/// Returns the digest of all that an injection writes: images of equal digests got the same.
pub(crate) fn digest_of(agents: &GuestAgents) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&agents.binary);
    for text in injected_texts() {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finish()
}

/// Processors by their OCI name and their `e_machine`.
const MACHINES: [(&str, u16); 7] = [
    ("amd64", 62),
    ("arm64", 183),
    ("386", 3),
    ("arm", 40),
    ("ppc64le", 21),
    ("riscv64", 243),
    ("s390x", 22),
];
const PT_INTERP: u32 = 3;

/// Returns the OCI name of the processor that an ELF file is for.
pub(crate) fn architecture_of(elf: &[u8]) -> Option<&'static str> {
    let header = Elf::parse(elf)?;
    MACHINES.iter().find(|(_, machine)| *machine == header.machine).map(|(name, _)| *name)
}

/// Checks that a file is a static executable for a processor.
fn check_binary(bytes: &[u8], architecture: &str) -> Result<(), &'static str> {
    let elf = Elf::parse(bytes).ok_or("it is no ELF file")?;
    let machine = MACHINES.iter().find(|(name, _)| *name == architecture).map(|(_, machine)| *machine);
    if machine.is_some_and(|machine| machine != elf.machine) {
        return Err("it is for another processor");
    }
    match elf.has_interpreter(bytes) {
        None => Err("its program headers are cut off"),
        Some(true) => Err("it is linked dynamically, and a guest may have no libraries"),
        Some(false) => Ok(()),
    }
}

/// What of an ELF header matters here (gABI, "ELF Header" and "Program Header").
struct Elf {
    is_64: bool,
    big_endian: bool,
    machine: u16,
}

impl Elf {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"\x7fELF")?;
        let (is_64, big_endian) = (*rest.first()? == 2, *rest.get(1)? == 2);
        let elf = Self { is_64, big_endian, machine: 0 };
        Some(Self { machine: u16::try_from(elf.number(bytes, 18, 2)?).ok()?, ..elf })
    }

    /// Returns the number of `length` bytes at `offset`.
    fn number(&self, bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
        let bytes = bytes.get(offset..offset.checked_add(length)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.big_endian {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        })
    }

    /// Returns whether a program header names a dynamic linker.
    fn has_interpreter(&self, bytes: &[u8]) -> Option<bool> {
        let (table, entry_size, count) = match self.is_64 {
            true => (self.number(bytes, 32, 8)?, self.number(bytes, 54, 2)?, self.number(bytes, 56, 2)?),
            false => (self.number(bytes, 28, 4)?, self.number(bytes, 42, 2)?, self.number(bytes, 44, 2)?),
        };
        for index in 0..count {
            let at = usize::try_from(table.checked_add(index.checked_mul(entry_size)?)?).ok()?;
            if self.number(bytes, at, 4)? == u64::from(PT_INTERP) {
                return Some(true);
            }
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    /// A 64-bit little-endian executable with these types of program headers.
    fn elf(machine: u16, headers: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(headers.len()).unwrap();
        for kind in headers {
            bytes.extend_from_slice(&kind.to_le_bytes());
            bytes.resize(bytes.len() + 52, 0);
        }
        bytes
    }

    #[test]
    fn binaries_of_a_directory_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        let mut cut = elf(183, &[1, 1]);
        cut.truncate(120);
        for (bytes, want) in [
            (elf(183, &[1, 7]), None),
            (elf(62, &[1]), Some("another processor")),
            (elf(183, &[1, 3]), Some("linked dynamically")),
            (cut, Some("cut off")),
            (b"#!/bin/sh".to_vec(), Some("no ELF")),
        ] {
            std::fs::write(dir.join("banger-guest-arm64"), &bytes).unwrap();
            match (guest_binary("arm64", Some(&dir)), want) {
                (Ok(found), None) => assert_eq!(*found, *bytes),
                (Err(error @ GuestBinaryError::Unfit { .. }), Some(want)) => {
                    assert!(error.to_string().contains(want), "{error}");
                }
                (other, want) => panic!("{other:?}, want {want:?}"),
            }
        }
        assert!(matches!(guest_binary("riscv64", Some(&dir)), Err(GuestBinaryError::Read { .. })));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_one_that_is_embedded_would_pass() {
        assert_eq!(EMBEDDED.is_some(), cfg!(all(target_os = "linux", target_arch = "x86_64")));
        if let Some((architecture, bytes)) = EMBEDDED {
            assert_eq!(check_binary(bytes, architecture), Ok(()));
            assert_eq!(architecture_of(bytes), Some(architecture));
            assert!(guest_binary(architecture, None).is_ok());
        }
        let missing = guest_binary("s390x", None).unwrap_err();
        let advice = missing.advice().expect("a directory would do");
        assert_eq!(advice.setting(), Some(Setting("dir")));
        assert!(advice.to_string().contains("banger-guest-s390x"), "{advice}");
        assert_eq!(embedded_guest("s390x"), None);
    }

    #[test]
    fn init_modes_have_names() {
        for name in ["auto", "image", "banger", "install"] {
            assert_eq!(parse_init_mode(name).unwrap().name(), name);
        }
        assert!(parse_init_mode("systemd").is_err());
    }
}
