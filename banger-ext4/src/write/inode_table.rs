//! Inode tables, written in the order of the numbers.

use std::io;

use super::file::ImageFile;
use super::layout::Layout;
use crate::format::{BLOCK_SIZE, Block, Group, INODE_SIZE, INODES_PER_BLOCK, InodeNumber};

/// Inodes are gathered up to this many bytes.
const BUFFER_SIZE: usize = 1 << 20;

/// The places of the inode tables.
#[derive(Debug)]
pub(crate) struct Tables {
    layout: Layout,
    /// Places of the first groups' tables, if they differ from the layout.
    moved: Vec<Block>,
}

impl Tables {
    /// Returns the places of `layout`, but for the tables of the first groups in `moved`.
    pub(crate) fn new(layout: Layout, moved: Vec<Block>) -> Self {
        Self { layout, moved }
    }

    /// Returns the first block of a group's inode table.
    pub(crate) fn table(&self, group: Group) -> Block {
        let moved = usize::try_from(group.0).ok().and_then(|group| self.moved.get(group));
        moved.copied().unwrap_or_else(|| Block(self.layout.block_bitmap(group).0 + 2))
    }

    /// Returns how many blocks hold moved tables.
    pub(crate) fn moved_blocks(&self) -> u64 {
        self.moved.len() as u64 * self.layout.inode_table_blocks()
    }

    /// Returns the group of an inode and its offset in bytes.
    fn place(&self, number: InodeNumber) -> (Group, u64) {
        let index = number.0 - 1;
        let group = Group(index / self.layout.inodes_per_group);
        let within = u64::from(index % self.layout.inodes_per_group) * INODE_SIZE as u64;
        (group, self.table(group).offset() + within)
    }
}

/// Writes inodes: those of the first block in any order, all others by rising number.
#[derive(Debug)]
pub(crate) struct InodeTableWriter {
    tables: Tables,
    first_block: Box<[u8; BLOCK_SIZE]>,
    buffer: Vec<u8>,
    buffer_offset: u64,
    /// Directories in each group.
    used_dirs: Vec<u32>,
}

impl InodeTableWriter {
    /// Returns a writer for `tables`.
    pub(crate) fn new(tables: Tables) -> Self {
        Self {
            tables,
            first_block: Box::new([0; BLOCK_SIZE]),
            buffer: Vec::new(),
            buffer_offset: 0,
            used_dirs: Vec::new(),
        }
    }

    /// Returns the places of the tables.
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Returns the number of directories whose inodes are in `group`.
    pub(crate) fn used_dirs(&self, group: Group) -> u32 {
        usize::try_from(group.0).ok().and_then(|group| self.used_dirs.get(group)).copied().unwrap_or(0)
    }

    /// Writes one inode.
    pub(crate) fn put(
        &mut self,
        file: &mut ImageFile,
        number: InodeNumber,
        is_dir: bool,
        inode: &[u8; INODE_SIZE],
    ) -> io::Result<()> {
        let (group, offset) = self.tables.place(number);
        if is_dir {
            let group = group.0 as usize;
            if self.used_dirs.len() <= group {
                self.used_dirs.resize(group + 1, 0);
            }
            self.used_dirs[group] += 1;
        }
        if number.0 <= INODES_PER_BLOCK {
            let start = (number.0 - 1) as usize * INODE_SIZE;
            self.first_block[start..start + INODE_SIZE].copy_from_slice(inode);
            return Ok(());
        }
        if self.buffer_offset + self.buffer.len() as u64 != offset || self.buffer.len() >= BUFFER_SIZE {
            self.flush(file)?;
            self.buffer_offset = offset;
        }
        self.buffer.extend_from_slice(inode);
        Ok(())
    }

    /// Writes the rest. Call it once, after all inodes.
    pub(crate) fn finish(&mut self, file: &mut ImageFile) -> io::Result<()> {
        self.flush(file)?;
        let (_, offset) = self.tables.place(InodeNumber(1));
        file.write_at(offset, self.first_block.as_slice())
    }

    fn flush(&mut self, file: &mut ImageFile) -> io::Result<()> {
        if !self.buffer.is_empty() {
            file.write_at(self.buffer_offset, &self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}
