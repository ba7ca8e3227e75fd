//! The guest binary for an image, and its checks.

use std::fmt;
use std::io;
use std::sync::Arc;

use banger_boot::{GuestAgents, InitMode, injected_texts};
use banger_oci::Digest;
use banger_oci::digest::{Algorithm, Hasher};
use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use crate::argument::ArgumentError;
use crate::elf::check_executable;

/// How an image is made to boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuestOptions {
    /// Which init it gets.
    pub init: InitMode,
    /// A directory of guest binaries, `banger-guest-amd64` and so on, in the place of the embedded one.
    pub dir: Option<Utf8PathBuf>,
    /// A guest binary in memory, for the image's processor. It excludes `dir`.
    pub binary: Option<GuestBinary>,
}

banger_tree::setters! {
    GuestOptions {
        with_init => init: InitMode,
        with_dir => dir: Option<Utf8PathBuf>,
        with_binary => binary: Option<GuestBinary>,
    }
}

/// The bytes of a guest binary. Clones share them.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestBinary(Arc<[u8]>);

impl GuestBinary {
    /// Takes the bytes of a binary. They are checked when an image is made to boot.
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for GuestBinary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GuestBinary({} bytes)", self.0.len())
    }
}

/// Error of the search for a guest binary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestBinaryError {
    /// banger embeds no guest binary for this processor.
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
    /// The options have both a binary and a directory of binaries.
    #[error("there is a guest binary in memory, and one in {dir}")]
    TwoSources {
        /// The directory.
        dir: Utf8PathBuf,
    },
    /// It would not run in the guest.
    #[error("{} is no guest binary for {architecture}: {reason}", name_of(.path.as_deref()))]
    Unfit {
        /// The file; `None` for [`GuestOptions::binary`].
        path: Option<Utf8PathBuf>,
        /// The processor, as OCI calls it.
        architecture: String,
        /// The reason.
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
            Self::TwoSources { .. } => 813,
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
            Self::TwoSources { .. } => ErrorKind::Argument,
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::NotEmbedded { file_name, .. } => Some(Advice::with_setting(
                format!("give {{setting}} a directory with {file_name}, or leave the image as it is"),
                Setting("dir"),
            )),
            Self::TwoSources { .. } => Some(Advice::new("give one of the two")),
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
            Self::TwoSources { dir } => context.with("dir", dir),
            Self::Unfit { path, architecture, .. } => {
                let context = context.with("architecture", architecture);
                path.iter().fold(context, |context, path| context.with("path", path))
            }
        }
    }
}

/// Returns the init mode that users call `name`.
///
/// # Errors
/// A file of that name is missing.
pub fn parse_init_mode(name: &str) -> Result<InitMode, ArgumentError> {
    name.parse().map_err(|_| {
        ArgumentError::new(Setting("init"), name, "there is no such choice")
            .with_advice(Advice::new("choose auto, image, banger or install"))
    })
}

/// The binaries that `build.rs` found or built, each with its processor.
const EMBEDDED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/embedded_guests.rs"));

/// Returns the guest binary that this crate embeds for the processor that OCI calls `architecture`.
///
/// The feature `embedded-guest` embeds the files that `BANGER_GUEST_BINARY` named when the crate was
/// compiled. Without that variable, a build in banger's workspace embeds one for its own processor (`amd64`
/// or `arm64`, on Linux). Any other build embeds no guest binary.
pub fn embedded_guest(architecture: &str) -> Option<&'static [u8]> {
    EMBEDDED.iter().find(|(embedded, _)| *embedded == architecture).map(|(_, bytes)| *bytes)
}

/// Returns the guest binary that `options` choose for the processor that OCI calls `architecture`.
pub(crate) fn guest_binary(
    options: &GuestOptions,
    architecture: &str,
) -> Result<Arc<[u8]>, GuestBinaryError> {
    let file_name = format!("banger-guest-{architecture}");
    let (bytes, path) = match (&options.binary, &options.dir) {
        (Some(_), Some(dir)) => return Err(GuestBinaryError::TwoSources { dir: dir.clone() }),
        (Some(binary), None) => (Arc::clone(&binary.0), None),
        (None, Some(dir)) => {
            let path = dir.join(file_name);
            match std::fs::read(&path) {
                Ok(bytes) => (bytes.into(), Some(path)),
                Err(source) => return Err(GuestBinaryError::Read { path, source }),
            }
        }
        (None, None) => {
            let architecture = architecture.to_owned();
            let embedded = embedded_guest(&architecture).map(Arc::from);
            return embedded.ok_or(GuestBinaryError::NotEmbedded { architecture, file_name });
        }
    };
    match check_executable(&bytes, architecture) {
        Ok(()) => Ok(bytes),
        Err(reason) => Err(GuestBinaryError::Unfit { path, architecture: architecture.to_owned(), reason }),
    }
}

fn name_of(path: Option<&Utf8Path>) -> &str {
    path.map_or("the binary in memory", Utf8Path::as_str)
}

/// Returns the digest of all files that an injection writes. Images with equal digests got the same files.
pub(crate) fn digest_of(agents: &GuestAgents) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&agents.binary);
    for text in injected_texts() {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::elf::architecture_of;

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
        let in_dir = GuestOptions::default().with_dir(Some(dir.clone()));
        let mut cut = elf(183, &[1, 1]);
        cut.truncate(120);
        for (bytes, want) in [
            (elf(183, &[1, 7]), None),
            (elf(62, &[1]), Some("another processor")),
            (elf(183, &[1, 3]), Some("linked dynamically")),
            (cut, Some("cut off")),
            (b"#!/bin/sh".to_vec(), Some("not an ELF")),
        ] {
            std::fs::write(dir.join("banger-guest-arm64"), &bytes).unwrap();
            let in_memory = GuestOptions::default().with_binary(Some(GuestBinary::new(bytes.clone())));
            for (options, name) in [(&in_dir, dir.as_str()), (&in_memory, "the binary in memory is no guest")]
            {
                match (guest_binary(options, "arm64"), want) {
                    (Ok(found), None) => assert_eq!(*found, *bytes),
                    (Err(error @ GuestBinaryError::Unfit { .. }), Some(want)) => {
                        let text = error.to_string();
                        assert!(text.contains(want) && text.starts_with(name), "{text}");
                        assert_eq!(error.code(), 812);
                    }
                    (other, want) => panic!("{other:?}, want {want:?}"),
                }
            }
        }
        let missing = guest_binary(&in_dir, "riscv64");
        assert!(matches!(missing, Err(GuestBinaryError::Read { .. })), "{missing:?}");
        let both = in_dir.with_binary(Some(GuestBinary::new(elf(183, &[1]))));
        let error = guest_binary(&both, "arm64").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
        assert_eq!(format!("{:?}", both.binary), "Some(GuestBinary(120 bytes))");
    }

    #[test]
    fn the_one_that_is_embedded_would_pass() {
        if cfg!(all(feature = "embedded-guest", target_os = "linux", target_arch = "x86_64")) {
            assert!(embedded_guest("amd64").is_some(), "the build of the tests warns of the reason");
        }
        for (architecture, bytes) in EMBEDDED {
            assert_eq!(check_executable(bytes, architecture), Ok(()));
            assert_eq!(architecture_of(bytes), Some(*architecture));
            assert!(guest_binary(&GuestOptions::default(), architecture).is_ok());
        }
        assert_eq!(embedded_guest("s390x"), None);
        let missing = guest_binary(&GuestOptions::default(), "s390x").unwrap_err();
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
