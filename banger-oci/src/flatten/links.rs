//! Hard links, also those to files that come later in their layer.

use banger_tree::{Attributes, FREE_PATH_COMPONENTS, GuestPath, Inode, InodeId, NodeKind, Timestamp};

use super::applier::{Applier, PendingLink};
use super::error::EntryError;
use super::warning::{WarningKind, shown};

/// Number of passes through the waiting links at the end of a layer. Links that wait for each other need one
/// pass. More are needed if a link makes a symlink that others lead through.
const MAX_PASSES: usize = 40;

/// Result for a link.
enum LinkOutcome {
    /// It is done.
    Done,
    /// Its target is another waiting link, the one of this number.
    WaitsFor(usize),
    /// The target does not exist.
    Missing,
}

/// The state of a waiting link in a pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Untried,
    /// Others wait for it in this pass, or it is being tried.
    OnChain,
    /// Not possible in this pass.
    Blocked,
    Done,
}

impl Applier<'_> {
    /// Applies a hard link, or keeps it for the end of the layer.
    pub(super) fn apply_hard_link(
        &mut self,
        path: &[u8],
        (parent, name): (&[u8], &[u8]),
        target: &[u8],
        mtime: Timestamp,
    ) -> Result<(), EntryError> {
        let target = GuestPath::parse(target).map_err(EntryError::LinkTarget)?;
        let dir = self.ensure_directory(parent, mtime, path)?;
        if let Some(existing) = self.tree.child(dir, name) {
            if self.origins.is_own(dir, name, existing) {
                self.warn(path, WarningKind::Duplicate);
            }
            // A link to itself, while it waits for its target.
            if self.origins.placeholder(existing).is_some() && self.find(&target, 0)? == Some(existing) {
                return Ok(());
            }
        }
        if matches!(self.link(dir, name, &target, 0)?, LinkOutcome::Done) {
            return Ok(());
        }
        // The path is kept until the layer's end.
        self.count_memory((path.len() + target.as_bytes().len() + size_of::<PendingLink>()) as u64);
        self.count_inode(name);
        self.remove(dir, name)?;
        let kind = NodeKind::Regular { size_bytes: 0, content: None };
        let inode = Inode::new(kind, Attributes::default());
        let placeholder = self.tree.insert(dir, name, inode).map_err(EntryError::Tree)?;
        let number = self.pending.len();
        self.origins.made_placeholder(placeholder, number);
        let (path, name) = (path.to_vec(), name.into());
        self.pending.push(PendingLink { path, number, placeholder, dir, name, target });
        Ok(())
    }

    /// Applies the links that waited for their targets.
    pub(super) fn apply_pending_links(&mut self) -> Result<(), (Vec<u8>, EntryError)> {
        let pending = std::mem::take(&mut self.pending);
        let mut states = vec![Waiting::Untried; pending.len()];
        for pass in 0..MAX_PASSES {
            let mut has_progress = false;
            for start in 0..pending.len() {
                has_progress |= self
                    .apply_chain(&pending, start, &mut states, pass)
                    .map_err(|(number, error)| (pending[number].path.clone(), error))?;
            }
            let waits = states.iter_mut().filter(|state| **state == Waiting::Blocked);
            let waiting = waits.map(|state| *state = Waiting::Untried).count();
            if waiting == 0 || !has_progress {
                break;
            }
        }
        let missing = states.iter().position(|state| *state != Waiting::Done);
        match missing.map(|number| &pending[number]) {
            None => Ok(()),
            Some(link) => {
                let target = shown(link.target.as_bytes());
                Err((link.path.clone(), EntryError::LinkTargetMissing { target }))
            }
        }
    }

    /// Applies the link `start`, after the links that it waits for. Each link is tried at most twice in a
    /// pass. Returns whether a link was applied, or the number of the link that failed.
    fn apply_chain(
        &mut self,
        pending: &[PendingLink],
        start: usize,
        states: &mut [Waiting],
        pass: usize,
    ) -> Result<bool, (usize, EntryError)> {
        let mut chain = Vec::new();
        let mut has_progress = false;
        if states[start] == Waiting::Untried {
            chain.push(start);
        }
        while let Some(number) = chain.last().copied() {
            let outcome = self.check_cancelled().and_then(|()| self.apply_pending(&pending[number], pass));
            states[number] = match outcome.map_err(|error| (number, error))? {
                LinkOutcome::Done => Waiting::Done,
                LinkOutcome::WaitsFor(next) if states[next] == Waiting::Untried => {
                    states[number] = Waiting::OnChain;
                    chain.push(next);
                    continue;
                }
                LinkOutcome::WaitsFor(_) | LinkOutcome::Missing => Waiting::Blocked,
            };
            has_progress |= states[number] == Waiting::Done;
            chain.pop();
        }
        Ok(has_progress)
    }

    fn apply_pending(&mut self, link: &PendingLink, pass: usize) -> Result<LinkOutcome, EntryError> {
        // As long as the placeholder lives it has its one name, so the directory lives as well.
        let is_kept = self.tree.contains(link.placeholder)
            && self.origins.placeholder(link.placeholder) == Some(link.number);
        if !is_kept {
            return Ok(LinkOutcome::Done);
        }
        // Short paths are free once.
        let components = if pass == 0 { 0 } else { FREE_PATH_COMPONENTS };
        self.link(link.dir, &link.name, &link.target, components)
    }

    /// Makes `name` in `dir` a hard link of the inode at `target`; replaces an old entry.
    fn link(
        &mut self,
        dir: InodeId,
        name: &[u8],
        target: &GuestPath,
        components: u64,
    ) -> Result<LinkOutcome, EntryError> {
        let Some(inode) = self.find(target, components)? else { return Ok(LinkOutcome::Missing) };
        if let Some(number) = self.origins.placeholder(inode) {
            return Ok(LinkOutcome::WaitsFor(number));
        }
        if self.tree.inode(inode).is_dir() {
            let target = shown(target.as_bytes());
            return Err(EntryError::LinkToDirectory { target });
        }
        self.origins.linked(dir, name, inode);
        if self.tree.child(dir, name) != Some(inode) {
            self.relink(dir, name, inode)?;
        }
        Ok(LinkOutcome::Done)
    }

    /// Returns the inode at `path`. Symlinks in its parents are followed, but not the last component.
    fn find(&self, path: &GuestPath, components: u64) -> Result<Option<InodeId>, EntryError> {
        let bytes = path.as_bytes();
        let slash = bytes.iter().rposition(|byte| *byte == b'/').expect("a path starts with a slash");
        match &bytes[slash + 1..] {
            [] => Ok(Some(self.tree.root())),
            name => {
                let parent = self.find_directory_after(components, &bytes[..slash])?;
                Ok(parent.and_then(|parent| self.tree.child(parent, name)))
            }
        }
    }
}
