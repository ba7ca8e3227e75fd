//! Edits of a root file system as the commands of coreutils make them.

use std::collections::BTreeSet;

use banger_tree::{
    AttributeChange, Attributes, Cancellation, FileType, GuestPath, Rootfs, RootfsError, Stat, Timestamp,
    Xattrs,
};

use super::acl::{self, ACCESS_ACL};
use super::capability::CAPABILITY;
use super::error::EditError;
use super::mode::ModeChange;
use super::owner::{OwnerChange, OwnerIds};
use super::parse_path;

/// Mode of directories that are made without one being given.
pub(super) const DIRECTORY_MODE: u16 = 0o755;
pub(super) const LOOK_AROUND: &str = "`banger rootfs ls` shows what does";
const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o010;

/// A path to write to, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The path.
    pub path: GuestPath,
    /// Whether it ends with a slash, and so has to be a directory.
    pub is_directory: bool,
}

impl Destination {
    /// Returns what `text` means.
    ///
    /// # Errors
    /// It is no path.
    pub fn parse(text: &[u8]) -> Result<Self, EditError> {
        let path = parse_path(text)?;
        let is_directory = text.ends_with(b"/") || text.ends_with(b"/.") || text == b".";
        Ok(Self { path, is_directory })
    }
}

/// Where several things go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Below this directory, under their own names.
    Below(GuestPath),
    /// To this path, the only one of them.
    At(GuestPath),
}

impl Target {
    /// Returns where something called `name` goes.
    pub(super) fn of(&self, name: Option<&[u8]>) -> Result<GuestPath, EditError> {
        match (self, name) {
            (Self::At(path), _) => Ok(path.clone()),
            (Self::Below(dir), Some(name)) => Ok(dir.join(name).map_err(RootfsError::from)?),
            (Self::Below(dir), None) => {
                let advice = "what is put there needs a name: give the whole path";
                Err(EditError::Directory { path: dir.clone(), advice })
            }
        }
    }
}

/// How directories are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MakeDirectory {
    /// Make missing parents too, and accept a directory that is there.
    pub parents: bool,
    /// The directory's mode, made of 755.
    pub mode: Option<ModeChange>,
    /// Its owner, in the place of 0:0.
    pub owner: Option<OwnerChange>,
}

/// How links are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MakeLink {
    /// Make symlinks, whose targets are stored as they are given.
    pub symbolic: bool,
    /// Replace what is there, unless it is a directory.
    pub force: bool,
}

/// How paths are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remove {
    /// Directories too, with all in them.
    pub recursive: bool,
    /// Pass over what does not exist.
    pub force: bool,
}

/// How owners are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeOwner {
    /// Directories with all in them.
    pub recursive: bool,
    /// Change what a symlink leads to, not the symlink; below a directory always the symlink.
    pub dereference: bool,
}

/// Edits of a root file system, which last when they are committed.
///
/// Symlinks in parents are followed inside the root. New files and directories have the time of
/// the edit, and so get the directories whose names change.
pub struct Edit<'a> {
    pub(super) rootfs: &'a mut dyn Rootfs,
    pub(super) timestamp: Timestamp,
    pub(super) cancellation: Cancellation,
    /// Directories whose names changed.
    touched: BTreeSet<GuestPath>,
}

impl std::fmt::Debug for Edit<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Edit").field("timestamp", &self.timestamp).finish_non_exhaustive()
    }
}

impl<'a> Edit<'a> {
    /// Starts edits of `rootfs` that happen at `timestamp`.
    pub fn new(rootfs: &'a mut dyn Rootfs, timestamp: Timestamp, cancellation: &Cancellation) -> Self {
        let cancellation = cancellation.clone();
        Self { rootfs, timestamp, cancellation, touched: BTreeSet::new() }
    }

    /// Makes the edits last, all or none of them.
    ///
    /// # Errors
    /// The caller asked to stop, or the host refuses; then nothing is changed.
    pub fn commit(mut self) -> Result<(), EditError> {
        let change = AttributeChange { mtime: Some(self.timestamp), ..AttributeChange::default() };
        for dir in std::mem::take(&mut self.touched) {
            // It may have been removed since.
            if self.is_directory(&dir)? {
                self.rootfs.set_attributes(&dir, &change)?;
            }
        }
        self.check_cancelled()?;
        Ok(self.rootfs.commit()?)
    }

    pub(super) fn check_cancelled(&self) -> Result<(), EditError> {
        if self.cancellation.is_cancelled() { Err(EditError::Cancelled) } else { Ok(()) }
    }

    /// Makes a directory; returns where it is.
    ///
    /// # Errors
    /// Something is there, or a parent is missing, unless `how` allows it.
    pub fn make_directory(&mut self, path: &GuestPath, how: &MakeDirectory) -> Result<GuestPath, EditError> {
        let owner = self.ids(how.owner.as_ref())?;
        let place = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if how.parents => {
                self.make_parents(&parent)?.join(name).map_err(RootfsError::from)?
            }
            _ => self.place(path, "--parents makes missing directories")?,
        };
        if self.rootfs.stat(&place)?.is_none() {
            let mode = how.mode.as_ref().map_or(DIRECTORY_MODE, |mode| mode.applied_to(DIRECTORY_MODE, true));
            let attributes = self.new_attributes(mode, owner);
            self.rootfs.create_dir(&place, &attributes)?;
            self.touch_parent(&place);
        } else if !how.parents {
            return Err(EditError::Exists {
                path: path.clone(),
                advice: "--parents accepts a directory that is there",
            });
        } else if !self.leads_to_directory(&place)? {
            return Err(EditError::NotADirectory { path: path.clone(), advice: "remove it first" });
        }
        Ok(place)
    }

    /// Makes all of a path that is missing; returns it without symlinks.
    pub(super) fn make_parents(&mut self, path: &GuestPath) -> Result<GuestPath, EditError> {
        let mut at = GuestPath::root();
        for name in path.components() {
            let next = at.join(name).map_err(RootfsError::from)?;
            at = match self.rootfs.stat(&next)?.map(|stat| stat.file_type) {
                None => {
                    let attributes = self.new_attributes(DIRECTORY_MODE, OwnerIds::default());
                    self.rootfs.create_dir(&next, &attributes)?;
                    self.touch_parent(&next);
                    next
                }
                Some(FileType::Directory) => next,
                Some(FileType::Symlink) if self.leads_to_directory(&next)? => self.rootfs.resolve(&next)?,
                Some(_) => {
                    let advice = "a directory is needed there";
                    return Err(EditError::NotADirectory { path: next, advice });
                }
            };
        }
        Ok(at)
    }

    /// Makes links to `targets`, of the name `destination` or below it; returns where they are.
    ///
    /// # Errors
    /// A target of a hard link is missing or a directory, or a name is taken.
    pub fn link(
        &mut self,
        targets: &[&[u8]],
        destination: &Destination,
        how: MakeLink,
    ) -> Result<Vec<GuestPath>, EditError> {
        let to = self.target(destination, targets.len())?;
        let mut links = Vec::new();
        for target in targets {
            let name = target.split(|byte| *byte == b'/').rfind(|name| !matches!(*name, b"" | b"." | b".."));
            let link = to.of(name)?;
            let existing = match how.symbolic {
                true => None,
                false => {
                    let path = parse_path(target)?;
                    let place = self.place(&path, "a hard link needs a file that is there")?;
                    Some((self.existing(&place, "a hard link needs a file that is there")?.inode, place))
                }
            };
            if let Some(before) = self.rootfs.stat(&link)? {
                if before.file_type == FileType::Directory {
                    let advice = "give the link another name";
                    return Err(EditError::Directory { path: link, advice });
                }
                if !how.force {
                    return Err(EditError::Exists { path: link, advice: "--force replaces it" });
                }
                if existing.as_ref().is_some_and(|(inode, _)| *inode == before.inode) {
                    // It is that link already.
                    links.push(link);
                    continue;
                }
                self.rootfs.remove(&link)?;
            }
            match existing {
                Some((_, existing)) => self.rootfs.hard_link(&existing, &link)?,
                None => {
                    let attributes = self.new_attributes(0o777, OwnerIds::default());
                    self.rootfs.symlink(&link, target, &attributes)?;
                }
            }
            self.touch_parent(&link);
            links.push(link);
        }
        Ok(links)
    }

    /// Removes a path; returns where it was, or `None` if it does not exist and may be missing.
    ///
    /// # Errors
    /// It does not exist or is a directory, unless `how` allows it, or it is the root.
    pub fn remove(&mut self, path: &GuestPath, how: Remove) -> Result<Option<GuestPath>, EditError> {
        let advice = "--force passes over what is missing";
        let found = self.place(path, advice).and_then(|place| Ok((self.existing(&place, advice)?, place)));
        let (stat, place) = match found {
            Err(EditError::NotFound { .. }) if how.force => return Ok(None),
            other => other?,
        };
        if place.is_root() {
            return Err(RootfsError::Root.into());
        }
        if stat.file_type == FileType::Directory && !how.recursive {
            let advice = "--recursive removes it with all in it";
            return Err(EditError::Directory { path: path.clone(), advice });
        }
        self.rootfs.remove(&place)?;
        self.touch_parent(&place);
        Ok(Some(place))
    }

    /// Moves `sources` to the name `destination` or below it, in the place of what is there, unless
    /// that is a directory with something in it; returns where they are.
    ///
    /// # Errors
    /// A source is missing, or what is there cannot be replaced by it.
    pub fn rename(
        &mut self,
        sources: &[GuestPath],
        destination: &Destination,
    ) -> Result<Vec<GuestPath>, EditError> {
        let target = self.target(destination, sources.len())?;
        let mut moved = Vec::new();
        for source in sources {
            let advice = LOOK_AROUND;
            let from = self.place(source, advice)?;
            let stat = self.existing(&from, advice)?;
            let to = target.of(from.file_name())?;
            if let Some(before) = self.rootfs.stat(&to)? {
                if from == to {
                    return Err(EditError::Exists { path: to, advice: "it is what was to be moved" });
                }
                self.make_way(&stat, &before, &to)?;
            }
            self.rootfs.rename(&from, &to)?;
            self.touch_parent(&from);
            self.touch_parent(&to);
            moved.push(to);
        }
        Ok(moved)
    }

    /// Removes what a rename replaces.
    fn make_way(&mut self, source: &Stat, before: &Stat, to: &GuestPath) -> Result<(), EditError> {
        let path = || to.clone();
        match (source.file_type == FileType::Directory, before.file_type == FileType::Directory) {
            (true, false) => {
                let advice = "a directory does not replace it; remove it first";
                return Err(EditError::NotADirectory { path: path(), advice });
            }
            (false, true) => {
                let advice = "only a directory replaces it; remove it first";
                return Err(EditError::Directory { path: path(), advice });
            }
            (true, true) if !self.rootfs.read_dir(to)?.is_empty() => {
                let advice = "it has something in it; remove it first";
                return Err(EditError::Exists { path: path(), advice });
            }
            _ => {}
        }
        Ok(self.rootfs.remove(to)?)
    }

    /// Changes the mode of what `path` leads to, and with `recursive` of all in it but symlinks.
    ///
    /// # Errors
    /// It does not exist.
    pub fn change_mode(
        &mut self,
        path: &GuestPath,
        change: &ModeChange,
        recursive: bool,
    ) -> Result<(), EditError> {
        let top = self.followed(path)?;
        let mut pending = vec![top];
        while let Some(path) = pending.pop() {
            self.check_cancelled()?;
            let stat = self.existing(&path, LOOK_AROUND)?;
            if stat.file_type == FileType::Symlink {
                continue;
            }
            let is_directory = stat.file_type == FileType::Directory;
            let mode = change.applied_to(stat.attributes.mode, is_directory);
            let change = AttributeChange {
                mode: Some(mode),
                xattrs: with_mode(&stat.attributes.xattrs, mode),
                ..AttributeChange::default()
            };
            self.rootfs.set_attributes(&path, &change)?;
            if recursive && is_directory {
                self.push_children(&path, &mut pending)?;
            }
        }
        Ok(())
    }

    /// Changes the owner of `path`. As when root calls chown(2), setuid, setgid and capabilities of
    /// what is no directory go.
    ///
    /// # Errors
    /// It does not exist, or the image does not know a name.
    pub fn change_owner(
        &mut self,
        path: &GuestPath,
        owner: &OwnerChange,
        how: ChangeOwner,
    ) -> Result<(), EditError> {
        let OwnerIds { uid, gid } = owner.resolve(self.rootfs)?;
        let top = match how.dereference {
            true => self.followed(path)?,
            false => self.place(path, LOOK_AROUND)?,
        };
        let mut pending = vec![top];
        while let Some(path) = pending.pop() {
            self.check_cancelled()?;
            let stat = self.existing(&path, LOOK_AROUND)?;
            let mut change = AttributeChange { uid, gid, ..AttributeChange::default() };
            match stat.file_type {
                FileType::Directory => {
                    if how.recursive {
                        self.push_children(&path, &mut pending)?;
                    }
                }
                FileType::Symlink => {}
                _ => {
                    let mode = stat.attributes.mode;
                    let set_gid = if mode & GROUP_EXECUTE != 0 { SET_GID } else { 0 };
                    change.mode = Some(mode & !SET_UID & !set_gid);
                    change.xattrs = without_capabilities(stat.attributes.xattrs);
                }
            }
            self.rootfs.set_attributes(&path, &change)?;
        }
        Ok(())
    }

    fn push_children(&self, dir: &GuestPath, pending: &mut Vec<GuestPath>) -> Result<(), EditError> {
        for entry in self.rootfs.read_dir(dir)? {
            pending.push(dir.join(&entry.name).map_err(RootfsError::from)?);
        }
        Ok(())
    }

    /// Returns where things go that are put to `destination`.
    pub(super) fn target(&self, destination: &Destination, count: usize) -> Result<Target, EditError> {
        let path = &destination.path;
        if self.leads_to_directory(path)? {
            return Ok(Target::Below(self.rootfs.resolve(path)?));
        }
        if !destination.is_directory && count == 1 {
            return Ok(Target::At(self.place(path, "make its directory first, or with --parents")?));
        }
        match self.rootfs.stat(path)? {
            Some(_) => {
                let advice = "a directory is needed there";
                Err(EditError::NotADirectory { path: path.clone(), advice })
            }
            None => {
                let advice = "make the directory first: `banger rootfs mkdir`";
                Err(EditError::NotFound { path: path.clone(), advice })
            }
        }
    }

    /// Returns `path` with the symlinks in its parents followed, which are there.
    pub(super) fn place(&self, path: &GuestPath, advice: &'static str) -> Result<GuestPath, EditError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(GuestPath::root());
        };
        let parent = self.rootfs.resolve(&parent).map_err(|error| match error {
            RootfsError::NotFound { path } => EditError::NotFound { path, advice },
            other => other.into(),
        })?;
        if !self.is_directory(&parent)? {
            return Err(EditError::NotADirectory { path: parent, advice: "a directory is needed there" });
        }
        Ok(parent.join(name).map_err(RootfsError::from)?)
    }

    fn followed(&self, path: &GuestPath) -> Result<GuestPath, EditError> {
        self.rootfs.resolve(path).map_err(|error| match error {
            RootfsError::NotFound { path } => EditError::NotFound { path, advice: LOOK_AROUND },
            other => other.into(),
        })
    }

    pub(super) fn existing(&self, path: &GuestPath, advice: &'static str) -> Result<Stat, EditError> {
        self.rootfs.stat(path)?.ok_or_else(|| EditError::NotFound { path: path.clone(), advice })
    }

    fn is_directory(&self, path: &GuestPath) -> Result<bool, EditError> {
        Ok(self.rootfs.stat(path)?.is_some_and(|stat| stat.file_type == FileType::Directory))
    }

    /// Returns whether `path` is a directory or a symlink to one.
    pub(super) fn leads_to_directory(&self, path: &GuestPath) -> Result<bool, EditError> {
        match self.rootfs.resolve(path) {
            Ok(path) => self.is_directory(&path),
            Err(RootfsError::NotFound { .. } | RootfsError::NotADirectory { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn ids(&self, owner: Option<&OwnerChange>) -> Result<OwnerIds, EditError> {
        owner.map_or(Ok(OwnerIds::default()), |owner| owner.resolve(self.rootfs))
    }

    pub(super) fn new_attributes(&self, mode: u16, owner: OwnerIds) -> Attributes {
        Attributes {
            uid: owner.uid.unwrap_or_default(),
            gid: owner.gid.unwrap_or_default(),
            mtime: self.timestamp,
            ..Attributes::with_mode(mode)
        }
    }

    /// Takes into account that a name of the directory of `path` changed.
    pub(super) fn touch_parent(&mut self, path: &GuestPath) {
        self.touched.extend(path.parent());
    }
}

/// Returns xattrs whose ACL says what `mode` does, if there is one.
pub(super) fn with_mode(xattrs: &Xattrs, mode: u16) -> Option<Xattrs> {
    let acl = acl::with_mode(xattrs.value(ACCESS_ACL)?, mode);
    let mut xattrs = xattrs.clone();
    xattrs.insert(ACCESS_ACL, acl);
    Some(xattrs)
}

/// Returns xattrs without capabilities, if they had any.
fn without_capabilities(mut xattrs: Xattrs) -> Option<Xattrs> {
    xattrs.remove(CAPABILITY)?;
    Some(xattrs)
}
