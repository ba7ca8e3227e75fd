//! From the path of a parent to its directory: symlinks followed, missing parts made.

use banger_tree::{
    Attributes, FREE_PATH_COMPONENTS, Inode, InodeId, MAX_SYMLINK_HOPS, NodeKind, PATH_MAX, ResolveAccount,
    Timestamp, check_name, count_components,
};

use super::applier::Applier;
use super::error::EntryError;
use super::warning::WarningKind;
use super::whiteout::leads_through_whiteout;

/// The position of a walk through the tree. Each symlink adds its target in front of the rest.
struct ParentWalk<'p> {
    /// The rest of the path, and in front of it (reversed) of targets.
    given: &'p [u8],
    targets: Vec<(Box<[u8]>, usize)>,
    /// Directories passed through, the root first, with the length of the path to each.
    directories: Vec<(InodeId, usize)>,
    hops: usize,
    /// Components that are charged, or free.
    components: u64,
}

impl<'p> ParentWalk<'p> {
    /// Starts at `root`; `components` were resolved before on the same count.
    fn new(
        root: InodeId,
        path: &'p [u8],
        components: u64,
        account: &ResolveAccount,
    ) -> Result<Self, EntryError> {
        let mut walk =
            Self { given: path, targets: Vec::new(), directories: vec![(root, 0)], hops: 0, components };
        // A shorter path has only free components.
        if components > 0 || path.len() as u64 > 2 * FREE_PATH_COMPONENTS {
            walk.charge(path, account)?;
        }
        Ok(walk)
    }

    fn charge(&mut self, path: &[u8], account: &ResolveAccount) -> Result<(), EntryError> {
        let components = count_components(path);
        account.charge(self.components, components)?;
        self.components += components;
        Ok(())
    }

    fn here(&self) -> InodeId {
        self.directories.last().expect("the root is never left").0
    }

    /// Calls `found` with the next component; returns `None` at the end of the path.
    fn next_component<T>(&mut self, found: impl FnOnce(&mut Vec<(InodeId, usize)>, &[u8]) -> T) -> Option<T> {
        while let Some((target, at)) = self.targets.last_mut() {
            let (start, end) = component(target, *at);
            if start == end {
                self.targets.pop();
                continue;
            }
            *at = end;
            return Some(found(&mut self.directories, &target[start..end]));
        }
        let (start, end) = component(self.given, 0);
        let name = &self.given[start..end];
        self.given = &self.given[end..];
        (!name.is_empty()).then(|| found(&mut self.directories, name))
    }

    /// Turns to a symlink's target.
    fn follow(&mut self, target: &[u8], account: &ResolveAccount) -> Result<(), EntryError> {
        self.charge(target, account)?;
        self.hops += 1;
        if self.hops > MAX_SYMLINK_HOPS {
            return Err(EntryError::TooManySymlinks);
        }
        // A layer cannot contain this name, and no path of the image leads to AUFS's links.
        if leads_through_whiteout(target) {
            return Err(EntryError::WhiteoutDirectory);
        }
        if target.first() == Some(&b'/') {
            self.directories.truncate(1);
        }
        self.targets.push((target.into(), 0));
        Ok(())
    }
}

/// Returns start and end of the first component of `path` from `at` on that is not `.`; an empty
/// range at the end of the path.
fn component(path: &[u8], at: usize) -> (usize, usize) {
    let mut end = at;
    loop {
        let start = end + path[end..].iter().take_while(|byte| **byte == b'/').count();
        end = start + path[start..].iter().take_while(|byte| **byte != b'/').count();
        if &path[start..end] != b"." {
            return (start, end);
        }
    }
}

/// The target of the next component of a path.
enum Step {
    Done,
    Symlink(Box<[u8]>),
    Missing,
    NotADirectory,
    Bad(EntryError),
}

impl Applier<'_> {
    /// Returns the directory `path`. Missing directories are made, 0755 and owned by root, with the time
    /// `mtime`; anything else in the way is replaced. After this call, all directories on the way belong to
    /// this layer. `entry` is the path of the entry that needs it, for warnings.
    pub(super) fn ensure_directory(
        &mut self,
        path: &[u8],
        mtime: Timestamp,
        entry: &[u8],
    ) -> Result<InodeId, EntryError> {
        if let Some(directory) = self.parents.directory
            && self.parents.path == path
        {
            return Ok(directory);
        }
        let mut walk = ParentWalk::new(self.tree.root(), path, 0, &self.account)?;
        loop {
            let mut missing_name: Vec<u8> = Vec::new();
            let step = walk.next_component(|directories, name| {
                let step = self.step(directories, name);
                if matches!(step, Step::Missing | Step::NotADirectory) {
                    missing_name.extend_from_slice(name);
                }
                step
            });
            match step {
                None => break,
                Some(Step::Done) => {
                    let here = walk.here();
                    if here != self.tree.root() {
                        self.origins.imply(here, mtime);
                    }
                }
                Some(Step::Symlink(target)) => walk.follow(&target, &self.account)?,
                Some(Step::Bad(error)) => return Err(error),
                Some(step @ (Step::Missing | Step::NotADirectory)) => {
                    let parent = walk.here();
                    if let (Step::NotADirectory, Some(id)) = (step, self.tree.child(parent, &missing_name)) {
                        if self.origins.is_own(parent, &missing_name, id) {
                            self.warn(entry, WarningKind::ReplacedByParent);
                        }
                        self.remove(parent, &missing_name)?;
                    }
                    let made = self.make_parent(parent, &missing_name, mtime)?;
                    self.enter(&mut walk.directories, &missing_name, made)?;
                }
            }
        }
        let directory = walk.here();
        self.parents.path.clear();
        self.parents.path.extend_from_slice(path);
        self.parents.directory = Some(directory);
        Ok(directory)
    }

    /// Returns the directory `path`, or `None` if it does not exist. Nothing is made or marked.
    pub(super) fn find_directory(&self, path: &[u8]) -> Result<Option<InodeId>, EntryError> {
        self.find_directory_after(0, path)
    }

    /// Like [`find_directory`](Self::find_directory), after `components` were resolved on the same count.
    pub(super) fn find_directory_after(
        &self,
        components: u64,
        path: &[u8],
    ) -> Result<Option<InodeId>, EntryError> {
        let mut walk = ParentWalk::new(self.tree.root(), path, components, &self.account)?;
        loop {
            match walk.next_component(|directories, name| self.step(directories, name)) {
                None => return Ok(Some(walk.here())),
                Some(Step::Done) => {}
                Some(Step::Symlink(target)) => match walk.follow(&target, &self.account) {
                    Ok(()) => {}
                    Err(error @ (EntryError::Limit { .. } | EntryError::Cancelled)) => return Err(error),
                    Err(_) => return Ok(None),
                },
                Some(Step::Missing | Step::NotADirectory | Step::Bad(_)) => return Ok(None),
            }
        }
    }

    /// Goes one component further.
    fn step(&self, directories: &mut Vec<(InodeId, usize)>, name: &[u8]) -> Step {
        if name == b".." {
            // Stops at the root, as it does for a process whose root this is.
            if directories.len() > 1 {
                directories.pop();
            }
            return Step::Done;
        }
        let parent = directories.last().expect("the root is never left").0;
        let Some(child) = self.tree.child(parent, name) else {
            return match check_name(name) {
                Ok(()) => Step::Missing,
                Err(error) => Step::Bad(EntryError::SymlinkTarget(error)),
            };
        };
        match &self.tree.inode(child).kind {
            NodeKind::Directory { .. } => match self.enter(directories, name, child) {
                Ok(()) => Step::Done,
                Err(error) => Step::Bad(error),
            },
            NodeKind::Symlink { target } => Step::Symlink(target.clone()),
            _ => Step::NotADirectory,
        }
    }

    fn enter(
        &self,
        directories: &mut Vec<(InodeId, usize)>,
        name: &[u8],
        child: InodeId,
    ) -> Result<(), EntryError> {
        let length = directories.last().map_or(0, |(_, length)| *length) + 1 + name.len();
        if length > PATH_MAX {
            return Err(EntryError::ResolvedTooLong);
        }
        directories.push((child, length));
        // The root is not a component.
        self.check_depth(directories.len() as u64 - 1)
    }

    fn make_parent(&mut self, parent: InodeId, name: &[u8], mtime: Timestamp) -> Result<InodeId, EntryError> {
        self.count_entry()?;
        self.count_inode(name);
        let attributes = Attributes { mtime, ..Attributes::with_mode(0o755) };
        let inode = Inode::new(NodeKind::empty_directory(), attributes);
        let id = self.tree.insert(parent, name, inode).map_err(EntryError::Tree)?;
        self.origins.made_implied(id, mtime);
        Ok(id)
    }
}
