//! The tree of a finished image.

use std::collections::{BTreeMap, HashMap};

use banger_tree::{
    Attributes, ContentId, Corruption, FileType, Inode, InodeId, NodeKind, RootfsError, Timestamp, Tree,
    Xattrs,
};
use camino::Utf8Path;

use super::error::rootfs_error;
use crate::image::{Image, MTIME, ROOT_INODE, RawInode, TIMES};
use banger_ext4::on_disk::{ACL_ACCESS, ACL_DEFAULT, acl_from_disk, decode_device, decode_time};

/// The content of an image.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) tree: Tree,
    /// Inode numbers by inode of the tree.
    pub(crate) numbers: BTreeMap<InodeId, u32>,
    /// Inode numbers of the contents by their ids.
    pub(crate) contents: Vec<u32>,
}

impl Loaded {
    /// Reads all names and inodes of `image`.
    ///
    /// # Errors
    /// The image is damaged, a tree cannot hold a part of it, or the host refuses.
    pub(crate) fn read(image: &Image, path: &Utf8Path) -> Result<Self, RootfsError> {
        let corrupt = |damage| RootfsError::Corrupt { image: path.to_string(), damage };
        let failed = |error| rootfs_error(error, path);
        let mut loaded = Self::default();
        let root = loaded.tree.root();
        let raw = image.inode(ROOT_INODE).map_err(failed)?;
        *loaded.tree.attributes_mut(root) = attributes(image, &raw, path)?;
        loaded.numbers.insert(root, ROOT_INODE);
        let mut known = HashMap::from([(ROOT_INODE, root)]);
        let mut pending = vec![(root, ROOT_INODE)];
        while let Some((dir, number)) = pending.pop() {
            let raw = image.inode(number).map_err(failed)?;
            for (name, entry) in image.entries(&raw).map_err(failed)? {
                let added = match known.get(&entry.inode) {
                    Some(id) => loaded.tree.link(dir, &name, *id),
                    None => {
                        let raw = image.inode(entry.inode).map_err(failed)?;
                        let kind = loaded.kind(image, &raw, entry.inode, path)?;
                        let is_dir = matches!(kind, NodeKind::Directory { .. });
                        let inode = Inode::new(kind, attributes(image, &raw, path)?);
                        loaded.tree.insert(dir, &name, inode).map(|id| {
                            known.insert(entry.inode, id);
                            loaded.numbers.insert(id, entry.inode);
                            if is_dir {
                                pending.push((id, entry.inode));
                            }
                        })
                    }
                };
                added.map_err(|error| {
                    let damage = Corruption::new(format!("directory inode {number}: {error}"));
                    corrupt(damage.with_inode(number))
                })?;
            }
        }
        Ok(loaded)
    }

    fn kind(
        &mut self,
        image: &Image,
        raw: &RawInode,
        number: u32,
        path: &Utf8Path,
    ) -> Result<NodeKind, RootfsError> {
        let file_type = FileType::from_mode_bits(raw.mode()).filter(|_| raw.links_count() > 0);
        let file_type = file_type.ok_or_else(|| RootfsError::Corrupt {
            image: path.to_string(),
            damage: Corruption::new(format!("inode {number} is not in use: mode {:o}", raw.mode()))
                .with_inode(number),
        })?;
        Ok(match file_type {
            FileType::Directory => NodeKind::empty_directory(),
            FileType::Regular => {
                let content = (raw.size() > 0).then(|| {
                    self.contents.push(number);
                    ContentId::from_index(self.contents.len() - 1)
                });
                NodeKind::Regular { size_bytes: raw.size(), content }
            }
            FileType::Symlink => {
                let target = image.target(raw).map_err(|error| rootfs_error(error, path))?;
                NodeKind::Symlink { target: target.into() }
            }
            FileType::Fifo => NodeKind::Fifo,
            FileType::Socket => NodeKind::Socket,
            FileType::CharDevice | FileType::BlockDevice => {
                let mut i_block = [0; 60];
                for (bytes, word) in i_block.chunks_exact_mut(4).zip(raw.block()) {
                    bytes.copy_from_slice(&word.to_le_bytes());
                }
                let (major, minor) = decode_device(&i_block);
                match file_type {
                    FileType::CharDevice => NodeKind::CharDevice { major, minor },
                    _ => NodeKind::BlockDevice { major, minor },
                }
            }
        })
    }
}

fn attributes(image: &Image, raw: &RawInode, path: &Utf8Path) -> Result<Attributes, RootfsError> {
    let [(_, seconds), (_, extra)] = TIMES[MTIME];
    let time = decode_time([raw.u32(seconds), raw.u32(extra)]);
    let mut xattrs = Xattrs::default();
    for (name, value) in image.xattrs(raw).map_err(|error| rootfs_error(error, path))? {
        let value = match &name[..] {
            ACL_ACCESS | ACL_DEFAULT => acl_from_disk(&value).ok_or_else(|| RootfsError::Corrupt {
                image: path.to_string(),
                damage: Corruption::new("it has a malformed ACL"),
            })?,
            _ => value,
        };
        xattrs.insert(name, value);
    }
    Ok(Attributes {
        mode: raw.mode() & 0o7777,
        uid: raw.uid(),
        gid: raw.gid(),
        mtime: Timestamp { nanoseconds: time.nanoseconds.min(999_999_999), ..time },
        xattrs,
    })
}
