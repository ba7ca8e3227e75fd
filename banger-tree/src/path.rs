//! Paths inside an image: bytes, never paths of the host.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::escape::{escape_bytes, unescape_bytes};
use crate::failure::{ErrorContext, ErrorKind, Failure};

/// Longest file name in bytes (Linux `NAME_MAX`, and the limit of an ext4 directory entry).
pub const NAME_MAX: usize = 255;
/// Longest path in bytes that is accepted (Linux `PATH_MAX`).
pub const PATH_MAX: usize = 4096;
/// Longest target of a symlink in bytes: a path without the NUL behind it.
pub const SYMLINK_TARGET_MAX: usize = PATH_MAX - 1;

/// An absolute, normalized path inside an image: `/`, or `/a/b` with no empty, `.` or `..`
/// component and no slash at the end. The bytes need not be UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath {
    bytes: Vec<u8>,
}

/// Why bytes are not a path inside an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// `..` leads above the root.
    #[error("path {} climbs above the root", escape_bytes(path))]
    AboveRoot {
        /// The path as given.
        path: Vec<u8>,
    },
    /// A NUL byte, which no file name can hold.
    #[error("path {} contains a NUL byte", escape_bytes(path))]
    Nul {
        /// The path as given.
        path: Vec<u8>,
    },
    /// A component longer than [`NAME_MAX`].
    #[error("path {} has a component of {length} bytes, more than {NAME_MAX}", escape_bytes(path))]
    NameTooLong {
        /// The path as given.
        path: Vec<u8>,
        /// Length of the component in bytes.
        length: usize,
    },
    /// Longer than [`PATH_MAX`].
    #[error("path {}… is {length} bytes long, more than {PATH_MAX}", escape_bytes(start))]
    TooLong {
        /// The first bytes of the path.
        start: Vec<u8>,
        /// Length of the whole path in bytes.
        length: usize,
    },
    /// The name is empty, `.`, `..` or has a slash.
    #[error("{} is not a file name", escape_bytes(name))]
    NotAName {
        /// The bytes as given.
        name: Vec<u8>,
    },
    /// A backslash escape in a serialized path is malformed.
    #[error("malformed escape in path {text:?}")]
    Escape {
        /// The text as given.
        text: String,
    },
}

impl PathError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        709
    }
}

impl Failure for PathError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Argument
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::AboveRoot { path } | Self::Nul { path } => context.with("path", escape_bytes(path)),
            Self::NameTooLong { path, length } => {
                context.with("path", escape_bytes(path)).with("length", length).with("limit", NAME_MAX)
            }
            Self::TooLong { start, length } => {
                context.with("path", escape_bytes(start)).with("length", length).with("limit", PATH_MAX)
            }
            Self::NotAName { name } => context.with("name", escape_bytes(name)),
            Self::Escape { text } => context.with("path", text),
        }
    }
}

impl GuestPath {
    /// Returns `/`.
    pub fn root() -> Self {
        Self { bytes: b"/".to_vec() }
    }

    /// Returns the path that `bytes` names from the root. Repeated slashes count as one, `.` is dropped, and
    /// `..` removes the component before it. Paths of layers are cleaned in this way.
    ///
    /// # Errors
    /// `..` above the root, NUL, a component over [`NAME_MAX`], a length over [`PATH_MAX`].
    pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let input = bytes.as_ref();
        if input.len() > PATH_MAX {
            return Err(PathError::TooLong { start: input[..64].to_vec(), length: input.len() });
        }
        if input.contains(&0) {
            return Err(PathError::Nul { path: input.to_vec() });
        }
        let mut bytes = Vec::with_capacity(input.len() + 1);
        for component in input.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => match bytes.iter().rposition(|byte| *byte == b'/') {
                    Some(slash) => bytes.truncate(slash),
                    None => return Err(PathError::AboveRoot { path: input.to_vec() }),
                },
                _ if component.len() > NAME_MAX => {
                    return Err(PathError::NameTooLong { path: input.to_vec(), length: component.len() });
                }
                _ => {
                    bytes.push(b'/');
                    bytes.extend_from_slice(component);
                }
            }
        }
        if bytes.is_empty() {
            bytes.push(b'/');
        }
        Ok(Self { bytes })
    }

    /// Returns the path's bytes; they start with a slash.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.bytes == b"/"
    }

    /// Returns the components from the root down; empty for `/`.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.bytes.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
    }

    /// Returns the last component, or `None` for `/`.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// Returns the directory that holds this path, or `None` for `/`.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let slash = self.bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        Some(Self { bytes: self.bytes[..slash.max(1)].to_vec() })
    }

    /// Returns the path of `name` in this directory.
    ///
    /// # Errors
    /// `name` is not one file name (see [`check_name`]), or the path grows over [`PATH_MAX`].
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        check_name(name)?;
        let mut bytes = if self.is_root() { Vec::new() } else { self.bytes.clone() };
        bytes.push(b'/');
        bytes.extend_from_slice(name);
        if bytes.len() > PATH_MAX {
            return Err(PathError::TooLong { start: bytes[..64].to_vec(), length: bytes.len() });
        }
        Ok(Self { bytes })
    }

    /// Returns whether this path is `other` or lies below it.
    pub fn starts_with(&self, other: &Self) -> bool {
        other.is_root()
            || self
                .bytes
                .strip_prefix(other.bytes.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// Returns the path of an entry found on disk or in a tree, whose name was checked there.
    pub(crate) fn join_unchecked(&self, name: &[u8]) -> Self {
        let mut bytes = if self.is_root() { Vec::new() } else { self.bytes.clone() };
        bytes.push(b'/');
        bytes.extend_from_slice(name);
        Self { bytes }
    }
}

/// Checks that `name` can be one directory entry.
///
/// # Errors
/// Empty, `.`, `..`, a slash, NUL, or over [`NAME_MAX`] bytes.
pub fn check_name(name: &[u8]) -> Result<(), PathError> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return Err(PathError::NotAName { name: name.to_vec() });
    }
    if name.contains(&0) {
        return Err(PathError::Nul { path: name.to_vec() });
    }
    if name.len() > NAME_MAX {
        return Err(PathError::NameTooLong { path: name.to_vec(), length: name.len() });
    }
    Ok(())
}

impl fmt::Display for GuestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&escape_bytes(&self.bytes))
    }
}

impl fmt::Debug for GuestPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GuestPath({self})")
    }
}

impl std::str::FromStr for GuestPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl Serialize for GuestPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GuestPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = unescape_bytes(&text).ok_or_else(|| PathError::Escape { text: text.clone() });
        bytes.and_then(Self::parse).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_path_are_one() {
        for (input, want) in [
            ("", "/"),
            ("/", "/"),
            (".", "/"),
            ("./", "/"),
            ("etc/x", "/etc/x"),
            ("./etc/x", "/etc/x"),
            ("/etc/x", "/etc/x"),
            ("etc//x", "/etc/x"),
            ("etc/x/", "/etc/x"),
            ("etc/./x/.", "/etc/x"),
            ("a/../b", "/b"),
            ("a/..", "/"),
            ("...", "/..."),
        ] {
            assert_eq!(GuestPath::parse(input).unwrap().as_bytes(), want.as_bytes(), "{input}");
        }
    }

    #[test]
    fn refuses_what_no_image_can_hold() {
        let long = "n".repeat(256);
        let deep = "a/".repeat(2049);
        for input in ["..", "../x", "a/../../x", "/..", "a\0b", long.as_str(), deep.as_str()] {
            assert!(GuestPath::parse(input).is_err(), "{input:?}");
        }
        assert!(GuestPath::parse("n".repeat(255)).is_ok());
        assert!(GuestPath::parse(vec![b'/'; 4096]).is_ok());
    }

    #[test]
    fn parents_names_and_prefixes() {
        let path = GuestPath::parse("/usr/lib/x").unwrap();
        assert_eq!(path.parent().unwrap().as_bytes(), b"/usr/lib");
        assert_eq!(path.file_name(), Some(&b"x"[..]));
        assert_eq!(GuestPath::parse("/usr").unwrap().parent().unwrap(), GuestPath::root());
        assert_eq!(GuestPath::root().parent(), None);
        assert!(path.starts_with(&GuestPath::parse("/usr/lib").unwrap()));
        assert!(path.starts_with(&GuestPath::root()));
        assert!(!path.starts_with(&GuestPath::parse("/usr/li").unwrap()));
        assert_eq!(GuestPath::root().join(b"x").unwrap().as_bytes(), b"/x");
        for name in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert!(GuestPath::root().join(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn text_form_keeps_every_byte() {
        for bytes in [
            &b"/plain"[..],
            b"/new\nline",
            b"/latin\xe9",
            b"/back\\slash",
            "/ünï".as_bytes(),
            b"/\xff\\x41",
            "/txt.\u{202e}exe".as_bytes(),
        ] {
            let path = GuestPath::parse(bytes).unwrap();
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(serde_json::from_str::<GuestPath>(&json).unwrap(), path, "{json}");
            assert!(!path.to_string().contains(['\n', '\u{202e}']));
        }
        assert!(serde_json::from_str::<GuestPath>(r#""/a\\q""#).is_err());
    }
}
