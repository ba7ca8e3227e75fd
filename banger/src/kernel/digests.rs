//! Digests of the files of a kernel.

use std::fs::File;
use std::io::{self, Read as _};

use banger_oci::Digest;
use banger_oci::digest::{Algorithm, Hasher};
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};

use super::kernel_store::StoredKernel;
use super::record::{KernelFileRecord, KernelRecord};
use crate::error::Error;
use crate::host_file::open_plain_path;
use crate::store::{StoreError, StoredKind};

/// Bytes that are hashed at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Returns the record of the file `path`.
pub(crate) fn file_record(
    path: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<KernelFileRecord, StoreError> {
    let failed = |source| StoreError::io("read", path, source);
    let file = open_plain_path(path).map_err(failed)?;
    let size_bytes = file.metadata().map_err(failed)?.len();
    let digest = digest_of(&file, path, Algorithm::Sha256, cancellation)?.to_string();
    Ok(KernelFileRecord { file: path.file_name().unwrap_or_default().to_owned(), size_bytes, digest })
}

/// Returns the digest of the file `path`.
pub(crate) fn file_digest(
    path: &Utf8Path,
    algorithm: Algorithm,
    cancellation: &Cancellation,
) -> Result<Digest, StoreError> {
    let file = open_plain_path(path).map_err(|source| StoreError::io("read", path, source))?;
    digest_of(&file, path, algorithm, cancellation)
}

/// Returns the digest of the rest of an open file.
fn digest_of(
    file: &File,
    path: &Utf8Path,
    algorithm: Algorithm,
    cancellation: &Cancellation,
) -> Result<Digest, StoreError> {
    let mut hasher = Hasher::new(algorithm);
    hash_file(file, &mut hasher, cancellation).map_err(|stop| stop.named(path))?;
    Ok(hasher.finish())
}

/// Returns the digest of the paths and bytes of all files in a directory.
pub(crate) fn directory_digest(
    directory: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<String, StoreError> {
    let mut files = Vec::new();
    let mut pending = vec![Utf8PathBuf::new()];
    while let Some(below) = pending.pop() {
        let at = directory.join(&below);
        let failed = |source| StoreError::io("read", &at, source);
        for entry in at.read_dir_utf8().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = below.join(entry.file_name());
            match entry.file_type().map_err(failed)?.is_dir() {
                true => pending.push(path),
                false => files.push(path),
            }
        }
    }
    files.sort();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for path in files {
        let record = file_record(&directory.join(&path), cancellation)?;
        add_line(&mut hasher, path.as_str(), &record.digest);
    }
    Ok(hasher.finish().to_string())
}

/// Returns the digest of all files of a record.
pub(super) fn files_digest(record: &KernelRecord) -> String {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for file in record.files() {
        add_line(&mut hasher, &file.file, &file.digest);
    }
    if let Some(modules) = &record.modules {
        add_line(&mut hasher, &modules.directory, &modules.digest);
    }
    hasher.finish().to_string()
}

/// Fails if a file of a kernel differs from its record.
pub(super) fn check_files(kernel: &StoredKernel, cancellation: &Cancellation) -> Result<(), Error> {
    let StoredKernel { record, path, .. } = kernel;
    let differs = |name: &str| {
        let (what, id) = (StoredKind::Kernel, record.id.to_string());
        let reason = format!("{} differs from its record", path.join(name));
        Err(StoreError::Damaged { what, id, reason }.into())
    };
    for file in record.files() {
        if file_record(&path.join(&file.file), cancellation)? != *file {
            return differs(&file.file);
        }
    }
    match &record.modules {
        Some(modules)
            if directory_digest(&path.join(&modules.directory), cancellation)? != modules.digest =>
        {
            differs(&modules.directory)
        }
        _ => Ok(()),
    }
}

/// Adds a name with its digest to the digest of all files. Neither has a NUL byte.
fn add_line(hasher: &mut Hasher, name: &str, digest: &str) {
    hasher.update(name.as_bytes());
    hasher.update(&[0]);
    hasher.update(digest.as_bytes());
    hasher.update(&[0]);
}

enum HashStop {
    Cancelled,
    Io(io::Error),
}

impl HashStop {
    fn named(self, path: &Utf8Path) -> StoreError {
        match self {
            Self::Cancelled => StoreError::Cancelled,
            Self::Io(source) => StoreError::io("read", path, source),
        }
    }
}

fn hash_file(mut file: &File, hasher: &mut Hasher, cancellation: &Cancellation) -> Result<(), HashStop> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        if cancellation.is_cancelled() {
            return Err(HashStop::Cancelled);
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(HashStop::Io(error)),
        }
    }
}
