//! Moving and renaming.

use banger_tree::{FileType, GuestPath, Stat};

use super::edit::{Destination, Edit, Operand};
use super::error::{EditAdvice, EditError};

/// How things are moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Move {
    /// Keep existing files, and leave their sources in place.
    pub no_clobber: bool,
}

banger_tree::setters! {
    Move {
        with_no_clobber => no_clobber: bool,
    }
}

impl Edit<'_> {
    /// Moves `sources` to the name `destination` or into that directory; returns their new paths. Replaces
    /// existing files and empty directories.
    ///
    /// # Errors
    /// A source is missing, or it cannot replace the existing file.
    pub fn rename(
        &mut self,
        sources: &[Operand],
        destination: &Destination,
        how: Move,
    ) -> Result<Vec<GuestPath>, EditError> {
        let to = self.moved_to(sources, destination)?;
        let mut moved = Vec::new();
        for source in sources {
            let advice = EditAdvice::ListAround;
            let (stat, from) = self.entry_of(source, advice)?;
            if source.is_dot {
                let advice = EditAdvice::Do("a path that ends with . or .. is not moved: give its name");
                return Err(EditError::Directory { path: source.path.clone(), advice });
            }
            let to = to.of(from.file_name())?;
            if let Some(before) = self.rootfs.stat(&to)? {
                if from == to {
                    return Err(EditError::Exists {
                        path: to,
                        advice: EditAdvice::Do("it is what was to be moved"),
                    });
                }
                if how.no_clobber {
                    continue;
                }
                if stat.inode == before.inode {
                    return Err(EditError::Exists {
                        path: to,
                        advice: EditAdvice::Do("it is another name of the same file"),
                    });
                }
                self.make_way(&stat, &before, &to)?;
            }
            self.rootfs.rename(&from, &to)?;
            self.touch_parent(&from);
            self.touch_parent(&to);
            self.changed()?;
            moved.push(to);
        }
        Ok(moved)
    }

    /// Returns the targets of sources. As with rename(2), the new name of a directory may end with a slash.
    fn moved_to(
        &self,
        sources: &[Operand],
        destination: &Destination,
    ) -> Result<super::edit::Target, EditError> {
        if let [source] = sources
            && destination.is_directory
            && !destination.is_exact
            && self.rootfs.stat(&destination.path)?.is_none()
            && self.entry_of(source, EditAdvice::ListAround)?.0.file_type == FileType::Directory
        {
            return self.target(&Destination { is_exact: true, ..destination.clone() }, 1);
        }
        self.target(destination, sources.len())
    }

    /// Removes the file that a rename replaces.
    fn make_way(&mut self, source: &Stat, before: &Stat, to: &GuestPath) -> Result<(), EditError> {
        let path = || to.clone();
        match (source.file_type == FileType::Directory, before.file_type == FileType::Directory) {
            (true, false) => {
                let advice = EditAdvice::NO_DIRECTORY_REPLACES;
                return Err(EditError::NotADirectory { path: path(), advice });
            }
            (false, true) => {
                let advice = EditAdvice::ONLY_DIRECTORY_REPLACES;
                return Err(EditError::Directory { path: path(), advice });
            }
            (true, true) if !self.rootfs.read_dir(to)?.is_empty() => {
                let advice = EditAdvice::Do("it has something in it; remove it first");
                return Err(EditError::Exists { path: path(), advice });
            }
            _ => {}
        }
        Ok(self.rootfs.remove(to)?)
    }
}
