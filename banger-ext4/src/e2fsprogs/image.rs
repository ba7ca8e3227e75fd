//! Reads back what the tools wrote: inodes, directories and xattrs, straight from the image.
//!
//! Just as much of ext4 as the images of this backend have: extents, directories without index
//! blocks that matter, no encryption, no inline data. Checksums are e2fsck's business.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use camino::{Utf8Path, Utf8PathBuf};

use super::host;
use super::layout::{BLOCK_SIZE, FAST_SYMLINK_MAX, INODE_SIZE};
use super::xattr;
use crate::error::Ext4Error;

/// The root directory's inode.
pub(super) const ROOT_INODE: u32 = 2;

const SUPERBLOCK_OFFSET: u64 = 1024;
const EXTENTS_FL: u32 = 0x8_0000;
const EXTENT_MAGIC: u16 = 0xf30a;
const EXTENT_DEPTH_MAX: u16 = 5;
const XATTR_MAGIC: u32 = 0xea02_0000;
const XATTR_OFFSET: usize = 128 + 32;

/// An image that was written by the tools of e2fsprogs.
#[derive(Debug)]
pub(super) struct Image {
    path: Utf8PathBuf,
    file: File,
    inodes_per_group: u32,
    /// First block of the inode table by group.
    inode_tables: Vec<u64>,
    pub(super) superblock: Superblock,
}

/// The fields of the superblock that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) blocks: u64,
    pub(super) free_blocks: u64,
    pub(super) inodes: u32,
    pub(super) free_inodes: u32,
    pub(super) uuid: [u8; 16],
    pub(super) hash_seed: [u8; 16],
}

/// One inode, as it is on disk.
#[derive(Clone, Debug)]
pub(super) struct RawInode {
    bytes: Vec<u8>,
}

/// One directory entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawEntry {
    pub(super) inode: u32,
    /// `file_type`: 1 regular, 2 directory, 3 and 4 devices, 5 FIFO, 6 socket, 7 symlink.
    pub(super) file_type: u8,
}

/// The four times: the names that debugfs has for the seconds and for the extra bits, each with its
/// offset.
pub(super) const TIMES: [[(&str, usize); 2]; 4] = [
    [("atime_lo", 0x08), ("atime_extra", 0x8c)],
    [("ctime_lo", 0x0c), ("ctime_extra", 0x84)],
    [("mtime_lo", 0x10), ("mtime_extra", 0x88)],
    [("crtime_lo", 0x90), ("crtime_extra", 0x94)],
];

impl RawInode {
    fn u16(&self, offset: usize) -> u16 {
        u16_at(&self.bytes, offset)
    }

    /// Returns the little-endian number at `offset`.
    pub(super) fn u32(&self, offset: usize) -> u32 {
        u32_at(&self.bytes, offset)
    }

    pub(super) fn mode(&self) -> u16 {
        self.u16(0)
    }

    pub(super) fn uid(&self) -> u32 {
        u32::from(self.u16(0x02)) | u32::from(self.u16(0x78)) << 16
    }

    pub(super) fn gid(&self) -> u32 {
        u32::from(self.u16(0x18)) | u32::from(self.u16(0x7a)) << 16
    }

    pub(super) fn size(&self) -> u64 {
        u64::from(self.u32(0x04)) | u64::from(self.u32(0x6c)) << 32
    }

    pub(super) fn links_count(&self) -> u16 {
        self.u16(0x1a)
    }

    pub(super) fn flags(&self) -> u32 {
        self.u32(0x20)
    }

    /// Returns `i_block`: 15 numbers, an extent tree, or the target of a short symlink.
    pub(super) fn block(&self) -> [u32; 15] {
        std::array::from_fn(|index| self.u32(0x28 + 4 * index))
    }

    fn xattr_block(&self) -> u64 {
        u64::from(self.u32(0x68)) | u64::from(self.u16(0x76)) << 32
    }
}

impl Image {
    /// Opens the image at `path`.
    ///
    /// # Errors
    /// The host refuses, or it is no file system that this backend writes.
    pub(super) fn open(path: &Utf8Path) -> Result<Self, Ext4Error> {
        Self::read_superblock(path).map_err(|error| host::failed("read back", path, error))
    }

    fn read_superblock(path: &Utf8Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut bytes = [0; 1024];
        file.read_exact_at(&mut bytes, SUPERBLOCK_OFFSET)?;
        if u16_at(&bytes, 0x38) != 0xef53 || u32_at(&bytes, 0x18) != 2 || u16_at(&bytes, 0x58) != 256 {
            return Err(corrupt("it has no superblock with blocks of 4096 and inodes of 256 bytes"));
        }
        if u32_at(&bytes, 0x60) & 0x80 == 0 || u16_at(&bytes, 0xfe) != 64 {
            return Err(corrupt("it has no group descriptors of 64 bytes"));
        }
        let wide = |low, high| u64::from(u32_at(&bytes, low)) | u64::from(u32_at(&bytes, high)) << 32;
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
        let groups = superblock.blocks.div_ceil(blocks_per_group.into());
        let mut inode_tables = Vec::new();
        for group in 0..groups {
            let mut descriptor = [0; 64];
            file.read_exact_at(&mut descriptor, BLOCK_SIZE + group * 64)?;
            inode_tables.push(u64::from(u32_at(&descriptor, 8)) | u64::from(u32_at(&descriptor, 0x28)) << 32);
        }
        Ok(Self { path: path.to_owned(), file, inodes_per_group, inode_tables, superblock })
    }

    /// Returns the inode of this number.
    ///
    /// # Errors
    /// There is none, or the host fails to read.
    pub(super) fn inode(&self, number: u32) -> Result<RawInode, Ext4Error> {
        let read = || -> io::Result<RawInode> {
            let index = number.checked_sub(1).ok_or_else(|| corrupt("an entry has inode 0"))?;
            let group =
                usize::try_from(index / self.inodes_per_group).map_err(|_| corrupt("no such group"))?;
            let table =
                self.inode_tables.get(group).ok_or_else(|| corrupt("an inode is beyond the last group"))?;
            let mut bytes = vec![0; 256];
            let offset = table * BLOCK_SIZE + u64::from(index % self.inodes_per_group) * INODE_SIZE;
            self.file.read_exact_at(&mut bytes, offset)?;
            Ok(RawInode { bytes })
        };
        read().map_err(|error| self.failed(error))
    }

    /// Returns the entries of a directory but `.` and `..`.
    ///
    /// # Errors
    /// It is damaged, or the host fails to read.
    pub(super) fn entries(&self, inode: &RawInode) -> Result<BTreeMap<Vec<u8>, RawEntry>, Ext4Error> {
        let read = || -> io::Result<_> {
            let mut entries = BTreeMap::new();
            for block in self.data_blocks(inode)? {
                let bytes = self.block(block)?;
                let mut rest = &bytes[..];
                while rest.len() >= 8 {
                    let length = usize::from(u16_at(rest, 4));
                    let name_end = 8 + usize::from(rest[6]);
                    if length < 8 || length > rest.len() || name_end > length {
                        return Err(corrupt("a directory has an entry of impossible length"));
                    }
                    let entry = RawEntry { inode: u32_at(rest, 0), file_type: rest[7] };
                    let name = &rest[8..name_end];
                    if entry.inode != 0 && name != b"." && name != b".." {
                        entries.insert(name.to_vec(), entry);
                    }
                    rest = &rest[length..];
                }
            }
            Ok(entries)
        };
        read().map_err(|error| self.failed(error))
    }

    /// Returns the target of a symlink.
    ///
    /// # Errors
    /// It is damaged, or the host fails to read.
    pub(super) fn target(&self, inode: &RawInode) -> Result<Vec<u8>, Ext4Error> {
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
    pub(super) fn xattrs(&self, inode: &RawInode) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Ext4Error> {
        let read = || -> io::Result<_> {
            let mut xattrs = BTreeMap::new();
            if u32_at(&inode.bytes, XATTR_OFFSET) == XATTR_MAGIC {
                let area = &inode.bytes[XATTR_OFFSET + 4..];
                read_xattrs(area, area, &mut xattrs)?;
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
        if inode.flags() & EXTENTS_FL == 0 {
            // Slow symlinks of old versions: one block, named directly.
            return Ok(inode.block()[..12]
                .iter()
                .filter(|block| **block != 0)
                .map(|block| u64::from(*block))
                .collect());
        }
        let mut blocks = Vec::new();
        self.extents(&inode.bytes[0x28..0x64], EXTENT_DEPTH_MAX, &mut blocks)?;
        Ok(blocks)
    }

    fn extents(&self, node: &[u8], depth_max: u16, blocks: &mut Vec<u64>) -> io::Result<()> {
        let (entries, depth) = (usize::from(u16_at(node, 2)), u16_at(node, 6));
        if u16_at(node, 0) != EXTENT_MAGIC || depth > depth_max || 12 * (entries + 1) > node.len() {
            return Err(corrupt("an extent tree is damaged"));
        }
        for entry in node[12..].chunks_exact(12).take(entries) {
            if depth == 0 {
                let start = u64::from(u32_at(entry, 8)) | u64::from(u16_at(entry, 6)) << 32;
                blocks.extend(start..start + u64::from(u16_at(entry, 4).min(0x8000)));
            } else {
                let child = u64::from(u32_at(entry, 4)) | u64::from(u16_at(entry, 8)) << 32;
                self.extents(&self.block(child)?, depth - 1, blocks)?;
            }
        }
        Ok(())
    }

    fn block(&self, block: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 4096];
        self.file.read_exact_at(&mut bytes, block.saturating_mul(BLOCK_SIZE))?;
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
