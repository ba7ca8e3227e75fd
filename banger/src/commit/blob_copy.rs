//! Bytes of blobs on their way: a copy that is checked, and a writer that can be stopped.

use std::fs::File;
use std::io::{self, Read as _, Write};

use banger_oci::Digest;
use banger_oci::digest::Hasher;
use banger_tree::Cancellation;

const CHUNK_BYTES: usize = 1 << 20;

/// The error of a writer when the caller asks to stop.
pub(super) fn stopped() -> io::Error {
    io::Error::other("interrupted")
}

/// Copies a blob. Returns whether its bytes have the digest.
pub(super) fn copy_blob(
    mut from: &File,
    to: &mut impl Write,
    digest: &Digest,
    cancellation: &Cancellation,
) -> io::Result<bool> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        if cancellation.is_cancelled() {
            return Err(stopped());
        }
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish() == *digest),
            Ok(length) => {
                hasher.update(&buffer[..length]);
                to.write_all(&buffer[..length])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
