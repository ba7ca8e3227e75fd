//! Keys of the cache: digests of everything that decides about the disk after a step.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use banger_oci::digest::{Algorithm, Hasher};
use camino::Utf8Path;

use super::error::ImageBuildError;
use super::request::ImageBuildRequest;
use super::step::BuildStep;
use crate::kernel::KernelRecord;
use crate::store::StoredImage;

/// Another number makes older entries of the cache unused.
const VERSION: u32 = 1;
/// Size of the pieces in which files are read.
const PIECE_BYTES: usize = 1 << 20;

/// The keys of a build.
#[derive(Clone, Debug)]
pub(super) struct BuildKeys {
    /// The key of the disk after each step.
    pub(super) steps: Vec<String>,
    /// The key of the finished image.
    pub(super) finished: String,
}

impl BuildKeys {
    /// Returns the keys of `request` on `base` with `kernel`. Files of the host are read.
    pub(super) fn of(
        request: &ImageBuildRequest,
        base: &StoredImage,
        kernel: Option<&KernelRecord>,
    ) -> Result<Self, ImageBuildError> {
        let mut key = base_key(request, base, kernel)?;
        let mut steps = Vec::new();
        for step in &request.steps {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            part(&mut hasher, key.as_bytes());
            add_step(&mut hasher, step)?;
            key = hasher.finish().hex().to_owned();
            steps.push(key.clone());
        }
        let mut hasher = Hasher::new(Algorithm::Sha256);
        part(&mut hasher, key.as_bytes());
        part(&mut hasher, b"finished");
        Ok(Self { steps, finished: hasher.finish().hex().to_owned() })
    }
}

/// An image may be edited in its place: then its file has another time.
fn base_key(
    request: &ImageBuildRequest,
    base: &StoredImage,
    kernel: Option<&KernelRecord>,
) -> Result<String, ImageBuildError> {
    let metadata = fs::metadata(&base.path)
        .map_err(|source| ImageBuildError::Source { path: base.path.clone(), source })?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    part(&mut hasher, &VERSION.to_le_bytes());
    part(&mut hasher, env!("CARGO_PKG_VERSION").as_bytes());
    part(&mut hasher, base.record.id.as_str().as_bytes());
    part(&mut hasher, base.record.digest.as_bytes());
    for number in [metadata.size().cast_signed(), metadata.mtime(), metadata.mtime_nsec()] {
        part(&mut hasher, &number.to_le_bytes());
    }
    // The kernel of the base itself is a part of the base.
    part(&mut hasher, kernel.map(|kernel| kernel.digest.as_str()).unwrap_or_default().as_bytes());
    part(&mut hasher, &request.size_bytes.unwrap_or(0).to_le_bytes());
    Ok(hasher.finish().hex().to_owned())
}

fn add_step(hasher: &mut Hasher, step: &BuildStep) -> Result<(), ImageBuildError> {
    match step {
        BuildStep::Run(command) => {
            part(hasher, b"run");
            part(hasher, command.as_bytes());
        }
        BuildStep::Script { text, .. } => {
            part(hasher, b"script");
            part(hasher, text);
        }
        BuildStep::Copy { source, destination } => {
            part(hasher, b"copy");
            // The name decides where it goes.
            part(hasher, source.file_name().unwrap_or_default().as_bytes());
            part(hasher, &[u8::from(source.as_str().ends_with("/."))]);
            part(hasher, destination.as_bytes());
            add_file(hasher, source.as_std_path())?;
        }
        BuildStep::Env { name, value } => {
            part(hasher, b"env");
            part(hasher, name.as_bytes());
            part(hasher, value.as_bytes());
        }
    }
    Ok(())
}

/// Adds a file or directory of the host: modes, targets, contents. A symlink is not followed.
fn add_file(hasher: &mut Hasher, path: &Path) -> Result<(), ImageBuildError> {
    let failed = |source| ImageBuildError::Source {
        path: Utf8Path::from_path(path)
            .map_or_else(|| path.to_string_lossy().as_ref().into(), Utf8Path::to_owned),
        source,
    };
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    part(hasher, &metadata.mode().to_le_bytes());
    if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(failed)?;
        part(hasher, target.as_os_str().as_bytes());
    } else if metadata.is_dir() {
        let names = fs::read_dir(path).map_err(failed)?;
        let mut names =
            names.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        names.sort();
        for name in names {
            part(hasher, name.as_bytes());
            add_file(hasher, &path.join(&name))?;
        }
        part(hasher, b"end");
    } else if metadata.is_file() {
        part(hasher, &metadata.size().to_le_bytes());
        let mut file = fs::File::open(path).map_err(failed)?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match std::io::Read::read(&mut file, &mut piece).map_err(failed)? {
                0 => break,
                length => hasher.update(piece.get(..length).unwrap_or_default()),
            }
        }
    }
    Ok(())
}

/// Adds a part with its length, so that no two lists of parts give the same bytes.
fn part(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
