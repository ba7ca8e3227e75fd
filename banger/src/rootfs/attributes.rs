//! Changes of modes and owners.

use banger_tree::{AttributeChange, FileType, GuestPath, RootfsError, Xattrs};

use super::acl::{self, ACCESS_ACL};
use super::capability::CAPABILITY;
use super::edit::{Edit, Operand, WalkedDirs};
use super::error::{EditAdvice, EditError};
use super::mode::ModeChange;
use super::owner::{OwnerChange, OwnerIds};

const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o010;

/// How owners are changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangeOwner {
    /// Directories with all in them; symlinks themselves, as `chown -R` has it.
    pub recursive: bool,
    /// Change the target of a symlink, not the symlink.
    pub dereference: bool,
}

banger_tree::setters! {
    ChangeOwner {
        with_recursive => recursive: bool,
        with_dereference => dereference: bool,
    }
}

impl Edit<'_> {
    /// Changes the mode of the inode that `operand` leads to. With `recursive` also of everything in it but
    /// symlinks.
    ///
    /// # Errors
    /// It does not exist.
    pub fn change_mode(
        &mut self,
        operand: &Operand,
        change: &ModeChange,
        recursive: bool,
    ) -> Result<(), EditError> {
        let top = self.followed(&operand.path)?;
        self.check_directory(operand, &top)?;
        let (mut pending, mut walked) = (vec![top], WalkedDirs::default());
        while let Some(path) = pending.pop() {
            let stat = self.existing(&path, EditAdvice::ListAround)?;
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
            self.changed()?;
            if recursive && is_directory {
                walked.enter(stat.inode, &path)?;
                self.push_children(&path, &mut pending)?;
            }
        }
        Ok(())
    }

    /// Changes the owner of `operand`. Like chown(2) of root, it removes setuid, setgid and capabilities,
    /// except those of a directory.
    ///
    /// # Errors
    /// It does not exist, or the image does not know a name.
    pub fn change_owner(
        &mut self,
        operand: &Operand,
        owner: &OwnerChange,
        how: ChangeOwner,
    ) -> Result<(), EditError> {
        let OwnerIds { uid, gid } = self.ids(Some(owner))?;
        let follows = operand.is_directory || how.dereference && !how.recursive;
        let top = match follows {
            true => self.followed(&operand.path)?,
            false => self.place(&operand.path, EditAdvice::ListAround)?,
        };
        self.check_directory(operand, &top)?;
        let (mut pending, mut walked) = (vec![top], WalkedDirs::default());
        while let Some(path) = pending.pop() {
            let stat = self.existing(&path, EditAdvice::ListAround)?;
            let mut change = AttributeChange { uid, gid, ..AttributeChange::default() };
            match stat.file_type {
                FileType::Directory => {
                    if how.recursive {
                        walked.enter(stat.inode, &path)?;
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
            self.changed()?;
        }
        Ok(())
    }

    /// Checks that an operand with a slash at its end leads to a directory.
    fn check_directory(&self, operand: &Operand, place: &GuestPath) -> Result<(), EditError> {
        if operand.is_directory && !self.is_directory(place)? {
            return Err(operand.not_a_directory());
        }
        Ok(())
    }

    /// Checks that `operand` exists.
    ///
    /// # Errors
    /// It is not.
    pub fn check_exists(&self, operand: &Operand) -> Result<(), EditError> {
        let place = self.place(&operand.path, EditAdvice::ListAround)?;
        self.existing(&place, EditAdvice::ListAround).map(drop)
    }

    fn push_children(&self, dir: &GuestPath, pending: &mut Vec<GuestPath>) -> Result<(), EditError> {
        for entry in self.rootfs.read_dir(dir)? {
            pending.push(dir.join(&entry.name).map_err(RootfsError::from)?);
        }
        Ok(())
    }
}

/// Returns xattrs with an ACL that agrees with `mode`, if they have an ACL.
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
