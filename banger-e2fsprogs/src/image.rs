//! Reads the results of the tools back: inodes, directories and xattrs, straight from the image.
//!
//! Just as much of ext4 as is needed for that: extents, directories without index blocks that
//! matter, no encryption, no inline data. Checksums are e2fsck's business.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use camino::{Utf8Path, Utf8PathBuf};

use crate::host;
use crate::xattr;
use banger_ext4::Ext4Error;
use banger_ext4::on_disk::{
    DIRENT_TAIL_BYTES, DIRENT_TAIL_FILE_TYPE, EXTENT_MAGIC, EXTENT_MAX_BLOCKS, EXTENTS_FL, FAST_SYMLINK_MAX,
    GOOD_OLD_INODE_BYTES, INCOMPAT_64BIT, INDEX_FL, INODE_BYTES, XATTR_MAGIC, dirent_bytes,
};

/// The root directory's inode.
pub(crate) const ROOT_INODE: u32 = 2;

const SUPERBLOCK_OFFSET: u64 = 1024;
const EXTENT_DEPTH_MAX: u16 = 5;

/// An image that was written by the tools of e2fsprogs.
#[derive(Debug)]
pub(crate) struct Image {
    path: Utf8PathBuf,
    file: File,
    block_size: u64,
    inodes_per_group: u32,
    /// First block of the inode table by group.
    inode_tables: Vec<u64>,
    pub(crate) superblock: Superblock,
}

/// The fields of the superblock that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) blocks: u64,
    pub(crate) free_blocks: u64,
    pub(crate) inodes: u32,
    pub(crate) free_inodes: u32,
    pub(crate) uuid: [u8; 16],
    pub(crate) hash_seed: [u8; 16],
}

/// One inode, as on disk.
#[derive(Clone, Debug)]
pub(crate) struct RawInode {
    bytes: Vec<u8>,
}

/// Blocks of a file that follow each other in the image, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockRun {
    logical: u64,
    start: u64,
    len: u64,
    /// Whether they hold bytes; blocks that are only reserved read as zeros.
    written: bool,
}

/// One directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawEntry {
    pub(crate) inode: u32,
    /// `file_type`: 1 regular, 2 directory, 3 and 4 devices, 5 FIFO, 6 socket, 7 symlink.
    pub(crate) file_type: u8,
}

/// The four times: the names that debugfs has for the seconds and for the extra bits, each with its
/// offset.
pub(crate) const TIMES: [[(&str, usize); 2]; 4] = [
    [("atime_lo", 0x08), ("atime_extra", 0x8c)],
    [("ctime_lo", 0x0c), ("ctime_extra", 0x84)],
    [("mtime_lo", 0x10), ("mtime_extra", 0x88)],
    [("crtime_lo", 0x90), ("crtime_extra", 0x94)],
];
/// Which of them is the mtime.
pub(crate) const MTIME: usize = 2;

impl RawInode {
    fn u16(&self, offset: usize) -> u16 {
        u16_at(&self.bytes, offset)
    }

    /// Returns the little-endian number at `offset`.
    pub(crate) fn u32(&self, offset: usize) -> u32 {
        u32_at(&self.bytes, offset)
    }

    pub(crate) fn mode(&self) -> u16 {
        self.u16(0)
    }

    pub(crate) fn uid(&self) -> u32 {
        u32::from(self.u16(0x02)) | u32::from(self.u16(0x78)) << 16
    }

    pub(crate) fn gid(&self) -> u32 {
        u32::from(self.u16(0x18)) | u32::from(self.u16(0x7a)) << 16
    }

    pub(crate) fn size(&self) -> u64 {
        u64::from(self.u32(0x04)) | u64::from(self.u32(0x6c)) << 32
    }

    pub(crate) fn links_count(&self) -> u16 {
        self.u16(0x1a)
    }

    pub(crate) fn flags(&self) -> u32 {
        self.u32(0x20)
    }

    /// Returns `i_block`: 15 numbers, an extent tree, or the target of a short symlink.
    pub(crate) fn block(&self) -> [u32; 15] {
        std::array::from_fn(|index| self.u32(0x28 + 4 * index))
    }

    /// Returns the bytes behind the fields, which may have xattrs.
    fn xattr_area(&self) -> &[u8] {
        let extra = usize::from(self.u16(0x80));
        self.bytes.get(GOOD_OLD_INODE_BYTES + extra..).unwrap_or_default()
    }

    fn xattr_block(&self) -> u64 {
        u64::from(self.u32(0x68)) | u64::from(self.u16(0x76)) << 32
    }
}

impl Image {
    /// Opens the image at `path`.
    ///
    /// # Errors
    /// The host refuses, or it is not a file system that this backend writes.
    pub(crate) fn open(path: &Utf8Path) -> Result<Self, Ext4Error> {
        Self::read_superblock(path).map_err(|error| host::failed("read back", path, error))
    }

    fn read_superblock(path: &Utf8Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut bytes = [0; 1024];
        file.read_exact_at(&mut bytes, SUPERBLOCK_OFFSET)?;
        if u16_at(&bytes, 0x38) != 0xef53 || u32_at(&bytes, 0x18) > 2 || u16_at(&bytes, 0x58) != 256 {
            return Err(corrupt("it has no superblock with blocks of up to 4096 and inodes of 256 bytes"));
        }
        let block_size = 1024_u64 << u32_at(&bytes, 0x18);
        let is_64bit = u32_at(&bytes, 0x60) & INCOMPAT_64BIT != 0;
        let desc_size: u64 = if is_64bit { 64 } else { 32 };
        let high_half = |offset| if is_64bit { u64::from(u32_at(&bytes, offset)) << 32 } else { 0 };
        let wide = |low, high| u64::from(u32_at(&bytes, low)) | high_half(high);
        let id = |offset: usize| std::array::from_fn(|index| bytes[offset + index]);
        let superblock = Superblock {
            blocks: wide(0x04, 0x150),
            free_blocks: wide(0x0c, 0x158),
            inodes: u32_at(&bytes, 0x00),
            free_inodes: u32_at(&bytes, 0x10),
            uuid: id(0x68),
            hash_seed: id(0xec),
        };
        let (blocks_per_group, inodes_per_group) = (u32_at(&bytes, 0x20), u32_at(&bytes, 0x28));
        if blocks_per_group == 0 || inodes_per_group == 0 {
            return Err(corrupt("its groups are empty"));
        }
        let first_data_block = u64::from(u32_at(&bytes, 0x14));
        let groups = superblock.blocks.saturating_sub(first_data_block).div_ceil(blocks_per_group.into());
        let mut inode_tables = Vec::new();
        for group in 0..groups {
            let mut descriptor = [0; 64];
            let offset = (first_data_block + 1) * block_size + group * desc_size;
            file.read_exact_at(&mut descriptor[..desc_size as usize], offset)?;
            inode_tables.push(u64::from(u32_at(&descriptor, 8)) | u64::from(u32_at(&descriptor, 0x28)) << 32);
        }
        Ok(Self { path: path.to_owned(), file, block_size, inodes_per_group, inode_tables, superblock })
    }

    /// Returns the inode of this number.
    ///
    /// # Errors
    /// The inode does not exist, or the host fails to read.
    pub(crate) fn inode(&self, number: u32) -> Result<RawInode, Ext4Error> {
        let read = || -> io::Result<RawInode> {
            let index = number.checked_sub(1).ok_or_else(|| corrupt("an entry has inode 0"))?;
            let group =
                usize::try_from(index / self.inodes_per_group).map_err(|_| corrupt("no such group"))?;
            let table =
                self.inode_tables.get(group).ok_or_else(|| corrupt("an inode is beyond the last group"))?;
            let mut bytes = vec![0; INODE_BYTES as usize];
            let offset = table.saturating_mul(self.block_size)
                + u64::from(index % self.inodes_per_group) * INODE_BYTES;
            self.file.read_exact_at(&mut bytes, offset)?;
            Ok(RawInode { bytes })
        };
        read().map_err(|error| self.failed(error))
    }

    /// Returns the entries of a directory but `.` and `..`.
    ///
    /// # Errors
    /// It is damaged, or the host fails to read.
    pub(crate) fn entries(&self, inode: &RawInode) -> Result<BTreeMap<Vec<u8>, RawEntry>, Ext4Error> {
        let mut entries = BTreeMap::new();
        let visit = |_, name: &[u8], _, entry: RawEntry| {
            if entry.inode != 0 && name != b"." && name != b".." {
                entries.insert(name.to_vec(), entry);
            }
        };
        self.for_each_record(inode, visit).map_err(|error| self.failed(error))?;
        Ok(entries)
    }

    /// Returns the parent in the directory's `..`.
    ///
    /// # Errors
    /// It is damaged, or the host fails to read.
    pub(crate) fn parent(&self, inode: &RawInode) -> Result<Option<u32>, Ext4Error> {
        let mut parent = None;
        let visit = |_, name: &[u8], _, entry: RawEntry| {
            if name == b".." {
                parent = Some(entry.inode);
            }
        };
        self.for_each_record(inode, visit).map_err(|error| self.failed(error))?;
        Ok(parent)
    }

    /// Returns the bytes of the longest symlink's target.
    pub(crate) fn symlink_max(&self) -> usize {
        self.block_size as usize - 1
    }

    /// Returns the bytes of a directory's block that are for entries.
    pub(crate) fn directory_space(&self) -> usize {
        // Without checksums there is a little more.
        self.block_size as usize - DIRENT_TAIL_BYTES
    }

    /// Returns the bytes behind each entry of a directory that a new entry can have.
    ///
    /// # Errors
    /// It is damaged, or the host fails to read.
    pub(crate) fn gaps(&self, inode: &RawInode) -> Result<Vec<usize>, Ext4Error> {
        let is_indexed = inode.flags() & INDEX_FL != 0;
        let mut gaps = Vec::new();
        let visit = |block: usize, name: &[u8], length: usize, entry: RawEntry| {
            let is_tail = entry.inode == 0 && entry.file_type == DIRENT_TAIL_FILE_TYPE;
            let used = if entry.inode == 0 { 0 } else { dirent_bytes(name.len()) };
            // The first block of an index looks as if it were nearly empty.
            let is_root_of_index = is_indexed && block == 0;
            if !is_tail && !is_root_of_index {
                gaps.push(length.saturating_sub(used));
            }
        };
        self.for_each_record(inode, visit).map_err(|error| self.failed(error))?;
        Ok(gaps)
    }

    /// Calls `visit` with the number of the block, the name, the length of the record and the entry.
    fn for_each_record(
        &self,
        inode: &RawInode,
        mut visit: impl FnMut(usize, &[u8], usize, RawEntry),
    ) -> io::Result<()> {
        for (number, block) in self.data_blocks(inode)?.into_iter().enumerate() {
            let bytes = self.block(block)?;
            let mut rest = &bytes[..];
            while rest.len() >= 8 {
                let length = usize::from(u16_at(rest, 4));
                let name_end = 8 + usize::from(rest[6]);
                if length < 8 || length > rest.len() || name_end > length {
                    return Err(corrupt("a directory has an entry of impossible length"));
                }
                let entry = RawEntry { inode: u32_at(rest, 0), file_type: rest[7] };
                visit(number, &rest[8..name_end], length, entry);
                rest = &rest[length..];
            }
        }
        Ok(())
    }

    /// Reads the bytes of a file from `offset` on into `buffer`; returns how many, 0 at the end.
    ///
    /// # Errors
    /// It is damaged, or the host fails to read.
    pub(crate) fn read_at(
        &self,
        inode: &RawInode,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, Ext4Error> {
        let rest = inode.size().saturating_sub(offset).min(buffer.len() as u64);
        let buffer = &mut buffer[..rest as usize];
        let end = offset + rest;
        buffer.fill(0);
        let read = |buffer: &mut [u8]| -> io::Result<()> {
            for run in self.runs(inode)?.into_iter().filter(|run| run.written) {
                let (from, to) = (run.logical * self.block_size, (run.logical + run.len) * self.block_size);
                let (start, stop) = (from.max(offset), to.min(end));
                if start < stop {
                    let part = &mut buffer[(start - offset) as usize..(stop - offset) as usize];
                    self.file
                        .read_exact_at(part, run.start.saturating_mul(self.block_size) + (start - from))?;
                }
            }
            Ok(())
        };
        read(buffer).map_err(|error| self.failed(error))?;
        Ok(buffer.len())
    }

    /// Returns the target of a symlink.
    ///
    /// # Errors
    /// It is damaged, or the host fails to read.
    pub(crate) fn target(&self, inode: &RawInode) -> Result<Vec<u8>, Ext4Error> {
        let read = || -> io::Result<_> {
            let length = usize::try_from(inode.size()).unwrap_or(usize::MAX);
            if length <= FAST_SYMLINK_MAX {
                return Ok(inode.bytes[0x28..0x28 + length].to_vec());
            }
            let first = self.data_blocks(inode)?.first().copied();
            let bytes = self.block(first.ok_or_else(|| corrupt("a symlink has no block"))?)?;
            Ok(bytes[..length.min(bytes.len())].to_vec())
        };
        read().map_err(|error| self.failed(error))
    }

    /// Returns the extended attributes by full name, as they are on disk.
    ///
    /// # Errors
    /// They are damaged, or the host fails to read.
    pub(crate) fn xattrs(&self, inode: &RawInode) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Ext4Error> {
        let read = || -> io::Result<_> {
            let mut xattrs = BTreeMap::new();
            let area = inode.xattr_area();
            if area.len() > 4 && u32_at(area, 0) == XATTR_MAGIC {
                read_xattrs(&area[4..], &area[4..], &mut xattrs)?;
            }
            let block = inode.xattr_block();
            if block != 0 {
                let bytes = self.block(block)?;
                if u32_at(&bytes, 0) != XATTR_MAGIC {
                    return Err(corrupt("a block of xattrs has no magic number"));
                }
                read_xattrs(&bytes[32..], &bytes, &mut xattrs)?;
            }
            Ok(xattrs)
        };
        read().map_err(|error| self.failed(error))
    }

    /// Returns the blocks of an inode's data in order.
    fn data_blocks(&self, inode: &RawInode) -> io::Result<Vec<u64>> {
        Ok(self.runs(inode)?.into_iter().flat_map(|run| run.start..run.start + run.len).collect())
    }

    /// Returns where an inode's data is, in order.
    fn runs(&self, inode: &RawInode) -> io::Result<Vec<BlockRun>> {
        let mut runs = Vec::new();
        if inode.flags() & EXTENTS_FL == 0 {
            // Slow symlinks of old versions: one block, named directly.
            let block = inode.block()[0];
            if block != 0 {
                runs.push(BlockRun { logical: 0, start: block.into(), len: 1, written: true });
            }
        } else {
            self.extents(&inode.bytes[0x28..0x64], EXTENT_DEPTH_MAX, &mut 0, &mut runs)?;
            let blocks = runs.iter().fold(0_u64, |sum, run| sum.saturating_add(run.len));
            if blocks > self.superblock.blocks {
                return Err(corrupt("a file has more blocks than there are"));
            }
        }
        Ok(runs)
    }

    /// Adds the extents of `node`, all of which are of blocks of the file from `next` on: so no
    /// node comes twice, and there is an end.
    fn extents(
        &self,
        node: &[u8],
        depth_max: u16,
        next: &mut u64,
        runs: &mut Vec<BlockRun>,
    ) -> io::Result<()> {
        let (entries, depth) = (usize::from(u16_at(node, 2)), u16_at(node, 6));
        if u16_at(node, 0) != EXTENT_MAGIC || depth > depth_max || 12 * (entries + 1) > node.len() {
            return Err(corrupt("an extent tree is damaged"));
        }
        for entry in node[12..].chunks_exact(12).take(entries) {
            let logical = u64::from(u32_at(entry, 0));
            if logical < *next {
                return Err(corrupt("an extent tree is out of order"));
            }
            if depth == 0 {
                let start = u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32;
                let length = u32::from(u16_at(entry, 4));
                let written = length <= EXTENT_MAX_BLOCKS;
                let len = u64::from(if written { length } else { length - EXTENT_MAX_BLOCKS });
                runs.push(BlockRun { logical, start, len, written });
                *next = logical + len;
            } else {
                let child = u64::from(u32_at(entry, 4)) | u64::from(u16_at(entry, 8)) << 32;
                self.extents(&self.block(child)?, depth - 1, next, runs)?;
                *next = (*next).max(logical + 1);
            }
        }
        Ok(())
    }

    fn block(&self, block: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.block_size as usize];
        self.file.read_exact_at(&mut bytes, block.saturating_mul(self.block_size))?;
        Ok(bytes)
    }

    fn failed(&self, error: io::Error) -> Ext4Error {
        host::failed("read back", &self.path, error)
    }
}

/// Reads the entries in `area`; their values are at offsets in `values`.
fn read_xattrs(area: &[u8], values: &[u8], xattrs: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> io::Result<()> {
    let damaged = || corrupt("a set of xattrs is damaged");
    let mut rest = area;
    while rest.len() >= 4 && u32_at(rest, 0) != 0 {
        let entry = rest.get(..16).ok_or_else(damaged)?;
        let name = rest.get(16..16 + usize::from(entry[0])).ok_or_else(damaged)?;
        let offset = usize::from(u16_at(entry, 2));
        let length = usize::try_from(u32_at(entry, 8)).map_err(|_| damaged())?;
        let value =
            if length == 0 { Some(&[][..]) } else { values.get(offset..offset.saturating_add(length)) };
        if u32_at(entry, 4) != 0 {
            return Err(corrupt("an xattr has an inode of its own"));
        }
        xattrs.insert(xattr::full_name(entry[1], name), value.ok_or_else(damaged)?.to_vec());
        rest = rest.get(16 + name.len().next_multiple_of(4)..).ok_or_else(damaged)?;
    }
    Ok(())
}

fn corrupt(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes([bytes[offset], bytes[offset + 1], bytes[offset + 2], bytes[offset + 3]])
}
