//! The commands for debugfs that give an image the names and the inodes of a tree.
//!
//! New inodes are made under temporary names in the root directory, where commands start, and then linked to
//! their places. So their numbers can be unknown, and a path in a command has at most one name of the tree.

use std::collections::{BTreeMap, BTreeSet};

use banger_tree::{InodeId, NodeKind, Tree};

use super::contents::Contents;
use crate::debugfs::DebugfsCommand;
use crate::image::{Image, RawEntry};
use crate::scratch::NumberedFiles;
use banger_ext4::Ext4Error;
use banger_ext4::on_disk::FAST_SYMLINK_MAX;
use banger_ext4::on_disk::dirent_bytes;

/// Prefix of the temporary names.
const NEW: &str = ".banger-new-";

/// Commands in their order.
#[derive(Debug, Default)]
pub(crate) struct CommitPlan {
    unlink: Vec<DebugfsCommand>,
    kill: Vec<DebugfsCommand>,
    create: Vec<DebugfsCommand>,
    link: Vec<DebugfsCommand>,
    tidy: Vec<DebugfsCommand>,
}

impl CommitPlan {
    /// Returns what changes the image of `contents` into `tree`; `numbers` has the numbers of its
    /// inodes that are in the image, and `loaded` all that were.
    ///
    /// # Errors
    /// The image cannot be read.
    pub(crate) fn new(
        tree: &Tree,
        contents: &Contents,
        numbers: &BTreeMap<InodeId, u32>,
        loaded: &[u32],
    ) -> Result<Self, Ext4Error> {
        let mut plan = Self::default();
        let mut live = BTreeSet::new();
        let mut made = BTreeSet::new();
        let mut pending = vec![tree.root()];
        while let Some(dir) = pending.pop() {
            let number = number_of(numbers, dir);
            live.insert(number);
            plan.directory(tree, contents, numbers, dir)?;
            for id in tree.inode(dir).children().into_iter().flatten().map(|(_, id)| *id) {
                let number = number_of(numbers, id);
                live.insert(number);
                if number == 0 && made.insert(id) {
                    plan.make(tree, contents, id);
                }
                if tree.inode(id).is_dir() {
                    pending.push(id);
                }
            }
        }
        for number in loaded.iter().filter(|number| !live.contains(number)) {
            // With links left it would count as in use for e2fsck.
            let set = DebugfsCommand::new("set_inode_field").argument(inode(*number));
            plan.kill.push(set.argument("links_count").argument("0"));
            plan.kill.push(DebugfsCommand::new("kill_file").argument(inode(*number)));
        }
        Ok(plan)
    }

    /// Returns all commands.
    pub(crate) fn commands(self) -> impl Iterator<Item = DebugfsCommand> {
        [self.unlink, self.kill, self.create, self.link, self.tidy].into_iter().flatten()
    }

    fn directory(
        &mut self,
        tree: &Tree,
        contents: &Contents,
        numbers: &BTreeMap<InodeId, u32>,
        dir: InodeId,
    ) -> Result<(), Ext4Error> {
        let number = number_of(numbers, dir);
        let (mut found, mut gaps) = found_in(&contents.image, number)?;
        let place = reference(numbers, dir);
        let mut added = Vec::new();
        for (name, child) in tree.inode(dir).children().into_iter().flatten() {
            match found.remove(&name[..]) {
                Some(entry) if entry.inode == number_of(numbers, *child) => {}
                Some(_) => {
                    self.unlink.push(DebugfsCommand::new("unlink").argument(joined(&place, name)));
                    added.push((name, *child));
                }
                None => added.push((name, *child)),
            }
        }
        for name in found.keys() {
            self.unlink.push(DebugfsCommand::new("unlink").argument(joined(&place, name)));
        }
        for (name, child) in added {
            let needed = dirent_bytes(name.len());
            if !take(&mut gaps, needed) {
                self.link.push(DebugfsCommand::new("expand_dir").argument(place.clone()));
                gaps.push(contents.image.directory_space());
                take(&mut gaps, needed);
            }
            let source = reference(numbers, child);
            self.link.push(DebugfsCommand::new("ln").argument(source).argument(joined(&place, name)));
        }
        Ok(())
    }

    fn make(&mut self, tree: &Tree, contents: &Contents, id: InodeId) {
        let kind = &tree.inode(id).kind;
        let name = new_name(id);
        let command = match kind {
            NodeKind::Directory { .. } => DebugfsCommand::new("mkdir").argument(name.clone()),
            NodeKind::Regular { content, .. } => {
                let content = content.and_then(|content| contents.new_id(content));
                let path = content.map_or_else(|| "/dev/null".to_owned(), NumberedFiles::relative_path);
                DebugfsCommand::new("write").argument(path).argument(name.clone())
            }
            NodeKind::Symlink { target } => {
                let command = DebugfsCommand::new("symlink").argument(name.clone());
                if target.len() > FAST_SYMLINK_MAX {
                    command.argument(target)
                } else {
                    // The comparison then gives the symlink its real target.
                    command.argument(vec![b'x'; target.len()])
                }
            }
            _ => DebugfsCommand::new("mknod").argument(name.clone()).argument("p"),
        };
        self.create.push(command);
        // Names take the type that their inode has by then.
        let mode = kind.file_type().mode_bits();
        let set = DebugfsCommand::new("set_inode_field").argument(name.clone()).argument("mode");
        self.create.push(set.argument(format!("0{mode:o}")));
        self.tidy.push(DebugfsCommand::new("unlink").argument(name));
    }
}

/// Entries by name, and the gaps behind them in their order.
type Found = (BTreeMap<Vec<u8>, RawEntry>, Vec<usize>);

/// Returns the entries of a directory in the image, and the gaps behind them.
fn found_in(image: &Image, number: u32) -> Result<Found, Ext4Error> {
    if number == 0 {
        // `.` and `..` of 12 bytes each come first.
        return Ok((BTreeMap::new(), vec![image.directory_space() - 24]));
    }
    let raw = image.inode(number)?;
    Ok((image.entries(&raw)?, image.gaps(&raw)?))
}

/// Takes `needed` bytes off the first gap that has them, as libext2fs does it.
fn take(gaps: &mut [usize], needed: usize) -> bool {
    let gap = gaps.iter_mut().find(|gap| **gap >= needed);
    gap.map(|gap| *gap -= needed).is_some()
}

fn number_of(numbers: &BTreeMap<InodeId, u32>, id: InodeId) -> u32 {
    numbers.get(&id).copied().unwrap_or(0)
}

fn inode(number: u32) -> String {
    format!("<{number}>")
}

fn new_name(id: InodeId) -> String {
    format!("{NEW}{}", id.index())
}

/// Returns how commands call an inode.
fn reference(numbers: &BTreeMap<InodeId, u32>, id: InodeId) -> String {
    match number_of(numbers, id) {
        0 => new_name(id),
        number => inode(number),
    }
}

fn joined(place: &str, name: &[u8]) -> Vec<u8> {
    [place.as_bytes(), b"/", name].concat()
}
