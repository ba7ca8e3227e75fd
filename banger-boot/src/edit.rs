//! Makes only needed changes, and records them.

use std::collections::BTreeSet;

use banger_guest::config::BootContract;
use banger_tree::{
    AttributeChange, Attributes, FileType, GuestPath, MAX_SYMLINK_HOPS, Rootfs, RootfsError, Stat, Timestamp,
};

use crate::error::InjectError;
use crate::report::{Change, Fixup, FixupKind, InjectReport};

/// Most bytes that are read of a file in the image: memory must not grow with a foreign image.
const TEXT_MAX: u64 = 1 << 20;

/// A root file system under injection.
///
/// Paths are absolute text. Symlinks on the way are followed, and missing parents are made. Changes count as
/// injected, or as fix-ups while one is [announced](Self::fixing).
pub(crate) struct Edit<'a> {
    rootfs: &'a mut dyn Rootfs,
    timestamp: Timestamp,
    fixing: Option<FixupKind>,
    injected: BTreeSet<GuestPath>,
    fixups: Vec<Fixup>,
    warnings: Vec<String>,
}

impl<'a> Edit<'a> {
    pub(crate) fn new(rootfs: &'a mut dyn Rootfs, timestamp: Timestamp) -> Self {
        Self {
            rootfs,
            timestamp,
            fixing: None,
            injected: BTreeSet::new(),
            fixups: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn into_report(
        mut self,
        contract: BootContract,
        first_boot_pending: bool,
        warnings: Vec<String>,
    ) -> InjectReport {
        self.warnings.splice(..0, warnings);
        let init_path = real_path(self.rootfs, &path("/sbin/init")).ok().flatten();
        InjectReport {
            contract,
            init_path: init_path.unwrap_or_else(|| path("/sbin/init")),
            first_boot_pending,
            injected: self.injected.into_iter().collect(),
            fixups: self.fixups,
            warnings: self.warnings,
        }
    }

    /// Returns the fix-ups, in their order.
    pub(crate) fn into_fixups(self) -> Vec<Fixup> {
        self.fixups
    }

    /// Returns the paths that were changed otherwise, in the order of the paths.
    pub(crate) fn into_injected(self) -> Vec<GuestPath> {
        self.injected.into_iter().collect()
    }

    /// Counts the changes of `change` as a fix-up.
    pub(crate) fn fixing<T>(&mut self, kind: FixupKind, change: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.fixing.replace(kind);
        let result = change(self);
        self.fixing = before;
        result
    }

    /// Returns whether a fix-up of this kind was needed.
    pub(crate) fn fixed(&self, kind: FixupKind) -> bool {
        self.fixups.iter().any(|fixup| fixup.kind == kind)
    }

    pub(crate) fn warn(&mut self, message: impl Into<String>) {
        self.warnings.push(message.into());
    }

    fn note(&mut self, change: Change, path: GuestPath) {
        match self.fixing {
            Some(kind) => self.fixups.push(Fixup { kind, change, path }),
            None => {
                self.injected.insert(path);
            }
        }
    }

    fn attributes(&self, mode: u16) -> Attributes {
        Attributes { mtime: self.timestamp, ..Attributes::with_mode(mode) }
    }

    /// Makes the changes so far last, if the root file system cannot hold many more.
    pub(crate) fn commit_if_due(&mut self) -> Result<(), RootfsError> {
        if self.rootfs.is_commit_due() { self.rootfs.commit() } else { Ok(()) }
    }

    /// The root file system, to look at.
    pub(crate) fn rootfs(&self) -> &dyn Rootfs {
        self.rootfs
    }

    /// Returns the state of `text` with every symlink followed, and its real path.
    pub(crate) fn lookup(&self, text: &str) -> Result<Option<(GuestPath, Stat)>, RootfsError> {
        lookup(self.rootfs, &path(text))
    }

    /// Returns the state of `text`. A symlink is not followed.
    pub(crate) fn stat(&self, text: &str) -> Result<Option<Stat>, RootfsError> {
        lstat(self.rootfs, &path(text))
    }

    pub(crate) fn read_link(&self, text: &str) -> Result<Vec<u8>, RootfsError> {
        self.rootfs.read_link(&path(text))
    }

    /// Returns the text of the regular file that `text` leads to, if it does.
    pub(crate) fn read(&self, text: &str) -> Result<Option<Vec<u8>>, InjectError> {
        read_text(self.rootfs, text)
    }

    /// Returns the names in the directory that `text` leads to; nothing if it is not a directory.
    pub(crate) fn names(&self, text: &str) -> Result<Vec<Vec<u8>>, RootfsError> {
        match self.lookup(text)? {
            Some((real, stat)) if stat.file_type == FileType::Directory => {
                Ok(self.rootfs.read_dir(&real)?.into_iter().map(|entry| entry.name).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Makes `text` lead to a directory; returns its real path.
    pub(crate) fn dir(&mut self, text: &str) -> Result<GuestPath, InjectError> {
        self.dir_with_mode(text, 0o755)
    }

    /// Like [`dir`](Self::dir); a missing one is made with `mode`.
    pub(crate) fn dir_with_mode(&mut self, text: &str, mode: u16) -> Result<GuestPath, InjectError> {
        self.make_dir(&path(text), mode, MAX_SYMLINK_HOPS)
    }

    fn make_dir(&mut self, wanted: &GuestPath, mode: u16, hops: usize) -> Result<GuestPath, InjectError> {
        let (Some(parent), Some(name)) = (wanted.parent(), wanted.file_name()) else {
            return Ok(GuestPath::root());
        };
        let parent = self.make_dir(&parent, 0o755, hops)?;
        let place = parent.join(name).map_err(RootfsError::Path)?;
        let in_the_way = |found| InjectError::InTheWay { path: place.clone(), found, wanted: "a directory" };
        match self.rootfs.stat(&place)?.map(|stat| stat.file_type) {
            Some(FileType::Directory) => Ok(place),
            None => {
                let attributes = self.attributes(mode);
                self.rootfs.create_dir(&place, &attributes)?;
                self.note(Change::Created, place.clone());
                Ok(place)
            }
            Some(FileType::Symlink) => match lookup(self.rootfs, &place)? {
                Some((real, stat)) if stat.file_type == FileType::Directory => Ok(real),
                Some(_) => Err(in_the_way("a symlink to something that is no directory")),
                // The link stays, and its target is made.
                None if hops == 0 => Err(in_the_way("a symlink in a loop")),
                None => {
                    let target = self.rootfs.read_link(&place)?;
                    let target = target_path(&parent, &target)
                        .ok_or_else(|| in_the_way("a symlink that leads nowhere"))?;
                    self.make_dir(&target, mode, hops - 1)
                }
            },
            Some(_) => Err(in_the_way("no directory")),
        }
    }

    /// Returns the real path of `text`, whose last component is not followed; its parents are made.
    fn place(&mut self, text: &str) -> Result<GuestPath, InjectError> {
        self.place_of(&path(text))
    }

    fn place_of(&mut self, wanted: &GuestPath) -> Result<GuestPath, InjectError> {
        let (Some(parent), Some(name)) = (wanted.parent(), wanted.file_name()) else {
            return Err(RootfsError::Root.into());
        };
        let parent = self.make_dir(&parent, 0o755, MAX_SYMLINK_HOPS)?;
        Ok(parent.join(name).map_err(RootfsError::Path)?)
    }

    /// Makes `text` a regular file of root's with these bytes and permissions.
    pub(crate) fn file(&mut self, text: &str, bytes: &[u8], mode: u16) -> Result<(), InjectError> {
        self.file_at(&path(text), bytes, mode)
    }

    /// Like [`file`](Self::file), for a path that is not written here.
    pub(crate) fn file_at(&mut self, wanted: &GuestPath, bytes: &[u8], mode: u16) -> Result<(), InjectError> {
        let place = self.place_of(wanted)?;
        let attributes = self.attributes(mode);
        let found = self.rootfs.stat(&place)?;
        match &found {
            Some(stat) if stat.file_type == FileType::Directory => {
                return Err(InjectError::InTheWay { path: place, found: "a directory", wanted: "a file" });
            }
            Some(stat) if self.has_bytes(&place, stat, bytes)? => return self.give_root(&place, stat, mode),
            _ => {}
        }
        self.rootfs.write_file(&place, &mut &bytes[..], &attributes)?;
        self.note(if found.is_some() { Change::Replaced } else { Change::Created }, place);
        Ok(())
    }

    fn has_bytes(&self, place: &GuestPath, stat: &Stat, bytes: &[u8]) -> Result<bool, RootfsError> {
        let may_have = stat.file_type == FileType::Regular && stat.size_bytes == bytes.len() as u64;
        Ok(may_have && self.rootfs.read(place)? == bytes)
    }

    /// Sets owner and permissions of a file with the right bytes.
    fn give_root(&mut self, place: &GuestPath, stat: &Stat, mode: u16) -> Result<(), InjectError> {
        let found = &stat.attributes;
        if (found.mode, found.uid, found.gid) != (mode, 0, 0) {
            let change =
                AttributeChange { mode: Some(mode), uid: Some(0), gid: Some(0), ..Default::default() };
            self.rootfs.set_attributes(place, &change)?;
            self.note(Change::Replaced, place.clone());
        }
        Ok(())
    }

    /// Writes these bytes to the file that `text` leads to, and keeps its owner and permissions. A missing
    /// file is made with `mode`.
    pub(crate) fn content(&mut self, text: &str, bytes: &[u8], mode: u16) -> Result<(), InjectError> {
        let Some((real, stat)) = self.lookup(text)?.filter(|(_, stat)| stat.file_type == FileType::Regular)
        else {
            return self.file(text, bytes, mode);
        };
        if !self.has_bytes(&real, &stat, bytes)? {
            let attributes = Attributes { mtime: self.timestamp, ..stat.attributes };
            self.rootfs.write_file(&real, &mut &bytes[..], &attributes)?;
            self.note(Change::Replaced, real);
        }
        Ok(())
    }

    /// Makes `text` a symlink to `target`.
    pub(crate) fn symlink(&mut self, text: &str, target: &str) -> Result<(), InjectError> {
        let place = self.place(text)?;
        let found = self.rootfs.stat(&place)?;
        if let Some(stat) = &found {
            match stat.file_type {
                FileType::Symlink if self.rootfs.read_link(&place)? == target.as_bytes() => return Ok(()),
                FileType::Directory => {
                    let (found, wanted) = ("a directory", "a symlink");
                    return Err(InjectError::InTheWay { path: place, found, wanted });
                }
                _ => self.rootfs.remove(&place)?,
            }
        }
        let attributes = self.attributes(0o777);
        self.rootfs.symlink(&place, target.as_bytes(), &attributes)?;
        self.note(if found.is_some() { Change::Replaced } else { Change::Created }, place);
        Ok(())
    }

    /// Makes `text` another name of the file `existing`.
    pub(crate) fn hard_link(&mut self, existing: &str, text: &str) -> Result<(), InjectError> {
        let existing = self.place(existing)?;
        let place = self.place(text)?;
        let found = self.rootfs.stat(&place)?;
        let original = self.rootfs.stat(&existing)?;
        if let Some(stat) = &found {
            if original.is_some_and(|original| original.inode == stat.inode) {
                return Ok(());
            }
            if stat.file_type == FileType::Directory {
                let (found, wanted) = ("a directory", "a file");
                return Err(InjectError::InTheWay { path: place, found, wanted });
            }
            self.rootfs.remove(&place)?;
        }
        self.rootfs.hard_link(&existing, &place)?;
        self.note(if found.is_some() { Change::Replaced } else { Change::Created }, place);
        Ok(())
    }

    /// Removes the file at `text`, if it exists and is not a directory. A symlink is not followed.
    pub(crate) fn remove(&mut self, text: &str) -> Result<(), InjectError> {
        let wanted = path(text);
        let Some(stat) = lstat(self.rootfs, &wanted)? else { return Ok(()) };
        if stat.file_type == FileType::Directory {
            return Ok(());
        }
        let real = real_place(self.rootfs, &wanted)?;
        self.rootfs.remove(&real)?;
        self.note(Change::Removed, real);
        Ok(())
    }

    /// Moves the file at `from` to `to`.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), InjectError> {
        let target = self.place(to)?;
        let source = real_place(self.rootfs, &path(from))?;
        if self.rootfs.stat(&target)?.is_some() {
            self.remove(to)?;
        }
        self.rootfs.rename(&source, &target)?;
        self.note(Change::Removed, source);
        self.note(Change::Created, target);
        Ok(())
    }
}

/// Returns the path that text in this crate names.
pub(crate) fn path(text: &str) -> GuestPath {
    GuestPath::parse(text).expect("written here, short and without NUL or ..")
}

/// Treats a path that leads nowhere as missing.
fn if_there<T>(result: Result<T, RootfsError>) -> Result<Option<T>, RootfsError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(RootfsError::NotFound { .. } | RootfsError::NotADirectory { .. } | RootfsError::Symlinks(_)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Returns `path` with every symlink followed, or `None` if it leads nowhere.
pub(crate) fn real_path(rootfs: &dyn Rootfs, path: &GuestPath) -> Result<Option<GuestPath>, RootfsError> {
    if_there(rootfs.resolve(path))
}

/// Returns the state of `path` with symlinks followed, and its real path.
pub(crate) fn lookup(
    rootfs: &dyn Rootfs,
    path: &GuestPath,
) -> Result<Option<(GuestPath, Stat)>, RootfsError> {
    let Some(real) = real_path(rootfs, path)? else { return Ok(None) };
    Ok(rootfs.stat(&real)?.map(|stat| (real, stat)))
}

/// Returns the text of the regular file that `text` leads to, if it does.
pub(crate) fn read_text(rootfs: &dyn Rootfs, text: &str) -> Result<Option<Vec<u8>>, InjectError> {
    match lookup(rootfs, &path(text))? {
        Some((real, stat)) if stat.file_type == FileType::Regular => {
            if stat.size_bytes > TEXT_MAX {
                let (found, wanted) = ("a file of more than a mebibyte", "a text");
                return Err(InjectError::InTheWay { path: real, found, wanted });
            }
            Ok(Some(rootfs.read(&real)?))
        }
        _ => Ok(None),
    }
}

/// Returns the state of `path`. A symlink is not followed.
pub(crate) fn lstat(rootfs: &dyn Rootfs, path: &GuestPath) -> Result<Option<Stat>, RootfsError> {
    Ok(if_there(rootfs.stat(path))?.flatten())
}

/// Returns `path` with the symlinks in its parents followed.
fn real_place(rootfs: &dyn Rootfs, path: &GuestPath) -> Result<GuestPath, RootfsError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(rootfs.resolve(&parent)?.join(name)?),
        _ => Ok(path.clone()),
    }
}

/// Returns the path that a symlink in the real directory `dir` names.
fn target_path(dir: &GuestPath, target: &[u8]) -> Option<GuestPath> {
    let bytes = match target.first() {
        Some(b'/') => target.to_vec(),
        _ => [dir.as_bytes(), b"/", target].concat(),
    };
    GuestPath::parse(bytes).ok()
}
