//! Owners as `chown` takes them, and the image's own names for them.

use std::collections::HashMap;

use banger_guest::files::accounts::{self, GROUP_FILE, PASSWD_FILE, numeric_id};
use banger_tree::{GuestPath, Rootfs, escape_bytes};

use super::error::EditError;

/// Most bytes that are read of a user database.
const DATABASE_MAX_BYTES: usize = 4 << 20;

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
    /// Returns what `text` asks for.
    ///
    /// # Errors
    /// It names nobody.
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
        let id = |name: &[u8], database: &Database| {
            let unknown =
                || EditError::UnknownName { name: escape_bytes(name), database: database.file.to_owned() };
            number(name).or_else(|| database.id_of(name)).ok_or_else(unknown)
        };
        let users = || Database::read(rootfs, PASSWD_FILE);
        let uid = match &self.user {
            Some(user) if number(user).is_none() => Some(id(user, &users()?)?),
            Some(user) => number(user),
            None => None,
        };
        let gid = match &self.group {
            None => None,
            Some(GroupChange::Named(group)) if number(group).is_some() => number(group),
            Some(GroupChange::Named(group)) => Some(id(group, &Database::read(rootfs, GROUP_FILE)?)?),
            Some(GroupChange::OfUser) => {
                let users = users()?;
                let uid = uid.unwrap_or_default();
                let group = users.group_of(uid).ok_or_else(|| EditError::UnknownName {
                    name: uid.to_string(),
                    database: users.file.to_owned(),
                })?;
                Some(group)
            }
        };
        Ok(OwnerIds { uid, gid })
    }
}

/// A number as `chown` takes it.
fn number(name: &[u8]) -> Option<u32> {
    numeric_id(name.strip_prefix(b"+").unwrap_or(name))
}

/// A line of `/etc/passwd` or `/etc/group`, as far as it matters.
#[derive(Clone, Debug)]
struct Account {
    name: Vec<u8>,
    id: u32,
    /// The user's group.
    group: Option<u32>,
}

/// An image's `/etc/passwd` or `/etc/group`; empty where there is none.
#[derive(Clone, Debug)]
pub(super) struct Database {
    file: &'static str,
    accounts: Vec<Account>,
}

impl Database {
    pub(super) fn read(rootfs: &dyn Rootfs, file: &'static str) -> Result<Self, EditError> {
        let path = GuestPath::parse(file).map_err(banger_tree::RootfsError::from)?;
        let Ok(path) = rootfs.resolve(&path) else { return Ok(Self { file, accounts: Vec::new() }) };
        let size = rootfs.stat(&path)?.map_or(0, |stat| stat.size_bytes);
        let mut text =
            vec![0; usize::try_from(size).map_or(DATABASE_MAX_BYTES, |size| size.min(DATABASE_MAX_BYTES))];
        let mut length = 0;
        while length < text.len() {
            match rootfs.read_at(&path, length as u64, &mut text[length..])? {
                0 => break,
                more => length += more,
            }
        }
        let text = &text[..length];
        let accounts = match file {
            PASSWD_FILE => accounts::users(text)
                .map(|user| Account { name: user.name.to_vec(), id: user.uid, group: Some(user.gid) })
                .collect(),
            _ => accounts::groups(text)
                .map(|group| Account { name: group.name.to_vec(), id: group.gid, group: None })
                .collect(),
        };
        Ok(Self { file, accounts })
    }

    fn id_of(&self, name: &[u8]) -> Option<u32> {
        self.accounts.iter().find(|account| account.name == name).map(|account| account.id)
    }

    fn group_of(&self, uid: u32) -> Option<u32> {
        self.accounts.iter().find(|account| account.id == uid)?.group
    }

    /// Returns the first name of each number, as text.
    pub(super) fn names(&self) -> HashMap<u32, String> {
        self.accounts.iter().rev().map(|account| (account.id, escape_bytes(&account.name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use banger_tree::{Attributes, MemoryStore, Tree, TreeRootfs};

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
        assert_eq!(Database::read(&rootfs, "/etc/passwd").unwrap().names()[&1000], "app");
    }
}
