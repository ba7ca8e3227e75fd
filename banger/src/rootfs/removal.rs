//! Removal of files and directories.

use banger_tree::{DirEntry, FileType, GuestPath, RootfsError, Setting};

use super::edit::{Edit, Operand, WalkedDirs};
use super::error::{EditAdvice, EditError};

const RECURSIVE: Setting = Setting("recursive");

/// How paths are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remove {
    /// Directories too, with all in them.
    pub recursive: bool,
    /// Ignore paths that do not exist.
    pub force: bool,
    /// Directories too, if nothing is in them.
    pub empty_directories: bool,
}

banger_tree::setters! {
    Remove {
        with_recursive => recursive: bool,
        with_force => force: bool,
        with_empty_directories => empty_directories: bool,
    }
}

impl Edit<'_> {
    /// Removes a path; returns its resolved path, or `None` if it does not exist and may be missing.
    ///
    /// A tree that does not fit the journal takes several commits. After a crash between them the rest is
    /// sound; the same call removes it.
    ///
    /// # Errors
    /// It does not exist or is a directory, unless `how` allows it, or it is the root.
    pub fn remove(&mut self, operand: &Operand, how: Remove) -> Result<Option<GuestPath>, EditError> {
        let Some((place, is_directory)) = self.removable(operand, how)? else { return Ok(None) };
        match self.rootfs.remove(&place) {
            Err(RootfsError::TooManyChanges { .. }) => {
                self.commit_step()?;
                match self.rootfs.remove(&place) {
                    Err(RootfsError::TooManyChanges { .. }) if is_directory && !self.is_atomic => {
                        self.remove_tree(&place)?;
                    }
                    other => other?,
                }
            }
            other => other?,
        }
        self.touch_parent(&place);
        self.changed()?;
        Ok(Some(place))
    }

    /// Checks whether `operand` can be removed, so that several paths are checked before the first one is
    /// removed.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn check_removable(&self, operand: &Operand, how: Remove) -> Result<(), EditError> {
        self.removable(operand, how).map(drop)
    }

    /// Returns the path of `operand`, and whether it is a directory.
    fn removable(&self, operand: &Operand, how: Remove) -> Result<Option<(GuestPath, bool)>, EditError> {
        let path = || operand.path.clone();
        let (stat, place) = match self
            .entry_of(operand, EditAdvice::Set("{setting} passes over what is missing", Setting("force")))
        {
            Err(EditError::NotFound { .. }) if how.force => return Ok(None),
            other => other?,
        };
        if place.is_root() {
            return Err(RootfsError::Root.into());
        }
        if operand.is_dot {
            let advice = EditAdvice::Do("a path that ends with . or .. is not removed: give its name");
            return Err(EditError::Directory { path: path(), advice });
        }
        let is_directory = stat.file_type == FileType::Directory;
        if is_directory && !how.recursive {
            let is_empty = how.empty_directories && self.rootfs.read_dir(&place)?.is_empty();
            let advice = match how.empty_directories {
                true => EditAdvice::Set("something is in it: {setting} removes it with all in it", RECURSIVE),
                false => EditAdvice::Set("{setting} removes it with all in it", RECURSIVE),
            };
            if !is_empty {
                return Err(EditError::Directory { path: path(), advice });
            }
        }
        Ok(Some((place, is_directory)))
    }

    /// Removes a directory from the bottom up, with commits in between.
    fn remove_tree(&mut self, top: &GuestPath) -> Result<(), EditError> {
        let mut walked = WalkedDirs::default();
        let mut pending: Vec<(GuestPath, Vec<DirEntry>)> = vec![(top.clone(), self.rootfs.read_dir(top)?)];
        while let Some((dir, entries)) = pending.last_mut() {
            let gone = match entries.pop() {
                Some(entry) => {
                    let path = dir.join(&entry.name).map_err(RootfsError::from)?;
                    if entry.file_type == FileType::Directory {
                        walked.enter(entry.inode, &path)?;
                        let below = self.rootfs.read_dir(&path)?;
                        pending.push((path, below));
                        continue;
                    }
                    path
                }
                // The caller takes the top into account.
                None if pending.len() == 1 => return Ok(self.rootfs.remove(top)?),
                None => pending.pop().expect("it is the last one").0,
            };
            self.rootfs.remove(&gone)?;
            self.touch_parent(&gone);
            self.changed()?;
        }
        Ok(())
    }
}
