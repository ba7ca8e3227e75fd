//! Moving inodes whose numbers lie behind the new last one, with all references to them.
//!
//! Checksums of an inode and of its blocks start from its number and its generation. So a moved inode gets the
//! generation with which they start from the same value as before, and its blocks stay as they are.

use std::collections::{BTreeSet, HashMap};

use banger_tree::{FileType, RootfsError};

use crate::editor::disk::Disk;
use crate::editor::disk::directory;
use crate::editor::disk::entries;
use crate::editor::disk::inline;
use crate::editor::disk::inodes;
use crate::editor::disk::leaf;
use crate::editor::disk::names;
use crate::editor::disk::whole_inode::WholeInode;
use crate::editor::disk::xattr_entries;
use crate::format::InodeNumber;

/// References to an inode that moves.
#[derive(Debug, Default)]
pub(super) struct References {
    /// Directories with its names, and the numbers of the blocks that have them.
    names: BTreeSet<(InodeNumber, u64)>,
    /// Inodes with an xattr whose value it is.
    values: BTreeSet<InodeNumber>,
    /// If it is a directory, the directories in it.
    subdirectories: Vec<InodeNumber>,
}

impl References {
    /// Returns the number of blocks that the move of the inode changes at most.
    pub(super) fn blocks(&self) -> u64 {
        (10 + self.names.len() + self.subdirectories.len() + 2 * self.values.len()) as u64
    }
}

/// All inodes that move.
#[derive(Debug)]
pub(super) struct InodeMoves {
    /// The groups that stay.
    groups: u32,
    /// In order, with what refers to them.
    pub(super) inodes: Vec<(InodeNumber, References)>,
    /// New numbers of moved inodes.
    moved: HashMap<InodeNumber, InodeNumber>,
    /// Where to look for a free inode.
    near: InodeNumber,
}

impl InodeMoves {
    /// Finds all inodes behind the first `groups` groups, and what refers to them.
    pub(super) fn find(disk: &Disk, groups: u32) -> Result<Self, RootfsError> {
        let volume = &disk.volume;
        let last = InodeNumber(groups * volume.inodes_per_group);
        let mut references: HashMap<InodeNumber, References> = HashMap::new();
        let mut numbers = Vec::new();
        for group in 0..volume.groups {
            for number in inodes::in_use(disk, group)? {
                disk.check_cancelled()?;
                if number.0 < volume.first_inode && number != InodeNumber::ROOT {
                    continue;
                }
                if number > last {
                    numbers.push(number);
                }
                find_references(disk, number, last, &mut references)?;
            }
        }
        let inodes =
            numbers.into_iter().map(|number| (number, references.remove(&number).unwrap_or_default()));
        Ok(Self { groups, inodes: inodes.collect(), moved: HashMap::new(), near: last })
    }

    /// Returns the number that an inode has now.
    fn now(&self, number: InodeNumber) -> InodeNumber {
        self.moved.get(&number).copied().unwrap_or(number)
    }

    /// Moves an inode.
    pub(super) fn carry_out(
        &mut self,
        disk: &mut Disk,
        old: InodeNumber,
        references: &References,
    ) -> Result<(), RootfsError> {
        let mut inode = inodes::read(disk, old)?;
        let is_dir = FileType::from_mode_bits(inode.i_mode) == Some(FileType::Directory);
        let new = disk.allocate_inode_within(self.groups, self.near, is_dir)?;
        if let Some(seed) = disk.volume.seed {
            let start = |number: InodeNumber| seed.with(&number.0.to_le_bytes()).value();
            inode.i_generation ^= start(old) ^ start(new);
            debug_assert_eq!(
                disk.volume.seed_of(new, inode.i_generation).map(|seed| seed.with(b"x")),
                disk.volume
                    .seed_of(old, inode.i_generation ^ start(old) ^ start(new))
                    .map(|seed| seed.with(b"x")),
            );
        }
        inodes::write(disk, new, &inode)?;
        inodes::release(disk, old, is_dir)?;
        disk.known.get_mut().forget_dir(old);
        disk.known.get_mut().forget_dir(new);
        self.moved.insert(old, new);
        self.near = new;
        if is_dir && !inode.is_inline() {
            let dir = directory::open_with_any_names(disk, new)?;
            names::put_dots(disk, &dir, Some(new), None)?;
        }
        for child in &references.subdirectories {
            set_parent(disk, self.now(*child), new)?;
        }
        for (dir, logical) in &references.names {
            replace_name(disk, self.now(*dir), *logical, old, new)?;
        }
        for user in &references.values {
            let user = self.now(*user);
            let mut inode = inodes::read(disk, user)?;
            xattr_entries::replace_value_inode(disk, user, &mut inode, old, new)?;
            inodes::write(disk, user, &inode)?;
        }
        if disk.volume.orphan_file == Some(old) {
            disk.update_superblock(|superblock| superblock.s_orphan_file_inum = new.0)?;
            disk.volume.orphan_file = Some(new);
        }
        if disk.superblock()?.s_lpf_ino == old.0 {
            disk.update_superblock(|superblock| superblock.s_lpf_ino = new.0)?;
        }
        Ok(())
    }
}

/// Adds the references that an inode has to inodes behind `last`, and its subdirectories if it is behind `last` itself.
fn find_references(
    disk: &Disk,
    number: InodeNumber,
    last: InodeNumber,
    references: &mut HashMap<InodeNumber, References>,
) -> Result<(), RootfsError> {
    let inode = inodes::read(disk, number)?;
    for value in xattr_entries::value_inodes_of(disk, number, &inode)? {
        if number > last && xattr_entries::is_value_of_lustre(disk, number, &inode, value)? {
            let reason = format!("inode {} has extended attributes of Lustre, and cannot move", number.0);
            return Err(disk.volume.unsupported(reason));
        }
        if value.number > last {
            references.entry(value.number).or_default().values.insert(number);
        }
    }
    if FileType::from_mode_bits(inode.i_mode) != Some(FileType::Directory) {
        return Ok(());
    }
    let dir = directory::open_with_any_names(disk, number)?;
    entries::for_each_unchecked(disk, &dir, |logical, entry| {
        if entry.inode > last {
            references.entry(entry.inode).or_default().names.insert((number, logical));
        }
        if number > last && entries::file_type(disk, entry)? == FileType::Directory {
            references.entry(number).or_default().subdirectories.push(entry.inode);
        }
        Ok(())
    })
}

/// Makes `..` of a directory lead to `parent`.
fn set_parent(disk: &mut Disk, number: InodeNumber, parent: InodeNumber) -> Result<(), RootfsError> {
    let dir = directory::open_with_any_names(disk, number)?;
    if !dir.inode.is_inline() {
        return names::put_dots(disk, &dir, None, Some(parent));
    }
    let mut inode: WholeInode = dir.inode;
    inline::set_parent(&mut inode, parent);
    inodes::write(disk, number, &inode)
}

/// Makes the names in a block of a directory that lead to `old` lead to `new`.
fn replace_name(
    disk: &mut Disk,
    number: InodeNumber,
    logical: u64,
    old: InodeNumber,
    new: InodeNumber,
) -> Result<(), RootfsError> {
    let dir = directory::open_with_any_names(disk, number)?;
    if dir.inode.is_inline() {
        let mut inode = dir.inode;
        inline::replace_inode(disk, number, &mut inode, old, new)?;
        return inodes::write(disk, number, &inode);
    }
    let (block, before) = directory::block(disk, &dir, logical)?;
    let bytes = leaf::with_inode_replaced(disk, &dir, &before, old, new)?;
    leaf::put(disk, &dir, block, bytes)
}
