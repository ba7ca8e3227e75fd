//! Applies the entries of one layer after the other.

use std::io::BufRead;

use banger_tree::{
    Attributes, ContentId, Cost, DEVICE_MAJOR_MAX, DEVICE_MINOR_MAX, ENTRY_ALLOWANCE_BYTES, GuestPath, Inode,
    InodeId, NodeKind, SYMLINK_TARGET_MAX, Setting, Timestamp, XATTR_NAME_MAX, Xattrs,
};

use super::applier::Applier;
use super::error::EntryError;
use super::warning::{WarningKind, shown};
use super::whiteout::{AUFS_LINKS, Meaning, hidden_by_long_name};
use crate::tar::{Data, TarEntry, TarEntryKind, TarReader};

/// The label of the machine that built a layer. Layers are read without it: the guest has its own policy.
pub const SELINUX_XATTR: &[u8] = b"security.selinux";
/// Memory of one extended attribute besides its name and value: its place in a map, two allocations.
const XATTR_MEMORY_BYTES: u64 = 128;

impl Applier<'_> {
    /// Does the work that waits for the last entry.
    pub(super) fn end_layer(&mut self) -> Result<(), (Vec<u8>, EntryError)> {
        self.entry_bytes = 0;
        self.apply_pending_links()?;
        if std::mem::take(&mut self.has_aufs_links) {
            let root = self.tree.root();
            self.remove(root, AUFS_LINKS).map_err(|error| (AUFS_LINKS.to_vec(), error))?;
        }
        Ok(())
    }

    /// Applies one entry; the bytes of its file are still in `reader`.
    pub(super) fn apply(
        &mut self,
        entry: &mut TarEntry,
        reader: &mut TarReader<impl BufRead>,
    ) -> Result<(), EntryError> {
        self.stats.entries += 1;
        self.entry_bytes = 0;
        self.count_entry()?;
        self.apply_counted(entry, reader)?;
        self.budget().charge_above(Cost::TreeBytes, self.entry_bytes, ENTRY_ALLOWANCE_BYTES)?;
        Ok(())
    }

    fn apply_counted(
        &mut self,
        entry: &mut TarEntry,
        reader: &mut TarReader<impl BufRead>,
    ) -> Result<(), EntryError> {
        if let Some(key) = &entry.repeated_record {
            let key = shown(key);
            self.warn(&entry.path, WarningKind::RepeatedRecord { key });
        }
        if entry.kind == TarEntryKind::VolumeLabel {
            self.warn(&entry.path, WarningKind::Skipped { what: "a volume label" });
            return Ok(());
        }
        let (path, is_long_whiteout) = match GuestPath::parse(&entry.path) {
            Ok(path) => (path, false),
            Err(error) => (hidden_by_long_name(&entry.path).ok_or(EntryError::Path(error))?, true),
        };
        self.check_depth(path.components().count() as u64)?;
        match Meaning::of(&path)? {
            Meaning::Root => self.apply_root(entry),
            Meaning::Whiteout { parent, name } => self.apply_whiteout(parent, name),
            Meaning::Entry { parent, name } if is_long_whiteout => self.apply_whiteout(parent, name),
            Meaning::Opaque { directory } => self.apply_opaque(directory),
            Meaning::AufsMeta => {
                self.warn(&entry.path, WarningKind::Skipped { what: "AUFS bookkeeping" });
                Ok(())
            }
            // No path of an image has the directory's name, so it can stay in the tree until the
            // layer's end.
            Meaning::AufsLink { parent, name } => {
                self.has_aufs_links = true;
                self.apply_plain(entry, parent, name, reader)
            }
            Meaning::Entry { parent, name } => self.apply_plain(entry, parent, name, reader),
        }
    }

    fn apply_root(&mut self, entry: &mut TarEntry) -> Result<(), EntryError> {
        if entry.kind != TarEntryKind::Directory {
            return Err(EntryError::RootNotADirectory);
        }
        let root = self.tree.root();
        let attributes = self.attributes(entry)?;
        if self.origins.describe(root) {
            self.warn(&entry.path, WarningKind::Duplicate);
        }
        *self.tree.attributes_mut(root) = attributes;
        Ok(())
    }

    fn apply_whiteout(&mut self, parent: &[u8], name: &[u8]) -> Result<(), EntryError> {
        self.stats.whiteouts += 1;
        let Some(dir) = self.find_directory(parent)? else { return Ok(()) };
        let Some(hidden) = self.tree.child(dir, name) else { return Ok(()) };
        if !self.origins.is_own(dir, name, hidden) {
            return self.remove(dir, name);
        }
        self.hide_directory(hidden)
    }

    fn apply_opaque(&mut self, directory: &[u8]) -> Result<(), EntryError> {
        self.stats.whiteouts += 1;
        match self.find_directory(directory)? {
            Some(dir) => self.hide_below(dir),
            None => Ok(()),
        }
    }

    /// Hides the entries of lower layers below the directory `id` of this layer. Also drops its attributes,
    /// unless an entry of this layer gives them.
    fn hide_directory(&mut self, id: InodeId) -> Result<(), EntryError> {
        self.reset_implied(id);
        self.hide_below(id)
    }

    fn reset_implied(&mut self, id: InodeId) {
        if let Some(mtime) = self.origins.implied_time(id) {
            *self.tree.attributes_mut(id) = Attributes { mtime, ..Attributes::with_mode(0o755) };
        }
    }

    /// Hides the entries of lower layers below the directory `top`.
    fn hide_below(&mut self, top: InodeId) -> Result<(), EntryError> {
        let mut directories = vec![top];
        while let Some(dir) = directories.pop() {
            self.check_cancelled()?;
            // Gone through once a layer: nothing of lower layers comes back.
            if self.origins.is_pure(dir) {
                continue;
            }
            let Some(children) = self.tree.inode(dir).children() else { continue };
            let mut hidden = Vec::new();
            let first_kept = directories.len();
            for (name, child) in children {
                match self.origins.is_own(dir, name, *child) {
                    true => directories.push(*child),
                    false => hidden.push(name.clone()),
                }
            }
            for kept in &directories[first_kept..] {
                self.reset_implied(*kept);
            }
            for name in hidden {
                self.remove(dir, &name)?;
            }
            self.origins.purify(dir);
        }
        Ok(())
    }

    fn apply_plain(
        &mut self,
        entry: &mut TarEntry,
        parent: &[u8],
        name: &[u8],
        reader: &mut TarReader<impl BufRead>,
    ) -> Result<(), EntryError> {
        let mtime = self.mtime(entry);
        if entry.kind == TarEntryKind::HardLink {
            return self.apply_hard_link(&entry.path, (parent, name), &entry.link_target, mtime);
        }
        let attributes = self.attributes(entry)?;
        if entry.kind == TarEntryKind::Regular {
            self.claim_content(entry)?;
        }
        let dir = self.ensure_directory(parent, mtime, &entry.path)?;
        if let Some(existing) = self.tree.child(dir, name) {
            if entry.kind == TarEntryKind::Directory && self.tree.inode(existing).is_dir() {
                if self.origins.describe(existing) {
                    self.warn(&entry.path, WarningKind::Duplicate);
                }
                *self.tree.attributes_mut(existing) = attributes;
                return Ok(());
            }
            if self.origins.is_own(dir, name, existing) {
                self.warn(&entry.path, WarningKind::Duplicate);
            }
            self.remove(dir, name)?;
        }
        let (major, minor) = entry.device;
        let kind = match entry.kind {
            TarEntryKind::Regular => NodeKind::Regular {
                size_bytes: entry.size_bytes,
                content: self.store_content(entry, reader)?,
            },
            TarEntryKind::Directory => NodeKind::empty_directory(),
            TarEntryKind::Symlink => NodeKind::Symlink { target: symlink_target(&entry.link_target)?.into() },
            TarEntryKind::CharDevice => {
                check_device(major, minor)?;
                NodeKind::CharDevice { major, minor }
            }
            TarEntryKind::BlockDevice => {
                check_device(major, minor)?;
                NodeKind::BlockDevice { major, minor }
            }
            TarEntryKind::Fifo => NodeKind::Fifo,
            TarEntryKind::Socket => NodeKind::Socket,
            TarEntryKind::HardLink | TarEntryKind::VolumeLabel => {
                unreachable!("hard links and labels are dealt with before")
            }
        };
        if let NodeKind::Symlink { target } = &kind {
            self.entry_bytes += target.len() as u64;
        }
        self.count_inode(name);
        let id = self.tree.insert(dir, name, Inode::new(kind, attributes)).map_err(EntryError::Tree)?;
        self.origins.made(id);
        Ok(())
    }

    /// Takes the bytes of a file out of the tar.
    fn store_content(
        &mut self,
        entry: &TarEntry,
        reader: &mut TarReader<impl BufRead>,
    ) -> Result<Option<ContentId>, EntryError> {
        if entry.size_bytes == 0 {
            return Ok(None);
        }
        let id = self.store.begin(self.layer, entry.size_bytes).map_err(EntryError::Content)?;
        while let Some(data) = reader.next_data().map_err(EntryError::Tar)? {
            let stored = match data {
                Data::Bytes(bytes) => self.store.append(id, bytes),
                Data::Hole(length) => self.store.append_hole(id, length),
            };
            stored.map_err(EntryError::Content)?;
        }
        self.store.finish(id).map_err(EntryError::Content)?;
        self.stats.content_bytes += entry.data_bytes;
        Ok(Some(id))
    }

    /// Charges the size that a file claims, before its bytes are read.
    fn claim_content(&self, entry: &TarEntry) -> Result<(), EntryError> {
        let maximum = self.limits.max_file_bytes;
        if entry.size_bytes > maximum {
            return Err(EntryError::Limit {
                setting: Some(Setting("max_file_bytes")),
                what: "bytes in one file",
                maximum,
            });
        }
        Ok(self.budget().charge(Cost::ImageBytes, entry.allocated_bytes)?)
    }

    fn mtime(&self, entry: &TarEntry) -> Timestamp {
        entry.mtime.clamped_to_ext4()
    }

    fn attributes(&mut self, entry: &mut TarEntry) -> Result<Attributes, EntryError> {
        let mtime = self.mtime(entry);
        if mtime != entry.mtime {
            self.warn(&entry.path, WarningKind::TimeClamped);
        }
        if entry.has_acl_text {
            self.warn(&entry.path, WarningKind::AclText);
        }
        let xattrs = match entry.xattrs.is_empty() {
            true => Xattrs::default(),
            false => self.xattrs(entry)?,
        };
        Ok(Attributes { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime, xattrs })
    }

    /// Returns the extended attributes that an image can have.
    fn xattrs(&mut self, entry: &mut TarEntry) -> Result<Xattrs, EntryError> {
        let mut xattrs = std::mem::take(&mut entry.xattrs);
        let names: Vec<Vec<u8>> = xattrs.iter().map(|(name, _)| name.to_vec()).collect();
        for name in names {
            if name == SELINUX_XATTR {
                xattrs.remove(&name);
            } else if !is_storable_xattr(&name) {
                xattrs.remove(&name);
                let name = shown(&name);
                self.warn(&entry.path, WarningKind::XattrDropped { name });
            } else if name.len() > XATTR_NAME_MAX {
                return Err(EntryError::XattrName { name: shown(&name) });
            }
        }
        let bytes = xattrs.room_bytes();
        let maximum = self.limits.max_xattr_bytes;
        if bytes > maximum {
            return Err(EntryError::XattrsTooLarge { bytes, maximum });
        }
        self.count_memory(bytes + XATTR_MEMORY_BYTES * xattrs.len() as u64);
        self.store.check_xattrs(&xattrs).map_err(EntryError::Content)?;
        Ok(xattrs)
    }
}

/// Returns whether ext4 has a place for an extended attribute of this name.
pub fn is_storable_xattr(name: &[u8]) -> bool {
    let namespaces: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    namespaces.iter().any(|prefix| name.len() > prefix.len() && name.starts_with(prefix))
        || matches!(name, b"system.posix_acl_access" | b"system.posix_acl_default")
}

fn symlink_target(target: &[u8]) -> Result<&[u8], EntryError> {
    let bad = |reason| Err(EntryError::BadTarget { reason });
    match target.len() {
        0 => bad("it is empty"),
        1..=SYMLINK_TARGET_MAX => Ok(target),
        _ => bad("it is longer than 4095 bytes"),
    }
}

fn check_device(major: u32, minor: u32) -> Result<(), EntryError> {
    match major > DEVICE_MAJOR_MAX || minor > DEVICE_MINOR_MAX {
        true => Err(EntryError::DeviceNumber { major, minor }),
        false => Ok(()),
    }
}
