//! Search for files in a root file system.

use std::str::FromStr;

use banger_tree::{Cancellation, FileType, GuestPath, Rootfs, Timestamp};

use super::edit::{Operand, WalkedDirs};
use super::error::EditError;
use super::glob::Glob;
use super::look::{RootfsEntry, View};
use super::tar::join;

/// Conditions for files. A file is found if it meets all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Find {
    /// The name without directories matches.
    pub name: Option<Glob>,
    /// The whole path matches.
    pub path: Option<Glob>,
    /// The type is one of these; empty for all types.
    pub types: Vec<FileType>,
    /// Bytes of the file.
    pub size: Option<SizeTest>,
    /// It was modified later.
    pub newer: Option<Timestamp>,
    /// Permissions.
    pub perm: Option<PermTest>,
    /// The owner's user id.
    pub uid: Option<u32>,
    /// The owner's group id.
    pub gid: Option<u32>,
    /// Levels of directories below the start; 0 is the start alone.
    pub max_depth: Option<usize>,
}

banger_tree::setters! {
    Find {
        with_name => name: Option<Glob>,
        with_path => path: Option<Glob>,
        with_types => types: Vec<FileType>,
        with_size => size: Option<SizeTest>,
        with_newer => newer: Option<Timestamp>,
        with_perm => perm: Option<PermTest>,
        with_uid => uid: Option<u32>,
        with_gid => gid: Option<u32>,
        with_max_depth => max_depth: Option<usize>,
    }
}

/// A condition for the size of a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeTest {
    /// More than this.
    More(u64),
    /// Less than this.
    Less(u64),
    /// Exactly this.
    Exactly(u64),
}

impl FromStr for SizeTest {
    type Err = String;

    /// Parses `+N`, `-N` or `N`, a number of bytes.
    fn from_str(text: &str) -> Result<Self, String> {
        let (test, digits): (fn(u64) -> Self, _) = match text.as_bytes().first() {
            Some(b'+') => (Self::More, &text[1..]),
            Some(b'-') => (Self::Less, &text[1..]),
            _ => (Self::Exactly, text),
        };
        let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
        let bytes = digits.parse().ok().filter(|_| is_number);
        bytes.map(test).ok_or_else(|| "it is a number of bytes, behind + or - or alone".to_owned())
    }
}

impl SizeTest {
    fn accepts(self, bytes: u64) -> bool {
        match self {
            Self::More(than) => bytes > than,
            Self::Less(than) => bytes < than,
            Self::Exactly(wanted) => bytes == wanted,
        }
    }
}

/// A condition for permission bits: `644` (exactly these), `-600` (all of these) or `/222` (any of these), as octal
/// digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermTest {
    /// Exactly these bits.
    Exactly(u16),
    /// All of these bits.
    All(u16),
    /// Any of these bits; all files for none.
    Any(u16),
}

impl FromStr for PermTest {
    type Err = EditError;

    fn from_str(text: &str) -> Result<Self, EditError> {
        let malformed = || EditError::Mode { text: text.to_owned() };
        let (test, digits): (fn(u16) -> Self, _) = match text.as_bytes().first() {
            Some(b'-') => (Self::All, &text[1..]),
            Some(b'/') => (Self::Any, &text[1..]),
            _ => (Self::Exactly, text),
        };
        let is_octal = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let bits = is_octal.then(|| u16::from_str_radix(digits, 8).ok()).flatten();
        bits.filter(|bits| *bits <= 0o7777).map(test).ok_or_else(malformed)
    }
}

impl PermTest {
    fn accepts(self, mode: u16) -> bool {
        match self {
            Self::Exactly(bits) => mode == bits,
            Self::All(bits) => mode & bits == bits,
            Self::Any(bits) => bits == 0 || mode & bits != 0,
        }
    }
}

impl Find {
    /// Returns whether a file meets all conditions but that for its depth.
    fn accepts(&self, entry: &RootfsEntry) -> bool {
        let name = entry.path.file_name().unwrap_or(b"/");
        let time = |time: Timestamp| (time.seconds, time.nanoseconds);
        (self.types.is_empty() || self.types.contains(&entry.file_type))
            && self.name.as_ref().is_none_or(|glob| glob.matches(name))
            && self.path.as_ref().is_none_or(|glob| glob.matches(entry.path.as_bytes()))
            && self.size.is_none_or(|size| size.accepts(entry.size_bytes))
            && self.newer.is_none_or(|newer| time(entry.modified) > time(newer))
            && self.perm.is_none_or(|perm| perm.accepts(entry.mode))
            && self.uid.is_none_or(|uid| entry.uid == uid)
            && self.gid.is_none_or(|gid| entry.gid == gid)
    }
}

/// Calls `found` with each file at and below `start` that meets all conditions, directories before their content, in
/// the order of the names. Symlinks are not followed, but with a slash at its end `start` leads to a directory.
///
/// # Errors
/// `start` does not exist, the root file system is damaged, `found` fails, or the caller asks to stop.
pub fn find<E: From<EditError>>(
    rootfs: &dyn Rootfs,
    start: &Operand,
    conditions: &Find,
    cancellation: &Cancellation,
    mut found: impl FnMut(RootfsEntry) -> Result<(), E>,
) -> Result<(), E> {
    let view = View::new(rootfs)?;
    let mut walked = WalkedDirs::default();
    let mut pending: Vec<(GuestPath, usize)> = vec![(view.operand(start)?, 0)];
    while let Some((path, depth)) = pending.pop() {
        if cancellation.is_cancelled() {
            return Err(EditError::Cancelled.into());
        }
        let entry = view.entry(&path)?;
        let goes_on = entry.file_type == FileType::Directory
            && conditions.max_depth.is_none_or(|max_depth| depth < max_depth);
        if goes_on {
            walked.enter(entry.inode, &path)?;
            for below in rootfs.read_dir(&path).map_err(EditError::from)?.into_iter().rev() {
                pending.push((join(&path, &below.name)?, depth + 1));
            }
        }
        if conditions.accepts(&entry) {
            found(entry)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use banger_tree::{Attributes, MemoryStore, Tree, TreeRootfs};

    use super::*;

    #[test]
    fn files_meet_all_conditions() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let path = |text: &str| GuestPath::parse(text).expect("a path");
        rootfs.create_dir(&path("/etc"), &Attributes::with_mode(0o755)).expect("room");
        for (name, size, mode, uid, seconds) in [
            ("/etc/a.conf", 10, 0o644, 0, 10),
            ("/etc/b.conf", 20, 0o4755, 7, 20),
            ("/etc/c", 30, 0o600, 0, 30),
        ] {
            let attributes =
                Attributes { uid, mtime: Timestamp::from_seconds(seconds), ..Attributes::with_mode(mode) };
            rootfs.write_file(&path(name), &mut &vec![b'x'; size][..], &attributes).expect("room");
        }
        rootfs.symlink(&path("/link"), b"etc", &Attributes::with_mode(0o777)).expect("room");
        let all = |start: &str, conditions: Find| {
            let mut paths = Vec::new();
            let start = Operand::parse(start.as_bytes()).expect("a path");
            find(&rootfs, &start, &conditions, &Cancellation::default(), |entry| {
                paths.push(entry.path.to_string());
                Ok::<(), EditError>(())
            })
            .expect("no damage");
            paths
        };
        let find = Find::default;
        let perm = |text: &str| Some(text.parse().expect(text));
        assert_eq!(all("/", find()), ["/", "/etc", "/etc/a.conf", "/etc/b.conf", "/etc/c", "/link"]);
        assert_eq!(all("/etc", find().with_max_depth(Some(0))), ["/etc"]);
        assert_eq!(all("/link", find()), ["/link"]);
        assert_eq!(all("/link/", find()).len(), 4);
        let conf = find().with_name(Some("*.conf".parse().expect("a pattern")));
        assert_eq!(all("/", conf.clone()), ["/etc/a.conf", "/etc/b.conf"]);
        assert_eq!(all("/", conf.with_size(Some(SizeTest::More(10)))), ["/etc/b.conf"]);
        assert_eq!(all("/", find().with_path(Some("/e*c".parse().expect("a pattern")))), ["/etc", "/etc/c"]);
        assert_eq!(all("/", find().with_types(vec![FileType::Symlink])), ["/link"]);
        let files = || find().with_types(vec![FileType::Regular]);
        assert_eq!(all("/", files().with_size(Some(SizeTest::Less(20)))), ["/etc/a.conf"]);
        assert_eq!(all("/", files().with_size(Some(SizeTest::Exactly(20)))), ["/etc/b.conf"]);
        assert_eq!(all("/", files().with_newer(Some(Timestamp::from_seconds(20)))), ["/etc/c"]);
        assert_eq!(all("/", files().with_perm(perm("600"))), ["/etc/c"]);
        assert_eq!(all("/", files().with_perm(perm("-4001"))), ["/etc/b.conf"]);
        assert_eq!(all("/", files().with_perm(perm("/011"))), ["/etc/b.conf"]);
        assert_eq!(all("/", files().with_perm(perm("/0"))).len(), 3);
        assert_eq!(all("/", find().with_uid(Some(7)).with_gid(Some(0))), ["/etc/b.conf"]);
        for bad in ["", "-", "9", "77777", "+7"] {
            assert!(bad.parse::<PermTest>().is_err(), "{bad}");
        }
        for (text, size) in
            [("+5", SizeTest::More(5)), ("-6", SizeTest::Less(6)), ("7", SizeTest::Exactly(7))]
        {
            assert_eq!(text.parse(), Ok(size));
        }
        for bad in ["", "+", "++5", "-+5", "5K"] {
            assert!(bad.parse::<SizeTest>().is_err(), "{bad}");
        }
    }
}
