//! Which inode gets which number: the order of a walk through the tree.

use banger_tree::{GuestPath, InodeId, Tree};

use crate::error::Ext4Error;
use crate::format::InodeNumber;

/// Name of the directory that e2fsck puts lost inodes into.
pub(crate) const LOST_FOUND: &[u8] = b"lost+found";

/// Numbers for all inodes of a tree.
#[derive(Debug)]
pub(crate) struct Numbering {
    /// By [`InodeId::index`]; 0 for unused numbers.
    numbers: Vec<u32>,
    /// From number 12 on.
    pub(crate) order: Vec<Numbered>,
    /// `lost+found` of the tree.
    pub(crate) lost_found: Option<InodeId>,
}

/// One inode with the directory in which the walk met it first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbered {
    /// The inode.
    pub(crate) id: InodeId,
    /// The directory.
    pub(crate) parent: InodeNumber,
}

impl Numbering {
    /// Returns inode numbers for `tree`: the root and `lost+found` have fixed ones, the others follow in the
    /// order of names, parents first.
    ///
    /// # Errors
    /// `lost+found` is not a directory.
    pub(crate) fn new(tree: &Tree) -> Result<Self, Ext4Error> {
        let lost_found = tree.child(tree.root(), LOST_FOUND);
        if lost_found.is_some_and(|id| !tree.inode(id).is_dir()) {
            let path = GuestPath::parse(LOST_FOUND).expect("a plain name");
            let reason = "ext4 keeps this name for a directory".to_owned();
            return Err(Ext4Error::Limit { path, reason });
        }
        let mut numbering = Self {
            numbers: vec![0; tree.inode_bound()],
            order: Vec::with_capacity(tree.inode_count()),
            lost_found,
        };
        numbering.numbers[tree.root().index()] = InodeNumber::ROOT.0;
        if let Some(id) = lost_found {
            numbering.numbers[id.index()] = InodeNumber::FIRST.0;
        }
        let mut next = InodeNumber::FIRST.0;
        let mut pending = Vec::new();
        let push_children = |pending: &mut Vec<Numbered>, id: InodeId, parent: InodeNumber| {
            let children = tree.inode(id).children().into_iter().flat_map(|children| children.values().rev());
            pending.extend(children.map(|child| Numbered { id: *child, parent }));
        };
        push_children(&mut pending, tree.root(), InodeNumber::ROOT);
        while let Some(entry) = pending.pop() {
            let number = &mut numbering.numbers[entry.id.index()];
            if Some(entry.id) == lost_found {
                push_children(&mut pending, entry.id, InodeNumber::FIRST);
            } else if *number == 0 {
                next = next.checked_add(1).expect("a tree has fewer inodes than ext4 can number");
                *number = next;
                numbering.order.push(entry);
                push_children(&mut pending, entry.id, InodeNumber(next));
            }
        }
        Ok(numbering)
    }

    /// Returns the number of an inode of the tree.
    pub(crate) fn number(&self, id: InodeId) -> InodeNumber {
        InodeNumber(self.numbers[id.index()])
    }

    /// Returns the highest number, which is also how many inodes are in use or reserved.
    pub(crate) fn last(&self) -> u32 {
        InodeNumber::FIRST.0 + u32::try_from(self.order.len()).expect("a tree's inodes have 32-bit ids")
    }
}

/// Returns a path of an inode, for a message. Looks through the whole tree.
pub(crate) fn path_of(tree: &Tree, id: InodeId) -> GuestPath {
    tree.walk().find(|(_, found)| *found == id).map_or_else(GuestPath::root, |(path, _)| path)
}
