//! The paths in which two ext4 files differ.

use banger_tree::{Cancellation, FileType, GuestPath, Rootfs, RootfsError, Stat};
use camino::Utf8Path;
use serde::Serialize;

use super::edit::WalkedDirs;
use super::error::EditError;
use super::in_file;
use super::pair::{Pair, PairFailure};
use super::tar::join;
use crate::error::Error;

/// How two root file systems differ. Its JSON form is the output of `banger rootfs diff --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DiffReport {
    /// The paths that differ, each before those below it.
    pub differences: Vec<PathDifference>,
}

/// A path in which two root file systems differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PathDifference {
    /// The path.
    pub path: GuestPath,
    /// Which of the two has it.
    pub kind: DifferenceKind,
    /// With [`DifferenceKind::Changed`]: what changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<PathChange>,
}

/// Which of two root file systems has a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// Only the second.
    Added,
    /// Only the first.
    Removed,
    /// Both, and they differ.
    Changed,
}

/// A property in which two files of one path differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathChange {
    /// The type; nothing else is compared then.
    Type,
    /// The bytes of a file.
    Content,
    /// The target of a symlink.
    Target,
    /// The numbers of a device.
    Device,
    /// The permissions.
    Mode,
    /// User or group.
    Owner,
    /// The time of the last modification.
    Modified,
    /// Extended attributes.
    Xattrs,
    /// The number of hard links of a file that is not a directory.
    Links,
}

impl PathChange {
    /// Returns the name as the JSON form has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Content => "content",
            Self::Target => "target",
            Self::Device => "device",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Modified => "modified",
            Self::Xattrs => "xattrs",
            Self::Links => "links",
        }
    }
}

/// Returns the paths in which two ext4 files differ: `old`, open as the first value, and `new`. The bytes of all files
/// of one size are compared.
///
/// # Errors
/// One of them is damaged or cannot be read, or the caller asks to stop.
pub fn diff(
    (old, old_file): (&dyn Rootfs, &Utf8Path),
    (new, new_file): (&dyn Rootfs, &Utf8Path),
    cancellation: &Cancellation,
) -> Result<DiffReport, Error> {
    let pair = Pair { old, new, cancellation };
    differences(pair).map_err(|failure| match failure {
        PairFailure::Old(EditError::Cancelled) | PairFailure::New(EditError::Cancelled) => Error::Cancelled,
        PairFailure::Old(EditError::Rootfs(RootfsError::Cancelled))
        | PairFailure::New(EditError::Rootfs(RootfsError::Cancelled)) => Error::Cancelled,
        PairFailure::Old(error) => in_file(old_file)(error),
        PairFailure::New(error) => in_file(new_file)(error),
    })
}

/// A path to compare.
struct Pending {
    path: GuestPath,
    is_in_old: bool,
    is_in_new: bool,
}

fn differences(pair: Pair<'_>) -> Result<DiffReport, PairFailure> {
    let mut differences = Vec::new();
    let (mut old_dirs, mut new_dirs) = (WalkedDirs::default(), WalkedDirs::default());
    let mut pending = vec![Pending { path: GuestPath::root(), is_in_old: true, is_in_new: true }];
    while let Some(Pending { path, is_in_old, is_in_new }) = pending.pop() {
        let old = is_in_old.then(|| pair.old_stat(&path)).transpose()?;
        let new = is_in_new.then(|| pair.new_stat(&path)).transpose()?;
        let (kind, changes) = match (&old, &new) {
            (Some(old), Some(new)) => (DifferenceKind::Changed, changes(pair, &path, old, new)?),
            (Some(_), None) => (DifferenceKind::Removed, Vec::new()),
            _ => (DifferenceKind::Added, Vec::new()),
        };
        if kind != DifferenceKind::Changed || !changes.is_empty() {
            differences.push(PathDifference { path: path.clone(), kind, changes });
        }
        let is_directory =
            |stat: &Option<Stat>| stat.as_ref().filter(|stat| stat.file_type == FileType::Directory).cloned();
        let (old, new) = (is_directory(&old), is_directory(&new));
        if let Some(old) = &old {
            old_dirs.enter(old.inode, &path).map_err(PairFailure::Old)?;
        }
        if let Some(new) = &new {
            new_dirs.enter(new.inode, &path).map_err(PairFailure::New)?;
        }
        if old.is_some() || new.is_some() {
            let names = pair.names(&path, old.is_some(), new.is_some())?;
            for (name, (old, new)) in names.into_iter().rev() {
                let path = join(&path, &name).map_err(PairFailure::New)?;
                pending.push(Pending { path, is_in_old: old.is_some(), is_in_new: new.is_some() });
            }
        }
    }
    Ok(DiffReport { differences })
}

/// Returns what differs at a path that both have.
fn changes(pair: Pair<'_>, path: &GuestPath, old: &Stat, new: &Stat) -> Result<Vec<PathChange>, PairFailure> {
    if old.file_type != new.file_type {
        return Ok(vec![PathChange::Type]);
    }
    let has_same_content = old.size_bytes == new.size_bytes && pair.has_same_content(path, new)?;
    let content = if new.file_type == FileType::Symlink { PathChange::Target } else { PathChange::Content };
    let (before, after) = (&old.attributes, &new.attributes);
    let is_directory = new.file_type == FileType::Directory;
    Ok([
        (content, has_same_content),
        (PathChange::Device, old.device == new.device),
        (PathChange::Mode, before.mode == after.mode),
        (PathChange::Owner, (before.uid, before.gid) == (after.uid, after.gid)),
        (PathChange::Modified, before.mtime == after.mtime),
        (PathChange::Xattrs, before.xattrs == after.xattrs),
        (PathChange::Links, is_directory || old.nlink == new.nlink),
    ]
    .into_iter()
    .filter_map(|(change, is_same)| (!is_same).then_some(change))
    .collect())
}

#[cfg(test)]
mod tests {
    use banger_tree::{AttributeChange, Attributes, MemoryStore, Tree, TreeRootfs};

    use super::*;

    #[test]
    fn every_property_is_compared() {
        let path = |text: &str| GuestPath::parse(text).expect("a path");
        let fill = |rootfs: &mut TreeRootfs<'_>| {
            for dir in ["/dir", "/dir/below", "/gone", "/was-dir"] {
                rootfs.create_dir(&path(dir), &Attributes::with_mode(0o755)).expect("room");
            }
            for file in
                ["/dir/same", "/dir/bytes", "/dir/length", "/gone/in", "/xattr", "/linked", "/was-dir/in"]
            {
                rootfs
                    .write_file(&path(file), &mut &b"one"[..], &Attributes::with_mode(0o644))
                    .expect("room");
            }
            rootfs.symlink(&path("/link"), b"one", &Attributes::with_mode(0o777)).expect("room");
        };
        let (mut one, mut one_store) = (Tree::new(), MemoryStore::default());
        let (mut two, mut two_store) = (Tree::new(), MemoryStore::default());
        let mut old = TreeRootfs::new(&mut one, &mut one_store);
        let mut new = TreeRootfs::new(&mut two, &mut two_store);
        fill(&mut old);
        fill(&mut new);
        let stop = Cancellation::default();
        let compare = |old: &TreeRootfs<'_>, new: &TreeRootfs<'_>| {
            let report = diff((old, "a".into()), (new, "b".into()), &stop).expect("no damage");
            let text = |difference: &PathDifference| {
                let changes: Vec<_> = difference.changes.iter().map(|change| change.name()).collect();
                format!("{:?} {} {}", difference.kind, difference.path, changes.join(","))
            };
            report.differences.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(compare(&old, &new), [""; 0]);
        let attributes = Attributes::with_mode(0o644);
        new.write_file(&path("/dir/bytes"), &mut &b"two"[..], &attributes).expect("room");
        new.write_file(&path("/dir/length"), &mut &b"longer"[..], &attributes).expect("room");
        new.remove(&path("/gone")).expect("it exists");
        new.remove(&path("/was-dir")).expect("it exists");
        new.write_file(&path("/was-dir"), &mut &b""[..], &attributes).expect("room");
        new.remove(&path("/link")).expect("it exists");
        new.symlink(&path("/link"), b"two", &Attributes::with_mode(0o777)).expect("room");
        new.hard_link(&path("/linked"), &path("/new")).expect("room");
        let change = AttributeChange { mode: Some(0o700), uid: Some(5), ..AttributeChange::default() };
        new.set_attributes(&path("/dir/below"), &change).expect("it exists");
        let change = AttributeChange {
            xattrs: Some([("user.a", "1")].into_iter().collect()),
            mtime: Some(banger_tree::Timestamp::from_seconds(5)),
            ..AttributeChange::default()
        };
        new.set_attributes(&path("/xattr"), &change).expect("it exists");
        assert_eq!(
            compare(&old, &new),
            [
                "Changed /dir/below mode,owner",
                "Changed /dir/bytes content",
                "Changed /dir/length content",
                "Removed /gone ",
                "Removed /gone/in ",
                "Changed /link target",
                "Changed /linked links",
                "Added /new ",
                "Changed /was-dir type",
                "Removed /was-dir/in ",
                "Changed /xattr modified,xattrs",
            ]
        );
    }
}
