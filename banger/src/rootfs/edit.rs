//! Edits of a root file system as the commands of coreutils make them.

use std::collections::{BTreeMap, BTreeSet};

use banger_oci::Digest;
use banger_tree::{AttributeChange, Cancellation, FileType, GuestPath, Rootfs, RootfsError, Stat, Timestamp};

use super::error::{EditAdvice, EditError};
use super::owner::{OwnerChange, OwnerIds};
use super::parse_path;

/// A path of a command line, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The path.
    pub path: GuestPath,
    /// Whether it ends with a slash, and so must be a directory.
    pub is_directory: bool,
    /// Whether it ends with `.` or `..`, which cannot be removed or moved.
    pub is_dot: bool,
}

impl Operand {
    /// Parses `text`.
    ///
    /// # Errors
    /// It is not a path.
    pub fn parse(text: &[u8]) -> Result<Self, EditError> {
        let path = parse_path(text)?;
        let last = text.split(|byte| *byte == b'/').rfind(|name| !name.is_empty());
        let is_dot = matches!(last, Some(b"." | b".."));
        Ok(Self { path, is_directory: is_dot || text.ends_with(b"/"), is_dot })
    }

    /// Returns the error for an operand that must be a directory and is not.
    pub(super) fn not_a_directory(&self) -> EditError {
        EditError::NotADirectory {
            path: self.path.clone(),
            advice: EditAdvice::Do("leave out the slash at its end"),
        }
    }
}

/// A path to write to, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The path.
    pub path: GuestPath,
    /// Whether it must be a directory.
    pub is_directory: bool,
    /// Whether it is the new name even if a directory has this name, like `--no-target-directory`.
    pub is_exact: bool,
}

impl Destination {
    /// Parses `text`; with a slash at its end it must be a directory.
    ///
    /// # Errors
    /// It is not a path.
    pub fn parse(text: &[u8]) -> Result<Self, EditError> {
        let Operand { path, is_directory, .. } = Operand::parse(text)?;
        Ok(Self { path, is_directory, is_exact: false })
    }

    /// Returns the directory `text`, as with `--target-directory`.
    ///
    /// # Errors
    /// It is not a path.
    pub fn parse_directory(text: &[u8]) -> Result<Self, EditError> {
        Ok(Self { is_directory: true, ..Self::parse(text)? })
    }

    /// Returns `text` as the new name, even if a directory has this name, like `--no-target-directory`.
    ///
    /// # Errors
    /// It is not a path.
    pub fn parse_exact(text: &[u8]) -> Result<Self, EditError> {
        Ok(Self { is_exact: true, ..Self::parse(text)? })
    }
}

/// The target of several sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Below this directory, under their own names.
    Below(GuestPath),
    /// This path, for a single source.
    At(GuestPath),
}

impl Target {
    /// Returns the target of a source called `name`.
    pub(super) fn of(&self, name: Option<&[u8]>) -> Result<GuestPath, EditError> {
        match (self, name) {
            (Self::At(path), _) => Ok(path.clone()),
            (Self::Below(dir), Some(name)) => Ok(dir.join(name).map_err(RootfsError::from)?),
            (Self::Below(dir), None) => {
                let advice = EditAdvice::Do("what is put there needs a name: give the whole path");
                Err(EditError::Directory { path: dir.clone(), advice })
            }
        }
    }
}

/// Edits of a root file system, which last when they are committed.
///
/// Symlinks in parents are followed inside the root. New files and directories have the time of
/// the edit, and so get the directories whose names change. As in a kernel, they take group and
/// setgid bit of a setgid directory, and the default ACL of the directory they are made in.
///
/// All edits are one commit. If the journal cannot hold them, they take several commits, and each leaves a
/// sound file system.
pub struct Edit<'a> {
    pub(super) rootfs: &'a mut dyn Rootfs,
    pub(super) timestamp: Timestamp,
    pub(super) cancellation: Cancellation,
    /// Directories whose names changed.
    touched: BTreeSet<GuestPath>,
    /// Whether something changed since the last commit.
    is_changed: bool,
    /// Whether all edits have to be one commit.
    pub(super) is_atomic: bool,
    /// Number of commits before the last one.
    steps: usize,
    /// Files to read back after the commit, with the digest of the content that they must have.
    written: BTreeMap<GuestPath, Digest>,
    /// The owner that was looked up last.
    owner: Option<(OwnerChange, OwnerIds)>,
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
        let touched = BTreeSet::new();
        Self {
            rootfs,
            timestamp,
            cancellation,
            touched,
            is_changed: false,
            is_atomic: false,
            steps: 0,
            written: BTreeMap::new(),
            owner: None,
        }
    }

    /// Has all edits be one commit: an edit fails if the journal cannot hold it together with those before.
    #[must_use]
    pub fn in_one_commit(self) -> Self {
        Self { is_atomic: true, ..self }
    }

    /// Commits all edits or none of them, except those of earlier [`steps`](Self::steps).
    ///
    /// # Errors
    /// The caller asked to stop, or the host refuses; then nothing more is changed.
    pub fn commit(mut self) -> Result<(), EditError> {
        self.commit_now()
    }

    /// Returns the root file system with all edits so far, to look into.
    pub fn as_rootfs(&self) -> &dyn Rootfs {
        &*self.rootfs
    }

    /// Returns how many commits were made already, since the journal could not hold all edits.
    pub fn steps(&self) -> usize {
        self.steps
    }

    pub(super) fn commit_now(&mut self) -> Result<(), EditError> {
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

    /// Commits the changes so far, as one step of several.
    pub(super) fn commit_step(&mut self) -> Result<(), EditError> {
        if self.is_changed && !self.is_atomic {
            self.commit_now()?;
            self.is_changed = false;
            self.steps += 1;
        }
        Ok(())
    }

    /// Counts a change, and commits if the journal cannot hold many more.
    pub(super) fn changed(&mut self) -> Result<(), EditError> {
        self.check_cancelled()?;
        self.is_changed = true;
        if self.is_atomic {
            return Ok(self.rootfs.check_one_commit()?);
        }
        if self.rootfs.is_commit_due() { self.commit_step() } else { Ok(()) }
    }

    /// Has the file `path` read back after the commit.
    pub(super) fn read_back_later(&mut self, path: GuestPath, digest: Digest) {
        self.written.insert(path, digest);
    }

    /// Returns the digest of the bytes that were written to the file `path`, if it is read back later.
    pub(super) fn written_digest(&self, path: &GuestPath) -> Option<String> {
        self.written.get(path).map(Digest::to_string)
    }

    /// Returns the files to read back. Afterwards, there are none.
    pub(super) fn take_written(&mut self) -> BTreeMap<GuestPath, Digest> {
        std::mem::take(&mut self.written)
    }

    pub(super) fn check_cancelled(&self) -> Result<(), EditError> {
        if self.cancellation.is_cancelled() { Err(EditError::Cancelled) } else { Ok(()) }
    }

    /// Returns the target of sources that go to `destination`.
    pub(super) fn target(&self, destination: &Destination, count: usize) -> Result<Target, EditError> {
        let path = &destination.path;
        if destination.is_exact {
            return match count {
                1 => Ok(Target::At(self.place(path, EditAdvice::DIRECTORY_FIRST)?)),
                _ => Err(EditError::ManyToOne { path: path.clone() }),
            };
        }
        if self.leads_to_directory(path)? {
            return Ok(Target::Below(self.rootfs.resolve(path)?));
        }
        if !destination.is_directory && count == 1 {
            return Ok(Target::At(self.place(path, EditAdvice::DIRECTORY_FIRST)?));
        }
        match self.rootfs.stat(path)? {
            Some(_) => {
                let advice = EditAdvice::DIRECTORY_NEEDED;
                Err(EditError::NotADirectory { path: path.clone(), advice })
            }
            None => {
                let advice = EditAdvice::MakeDirectory;
                Err(EditError::NotFound { path: path.clone(), advice })
            }
        }
    }

    /// Returns `path` with the symlinks in its parents followed. The parents must exist.
    pub(super) fn place(&self, path: &GuestPath, advice: EditAdvice) -> Result<GuestPath, EditError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(GuestPath::root());
        };
        let parent = self.rootfs.resolve(&parent).map_err(|error| match error {
            RootfsError::NotFound { path } => EditError::NotFound { path, advice },
            other => other.into(),
        })?;
        if !self.is_directory(&parent)? {
            return Err(EditError::NotADirectory { path: parent, advice: EditAdvice::DIRECTORY_NEEDED });
        }
        Ok(parent.join(name).map_err(RootfsError::from)?)
    }

    /// Returns `path` with all symlinks followed.
    pub(super) fn followed(&self, path: &GuestPath) -> Result<GuestPath, EditError> {
        self.rootfs.resolve(path).map_err(|error| match error {
            RootfsError::NotFound { path } => EditError::NotFound { path, advice: EditAdvice::ListAround },
            other => other.into(),
        })
    }

    /// Returns the state and the place of an operand; a symlink is not followed. With a slash at its end the
    /// operand must be a directory.
    pub(super) fn entry_of(
        &self,
        operand: &Operand,
        advice: EditAdvice,
    ) -> Result<(Stat, GuestPath), EditError> {
        let place = self.place(&operand.path, advice)?;
        let stat = self.existing(&place, advice)?;
        if operand.is_directory && stat.file_type != FileType::Directory {
            return Err(operand.not_a_directory());
        }
        Ok((stat, place))
    }

    /// Returns the place of an operand that exists; a symlink is not followed.
    pub(super) fn entry_place(&self, operand: &Operand) -> Result<GuestPath, EditError> {
        Ok(self.entry_of(operand, EditAdvice::ListAround)?.1)
    }

    pub(super) fn existing(&self, path: &GuestPath, advice: EditAdvice) -> Result<Stat, EditError> {
        self.rootfs.stat(path)?.ok_or_else(|| EditError::NotFound { path: path.clone(), advice })
    }

    pub(super) fn is_directory(&self, path: &GuestPath) -> Result<bool, EditError> {
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

    /// Returns the numbers of an owner, whose names are looked up once for many paths.
    pub(super) fn ids(&mut self, owner: Option<&OwnerChange>) -> Result<OwnerIds, EditError> {
        let Some(owner) = owner else { return Ok(OwnerIds::default()) };
        if let Some((known, ids)) = &self.owner
            && known == owner
        {
            return Ok(*ids);
        }
        let ids = owner.resolve(self.rootfs)?;
        self.owner = Some((owner.clone(), ids));
        Ok(ids)
    }

    /// Takes into account that a name of the directory of `path` changed, or a file's content.
    pub(super) fn touch_parent(&mut self, path: &GuestPath) {
        self.touched.extend(path.parent());
        self.forget_owner();
    }

    /// Has names of owners looked up again: a user database may have changed.
    pub(super) fn forget_owner(&mut self) {
        self.owner = None;
    }
}

/// Directories that a walk has visited. In a damaged image a directory may be in several directories, and the
/// walk would never end.
#[derive(Debug, Default)]
pub(crate) struct WalkedDirs(BTreeSet<u64>);

impl WalkedDirs {
    /// Takes the directory with this inode into account.
    pub(crate) fn enter(&mut self, inode: u64, path: &GuestPath) -> Result<(), EditError> {
        match self.0.insert(inode) {
            true => Ok(()),
            false => Err(EditError::DirectoryTwice { path: path.clone() }),
        }
    }
}
