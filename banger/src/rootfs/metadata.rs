//! The metadata of a whole root file system.

use banger_tree::{
    Cancellation, FileType, GuestPath, Metadata, MetadataEntry, MetadataKind, Rootfs, RootfsError, Stat,
};

use super::edit::WalkedDirs;
use super::error::EditError;

/// Returns type, permissions, owner, time and extended attributes of every path, parents before children.
///
/// # Errors
/// The file system is damaged, the host cannot read it, or the caller asks to stop.
pub fn metadata_of(rootfs: &dyn Rootfs, cancellation: &Cancellation) -> Result<Metadata, EditError> {
    let (mut entries, mut walked) = (Vec::new(), WalkedDirs::default());
    let mut pending = vec![GuestPath::root()];
    while let Some(path) = pending.pop() {
        if cancellation.is_cancelled() {
            return Err(EditError::Cancelled);
        }
        let missing = || RootfsError::NotFound { path: path.clone() };
        let stat = rootfs.stat(&path)?.ok_or_else(missing)?;
        if stat.file_type == FileType::Directory {
            walked.enter(stat.inode, &path)?;
            for entry in rootfs.read_dir(&path)?.into_iter().rev() {
                pending.push(path.join(&entry.name).map_err(RootfsError::from)?);
            }
        }
        let kind = kind_of(&stat);
        entries.push(MetadataEntry::new(path, kind, stat.attributes));
    }
    Ok(Metadata::new(entries))
}

fn kind_of(stat: &Stat) -> MetadataKind {
    let (major, minor) = stat.device.unwrap_or_default();
    match stat.file_type {
        FileType::Regular => MetadataKind::File,
        FileType::Directory => MetadataKind::Directory,
        FileType::Symlink => MetadataKind::Symlink,
        FileType::CharDevice => MetadataKind::CharDevice { major, minor },
        FileType::BlockDevice => MetadataKind::BlockDevice { major, minor },
        FileType::Fifo => MetadataKind::Fifo,
        FileType::Socket => MetadataKind::Socket,
    }
}
