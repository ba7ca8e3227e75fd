//! Attributes that new files and directories inherit from their directory.

use banger_tree::{Attributes, FileType, GuestPath};

use super::acl::{self, ACCESS_ACL, DEFAULT_ACL};
use super::attributes::with_mode;
use super::edit::Edit;
use super::error::{EditAdvice, EditError};
use super::owner::OwnerIds;

const SET_GID: u16 = 0o2000;

/// Something that is about to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewEntry {
    pub(super) file_type: FileType,
    /// Its mode if the directory has no default ACL.
    pub(super) mode: u16,
    /// Its mode before a default ACL removes permissions; the ACL takes the place of a umask.
    pub(super) unmasked_mode: u16,
    pub(super) owner: OwnerIds,
}

impl NewEntry {
    /// Returns an entry with the permissions that its source has.
    pub(super) fn of_source(file_type: FileType, mode: u16, owner: OwnerIds) -> Self {
        Self { file_type, mode, unmasked_mode: mode, owner }
    }
}

impl Edit<'_> {
    /// Returns the attributes of a new inode at `place`, as a kernel sets them. It inherits group and setgid
    /// bit of a setgid directory, and the directory's default ACL, masked by the mode.
    pub(super) fn new_attributes(&self, place: &GuestPath, new: &NewEntry) -> Result<Attributes, EditError> {
        let parent = place.parent().unwrap_or_else(GuestPath::root);
        let parent = self.existing(&parent, EditAdvice::ListAround)?.attributes;
        let mut mode = new.mode;
        let mut gid = 0;
        if parent.mode & SET_GID != 0 {
            gid = parent.gid;
            if new.file_type == FileType::Directory {
                mode |= SET_GID;
            }
        }
        let mut attributes = Attributes {
            uid: new.owner.uid.unwrap_or_default(),
            gid: new.owner.gid.unwrap_or(gid),
            mtime: self.timestamp,
            ..Attributes::with_mode(mode)
        };
        if new.file_type == FileType::Symlink {
            return Ok(attributes);
        }
        if let Some(default) = parent.xattrs.value(DEFAULT_ACL) {
            let (mode, access) = acl::inherited(default, attributes.mode | new.unmasked_mode);
            attributes.mode = mode;
            if let Some(access) = access {
                attributes.xattrs.insert(ACCESS_ACL, access);
            }
            if new.file_type == FileType::Directory {
                attributes.xattrs.insert(DEFAULT_ACL, default.to_vec());
            }
        }
        Ok(attributes)
    }
}

/// Changes a mode, and the access ACL with it.
pub(super) fn set_mode(attributes: &mut Attributes, mode: u16) {
    attributes.mode = mode;
    if let Some(xattrs) = with_mode(&attributes.xattrs, mode) {
        attributes.xattrs = xattrs;
    }
}
