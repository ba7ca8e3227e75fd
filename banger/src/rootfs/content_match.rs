//! Writes that depend on the content that a file has, and files that are read back.

use std::fmt;
use std::str::FromStr;

use banger_oci::Digest;
use banger_oci::digest::{Algorithm, Hasher};
use banger_tree::{Cancellation, FileType, GuestPath, Rootfs};

use super::error::EditError;

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// The text for a file that must not exist.
const ABSENT: &str = "absent";

/// The content that a path must have, so that it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentMatch {
    /// Nothing has this path.
    Absent,
    /// A regular file whose bytes have this digest.
    Digest(Digest),
}

impl FromStr for ContentMatch {
    type Err = EditError;

    /// Parses `absent`, `sha256:HEX` or the 64 hexadecimal digits alone.
    fn from_str(text: &str) -> Result<Self, EditError> {
        if text == ABSENT {
            return Ok(Self::Absent);
        }
        let whole = if text.contains(':') { text.to_owned() } else { format!("sha256:{text}") };
        let digest = whole.parse().ok().filter(|digest: &Digest| digest.algorithm() == Algorithm::Sha256);
        digest.map(Self::Digest).ok_or_else(|| EditError::Match { text: text.to_owned() })
    }
}

impl fmt::Display for ContentMatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => formatter.write_str(ABSENT),
            Self::Digest(digest) => digest.fmt(formatter),
        }
    }
}

impl ContentMatch {
    /// Checks the content of `path`, whose last component is not followed.
    pub(super) fn check(
        &self,
        rootfs: &dyn Rootfs,
        path: &GuestPath,
        cancellation: &Cancellation,
    ) -> Result<(), EditError> {
        let found = match rootfs.stat(path)?.map(|stat| stat.file_type) {
            None if *self == Self::Absent => return Ok(()),
            None => ABSENT.to_owned(),
            Some(FileType::Regular) => {
                let found = digest_of(rootfs, path, cancellation)?;
                if matches!(self, Self::Digest(wanted) if *wanted == found) {
                    return Ok(());
                }
                found.to_string()
            }
            Some(other) => other.name().to_owned(),
        };
        Err(EditError::Differs { path: path.clone(), wanted: self.to_string(), found })
    }
}

/// Returns the SHA-256 digest of the bytes of the regular file `path`; the last component is not followed.
///
/// # Errors
/// The path does not exist, is not a regular file or cannot be read, or the caller asks to stop.
pub fn digest_of(
    rootfs: &dyn Rootfs,
    path: &GuestPath,
    cancellation: &Cancellation,
) -> Result<Digest, EditError> {
    let (mut hasher, mut offset, mut buffer) = (Hasher::new(Algorithm::Sha256), 0, vec![0; CHUNK_BYTES]);
    loop {
        if cancellation.is_cancelled() {
            return Err(EditError::Cancelled);
        }
        match rootfs.read_at(path, offset, &mut buffer)? {
            0 => return Ok(hasher.finish()),
            length => {
                hasher.update(&buffer[..length]);
                offset += length as u64;
            }
        }
    }
}

/// Checks that a file that was committed has its bytes in the image.
pub(super) fn read_back(
    rootfs: &dyn Rootfs,
    path: &GuestPath,
    wanted: &Digest,
    cancellation: &Cancellation,
) -> Result<(), EditError> {
    match ContentMatch::Digest(wanted.clone()).check(rootfs, path, cancellation) {
        Err(EditError::Differs { path, wanted, found }) => Err(EditError::ReadBack { path, wanted, found }),
        other => other,
    }
}
