//! Whole files: into memory, and over earlier ones.

use std::io::Read;

use banger_tree::{Attributes, FileType, GuestPath, Rootfs, RootfsError, Timestamp};

use super::capability::CAPABILITY;
use super::error::EditError;

/// Permissions of a new file.
const FILE_MODE: u16 = 0o644;

/// Returns the bytes of the regular file `path`, which may be at most `max_bytes`; the last component is not
/// followed.
///
/// # Errors
/// The path does not exist, is no regular file, or has more bytes.
pub fn read_up_to(rootfs: &dyn Rootfs, path: &GuestPath, max_bytes: u64) -> Result<Vec<u8>, EditError> {
    if let Some(stat) = rootfs.stat(path)?
        && stat.file_type == FileType::Regular
        && stat.size_bytes > max_bytes
    {
        let size_bytes = stat.size_bytes;
        let reason =
            format!("it has {size_bytes} bytes, more than the allowed {max_bytes}; read it in parts");
        return Err(RootfsError::Limit { path: path.clone(), reason }.into());
    }
    Ok(rootfs.read(path)?)
}

/// Writes the regular file `path` at `timestamp`. A file that it replaces gives it mode, owner and extended
/// attributes, but no capability; a new one is 0644 and of 0:0. The last component is not followed.
///
/// # Errors
/// As [`Rootfs::write_file`].
pub fn write_over(
    rootfs: &mut dyn Rootfs,
    path: &GuestPath,
    content: &mut dyn Read,
    timestamp: Timestamp,
) -> Result<(), EditError> {
    let before = rootfs.stat(path)?.filter(|stat| stat.file_type == FileType::Regular);
    let mut attributes = before.map_or_else(|| Attributes::with_mode(FILE_MODE), |stat| stat.attributes);
    attributes.mtime = timestamp;
    // It was given to the bytes that go.
    attributes.xattrs.remove(CAPABILITY);
    Ok(rootfs.write_file(path, content, &attributes)?)
}
