//! The image by path.

use std::collections::BTreeSet;
use std::io::Read;

use banger_tree::{
    Advice, AttributeChange, Attributes, DirEntry, FileType, GuestPath, Lookup, NodeKind, Resolved, Rootfs,
    RootfsError, Stat, Timestamp, places, resolve,
};

use super::Ext4Editor;
use super::lookup::{Names, type_of};
use crate::editor::disk::content;
use crate::editor::disk::corruption::DirectoryFault;
use crate::editor::disk::directory;
use crate::editor::disk::entries;
use crate::editor::disk::extents;
use crate::editor::disk::inline_out;
use crate::editor::disk::inodes;
use crate::editor::disk::inodes::{new_inode, set_attributes};
use crate::editor::disk::leaf;
use crate::editor::disk::leaf::NameEntry;
use crate::editor::disk::names;
use crate::editor::disk::obstacle::Obstacle;
use crate::editor::disk::removal;
use crate::editor::disk::runs::Run;
use crate::editor::disk::whole_inode::WholeInode;
use crate::editor::disk::xattrs;
use crate::format::dirent::file_type_code;
use crate::format::inode::{
    EXTRA_ISIZE, FAST_SYMLINK_MAX, GOOD_OLD_SIZE, LINK_MAX, PROJINHERIT_FL, VERITY_FL,
};
use crate::format::timestamp::EncodedTime;
use crate::format::{InodeNumber, device};

/// Size of the extra fields that an inode needs for the upper bits of its mtime.
const MTIME_EXTRA_END: u16 = 12;

fn mtime_of(inode: &WholeInode) -> Timestamp {
    let extra = if inode.i_extra_isize >= MTIME_EXTRA_END { inode.i_mtime_extra } else { 0 };
    let time = EncodedTime { seconds: inode.i_mtime, extra }.decode();
    Timestamp { nanoseconds: time.nanoseconds.min(999_999_999), ..time }
}

/// Returns the attributes in the inode itself, without extended attributes.
fn attributes_of(inode: &WholeInode) -> Attributes {
    let (uid, gid) = inode.owner();
    Attributes { mode: inode.i_mode & 0o7777, uid, gid, mtime: mtime_of(inode), ..Attributes::default() }
}

impl Ext4Editor {
    fn existing_inode(&self, path: &GuestPath) -> Result<(InodeNumber, WholeInode), RootfsError> {
        let (number, _) = places::existing(&Names(self), path)?;
        Ok((number, inodes::read(&self.disk, number)?))
    }

    fn file(&self, path: &GuestPath) -> Result<(InodeNumber, WholeInode), RootfsError> {
        let (number, inode) = self.existing_inode(path)?;
        match type_of(&inode) {
            FileType::Regular => Ok((number, inode)),
            FileType::Directory => Err(RootfsError::IsADirectory { path: path.clone() }),
            _ => Err(RootfsError::NotAFile { path: path.clone() }),
        }
    }

    /// Gives `inode` its xattrs and writes it; then makes the name at `place` lead to it.
    fn add(
        &mut self,
        place: &Resolved<InodeNumber>,
        number: InodeNumber,
        mut inode: WholeInode,
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        self.inherit_project(place.parent, &mut inode)?;
        inline_out::set_xattrs(&mut self.disk, number, &mut inode, &attributes.xattrs)?;
        inodes::write(&mut self.disk, number, &inode)?;
        let name = place.path.file_name().ok_or(RootfsError::Root)?.to_vec();
        let entry = NameEntry { name, inode: number, file_type: file_type_code(type_of(&inode)) };
        match place.node {
            Some(before) if inodes::read(&self.disk, before)?.i_flags & VERITY_FL != 0 => {
                Err(self.disk.limit(
                    Obstacle::new("it is protected by verity, and does not change")
                        .with_advice("remove it first"),
                ))
            }
            Some(before) => {
                self.known.get_mut().forget_walked(&place.path);
                names::replace(&mut self.disk, place.parent, &entry)?;
                self.known.get_mut().forget_child(place.parent, &entry.name);
                self.drop_link(before)
            }
            None => names::insert(&mut self.disk, place.parent, entry),
        }
    }

    /// Gives a new inode the project of its directory, if the directory has the flag for that.
    fn inherit_project(&self, parent: InodeNumber, inode: &mut WholeInode) -> Result<(), RootfsError> {
        let parent = inodes::read(&self.disk, parent)?;
        if parent.i_flags & PROJINHERIT_FL != 0 && self.disk.volume.inode_size > GOOD_OLD_SIZE {
            inode.i_projid = parent.i_projid;
            if type_of(inode) == FileType::Directory {
                inode.i_flags |= PROJINHERIT_FL;
            }
        }
        Ok(())
    }

    /// Removes one hard link of a file that is not a directory; frees the inode with the last one.
    fn drop_link(&mut self, number: InodeNumber) -> Result<(), RootfsError> {
        let mut inode = inodes::read(&self.disk, number)?;
        if inode.i_links_count > 1 {
            inode.i_links_count -= 1;
            return inodes::write(&mut self.disk, number, &inode);
        }
        self.free_all(number, &mut inode)
    }

    fn free_all(&mut self, number: InodeNumber, inode: &mut WholeInode) -> Result<(), RootfsError> {
        // Journals of old e2fsprogs have a name.
        if self.disk.volume.journal == Some(number) {
            return Err(self.disk.limit("it is the journal of the file system"));
        }
        self.known.get_mut().forget_dir(number);
        removal::free(&mut self.disk, number, inode)
    }

    /// Counts one subdirectory less.
    fn drop_subdirectory(&mut self, number: InodeNumber) -> Result<(), RootfsError> {
        let mut inode = inodes::read(&self.disk, number)?;
        inode.i_links_count = match inode.i_links_count {
            // It stopped counting: perhaps it can go on.
            1 => {
                let links = 2 + self.subdirectories_without_one(number)?;
                u16::try_from(links).ok().filter(|links| u32::from(*links) <= LINK_MAX).unwrap_or(1)
            }
            links => links.saturating_sub(1).max(2),
        };
        inodes::write(&mut self.disk, number, &inode)
    }

    /// Returns the number of subdirectories in a directory after the removal of one. They are counted once,
    /// not anew for each removal.
    fn subdirectories_without_one(&mut self, number: InodeNumber) -> Result<usize, RootfsError> {
        if let Some(count) = self.known.get_mut().subdirectories(number) {
            *count = count.saturating_sub(1);
            return Ok(*count);
        }
        let entries = entries::all(&self.disk, &directory::open(&self.disk, number)?)?;
        let mut count = 0;
        for entry in &entries {
            self.disk.check_cancelled()?;
            count += usize::from(entries::file_type(&self.disk, entry)? == FileType::Directory);
        }
        self.known.get_mut().set_subdirectories(number, count);
        Ok(count)
    }

    /// Counts one more subdirectory.
    fn add_subdirectory(&mut self, number: InodeNumber) -> Result<(), RootfsError> {
        if let Some(count) = self.known.get_mut().subdirectories(number) {
            *count += 1;
        }
        inodes::add_link(&mut self.disk, number)
    }

    /// Frees an inode without a name, with everything below it.
    fn free_tree(&mut self, number: InodeNumber) -> Result<(), RootfsError> {
        if type_of(&inodes::read(&self.disk, number)?) != FileType::Directory {
            return self.drop_link(number);
        }
        let mut seen = BTreeSet::from([number]);
        let mut pending = vec![number];
        while let Some(number) = pending.pop() {
            self.check_commit_holds()?;
            let dir = directory::open(&self.disk, number)?;
            for entry in entries::all(&self.disk, &dir)? {
                if type_of(&inodes::read(&self.disk, entry.inode)?) != FileType::Directory {
                    self.disk.check_cancelled()?;
                    self.check_commit_holds()?;
                    self.drop_link(entry.inode)?;
                } else if seen.insert(entry.inode) && names::parent_of(&self.disk, entry.inode)? == number {
                    pending.push(entry.inode);
                } else {
                    // Its second name would lead nowhere.
                    return Err(directory::corrupt(&self.disk, entry.inode, DirectoryFault::TwoParents));
                }
            }
            let mut inode = dir.inode;
            self.free_all(number, &mut inode)?;
        }
        Ok(())
    }
}

impl Rootfs for Ext4Editor {
    fn stat(&self, path: &GuestPath) -> Result<Option<Stat>, RootfsError> {
        let number = match Names(self).place(path) {
            Ok(Resolved { node: Some(number), .. }) => number,
            Ok(_) | Err(RootfsError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = inodes::read(&self.disk, number)?;
        let file_type = type_of(&inode);
        let attributes =
            Attributes { xattrs: xattrs::read(&self.disk, number, &inode)?, ..attributes_of(&inode) };
        let mut stat = Stat::new(number.0.into(), file_type, attributes);
        stat.nlink = inode.i_links_count.into();
        if matches!(file_type, FileType::Regular | FileType::Symlink) {
            stat.size_bytes = inode.size();
        }
        if matches!(file_type, FileType::CharDevice | FileType::BlockDevice) {
            stat.device = Some(device::decode(&inode.i_block));
        }
        Ok(Some(stat))
    }

    fn resolve(&self, path: &GuestPath) -> Result<GuestPath, RootfsError> {
        let names = Names(self);
        // The way to the end is known, and where that is not a symlink, it is all.
        let place = names.place(path);
        if let Ok(Resolved { path, node: Some(node), .. }) = &place
            && names.file_type(*node)? != FileType::Symlink
        {
            return Ok(path.clone());
        }
        let place = resolve(&names, path, true)?;
        match place.node {
            Some(_) => Ok(place.path),
            None => Err(RootfsError::NotFound { path: place.path }),
        }
    }

    fn read(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError> {
        let (number, inode) = self.file(path)?;
        // A size may be wrong, and a file larger than the image is mostly holes.
        let most = self.disk.volume.blocks_count * self.disk.volume.block_size as u64;
        let too_large = || {
            let reason = format!("a file of {} bytes does not fit in memory", inode.size());
            let advice = Some(Advice::new("read it in parts"));
            RootfsError::Limit { path: path.clone(), reason, advice }
        };
        let size = usize::try_from(inode.size()).ok().filter(|_| inode.size() <= most);
        let size = size.ok_or_else(too_large)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| too_large())?;
        bytes.resize(size, 0);
        content::read(&self.disk, number, &inode, 0, &mut bytes)?;
        Ok(bytes)
    }

    fn read_at(&self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize, RootfsError> {
        let (number, inode) = self.file(path)?;
        content::read(&self.disk, number, &inode, offset, buffer)
    }

    fn data_from(&self, path: &GuestPath, offset: u64) -> Result<Option<(u64, u64)>, RootfsError> {
        let (number, inode) = self.file(path)?;
        content::data_from(&self.disk, number, &inode, offset)
    }

    fn read_link(&self, path: &GuestPath) -> Result<Vec<u8>, RootfsError> {
        let (number, inode) = self.existing_inode(path)?;
        match type_of(&inode) {
            FileType::Symlink => content::target_of(&self.disk, number, &inode),
            _ => Err(RootfsError::NotASymlink { path: path.clone() }),
        }
    }

    fn read_dir(&self, path: &GuestPath) -> Result<Vec<DirEntry>, RootfsError> {
        let (number, inode) = self.existing_inode(path)?;
        if type_of(&inode) != FileType::Directory {
            return Err(RootfsError::NotADirectory { path: path.clone() });
        }
        let mut entries = entries::all(&self.disk, &directory::open(&self.disk, number)?)?;
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let entry = |entry: NameEntry| {
            self.disk.check_cancelled()?;
            let file_type = entries::file_type(&self.disk, &entry)?;
            Ok(DirEntry::new(entry.name, entry.inode.0.into(), file_type))
        };
        entries.into_iter().map(entry).collect()
    }

    fn create_dir(&mut self, path: &GuestPath, attributes: &Attributes) -> Result<(), RootfsError> {
        self.operation(path, |editor| {
            let place = places::vacant(&Names(editor), path)?;
            let number = editor.disk.allocate_inode(place.parent, true)?;
            let mut inode = new_inode(FileType::Directory, attributes);
            inode.i_links_count = 2;
            let block = editor.disk.allocate_block(inodes::goal_of(&editor.disk, number))?;
            let run = Run { logical: 0, len: 1, start: block.0, written: true };
            extents::set_mapping(&mut editor.disk, number, &mut inode, &[run], &[])?;
            inode.set_size(editor.disk.volume.block_size as u64);
            let dot = |name: &[u8], inode| NameEntry {
                name: name.to_vec(),
                inode,
                file_type: file_type_code(FileType::Directory),
            };
            let bytes = leaf::encode(&editor.disk, &[dot(b".", number), dot(b"..", place.parent)]);
            inodes::write(&mut editor.disk, number, &inode)?;
            let dir = directory::open(&editor.disk, number)?;
            leaf::put(&mut editor.disk, &dir, block, bytes)?;
            editor.add_subdirectory(place.parent)?;
            editor.add(&place, number, inode, attributes)
        })
    }

    fn write_file(
        &mut self,
        path: &GuestPath,
        content: &mut dyn Read,
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        self.operation(path, |editor| {
            let place = places::for_file(&Names(editor), path)?;
            let number = editor.disk.allocate_inode(place.parent, false)?;
            let mut inode = new_inode(FileType::Regular, attributes);
            let (runs, size) = content::write(&mut editor.disk, number, content)?;
            extents::set_mapping(&mut editor.disk, number, &mut inode, &runs, &[])?;
            inode.set_size(size);
            editor.add(&place, number, inode, attributes)
        })
    }

    fn symlink(
        &mut self,
        path: &GuestPath,
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        self.operation(path, |editor| {
            let place = places::vacant(&Names(editor), path)?;
            let most = editor.disk.volume.block_size - 1;
            if target.is_empty() || target.len() > most {
                let length = target.len();
                return Err(editor
                    .disk
                    .limit(format!("a symlink's target of {length} bytes is not of 1 to {most}")));
            }
            let number = editor.disk.allocate_inode(place.parent, false)?;
            let mut inode = new_inode(FileType::Symlink, attributes);
            if target.len() <= FAST_SYMLINK_MAX {
                inode.i_block[..target.len()].copy_from_slice(target);
            } else {
                let block = editor.disk.allocate_block(inodes::goal_of(&editor.disk, number))?;
                let run = Run { logical: 0, len: 1, start: block.0, written: true };
                extents::set_mapping(&mut editor.disk, number, &mut inode, &[run], &[])?;
                let mut bytes = target.to_vec();
                bytes.resize(editor.disk.volume.block_size, 0);
                editor.disk.blocks.write(block, bytes)?;
            }
            inode.set_size(target.len() as u64);
            editor.add(&place, number, inode, attributes)
        })
    }

    fn hard_link(&mut self, existing: &GuestPath, path: &GuestPath) -> Result<(), RootfsError> {
        self.operation(path, |editor| {
            let (number, place) = places::for_link(&Names(editor), existing, path)?;
            let file_type = type_of(&inodes::read(&editor.disk, number)?);
            let name = place.path.file_name().ok_or(RootfsError::Root)?.to_vec();
            inodes::add_link(&mut editor.disk, number)?;
            names::insert(
                &mut editor.disk,
                place.parent,
                NameEntry { name, inode: number, file_type: file_type_code(file_type) },
            )
        })
    }

    fn mknod(
        &mut self,
        path: &GuestPath,
        kind: &NodeKind,
        attributes: &Attributes,
    ) -> Result<(), RootfsError> {
        self.operation(path, |editor| {
            let place = places::for_node(&Names(editor), path, kind)?;
            let i_block = match kind {
                NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                    device::encode(*major, *minor).ok_or_else(|| {
                        editor.disk.limit(format!("no device can have the number {major}:{minor}"))
                    })?
                }
                _ => [0; 60],
            };
            let number = editor.disk.allocate_inode(place.parent, false)?;
            let mut inode = new_inode(kind.file_type(), attributes);
            inode.i_block = i_block;
            editor.add(&place, number, inode, attributes)
        })
    }

    fn remove(&mut self, path: &GuestPath) -> Result<(), RootfsError> {
        self.operation(path, |editor| {
            let (_, place) = places::for_removal(&Names(editor), path)?;
            let name = place.path.file_name().ok_or(RootfsError::Root)?;
            let number = names::remove(&mut editor.disk, place.parent, name)?;
            editor.known.get_mut().forget_child(place.parent, name);
            editor.known.get_mut().forget_walked(&place.path);
            if type_of(&inodes::read(&editor.disk, number)?) == FileType::Directory {
                editor.drop_subdirectory(place.parent)?;
            }
            editor.free_tree(number)
        })
    }

    fn rename(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), RootfsError> {
        self.operation(to, |editor| {
            let (source, place) = places::for_rename(&Names(editor), from, to)?;
            let name = source.path.file_name().ok_or(RootfsError::Root)?;
            let number = names::remove(&mut editor.disk, source.parent, name)?;
            editor.known.get_mut().forget_child(source.parent, name);
            editor.known.get_mut().forget_walked(&source.path);
            let file_type = type_of(&inodes::read(&editor.disk, number)?);
            let name = place.path.file_name().ok_or(RootfsError::Root)?.to_vec();
            let entry = NameEntry { name, inode: number, file_type: file_type_code(file_type) };
            names::insert(&mut editor.disk, place.parent, entry)?;
            if file_type == FileType::Directory && source.parent != place.parent {
                names::set_parent(&mut editor.disk, number, place.parent)?;
                editor.add_subdirectory(place.parent)?;
                editor.drop_subdirectory(source.parent)?;
            }
            Ok(())
        })
    }

    fn set_attributes(&mut self, path: &GuestPath, change: &AttributeChange) -> Result<(), RootfsError> {
        self.operation(path, |editor| {
            let (number, mut inode) = editor.existing_inode(path)?;
            let before = attributes_of(&inode);
            // The extra fields of times may be where xattrs begin yet.
            let has_fields = editor.disk.volume.inode_size > GOOD_OLD_SIZE;
            let has_few_fields = has_fields && inode.i_extra_isize < EXTRA_ISIZE;
            let kept = if has_few_fields { Some(xattrs::read(&editor.disk, number, &inode)?) } else { None };
            if let Some(xattrs) = change.xattrs.as_ref().or(kept.as_ref()) {
                inline_out::set_xattrs(&mut editor.disk, number, &mut inode, xattrs)?;
            }
            let unchanged = inode.clone();
            set_attributes(&mut inode, &change.applied_to(&before));
            // Times of access and birth do not belong to the attributes.
            (inode.i_atime, inode.i_atime_extra) = (unchanged.i_atime, unchanged.i_atime_extra);
            (inode.i_crtime, inode.i_crtime_extra) = (unchanged.i_crtime, unchanged.i_crtime_extra);
            inodes::write(&mut editor.disk, number, &inode)
        })
    }

    fn is_commit_due(&self) -> bool {
        self.has_much_to_commit()
    }

    fn check_one_commit(&self) -> Result<(), RootfsError> {
        self.check_commit_holds()
    }

    fn commit(&mut self) -> Result<(), RootfsError> {
        self.commit_changes()
    }
}
