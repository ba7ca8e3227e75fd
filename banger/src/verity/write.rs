//! Makes and checks the hash trees of ext4 files.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;

use banger_ext4::Ext4Editor;
use banger_tree::Cancellation;
use camino::Utf8Path;
use uuid::Uuid;

use super::error::VerityError;
use super::parameters::VerityParameters;
use super::record::VerityRecord;
use super::superblock::{BLOCK, BLOCK_BYTES, VeritySuperblock};
use super::tree::{BlockHasher, Hash, HashTree, TreeError, levels, tree_blocks};
use crate::error::Error;
use crate::host_file::{open_followed, open_plain_path};
use crate::rootfs::in_file;

/// Bytes of a tree that are compared at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Writes the tree of the ext4 file `rootfs` to the new file `tree`. The record calls the file `name`.
pub(crate) fn write_tree(
    rootfs: &Utf8Path,
    tree: &Utf8Path,
    name: &str,
    cancellation: &Cancellation,
) -> Result<VerityRecord, Error> {
    let superblock = superblock_of(rootfs)?;
    let data = open_plain_path(rootfs).map_err(VerityError::io("read", rootfs))?;
    let created = OpenOptions::new().read(true).write(true).create_new(true).open(tree);
    let file = created.map_err(VerityError::io("create", tree))?;
    let work = HashTree { data: &data, tree: &file, offset: 0, superblock, cancellation };
    let root_hash = work.write().map_err(named(rootfs, tree))?;
    Ok(record(superblock, root_hash, 0, name))
}

/// Writes the tree of the ext4 file `rootfs` behind its file system. The record calls the file `name`.
pub(crate) fn append_tree(
    rootfs: &Utf8Path,
    name: &str,
    cancellation: &Cancellation,
) -> Result<VerityRecord, Error> {
    let superblock = superblock_of(rootfs)?;
    let opened = OpenOptions::new().read(true).write(true).open(rootfs);
    let file = opened.map_err(VerityError::io("write to", rootfs))?;
    let offset = superblock.data_blocks * BLOCK_BYTES;
    let work = HashTree { data: &file, tree: &file, offset, superblock, cancellation };
    let root_hash = work.write().map_err(named(rootfs, rootfs))?;
    Ok(record(superblock, root_hash, offset, name))
}

/// Checks that the file `path` is the tree of `record`: its length, its superblock, and that its top has the root hash.
/// The kernel checks the rest of the tree when it uses it.
pub(crate) fn check_tree(path: &Utf8Path, record: &VerityRecord) -> Result<(), VerityError> {
    let damaged = |reason: String| VerityError::Damaged { path: path.to_owned(), reason };
    let failed = VerityError::io("read", path);
    let file = open_plain_path(path).map_err(&failed)?;
    let length = file.metadata().map_err(&failed)?.len();
    let wanted = tree_bytes(record).ok_or_else(|| damaged(format!("{} blocks", record.data_blocks)))?;
    if length != wanted {
        return Err(damaged(format!("it has {length} bytes, not {wanted}")));
    }
    let mut block = [0; BLOCK];
    file.read_exact_at(&mut block, 0).map_err(&failed)?;
    let superblock = VeritySuperblock::parse(&block).map_err(damaged)?;
    let found = (superblock.uuid, hex(&superblock.salt), superblock.data_blocks);
    if found != (record.uuid, record.salt.clone(), record.data_blocks) {
        return Err(damaged("its superblock has another UUID, salt or number of blocks".to_owned()));
    }
    let Some(top) = levels(record.data_blocks).pop() else { return Ok(()) };
    file.read_exact_at(&mut block, top.first_block * BLOCK_BYTES).map_err(&failed)?;
    let root_hash = hex(&BlockHasher::new(&superblock.salt).hash(&block));
    match root_hash == record.root_hash {
        true => Ok(()),
        false => Err(damaged(format!("its root hash is {root_hash}, not {}", record.root_hash))),
    }
}

/// Returns the bytes of the tree of a record in a file of its own; `None` if the record is not possible.
pub(crate) fn tree_bytes(record: &VerityRecord) -> Option<u64> {
    // The largest ext4 file of 4 KiB blocks; no sum overflows below it.
    const MOST_BLOCKS: u64 = 1 << 32;
    let is_possible = (1..=MOST_BLOCKS).contains(&record.data_blocks);
    is_possible.then(|| tree_blocks(record.data_blocks) * BLOCK_BYTES)
}

/// Hashes the ext4 file `rootfs` again. Returns the faults of its bytes and of its tree in the file `tree`, one
/// sentence each. The new tree goes to a file without a name in `scratch`.
pub(crate) fn tree_problems(
    rootfs: &Utf8Path,
    tree: &Utf8Path,
    record: &VerityRecord,
    scratch: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<Vec<String>, VerityError> {
    let old = match open_plain_path(tree) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(vec!["the hash tree of dm-verity is missing".to_owned()]);
        }
        Err(source) => return Err(VerityError::io("read", tree)(source)),
    };
    if let Err(error @ VerityError::Damaged { .. }) = check_tree(tree, record) {
        return Ok(vec![error.to_string()]);
    }
    let data = open_followed(rootfs).map_err(VerityError::io("read", rootfs))?;
    let data_bytes = data.metadata().map_err(VerityError::io("read", rootfs))?.len();
    if data_bytes != record.data_blocks * BLOCK_BYTES {
        let blocks = record.data_blocks;
        return Ok(vec![format!(
            "the file has {data_bytes} bytes, and its hash tree is for {blocks} blocks"
        )]);
    }
    let new = tempfile::tempfile_in(scratch).map_err(VerityError::io("create a file in", scratch))?;
    let mut block = [0; BLOCK];
    old.read_exact_at(&mut block, 0).map_err(VerityError::io("read", tree))?;
    let superblock = VeritySuperblock::parse(&block)
        .map_err(|reason| VerityError::Damaged { path: tree.to_owned(), reason })?;
    let work = HashTree { data: &data, tree: &new, offset: 0, superblock, cancellation };
    let root_hash = hex(&work.write().map_err(named(rootfs, scratch))?);
    if root_hash != record.root_hash {
        let wanted = &record.root_hash;
        return Ok(vec![format!("the bytes of the file have the root hash {root_hash}, not {wanted}")]);
    }
    match is_same(&old, &new, cancellation).map_err(VerityError::io("read", tree))? {
        Some(true) => Ok(Vec::new()),
        Some(false) => Ok(vec!["the hash tree of dm-verity is not that of the file".to_owned()]),
        None => Err(VerityError::Cancelled),
    }
}

/// Returns whether two files have the same bytes; `None` if the caller asked to stop.
fn is_same(one: &File, other: &File, cancellation: &Cancellation) -> io::Result<Option<bool>> {
    let length = one.metadata()?.len();
    if length != other.metadata()?.len() {
        return Ok(Some(false));
    }
    let (mut first, mut second) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut at = 0;
    while at < length {
        if cancellation.is_cancelled() {
            return Ok(None);
        }
        let count = usize::try_from(length - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        one.read_exact_at(&mut first[..count], at)?;
        other.read_exact_at(&mut second[..count], at)?;
        if first[..count] != second[..count] {
            return Ok(Some(false));
        }
        at += count as u64;
    }
    Ok(Some(true))
}

/// Returns the superblock of the tree for an ext4 file.
fn superblock_of(rootfs: &Utf8Path) -> Result<VeritySuperblock, Error> {
    let editor = Ext4Editor::open(rootfs).map_err(in_file(rootfs))?;
    let (uuid, size_bytes) = (Uuid::from_bytes(editor.uuid()), editor.size_bytes());
    if size_bytes == 0 || size_bytes % BLOCK_BYTES != 0 {
        return Err(VerityError::Size { path: rootfs.to_owned(), size_bytes }.into());
    }
    let VerityParameters { salt, uuid } = VerityParameters::of(uuid);
    Ok(VeritySuperblock { uuid, salt, data_blocks: size_bytes / BLOCK_BYTES })
}

fn record(superblock: VeritySuperblock, root_hash: Hash, offset: u64, name: &str) -> VerityRecord {
    VerityRecord {
        root_hash: hex(&root_hash),
        salt: hex(&superblock.salt),
        uuid: superblock.uuid,
        data_blocks: superblock.data_blocks,
        hash_offset_bytes: offset,
        file: name.to_owned(),
    }
}

fn named(data: &Utf8Path, tree: &Utf8Path) -> impl FnOnce(TreeError) -> VerityError {
    let (data, tree) = (data.to_owned(), tree.to_owned());
    move |error| match error {
        TreeError::Read(source) => VerityError::io("read", &data)(source),
        TreeError::Write(source) => VerityError::io("write to", &tree)(source),
        TreeError::Cancelled => VerityError::Cancelled,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
