//! New directories and links.

use banger_tree::{FileType, GuestPath, NodeKind, RootfsError, Setting};

use super::edit::{Destination, Edit, Operand};
use super::error::{EditAdvice, EditError};
use super::inherit::{NewEntry, set_mode};
use super::mode::ModeChange;
use super::owner::{OwnerChange, OwnerIds};

/// Default mode of new directories.
const DIRECTORY_MODE: u16 = 0o755;
/// Default mode of new devices, FIFOs and sockets.
const NODE_MODE: u16 = 0o644;

/// How directories are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MakeDirectory {
    /// Make missing parents too, and accept an existing directory.
    pub parents: bool,
    /// The directory's mode in the place of 755; symbolic modes start from 777.
    pub mode: Option<ModeChange>,
    /// Its owner, in the place of 0 and of 0 or the group of a setgid directory.
    pub owner: Option<OwnerChange>,
}

banger_tree::setters! {
    MakeDirectory {
        with_parents => parents: bool,
        with_mode => mode: Option<ModeChange>,
        with_owner => owner: Option<OwnerChange>,
    }
}

const PARENTS: Setting = Setting("parents");

/// How links are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MakeLink {
    /// Make symlinks, whose targets are stored as they are given.
    pub symbolic: bool,
    /// Replace an existing file, but not a directory.
    pub force: bool,
    /// Take a destination that is a symlink to a directory as the link, not as the directory.
    pub no_dereference: bool,
}

banger_tree::setters! {
    MakeLink {
        with_symbolic => symbolic: bool,
        with_force => force: bool,
        with_no_dereference => no_dereference: bool,
    }
}

impl Edit<'_> {
    /// Makes a directory; returns its path.
    ///
    /// # Errors
    /// The path exists or a parent is missing, and `how` does not allow it.
    pub fn make_directory(&mut self, path: &GuestPath, how: &MakeDirectory) -> Result<GuestPath, EditError> {
        let owner = self.ids(how.owner.as_ref())?;
        let place = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) if how.parents => {
                self.make_parents(&parent)?.join(name).map_err(RootfsError::from)?
            }
            _ => self.place(path, EditAdvice::Set("{setting} makes missing directories", PARENTS))?,
        };
        if self.rootfs.stat(&place)?.is_none() {
            self.create_directory(&place, how.mode.as_ref(), owner)?;
        } else if !how.parents {
            return Err(EditError::Exists {
                path: path.clone(),
                advice: EditAdvice::Set("{setting} accepts a directory that is there", PARENTS),
            });
        } else if !self.leads_to_directory(&place)? {
            return Err(EditError::NotADirectory {
                path: path.clone(),
                advice: EditAdvice::Do("remove it first"),
            });
        }
        Ok(place)
    }

    fn create_directory(
        &mut self,
        place: &GuestPath,
        mode: Option<&ModeChange>,
        owner: OwnerIds,
    ) -> Result<(), EditError> {
        // As in mkdir, a change like g-w starts from all permissions.
        let unmasked_mode = mode.map_or(0o777, |mode| mode.applied_to(0o777, true));
        let new = NewEntry {
            file_type: FileType::Directory,
            mode: mode.map_or(DIRECTORY_MODE, |_| unmasked_mode),
            unmasked_mode,
            owner,
        };
        let mut attributes = self.new_attributes(place, &new)?;
        if let Some(mode) = mode {
            // The given mode wins over a default ACL.
            let mode = mode.applied_to(attributes.mode, true);
            set_mode(&mut attributes, mode);
        }
        self.rootfs.create_dir(place, &attributes)?;
        self.touch_parent(place);
        self.changed()
    }

    /// Makes all of a path that is missing; returns it without symlinks.
    pub(super) fn make_parents(&mut self, path: &GuestPath) -> Result<GuestPath, EditError> {
        let mut at = GuestPath::root();
        for name in path.components() {
            let next = at.join(name).map_err(RootfsError::from)?;
            at = match self.rootfs.stat(&next)?.map(|stat| stat.file_type) {
                None => {
                    self.create_directory(&next, None, OwnerIds::default())?;
                    next
                }
                Some(FileType::Directory) => next,
                Some(FileType::Symlink) if self.leads_to_directory(&next)? => self.rootfs.resolve(&next)?,
                Some(_) => {
                    let advice = EditAdvice::DIRECTORY_NEEDED;
                    return Err(EditError::NotADirectory { path: next, advice });
                }
            };
        }
        Ok(at)
    }

    /// Makes a device, FIFO or socket; returns its path. Its mode is `mode`, or 644.
    ///
    /// # Errors
    /// The path exists, or its parent is missing.
    pub fn make_node(
        &mut self,
        path: &GuestPath,
        kind: &NodeKind,
        mode: Option<&ModeChange>,
        owner: Option<&OwnerChange>,
    ) -> Result<GuestPath, EditError> {
        let owner = self.ids(owner)?;
        let place = self.place(path, EditAdvice::MakeDirectory)?;
        let unmasked_mode = mode.map_or(0o666, |mode| mode.applied_to(0o666, false));
        let new = NewEntry {
            file_type: kind.file_type(),
            mode: mode.map_or(NODE_MODE, |_| unmasked_mode),
            unmasked_mode,
            owner,
        };
        let mut attributes = self.new_attributes(&place, &new)?;
        if let Some(mode) = mode {
            // The given mode wins over a default ACL.
            let mode = mode.applied_to(attributes.mode, false);
            set_mode(&mut attributes, mode);
        }
        self.rootfs.mknod(&place, kind, &attributes)?;
        self.touch_parent(&place);
        self.changed()?;
        Ok(place)
    }

    /// Makes links to `targets`, under the name `destination` or in that directory; returns their paths.
    ///
    /// # Errors
    /// A target of a hard link is missing or a directory, or a name is taken.
    pub fn link(
        &mut self,
        targets: &[&[u8]],
        destination: &Destination,
        how: MakeLink,
    ) -> Result<Vec<GuestPath>, EditError> {
        let is_link = how.no_dereference
            && self.rootfs.stat(&destination.path)?.is_some_and(|stat| stat.file_type == FileType::Symlink);
        let exact = Destination { is_exact: true, ..destination.clone() };
        let to = self.target(if is_link { &exact } else { destination }, targets.len())?;
        let mut links = Vec::new();
        for target in targets {
            let name = target.split(|byte| *byte == b'/').rfind(|name| !matches!(*name, b"" | b"." | b".."));
            let link = to.of(name)?;
            let existing = match how.symbolic {
                true => None,
                false => {
                    let operand = Operand::parse(target)?;
                    let (stat, place) =
                        self.entry_of(&operand, EditAdvice::Do("a hard link needs a file that is there"))?;
                    Some((stat.inode, place))
                }
            };
            if let Some(before) = self.rootfs.stat(&link)? {
                if before.file_type == FileType::Directory {
                    let advice = EditAdvice::Do("give the link another name");
                    return Err(EditError::Directory { path: link, advice });
                }
                if !how.force {
                    return Err(EditError::Exists {
                        path: link,
                        advice: EditAdvice::Set("{setting} replaces it", Setting("force")),
                    });
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
                    let (file_type, owner) = (FileType::Symlink, OwnerIds::default());
                    let new = NewEntry::of_source(file_type, 0o777, owner);
                    let attributes = self.new_attributes(&link, &new)?;
                    self.rootfs.symlink(&link, target, &attributes)?;
                }
            }
            self.touch_parent(&link);
            self.changed()?;
            links.push(link);
        }
        Ok(links)
    }
}
