//! Attributes of an inode.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::escape::{escape_bytes, unescape_bytes};
use crate::timestamp::Timestamp;

/// Permissions, owner, modification time and extended attributes of one inode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Permission bits with setuid, setgid and sticky: `0o0000` to `0o7777`, no file type.
    pub mode: u16,
    /// Owner's user id.
    pub uid: u32,
    /// Owner's group id.
    pub gid: u32,
    /// Last modification.
    pub mtime: Timestamp,
    /// Extended attributes.
    #[serde(default, skip_serializing_if = "Xattrs::is_empty")]
    pub xattrs: Xattrs,
}

impl Attributes {
    /// Returns attributes with these permission bits, owned by 0:0, of time 0, without xattrs.
    pub fn with_mode(mode: u16) -> Self {
        Self { mode: mode & 0o7777, ..Self::default() }
    }
}

/// Longest name of an extended attribute in bytes (Linux `XATTR_NAME_MAX`).
pub const XATTR_NAME_MAX: usize = 255;
/// Bytes that ext4 needs for an extended attribute besides its name and value.
pub const XATTR_ENTRY_BYTES: u64 = 16;

/// Extended attributes by full name (`security.capability`, `user.x`), ordered by name.
///
/// One pointer wide, since most inodes have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::box_collection, reason = "a map is three words wide, and a million inodes hold one each")]
pub struct Xattrs(Option<Box<BTreeMap<Vec<u8>, Vec<u8>>>>);

impl Xattrs {
    /// Returns whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|map| map.is_empty())
    }

    /// Returns the number of attributes.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.len())
    }

    /// Returns the bytes that the set needs in an inode: [`XATTR_ENTRY_BYTES`], name and value of each.
    pub fn room_bytes(&self) -> u64 {
        self.iter().map(|(name, value)| XATTR_ENTRY_BYTES + (name.len() + value.len()) as u64).sum()
    }

    /// Returns the value of `name`.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.0.as_ref()?.get(name).map(Vec::as_slice)
    }

    /// Sets `name` to `value`; returns the old value.
    pub fn insert(&mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Option<Vec<u8>> {
        self.0.get_or_insert_default().insert(name.into(), value.into())
    }

    /// Removes `name`; returns the old value.
    pub fn remove(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let map = self.0.as_mut()?;
        let value = map.remove(name);
        if map.is_empty() {
            self.0 = None;
        }
        value
    }

    /// Returns names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().flat_map(|map| map.iter()).map(|(name, value)| (name.as_slice(), value.as_slice()))
    }
}

impl<N: Into<Vec<u8>>, V: Into<Vec<u8>>> FromIterator<(N, V)> for Xattrs {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut xattrs = Self::default();
        for (name, value) in pairs {
            xattrs.insert(name, value);
        }
        xattrs
    }
}

/// Names as escaped text, values in base64.
impl Serialize for Xattrs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, value)| (escape_bytes(name), STANDARD.encode(value))))
    }
}

impl<'de> Deserialize<'de> for Xattrs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = BTreeMap::<String, String>::deserialize(deserializer)?;
        text.into_iter()
            .map(|(name, value)| {
                let malformed = || de::Error::custom(format_args!("malformed escape in {name:?}"));
                let name = unescape_bytes(&name).ok_or_else(malformed)?;
                let value = STANDARD.decode(value).map_err(de::Error::custom)?;
                Ok((name, value))
            })
            .collect()
    }
}

/// Changes for [`Rootfs::set_attributes`](crate::Rootfs::set_attributes); `None` keeps the old value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttributeChange {
    /// New permission bits, `0o0000` to `0o7777`.
    pub mode: Option<u16>,
    /// New owner.
    pub uid: Option<u32>,
    /// New group.
    pub gid: Option<u32>,
    /// New modification time.
    pub mtime: Option<Timestamp>,
    /// The whole new set of extended attributes.
    pub xattrs: Option<Xattrs>,
}

impl AttributeChange {
    /// Returns `attributes` with this change applied.
    pub fn applied_to(&self, attributes: &Attributes) -> Attributes {
        Attributes {
            mode: self.mode.map_or(attributes.mode, |mode| mode & 0o7777),
            uid: self.uid.unwrap_or(attributes.uid),
            gid: self.gid.unwrap_or(attributes.gid),
            mtime: self.mtime.unwrap_or(attributes.mtime),
            xattrs: self.xattrs.clone().unwrap_or_else(|| attributes.xattrs.clone()),
        }
    }
}

impl From<&Attributes> for AttributeChange {
    fn from(attributes: &Attributes) -> Self {
        Self {
            mode: Some(attributes.mode),
            uid: Some(attributes.uid),
            gid: Some(attributes.gid),
            mtime: Some(attributes.mtime),
            xattrs: Some(attributes.xattrs.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xattrs_are_ordered_and_survive_json() {
        let mut xattrs =
            Xattrs::from_iter([("user.b", &b"2"[..]), ("security.capability", &[1, 0, 0xff][..])]);
        xattrs.insert("user.a", "1");
        assert_eq!(
            xattrs.iter().map(|(name, _)| name.to_vec()).collect::<Vec<_>>(),
            [b"security.capability".to_vec(), b"user.a".to_vec(), b"user.b".to_vec()]
        );
        let json = serde_json::to_string(&xattrs).unwrap();
        assert_eq!(serde_json::from_str::<Xattrs>(&json).unwrap(), xattrs);
        for name in ["user.a", "user.b", "security.capability"] {
            assert!(xattrs.remove(name.as_bytes()).is_some());
        }
        assert_eq!(xattrs, Xattrs::default());
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let before = Attributes { uid: 5, gid: 6, ..Attributes::with_mode(0o644) };
        let after = AttributeChange { uid: Some(7), ..AttributeChange::default() }.applied_to(&before);
        assert_eq!(after, Attributes { uid: 7, ..before.clone() });
        assert_eq!(AttributeChange::from(&before).applied_to(&after), before);
    }
}
