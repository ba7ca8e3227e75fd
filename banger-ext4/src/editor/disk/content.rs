//! The bytes of regular files.

use std::io::{self, Read};

use banger_tree::RootfsError;

use super::Disk;
use super::block_map;
use super::blocks::View;
use super::extents;
use super::inline;
use super::inodes;
use super::runs::{LOGICAL_END, Run};
use super::whole_inode::WholeInode;
use crate::editor::disk::corruption::{CorruptionKind, InodeFault};
use crate::format::inode::{EXTENTS_FL, FAST_SYMLINK_MAX};
use crate::format::superblock::ro_compat;
use crate::format::{Block, InodeNumber};

/// Bytes of one read and write.
const CHUNK_BYTES: usize = 1 << 20;
/// Blocks that a search for the next data looks at first. Each further step looks at twice as many.
const WINDOW_BLOCKS: u64 = 1 << 15;
/// Files of this size or more need the feature `large_file`.
pub(crate) const LARGE_FILE_BYTES: u64 = 1 << 31;

/// Reads until `buffer` is full or the input ends.
fn read_full(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match content.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Reads from `offset` on until `buffer` is full or the file ends; returns how many bytes.
pub(crate) fn read(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
    offset: u64,
    buffer: &mut [u8],
) -> Result<usize, RootfsError> {
    inodes::check_not_encrypted(disk, number, inode)?;
    let rest = inode.size().saturating_sub(offset).min(buffer.len() as u64);
    let buffer = &mut buffer[..rest as usize];
    if buffer.is_empty() {
        return Ok(0);
    }
    buffer.fill(0);
    if inode.is_inline() {
        let bytes = inline::data(disk, number, inode)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let length = buffer.len().min(bytes.len() - from);
        buffer[..length].copy_from_slice(&bytes[from..from + length]);
        return Ok(buffer.len());
    }
    let block_size = disk.volume.block_size as u64;
    let end = offset + rest;
    let runs = extents::mapping(disk, number, inode, offset / block_size..end.div_ceil(block_size))?.runs;
    for run in runs.into_iter().filter(|run| run.written) {
        let (from, to) = (run.logical * block_size, (run.logical + run.len) * block_size);
        let (start, stop) = (from.max(offset), to.min(end));
        if start < stop {
            let part = &mut buffer[(start - offset) as usize..(stop - offset) as usize];
            disk.blocks.read_content(Block(run.start), start - from, part)?;
        }
    }
    Ok(buffer.len())
}

/// Returns start and end of the next bytes from `offset` on that are in blocks; `None` if only holes follow.
pub(crate) fn data_from(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
    offset: u64,
) -> Result<Option<(u64, u64)>, RootfsError> {
    inodes::check_not_encrypted(disk, number, inode)?;
    let size = inode.size();
    if offset >= size || inode.is_inline() {
        return Ok((offset < size).then_some((offset, size)));
    }
    let block_size = disk.volume.block_size as u64;
    let end = size.div_ceil(block_size);
    let (mut at, mut window) = (offset / block_size, WINDOW_BLOCKS);
    while at < end {
        disk.check_cancelled()?;
        let stop = end.min(at.saturating_add(window));
        let runs = extents::mapping(disk, number, inode, at..stop)?.runs;
        let mut data: Option<(u64, u64)> = None;
        for run in runs.iter().filter(|run| run.written && run.logical + run.len > at && run.logical < stop) {
            match &mut data {
                None => data = Some((run.logical.max(at), run.logical + run.len)),
                Some((_, to)) if *to == run.logical => *to += run.len,
                Some(_) => break,
            }
        }
        if let Some((from, to)) = data {
            return Ok(Some(((from * block_size).max(offset), (to * block_size).min(size))));
        }
        (at, window) = (stop, window.saturating_mul(2));
    }
    Ok(None)
}

/// Returns one past the last block that a new file can have.
fn logical_end(disk: &Disk) -> u64 {
    if disk.volume.extents { LOGICAL_END } else { block_map::file_end(disk).min(LOGICAL_END) }
}

/// Writes all bytes of `content` to free blocks, without blocks of zeros; returns the blocks and the length
/// in bytes.
pub(crate) fn write(
    disk: &mut Disk,
    number: InodeNumber,
    content: &mut dyn Read,
) -> Result<(Vec<Run>, u64), RootfsError> {
    let block_size = disk.volume.block_size;
    let mut runs: Vec<Run> = Vec::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut size, mut goal) = (0_u64, inodes::goal_of(disk, number));
    loop {
        let read = read_full(content, &mut buffer);
        // A reader that was cancelled, too, fails for that reason.
        disk.check_cancelled()?;
        let length = read.map_err(|source| RootfsError::Source { path: disk.subject.clone(), source })?;
        let blocks = length.div_ceil(block_size);
        buffer[length..blocks * block_size].fill(0);
        let first = size / block_size as u64;
        size += length as u64;
        if size > logical_end(disk) * block_size as u64 {
            return Err(disk.limit("it is larger than a file can be"));
        }
        let is_hole =
            |at: usize| buffer[at * block_size..(at + 1) * block_size].iter().all(|byte| *byte == 0);
        let mut at = 0;
        while at < blocks {
            if is_hole(at) {
                at += 1;
                continue;
            }
            let stop = (at..blocks).find(|at| is_hole(*at)).unwrap_or(blocks);
            while at < stop {
                let (start, len) = disk.allocate_blocks(goal, (stop - at) as u64)?;
                let bytes = &buffer[at * block_size..(at + len as usize) * block_size];
                disk.blocks.write_content(start, bytes)?;
                runs.push(Run { logical: first + at as u64, len, start: start.0, written: true });
                goal = Block(start.0 + len);
                at += len as usize;
            }
        }
        if length < buffer.len() {
            break;
        }
    }
    if size >= LARGE_FILE_BYTES {
        disk.update_superblock(|superblock| superblock.s_feature_ro_compat |= ro_compat::LARGE_FILE)?;
    }
    Ok((runs, size))
}

/// Returns a symlink's target.
pub(crate) fn target_of(
    disk: &Disk,
    number: InodeNumber,
    inode: &WholeInode,
) -> Result<Vec<u8>, RootfsError> {
    inodes::check_not_encrypted(disk, number, inode)?;
    let size = usize::try_from(inode.size()).unwrap_or(usize::MAX);
    if size == 0 || size >= disk.volume.block_size.max(FAST_SYMLINK_MAX + 1) {
        return Err(disk
            .volume
            .corrupt(CorruptionKind::Inode { inode: number, fault: InodeFault::SymlinkLength(size) }));
    }
    if inode.is_inline() {
        let mut target = inline::data(disk, number, inode)?;
        if target.len() < size {
            return Err(disk
                .volume
                .corrupt(CorruptionKind::Inode { inode: number, fault: InodeFault::NoTarget }));
        }
        target.truncate(size);
        return Ok(target);
    }
    if size <= FAST_SYMLINK_MAX && inode.i_flags & EXTENTS_FL == 0 {
        return Ok(inode.i_block[..size].to_vec());
    }
    let runs = extents::mapping(disk, number, inode, 0..1)?.runs;
    match runs.first() {
        Some(run) if run.written => Ok(disk.blocks.read(View::Now, Block(run.start))?[..size].to_vec()),
        _ => Err(disk.volume.corrupt(CorruptionKind::Inode { inode: number, fault: InodeFault::NoTarget })),
    }
}
