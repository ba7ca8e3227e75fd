//! The blob of a dm-verity hash tree: made for a push, and made a file again by a pull.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::FileExt as _;

use banger_oci::digest::{Algorithm, Hasher};
use banger_oci::manifest::{Descriptor, ImageManifest};
use banger_oci::{Digest, PullError};
use banger_tree::Cancellation;
use camino::Utf8Path;

use super::error::RootfsArtifactError;
use super::verity_format::{MOST_TREE_BYTES, ROOT_HASH, TREE_TYPE};
use crate::error::Error;
use crate::verity::{VerityRecord, check_tree, tree_bytes};

/// Level of zstd. Never changed: the same tree has to give the same blob in all versions.
const ZSTD_LEVEL: i32 = 3;
/// A frame may ask for so much memory: 16 MiB. Those of banger ask for less.
const WINDOW_LOG: u32 = 24;
/// Bytes that are compressed or decompressed at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The blob of a hash tree, in a file without a name.
#[derive(Debug)]
pub(super) struct TreeBlob {
    file: File,
    pub(super) digest: Digest,
    size_bytes: u64,
    root_hash: String,
}

impl TreeBlob {
    /// Compresses the tree in the file `path` into the empty file `spool`.
    pub(super) fn new(
        path: &Utf8Path,
        record: &VerityRecord,
        spool: File,
        cancellation: &Cancellation,
    ) -> Result<Self, Error> {
        let failed = RootfsArtifactError::io("read", path);
        let mut tree = crate::host_file::open_plain_path(path).map_err(&failed)?;
        let tree_bytes = tree.metadata().map_err(&failed)?.len();
        if tree_bytes > MOST_TREE_BYTES {
            let (size_bytes, most_bytes) = (tree_bytes, MOST_TREE_BYTES);
            return Err(
                RootfsArtifactError::TooLarge { path: path.to_owned(), size_bytes, most_bytes }.into()
            );
        }
        check_tree(path, record)?;
        let compressed = compress(&mut tree, tree_bytes, &spool, cancellation);
        let (digest, size_bytes) = compressed.map_err(|error| match cancellation.is_cancelled() {
            true => Error::Cancelled,
            false => failed(error).into(),
        })?;
        Ok(Self { file: spool, digest, size_bytes, root_hash: record.root_hash.clone() })
    }

    /// Adds the tree to a manifest that has the windows.
    pub(super) fn add_to(&self, manifest: &mut ImageManifest) {
        manifest.layers.push(Descriptor::new(TREE_TYPE, self.digest.clone(), self.size_bytes));
        manifest.annotations.insert(ROOT_HASH.to_owned(), self.root_hash.clone());
    }

    /// Returns the bytes of the blob.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.size_bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Writes one frame; returns its digest and its size.
fn compress(
    tree: &mut File,
    tree_bytes: u64,
    spool: &File,
    cancellation: &Cancellation,
) -> io::Result<(Digest, u64)> {
    let mut encoder = zstd::Encoder::new(Hashed::new(spool), ZSTD_LEVEL)?;
    encoder.include_checksum(false)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(tree_bytes))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if cancellation.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match tree.read(&mut piece)? {
            0 => break,
            count => encoder.write_all(&piece[..count])?,
        }
    }
    let Hashed { hasher, bytes, .. } = encoder.finish()?;
    Ok((hasher.finish(), bytes))
}

/// A file that is hashed while it is written.
struct Hashed<'a> {
    file: &'a File,
    hasher: Hasher,
    bytes: u64,
}

impl<'a> Hashed<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, hasher: Hasher::new(Algorithm::Sha256), bytes: 0 }
    }
}

impl io::Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes the hash tree of an artifact to the file `path` and checks it against `record`. `digest` is that of the
/// manifest.
pub(super) fn restore_tree(
    blob: impl Read,
    path: &Utf8Path,
    record: &VerityRecord,
    digest: &Digest,
    cancellation: &Cancellation,
) -> Result<(), Error> {
    let wrong = |reason: String| {
        let reason = format!("its hash tree: {reason}");
        Error::from(RootfsArtifactError::Malformed { digest: digest.to_string(), reason })
    };
    let failed = RootfsArtifactError::io("write to", path);
    let created = OpenOptions::new().write(true).create(true).truncate(true).open(path);
    let mut file = created.map_err(&failed)?;
    let mut left = tree_bytes(record).unwrap_or(0);
    let unreadable = |error: io::Error| match PullError::from_io(&error).cloned() {
        Some(cause) => cause.into(),
        None => wrong(format!("it cannot be decompressed: {error}")),
    };
    let mut decoder = zstd::Decoder::new(blob).map_err(&unreadable)?;
    decoder.window_log_max(WINDOW_LOG).map_err(&unreadable)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if cancellation.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let count = match decoder.read(&mut piece).map_err(&unreadable)? {
            0 => break,
            count => count,
        };
        left = left.checked_sub(count as u64).ok_or_else(|| wrong("it is too long".to_owned()))?;
        file.write_all(&piece[..count]).map_err(&failed)?;
    }
    drop(file);
    check_tree(path, record).map_err(|error| wrong(error.to_string()))
}
