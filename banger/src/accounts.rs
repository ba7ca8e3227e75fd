//! The users and groups of a root file system: its `/etc/passwd` and `/etc/group`.

use std::collections::HashMap;

use banger_guest::files::accounts;
use banger_tree::{FileType, GuestPath, Rootfs, RootfsError, escape_bytes};

pub(crate) use banger_guest::files::accounts::{GROUP_FILE as GROUP, PASSWD_FILE as PASSWD};

/// Largest number of bytes that are read of an account file.
const MAX_BYTES: usize = 4 << 20;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    name: Vec<u8>,
    id: u32,
    /// The user's group.
    group: Option<u32>,
}

/// The accounts of one file; empty if the file is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    accounts: Vec<Account>,
    /// Whether the file is larger than the part that was read.
    is_cut: bool,
}

impl Accounts {
    /// Reads `file` of a root file system; symlinks are followed inside it.
    pub(crate) fn read(rootfs: &dyn Rootfs, file: &str) -> Result<Self, RootfsError> {
        let Ok(path) = rootfs.resolve(&GuestPath::parse(file)?) else { return Ok(Self::default()) };
        let stat = rootfs.stat(&path)?.filter(|stat| stat.file_type == FileType::Regular);
        let Some(stat) = stat else { return Ok(Self::default()) };
        let size = usize::try_from(stat.size_bytes).unwrap_or(usize::MAX);
        let mut text = vec![0; size.min(MAX_BYTES)];
        let mut length = 0;
        while length < text.len() {
            match rootfs.read_at(&path, length as u64, &mut text[length..])? {
                0 => break,
                more => length += more,
            }
        }
        Ok(Self { is_cut: size > MAX_BYTES, ..Self::parse(file, &text[..length]) })
    }

    fn parse(file: &str, text: &[u8]) -> Self {
        let accounts = match file {
            PASSWD => accounts::users(text)
                .map(|user| Account { name: user.name.to_vec(), id: user.uid, group: Some(user.gid) })
                .collect(),
            _ => accounts::groups(text)
                .map(|group| Account { name: group.name.to_vec(), id: group.gid, group: None })
                .collect(),
        };
        Self { accounts, is_cut: false }
    }

    /// Returns whether the file has the name; `None` if only a part of the file was read.
    pub(crate) fn has_name(&self, name: &[u8]) -> Option<bool> {
        let has = self.accounts.iter().any(|account| account.name == name);
        (has || !self.is_cut).then_some(has)
    }

    /// Returns the number of a name.
    pub(crate) fn id_of(&self, name: &[u8]) -> Option<u32> {
        self.accounts.iter().filter(|account| account.name == name).map(|account| account.id).next()
    }

    /// Returns the group of the user with a number.
    pub(crate) fn group_of(&self, uid: u32) -> Option<u32> {
        self.accounts.iter().find(|account| account.id == uid)?.group
    }

    /// Returns the first name of each number, as text.
    pub(crate) fn names(&self) -> HashMap<u32, String> {
        let accounts = self.accounts.iter().rev();
        accounts.map(|account| (account.id, escape_bytes(&account.name))).collect()
    }
}

/// Returns the number of a user or group. It may have a plus in front, as for `chown`.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    accounts::numeric_id(text.strip_prefix(b"+").unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_looked_up() {
        let accounts = Accounts::parse(PASSWD, b"root:x:0:0::/root:/bin/sh\n\nword\nroot:x:7:8:::\n");
        assert_eq!((accounts.id_of(b"root"), accounts.group_of(7)), (Some(0), Some(8)));
        assert_eq!((accounts.has_name(b"word"), accounts.has_name(b"roo")), (Some(false), Some(false)));
        assert_eq!(accounts.names()[&0], "root");
        let cut = Accounts { is_cut: true, ..accounts };
        assert_eq!((cut.has_name(b"root"), cut.has_name(b"roo")), (Some(true), None));
    }
}
