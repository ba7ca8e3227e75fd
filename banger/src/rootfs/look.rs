//! Looking into a root file system: entries as `ls`, `stat` and `cat` show them.

use std::collections::HashMap;
use std::io::{self, Write};

use banger_tree::{FileType, GuestPath, Rootfs, RootfsError, Stat, Timestamp, Xattrs, escape_bytes};
use serde::{Serialize, Serializer};

use super::capability;
use super::edit::{Operand, WalkedDirs};
use super::error::{EditAdvice, EditError};
use crate::accounts::{Accounts, GROUP, PASSWD};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// State of the inode at a path. `--json` prints its JSON form: bytes that are not UTF-8 and invisible
/// characters are escaped, values of xattrs are base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RootfsEntry {
    /// Its path.
    pub path: GuestPath,
    /// Its type.
    #[serde(rename = "type", serialize_with = "type_name")]
    pub file_type: FileType,
    /// Number of the inode; equal for hard links of one file.
    pub inode: u64,
    /// Names that lead to the inode.
    pub nlink: u32,
    /// Bytes of a file, or of a symlink's target.
    pub size_bytes: u64,
    /// Permission bits; in JSON as four octal digits.
    #[serde(serialize_with = "octal")]
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The owner's name in the image, if it has one.
    pub user: Option<String>,
    /// The group's name in the image, if it has one.
    pub group: Option<String>,
    /// Last modification.
    #[serde(serialize_with = "rfc3339")]
    pub modified: Timestamp,
    /// Major and minor number of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<(u32, u32)>,
    /// Target of a symlink.
    #[serde(serialize_with = "target_text", skip_serializing_if = "Option::is_none")]
    pub target: Option<Vec<u8>>,
    /// File capabilities as `getcap` prints them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<String>,
    /// Extended attributes.
    #[serde(skip_serializing_if = "Xattrs::is_empty")]
    pub xattrs: Xattrs,
}

fn type_name<S: Serializer>(file_type: &FileType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(file_type.name())
}

fn octal<S: Serializer>(mode: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}

fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time_text(*time))
}

fn target_text<S: Serializer>(target: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_some(&target.as_deref().map(escape_bytes))
}

/// Returns a time as RFC 3339 has it, in UTC, with as many digits as it needs.
pub fn time_text(time: Timestamp) -> String {
    let nanoseconds = i32::try_from(time.nanoseconds).unwrap_or_default();
    match jiff::Timestamp::new(time.seconds, nanoseconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{} s", time.seconds),
    }
}

/// Returns the time of a text: RFC 3339 (`2026-01-31T12:00:00Z`), a day (`2026-01-31`, its begin in UTC), or seconds
/// since 1970 behind an at sign (`@0`).
///
/// # Errors
/// It is none of these.
pub fn parse_time(text: &str) -> Result<Timestamp, EditError> {
    let malformed = || EditError::Time { text: text.to_owned() };
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().map(Timestamp::from_seconds).map_err(|_| malformed());
    }
    let day = || text.parse::<jiff::civil::Date>().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    let time: jiff::Timestamp = match text.contains('T') {
        true => text.parse().map_err(|_| malformed())?,
        // The parser of days would skip a time behind the day.
        false => day().map_err(|_| malformed())?.timestamp(),
    };
    let (seconds, nanoseconds) = (time.as_second(), time.subsec_nanosecond());
    // Before 1970 they count backwards.
    Ok(match u32::try_from(nanoseconds) {
        Ok(nanoseconds) => Timestamp { seconds, nanoseconds },
        Err(_) => {
            Timestamp { seconds: seconds - 1, nanoseconds: (nanoseconds + 1_000_000_000).unsigned_abs() }
        }
    })
}

impl RootfsEntry {
    /// Returns type and permissions as `ls -l` prints them, for example `-rwsr-xr-x`.
    pub fn mode_text(&self) -> String {
        let mut text = String::with_capacity(10);
        text.push(match self.file_type {
            FileType::Regular => '-',
            FileType::Directory => 'd',
            FileType::Symlink => 'l',
            FileType::CharDevice => 'c',
            FileType::BlockDevice => 'b',
            FileType::Fifo => 'p',
            FileType::Socket => 's',
        });
        for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
            let bits = self.mode >> shift;
            text.push(if bits & 4 != 0 { 'r' } else { '-' });
            text.push(if bits & 2 != 0 { 'w' } else { '-' });
            text.push(match (bits & 1 != 0, self.mode & special != 0) {
                (true, true) => letter,
                (false, true) => letter.to_ascii_uppercase(),
                (true, false) => 'x',
                (false, false) => '-',
            });
        }
        text
    }
}

/// A directory and its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Listing {
    /// The directory.
    pub path: GuestPath,
    /// Its entries, ordered by the bytes of their names.
    pub entries: Vec<RootfsEntry>,
}

/// A look into a root file system.
pub struct View<'a> {
    rootfs: &'a dyn Rootfs,
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("View").finish_non_exhaustive()
    }
}

impl<'a> View<'a> {
    /// Returns a look into `rootfs`.
    ///
    /// # Errors
    /// Its `/etc/passwd` or `/etc/group` exists and cannot be read.
    pub fn new(rootfs: &'a dyn Rootfs) -> Result<Self, EditError> {
        let users = Accounts::read(rootfs, PASSWD)?.names();
        let groups = Accounts::read(rootfs, GROUP)?.names();
        Ok(Self { rootfs, users, groups })
    }

    /// Returns the state of `path`. A symlink is not followed.
    ///
    /// # Errors
    /// The path does not exist, or the file system is damaged.
    pub fn entry(&self, path: &GuestPath) -> Result<RootfsEntry, EditError> {
        let missing = || EditError::NotFound { path: path.clone(), advice: EditAdvice::ListAround };
        let Stat { inode, file_type, attributes, nlink, size_bytes, device, .. } =
            self.rootfs.stat(path)?.ok_or_else(missing)?;
        let target = match file_type {
            FileType::Symlink => Some(self.rootfs.read_link(path)?),
            _ => None,
        };
        Ok(RootfsEntry {
            path: path.clone(),
            file_type,
            inode,
            nlink,
            size_bytes,
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            user: self.users.get(&attributes.uid).cloned(),
            group: self.groups.get(&attributes.gid).cloned(),
            modified: attributes.mtime,
            device,
            target,
            capabilities: attributes.xattrs.value(capability::CAPABILITY).and_then(capability::text_of),
            xattrs: attributes.xattrs,
        })
    }

    /// Returns the path of an operand. With a slash at its end, the operand must lead to a directory.
    ///
    /// # Errors
    /// It does not.
    pub fn operand(&self, operand: &Operand) -> Result<GuestPath, EditError> {
        if !operand.is_directory {
            return Ok(operand.path.clone());
        }
        let path = self.resolve(&operand.path)?;
        match self.entry(&path)?.file_type {
            FileType::Directory => Ok(path),
            _ => Err(operand.not_a_directory()),
        }
    }

    /// Returns `path` with every symlink followed, the last one too.
    ///
    /// # Errors
    /// The path leads nowhere.
    pub fn resolve(&self, path: &GuestPath) -> Result<GuestPath, EditError> {
        self.rootfs.resolve(path).map_err(|error| match error {
            RootfsError::NotFound { path } => EditError::NotFound { path, advice: EditAdvice::ListAround },
            other => other.into(),
        })
    }

    /// Returns the entries of the directory `path`, which may be a symlink to one.
    ///
    /// # Errors
    /// It is not a directory, or the file system is damaged.
    pub fn list(&self, path: &GuestPath) -> Result<Listing, EditError> {
        let dir = self.resolve(path)?;
        let names = self.rootfs.read_dir(&dir)?;
        let entry = |name: &[u8]| self.entry(&dir.join(name).map_err(RootfsError::from)?);
        let entries = names.iter().map(|found| entry(&found.name)).collect::<Result<_, _>>()?;
        Ok(Listing { path: path.clone(), entries })
    }

    /// Returns the entries of the directory `path` and of all directories below it, parents before children.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn list_all(&self, path: &GuestPath) -> Result<Vec<Listing>, EditError> {
        let (mut listings, mut walked) = (Vec::new(), WalkedDirs::default());
        let mut pending = vec![path.clone()];
        while let Some(path) = pending.pop() {
            walked.enter(self.entry(&self.resolve(&path)?)?.inode, &path)?;
            let listing = self.list(&path)?;
            let is_directory = |entry: &&RootfsEntry| entry.file_type == FileType::Directory;
            pending.extend(listing.entries.iter().rev().filter(is_directory).map(|entry| entry.path.clone()));
            listings.push(listing);
        }
        Ok(listings)
    }

    /// Checks that `path` is a regular file or a symlink to one.
    ///
    /// # Errors
    /// It is not.
    pub fn check_file(&self, path: &GuestPath) -> Result<(), EditError> {
        match self.entry(&self.resolve(path)?)?.file_type {
            FileType::Regular => Ok(()),
            FileType::Directory => {
                Err(EditError::Directory { path: path.clone(), advice: EditAdvice::ListIt })
            }
            _ => Err(RootfsError::NotAFile { path: path.clone() }.into()),
        }
    }

    /// Writes the bytes of the regular file `path`, which may be a symlink to one; returns their number.
    ///
    /// # Errors
    /// It is not a regular file, the file system is damaged, or `output` fails.
    pub fn copy_to(&self, path: &GuestPath, output: &mut dyn Write) -> Result<u64, CopyError> {
        let file = self.resolve(path)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        loop {
            let length = self.rootfs.read_at(&file, offset, &mut buffer).map_err(EditError::from)?;
            if length == 0 {
                return Ok(offset);
            }
            output.write_all(&buffer[..length]).map_err(CopyError::Output)?;
            offset += length as u64;
        }
    }
}

/// Why a file was not copied out of a root file system.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] EditError),
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, seconds, nanoseconds) in [
            ("@0", 0, 0),
            ("@-5", -5, 0),
            ("2026-01-31", 1_769_817_600, 0),
            ("1970-01-01T01:00:00.5+01:00", 0, 500_000_000),
            ("1969-12-31T23:59:58.25Z", -2, 250_000_000),
        ] {
            let time = parse_time(text).expect(text);
            assert_eq!(time, Timestamp { seconds, nanoseconds }, "{text}");
            assert_eq!(parse_time(&time_text(time)).expect("its own text"), time);
        }
        for bad in ["", "@", "@x", "yesterday", "2026-13-01", "2026-01-31T12:00:00"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
