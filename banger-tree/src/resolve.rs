//! Path resolution inside an image, written once for everything that has directories.

use crate::path::{GuestPath, PathError};
use crate::rootfs::FileType;

/// Symlinks followed in one path before it counts as a loop (Linux `MAXSYMLINKS`).
pub const MAX_SYMLINK_HOPS: usize = 40;

/// What path resolution asks of a file system.
pub trait Lookup {
    /// Names an inode.
    type Node: Copy;
    /// What can go wrong, the failures of resolution itself among it.
    type Error: From<ResolveError>;

    /// Returns the root directory.
    fn root(&self) -> Self::Node;

    /// Returns the inode that `name` leads to in `dir`.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn child(&self, dir: Self::Node, name: &[u8]) -> Result<Option<Self::Node>, Self::Error>;

    /// Returns the type of an inode.
    ///
    /// # Errors
    /// The inode cannot be read.
    fn file_type(&self, node: Self::Node) -> Result<FileType, Self::Error>;

    /// Returns the target of a symlink.
    ///
    /// # Errors
    /// The inode cannot be read.
    fn link_target(&self, node: Self::Node) -> Result<Vec<u8>, Self::Error>;

    /// Returns the place that `path` leads to, its last component not followed.
    ///
    /// A file system that remembers directories can answer without a walk from the root.
    ///
    /// # Errors
    /// As [`resolve`].
    fn place(&self, path: &GuestPath) -> Result<Resolved<Self::Node>, Self::Error>
    where
        Self: Sized,
    {
        resolve(self, path, false)
    }
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<N> {
    /// The path without symlinks.
    pub path: GuestPath,
    /// The directory that holds the last component; the root for the root itself.
    pub parent: N,
    /// The inode, or `None` where the last component does not exist (yet).
    pub node: Option<N>,
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A directory on the way does not exist.
    #[error("{path} does not exist")]
    NotFound {
        /// The first path that is missing.
        path: GuestPath,
    },
    /// Something on the way is not a directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// What is in the way.
        path: GuestPath,
    },
    /// More than [`MAX_SYMLINK_HOPS`] symlinks.
    #[error("{path} leads through more than {MAX_SYMLINK_HOPS} symlinks")]
    TooManySymlinks {
        /// The path that was asked for.
        path: GuestPath,
    },
    /// A symlink's target makes a path that is too long or holds NUL.
    #[error("{path} leads through a symlink with a bad target: {source}")]
    BadTarget {
        /// The symlink.
        path: GuestPath,
        /// What is wrong with the target.
        source: PathError,
    },
}

/// Follows `path` from the root of `fs`: symlinks in the parents always, one as the last component
/// if `follow_last`. Absolute targets start at the root of `fs` again, and `..` in a target stops
/// at the root, so nothing outside is ever reached.
///
/// # Errors
/// [`ResolveError`], or what `fs` itself fails with.
pub fn resolve<L: Lookup>(
    fs: &L,
    path: &GuestPath,
    follow_last: bool,
) -> Result<Resolved<L::Node>, L::Error> {
    // The components still to go, the next one last; the directories walked through, the root first.
    let mut pending: Vec<Vec<u8>> = path.components().rev().map(<[u8]>::to_vec).collect();
    let mut walked: Vec<(L::Node, GuestPath)> = vec![(fs.root(), GuestPath::root())];
    let mut hops = 0;
    while let Some(name) = pending.pop() {
        if name == b".." {
            if walked.len() > 1 {
                walked.pop();
            }
            continue;
        }
        let (dir, dir_path) = walked.last().expect("the root is never popped");
        let is_last = pending.is_empty();
        let child_path = dir_path
            .join(&name)
            .map_err(|source| ResolveError::BadTarget { path: dir_path.clone(), source })?;
        let Some(child) = fs.child(*dir, &name)? else {
            return match is_last {
                true => Ok(Resolved { path: child_path, parent: *dir, node: None }),
                false => Err(ResolveError::NotFound { path: child_path }.into()),
            };
        };
        match fs.file_type(child)? {
            FileType::Directory => walked.push((child, child_path)),
            FileType::Symlink if !is_last || follow_last => {
                hops += 1;
                if hops > MAX_SYMLINK_HOPS {
                    return Err(ResolveError::TooManySymlinks { path: path.clone() }.into());
                }
                let target = fs.link_target(child)?;
                if target.first() == Some(&b'/') {
                    walked.truncate(1);
                }
                let components =
                    target.split(|byte| *byte == b'/').filter(|part| !matches!(part, [] | [b'.']));
                pending.extend(components.rev().map(<[u8]>::to_vec));
            }
            _ if is_last => return Ok(Resolved { path: child_path, parent: *dir, node: Some(child) }),
            _ => return Err(ResolveError::NotADirectory { path: child_path }.into()),
        }
    }
    let (node, path) = walked.pop().expect("the root is never popped");
    let parent = walked.last().map_or(node, |(parent, _)| *parent);
    Ok(Resolved { path, parent, node: Some(node) })
}

impl ResolveError {
    /// Returns the path the error is about.
    pub fn path(&self) -> &GuestPath {
        match self {
            Self::NotFound { path }
            | Self::NotADirectory { path }
            | Self::TooManySymlinks { path }
            | Self::BadTarget { path, .. } => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attributes;
    use crate::tree::{Inode, NodeKind, Tree};

    fn tree() -> Tree {
        let mut tree = Tree::new();
        let root = tree.root();
        let dir = || Inode::new(NodeKind::empty_directory(), Attributes::with_mode(0o755));
        let link = |target: &str| {
            Inode::new(NodeKind::Symlink { target: target.as_bytes().into() }, Attributes::with_mode(0o777))
        };
        let usr = tree.insert(root, b"usr", dir()).unwrap();
        let lib = tree.insert(usr, b"lib", dir()).unwrap();
        tree.insert(lib, b"up", link("../../../..")).unwrap();
        tree.insert(root, b"lib", link("usr/lib")).unwrap();
        tree.insert(root, b"abs", link("/lib/./")).unwrap();
        tree.insert(root, b"loop", link("loop")).unwrap();
        tree.insert(root, b"dead", link("nowhere/at/all")).unwrap();
        tree.insert(root, b"dot", link(".")).unwrap();
        tree.insert(root, b"fifo", Inode::new(NodeKind::Fifo, Attributes::with_mode(0o600))).unwrap();
        tree
    }

    #[test]
    fn follows_links_inside_the_root() {
        let tree = tree();
        for (path, follow, want) in [
            ("/", true, "/"),
            ("/lib", true, "/usr/lib"),
            ("/lib", false, "/lib"),
            ("/abs", true, "/usr/lib"),
            ("/lib/up", true, "/"),
            ("/lib/up/usr", true, "/usr"),
            ("/lib/up/lib/up/lib/new", true, "/usr/lib/new"),
            ("/dot/dot/fifo", true, "/fifo"),
            ("/dead", false, "/dead"),
        ] {
            let resolved = tree.resolve(&GuestPath::parse(path).unwrap(), follow).unwrap();
            assert_eq!(resolved.path.to_string(), want, "{path}");
            assert_eq!(resolved.node.is_some(), !want.ends_with("new"), "{path}");
        }
    }

    #[test]
    fn names_what_is_in_the_way() {
        let tree = tree();
        let path = |text: &str| GuestPath::parse(text).unwrap();
        for (input, want) in [
            ("/loop", ResolveError::TooManySymlinks { path: path("/loop") }),
            ("/dead", ResolveError::NotFound { path: path("/nowhere") }),
            ("/fifo/x", ResolveError::NotADirectory { path: path("/fifo") }),
            ("/no/x", ResolveError::NotFound { path: path("/no") }),
        ] {
            assert_eq!(tree.resolve(&path(input), true), Err(want));
        }
    }
}
