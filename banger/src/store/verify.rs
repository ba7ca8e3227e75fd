//! Compares an image's file with its record and checks it for damage.

use std::io;

use banger_ext4::Ext4Editor;
use banger_oci::Digest;
use banger_tree::{Cancellation, RootfsError};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use uuid::Uuid;

use super::error::StoreError;
use super::files::{KERNEL_DIRECTORY, ROOTFS_FILE, VERITY_FILE};
use super::image_store::ImageStore;
use super::lease::StoredImage;
use super::name::ImageName;
use super::record::ImageRecord;
use super::referrer_check::referrer_problems;
use crate::host_file::{open_directory, open_plain};
use crate::id::ImageId;
use crate::identity::uuid_of;
use crate::kernel::{directory_digest, file_record};
use crate::verity::{VerityError, tree_problems};

/// Result of [`ImageStore::verify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// Version of this document.
    pub version: u32,
    /// The image's id.
    pub id: ImageId,
    /// Its name.
    pub name: ImageName,
    /// Its ext4 file.
    pub path: Utf8PathBuf,
    /// Bytes of the file system.
    pub size_bytes: u64,
    /// Bytes that are free in it.
    pub free_bytes: u64,
    /// Inodes in use.
    pub used_inodes: u32,
    /// The problems, one sentence each; empty if the image is sound.
    pub problems: Vec<String>,
}

impl Verification {
    /// The version of the document that this version writes.
    pub const VERSION: u32 = 1;

    /// Returns whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

impl ImageStore {
    /// Compares the file of the image with this name, id or unique beginning of an id with its record. Then
    /// walks its whole file system and checks every checksum. The bytes of files have no checksum, unless the image has
    /// a dm-verity hash tree.
    ///
    /// # Errors
    /// The image does not exist, its record is damaged, or its file cannot be read. Or the caller asks to
    /// stop while another process removes the image.
    pub fn verify(&self, wanted: &str, cancellation: &Cancellation) -> Result<Verification, StoreError> {
        let StoredImage { record, path, lease: _lease } = self.open(wanted, cancellation)?;
        let mut found = Verification {
            version: Verification::VERSION,
            id: record.id.clone(),
            name: record.name.clone(),
            path: path.clone(),
            size_bytes: 0,
            free_bytes: 0,
            used_inodes: 0,
            problems: Vec::new(),
        };
        let opened = open_directory(&self.directory(&record.id));
        let file = opened.and_then(|directory| open_plain(&directory, ROOTFS_FILE));
        let length = match file.and_then(|file| file.metadata()) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                found.problems.push("the file is missing; pull the image again".to_owned());
                return Ok(found);
            }
            Err(source) => return Err(StoreError::io("read", &path, source)),
        };
        if length < record.size_bytes {
            let wanted = record.size_bytes;
            found.problems.push(format!("the file has {length} bytes, and was built with {wanted}"));
        }
        let report = match Ext4Editor::open(&path).and_then(|editor| editor.verify()) {
            Ok(report) => report,
            Err(RootfsError::Io { action, source, .. }) => return Err(StoreError::io(action, &path, source)),
            Err(RootfsError::Corrupt { damage, .. }) => {
                found.problems.push(damage.to_string());
                return Ok(found);
            }
            Err(RootfsError::Unsupported { reason, .. } | RootfsError::Unreadable { reason, .. }) => {
                found.problems.push(reason);
                return Ok(found);
            }
            Err(other) => {
                found.problems.push(other.to_string());
                return Ok(found);
            }
        };
        found.size_bytes = report.size_bytes;
        found.free_bytes = report.free_bytes;
        found.used_inodes = report.used_inodes;
        // It may have grown since it was built, the file together with the file system.
        if report.size_bytes != length {
            let size = report.size_bytes;
            found.problems.push(format!("the file has {length} bytes, and the file system in it {size}"));
        }
        found.problems.extend(verity_problems(&record, &path, cancellation)?);
        found.problems.extend(kernel_problems(&record, &path, cancellation)?);
        found.problems.extend(referrer_problems(&record, &path, cancellation)?);
        if let Some(problem) = wrong_uuid(&record, report.uuid) {
            found.problems.push(problem);
        }
        let more = report.problem_count.saturating_sub(report.problems.len() as u64);
        found.problems.extend(report.problems);
        if more > 0 {
            found.problems.push(format!("{more} more problems"));
        }
        Ok(found)
    }
}

/// Returns the faults of an image's hash tree, and of all bytes under it. `rootfs` is the path of its ext4 file.
fn verity_problems(
    record: &ImageRecord,
    rootfs: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<Vec<String>, StoreError> {
    let Some(verity) = &record.verity else { return Ok(Vec::new()) };
    let (tree, scratch) = (rootfs.with_file_name(VERITY_FILE), rootfs.parent().unwrap_or(rootfs));
    match tree_problems(rootfs, &tree, verity, scratch, cancellation) {
        Ok(problems) => Ok(problems),
        Err(VerityError::Cancelled) => Err(StoreError::Cancelled),
        Err(VerityError::Io { action, path, source }) => Err(StoreError::io(action, &path, source)),
        Err(other) => Ok(vec![other.to_string()]),
    }
}

/// Returns the faults of the files of an image's kernel. `rootfs` is the path of its ext4 file.
fn kernel_problems(
    record: &ImageRecord,
    rootfs: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<Vec<String>, StoreError> {
    let Some(kernel) = &record.kernel else { return Ok(Vec::new()) };
    let directory = rootfs.with_file_name(KERNEL_DIRECTORY);
    let file_digest = |name: &str| Ok(file_record(&directory.join(name), cancellation)?.digest);
    let mut problems = Vec::new();
    let mut compare = |name: &str, wanted: &str, found: Result<String, StoreError>| {
        match found {
            Ok(digest) if digest == wanted => {}
            Ok(digest) => {
                problems.push(format!("{name} of the kernel has the digest {digest}, not {wanted}"))
            }
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                problems.push(format!("{name} of the kernel is missing"));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    };
    for file in kernel.files() {
        compare(&file.file, &file.digest, file_digest(&file.file))?;
    }
    if let Some(modules) = &kernel.modules {
        let digest = directory_digest(&directory.join(&modules.directory), cancellation);
        compare(&modules.directory, &modules.digest, digest)?;
    }
    Ok(problems)
}

/// Returns the fault of an image's UUID, which is in the record or made from its digest.
fn wrong_uuid(record: &ImageRecord, uuid: [u8; 16]) -> Option<String> {
    if let Some(wanted) = record.uuid {
        let found = Uuid::from_bytes(uuid);
        return (found != wanted)
            .then(|| format!("the file system's UUID is {found}, and that in the record {wanted}"));
    }
    let digest = match record.digest.parse::<Digest>() {
        Ok(digest) => digest,
        Err(error) => return Some(format!("the record's digest is none: {error}")),
    };
    let wanted = uuid_of(&digest, "uuid");
    (uuid != *wanted.as_bytes()).then(|| {
        let (found, wanted) = (Uuid::from_bytes(uuid), wanted);
        format!("the file system's UUID is {found}, and that of its digest {wanted}: it is of another image")
    })
}
