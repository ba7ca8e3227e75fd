//! Path resolution inside an image, written once for everything that has directories.

use std::collections::HashMap;
use std::hash::Hash;

use crate::budget::{Budget, Cost, FREE_PATH_COMPONENTS, OverBudget};
use crate::cancellation::Cancellation;
use crate::kind::FileType;
use crate::path::{GuestPath, PATH_MAX, PathError, check_name};
use crate::resolve_error::{MAX_SYMLINK_HOPS, ResolveError};

/// The questions of path resolution to a file system.
pub trait Lookup {
    /// Names an inode.
    type Node: Copy + Eq + Hash;
    /// Errors, including those of resolution itself.
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

    /// Returns the account that is charged for long resolutions; by default no account.
    fn account(&self) -> Option<&ResolveAccount> {
        None
    }

    /// Returns the place of `path`. The last component is not followed.
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

/// Limits the cost of all resolutions in one root file system together, and stops them.
///
/// The first [`FREE_PATH_COMPONENTS`] components of each path are free.
#[derive(Clone, Debug, Default)]
pub struct ResolveAccount {
    /// Charged with [`Cost::PathComponents`].
    pub budget: Budget,
    /// Stops a resolution when it follows a symlink.
    pub cancellation: Cancellation,
}

impl ResolveAccount {
    /// Charges `components` of a resolution that went through `before` up to here.
    ///
    /// # Errors
    /// The budget is spent, or the run was cancelled.
    pub fn charge(&self, before: u64, components: u64) -> Result<(), ResolveStop> {
        if self.cancellation.is_cancelled() {
            return Err(ResolveStop::Cancelled);
        }
        let above = |components: u64| components.saturating_sub(FREE_PATH_COMPONENTS);
        match above(before + components) - above(before) {
            0 => Ok(()),
            charged => self.budget.charge(Cost::PathComponents, charged).map_err(ResolveStop::OverBudget),
        }
    }
}

/// The reason why a resolution stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveStop {
    /// All resolutions together passed too many components.
    OverBudget(OverBudget),
    /// The caller stopped the run.
    Cancelled,
}

/// Returns the number of components of a path or a symlink's target.
pub fn count_components(path: &[u8]) -> u64 {
    path.split(|byte| *byte == b'/').filter(|part| !matches!(part, [] | [b'.'])).count() as u64
}

/// The place that a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved<N> {
    /// The path without symlinks.
    pub path: GuestPath,
    /// The directory that holds the last component; the root for the root itself.
    pub parent: N,
    /// The inode, or `None` if the last component does not exist (yet).
    pub node: Option<N>,
}

/// Follows `path` from the root of `fs`. It follows symlinks in the parents always, and a symlink as the last
/// component if `follow_last`. Absolute targets start at the root of `fs` again, and `..` in a target stops
/// at the root. So the path never leads outside.
///
/// The cost is linear in the components of the path and of the followed symlinks. [`Lookup::account`] limits
/// it over all calls.
///
/// # Errors
/// [`ResolveError`], or an error of `fs` itself.
pub fn resolve<L: Lookup>(
    fs: &L,
    path: &GuestPath,
    follow_last: bool,
) -> Result<Resolved<L::Node>, L::Error> {
    let mut way = Way::new(fs, path)?;
    way.walk(follow_last)
}

/// Bytes with unread components, and the position of the next one.
struct Pending {
    bytes: Vec<u8>,
    at: usize,
}

/// Results of lookups of names in directories: nothing, or a node with its type.
type KnownChildren<N> = HashMap<(N, Vec<u8>), Option<(N, FileType)>>;

/// A resolution under way.
struct Way<'a, L: Lookup> {
    fs: &'a L,
    asked: &'a GuestPath,
    /// The rest of the way: the path, and in front of it (the last one first) targets.
    pending: Vec<Pending>,
    /// The directories walked through, the root first, with the length of the path to each.
    walked: Vec<(L::Node, usize)>,
    /// The path to the last one; empty at the root.
    here: Vec<u8>,
    hops: usize,
    components: u64,
    /// Lookups since the first symlink: targets may lead the same way thousands of times.
    known: KnownChildren<L::Node>,
}

impl<'a, L: Lookup> Way<'a, L> {
    fn new(fs: &'a L, asked: &'a GuestPath) -> Result<Self, L::Error> {
        let mut way = Self {
            fs,
            asked,
            pending: Vec::new(),
            walked: vec![(fs.root(), 0)],
            here: Vec::new(),
            hops: 0,
            components: 0,
            known: HashMap::new(),
        };
        way.push(asked.as_bytes().to_vec())?;
        Ok(way)
    }

    /// Puts the components of `bytes` in front of the rest of the way.
    fn push(&mut self, bytes: Vec<u8>) -> Result<(), ResolveError> {
        if let Some(account) = self.fs.account() {
            let components = count_components(&bytes);
            let path = || self.asked.clone();
            account.charge(self.components, components).map_err(|stop| match stop {
                ResolveStop::OverBudget(source) => ResolveError::OverBudget { path: path(), source },
                ResolveStop::Cancelled => ResolveError::Cancelled { path: path() },
            })?;
            self.components += components;
        }
        self.pending.push(Pending { bytes, at: 0 });
        Ok(())
    }

    /// Returns the next component that is not `.`.
    fn next(&mut self) -> Option<Vec<u8>> {
        while let Some(Pending { bytes, at }) = self.pending.last_mut() {
            let start = *at + bytes[*at..].iter().take_while(|byte| **byte == b'/').count();
            let end = start + bytes[start..].iter().take_while(|byte| **byte != b'/').count();
            *at = end;
            match &bytes[start..end] {
                [] => drop(self.pending.pop()),
                [b'.'] => {}
                name => return Some(name.to_vec()),
            }
        }
        None
    }

    /// Returns whether only slashes and `.` are left.
    fn is_last(&self) -> bool {
        let mut rest =
            self.pending.iter().flat_map(|Pending { bytes, at }| bytes[*at..].split(|b| *b == b'/'));
        rest.all(|part| matches!(part, [] | [b'.']))
    }

    fn path_of(&self, name: &[u8]) -> Result<GuestPath, PathError> {
        check_name(name)?;
        GuestPath::parse([&self.here[..], b"/", name].concat())
    }

    fn look_up(&mut self, dir: L::Node, name: &[u8]) -> Result<Option<(L::Node, FileType)>, L::Error> {
        let fs = self.fs;
        let ask = || match fs.child(dir, name)? {
            Some(child) => Ok(Some((child, fs.file_type(child)?))),
            None => Ok(None),
        };
        if self.hops == 0 {
            return ask();
        }
        let key = (dir, name.to_vec());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let found = ask()?;
        self.known.insert(key, found);
        Ok(found)
    }

    fn walk(&mut self, follow_last: bool) -> Result<Resolved<L::Node>, L::Error> {
        while let Some(name) = self.next() {
            if name == b".." {
                if self.walked.len() > 1 {
                    self.walked.pop();
                    self.here.truncate(self.walked.last().map_or(0, |(_, length)| *length));
                }
                continue;
            }
            let (dir, _) = *self.walked.last().expect("the root is never popped");
            let bad_target = |way: &Self, source| {
                let path = GuestPath::parse(&way.here).unwrap_or_else(|_| GuestPath::root());
                ResolveError::BadTarget { path, source }
            };
            let length = self.here.len() + 1 + name.len();
            if length > PATH_MAX {
                let start = self.here[..self.here.len().min(64)].to_vec();
                return Err(bad_target(self, PathError::TooLong { start, length }).into());
            }
            let found = match check_name(&name) {
                Ok(()) => self.look_up(dir, &name)?,
                Err(source) => return Err(bad_target(self, source).into()),
            };
            let path = |way: &Self| way.path_of(&name).map_err(|source| bad_target(way, source));
            let Some((child, file_type)) = found else {
                return match self.is_last() {
                    true => Ok(Resolved { path: path(self)?, parent: dir, node: None }),
                    false => Err(ResolveError::NotFound { path: path(self)? }.into()),
                };
            };
            match file_type {
                FileType::Directory => {
                    self.here.push(b'/');
                    self.here.extend_from_slice(&name);
                    self.walked.push((child, self.here.len()));
                }
                FileType::Symlink if follow_last || !self.is_last() => {
                    self.hops += 1;
                    if self.hops > MAX_SYMLINK_HOPS {
                        return Err(ResolveError::TooManySymlinks { path: self.asked.clone() }.into());
                    }
                    let target = self.fs.link_target(child)?;
                    if target.first() == Some(&b'/') {
                        self.walked.truncate(1);
                        self.here.clear();
                    }
                    self.push(target)?;
                }
                _ if self.is_last() => {
                    return Ok(Resolved { path: path(self)?, parent: dir, node: Some(child) });
                }
                _ => return Err(ResolveError::NotADirectory { path: path(self)? }.into()),
            }
        }
        let path = GuestPath::parse(&self.here).expect("made of names, and no longer than a path");
        let (node, _) = self.walked.pop().expect("the root is never popped");
        let parent = self.walked.last().map_or(node, |(parent, _)| *parent);
        Ok(Resolved { path, parent, node: Some(node) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attributes;
    use crate::failure::{Failure as _, Setting};
    use crate::inode::Inode;
    use crate::kind::NodeKind;
    use crate::tree::Tree;

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

    /// A tree that counts lookups.
    struct Counted {
        tree: Tree,
        lookups: std::cell::Cell<u64>,
        account: ResolveAccount,
    }

    impl Lookup for Counted {
        type Node = crate::inode_id::InodeId;
        type Error = ResolveError;

        fn root(&self) -> Self::Node {
            self.tree.root()
        }

        fn child(&self, dir: Self::Node, name: &[u8]) -> Result<Option<Self::Node>, ResolveError> {
            self.lookups.set(self.lookups.get() + 1);
            Ok(self.tree.child(dir, name))
        }

        fn file_type(&self, node: Self::Node) -> Result<FileType, ResolveError> {
            Lookup::file_type(&self.tree, node)
        }

        fn link_target(&self, node: Self::Node) -> Result<Vec<u8>, ResolveError> {
            Lookup::link_target(&self.tree, node)
        }

        fn account(&self) -> Option<&ResolveAccount> {
            Some(&self.account)
        }
    }

    /// 39 symlinks whose targets go down and up 600 times before they lead to the next one.
    fn winding() -> Counted {
        let mut tree = Tree::new();
        let root = tree.root();
        let dir = || Inode::new(NodeKind::empty_directory(), Attributes::with_mode(0o755));
        tree.insert(root, b"d", dir()).unwrap();
        tree.insert(root, b"l39", dir()).unwrap();
        for number in 0..39 {
            let target = "d/../".repeat(600) + &format!("l{}", number + 1);
            let kind = NodeKind::Symlink { target: target.as_bytes().into() };
            let name = format!("l{number}");
            tree.insert(root, name.as_bytes(), Inode::new(kind, Attributes::default())).unwrap();
        }
        Counted { tree, lookups: std::cell::Cell::new(0), account: ResolveAccount::default() }
    }

    #[test]
    fn b29_winding_symlinks_are_looked_up_once_and_charged() {
        let fs = winding();
        let path = GuestPath::parse("/l0/x").unwrap();
        let each = 39 * 1201 + 2 - FREE_PATH_COMPONENTS;
        for round in 1..=3 {
            let found = resolve(&fs, &path, true).unwrap();
            assert_eq!(found.path.to_string(), "/l39/x");
            assert_eq!(fs.account.budget.spent(Cost::PathComponents), round * each);
        }
        assert_eq!(fs.lookups.get(), 3 * (1 + 1 + 39 + 1), "l0, d, the links, x");
        let plain = GuestPath::parse("/d/x").unwrap();
        for _ in 0..100 {
            resolve(&fs, &plain, true).unwrap();
        }
        assert_eq!(fs.account.budget.spent(Cost::PathComponents), 3 * each, "short paths are free");

        let mut fs = winding();
        fs.account.budget = Budget::default().with_limit(Cost::PathComponents, 50_000);
        assert!(resolve(&fs, &path, true).is_ok());
        let error = resolve(&fs, &path, true).unwrap_err();
        assert_eq!(error.advice().and_then(|advice| advice.setting()), Some(Setting("max_path_components")));
        assert!(resolve(&fs, &plain, true).is_ok());
    }

    #[test]
    fn a_cancelled_run_stops_at_the_next_symlink() {
        let fs = winding();
        fs.account.cancellation.cancel();
        let path = GuestPath::parse("/l0/x").unwrap();
        assert_eq!(resolve(&fs, &path, true), Err(ResolveError::Cancelled { path }));
    }
}
