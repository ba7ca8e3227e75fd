//! Owners in the syntax of `chown`, with the names of the image.

use banger_tree::{Rootfs, escape_bytes};

use super::error::EditError;
use crate::accounts::{Accounts, GROUP, PASSWD, number};

/// New owners of a path: `USER`, `USER:GROUP`, `USER:` (with the user's own group) or `:GROUP`, each
/// a number or a name of the image's `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerChange {
    user: Option<Vec<u8>>,
    group: Option<GroupChange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum GroupChange {
    OfUser,
    Named(Vec<u8>),
}

/// The numbers that an [`OwnerChange`] comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnerIds {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

impl OwnerChange {
    /// Parses `text`.
    ///
    /// # Errors
    /// The image does not have this user or group.
    pub fn parse(text: &[u8]) -> Result<Self, EditError> {
        let colon = text.iter().position(|byte| *byte == b':');
        let (user, group) = match colon {
            None => (text, None),
            Some(at) => (&text[..at], Some(&text[at + 1..])),
        };
        let some = |name: &[u8]| (!name.is_empty()).then(|| name.to_vec());
        let (user, group) = match (some(user), group.map(some)) {
            (user, Some(Some(group))) => (user, Some(GroupChange::Named(group))),
            (Some(user), Some(None)) => (Some(user), Some(GroupChange::OfUser)),
            (Some(user), None) => (Some(user), None),
            (None, _) => return Err(EditError::Owner { text: escape_bytes(text) }),
        };
        Ok(Self { user, group })
    }

    /// Returns the change to these numbers.
    pub fn to_ids(uid: Option<u32>, gid: Option<u32>) -> Self {
        let text = |id: u32| id.to_string().into_bytes();
        Self { user: uid.map(text), group: gid.map(|gid| GroupChange::Named(text(gid))) }
    }

    /// Looks names up in the image.
    pub(super) fn resolve(&self, rootfs: &dyn Rootfs) -> Result<OwnerIds, EditError> {
        let unknown = |name: &[u8], database: &str| EditError::UnknownName {
            name: escape_bytes(name),
            database: database.to_owned(),
        };
        let id = |name: &[u8], database: &str| match number(name) {
            Some(id) => Ok(id),
            None => Accounts::read(rootfs, database)?.id_of(name).ok_or_else(|| unknown(name, database)),
        };
        let uid = self.user.as_ref().map(|user| id(user, PASSWD)).transpose()?;
        let gid = match &self.group {
            None => None,
            Some(GroupChange::Named(group)) => Some(id(group, GROUP)?),
            Some(GroupChange::OfUser) => {
                let uid = uid.unwrap_or_default();
                let group = Accounts::read(rootfs, PASSWD)?.group_of(uid);
                Some(group.ok_or_else(|| unknown(uid.to_string().as_bytes(), PASSWD))?)
            }
        };
        Ok(OwnerIds { uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use banger_tree::{Attributes, GuestPath, MemoryStore, Tree, TreeRootfs};

    use super::*;

    #[test]
    fn names_are_those_of_the_image() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let path = |text: &str| GuestPath::parse(text).unwrap();
        let ids = |rootfs: &TreeRootfs<'_>, text: &str| {
            OwnerChange::parse(text.as_bytes())
                .and_then(|owner| owner.resolve(rootfs))
                .map(|ids| (ids.uid, ids.gid))
        };
        assert_eq!(ids(&rootfs, "5:6").unwrap(), (Some(5), Some(6)));
        assert!(matches!(ids(&rootfs, "app"), Err(EditError::UnknownName { .. })));
        rootfs.create_dir(&path("/etc"), &Attributes::with_mode(0o755)).unwrap();
        for (file, text) in [
            (
                "/etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\n\nbad\napp:x:1000:1001::/:/bin/sh\nl\u{e4}:x:7:8::/:\n",
            ),
            ("/etc/group", "root:x:0:\nstaff:x:50:app,root\n12:x:99:\n"),
        ] {
            rootfs.write_file(&path(file), &mut text.as_bytes(), &Attributes::with_mode(0o644)).unwrap();
        }
        for (text, want) in [
            ("app", (Some(1000), None)),
            ("app:", (Some(1000), Some(1001))),
            ("app:staff", (Some(1000), Some(50))),
            (":staff", (None, Some(50))),
            ("1000:", (Some(1000), Some(1001))),
            ("+7:12", (Some(7), Some(12))),
            ("lä", (Some(7), None)),
            ("4294967294", (Some(4_294_967_294), None)),
        ] {
            assert_eq!(ids(&rootfs, text).unwrap(), want, "{text}");
        }
        for text in ["", ":", "nobody", "app:nobody", "4294967295", "77:"] {
            assert!(ids(&rootfs, text).is_err(), "{text}");
        }
        assert_eq!(Accounts::read(&rootfs, PASSWD).unwrap().names()[&1000], "app");
    }
}
