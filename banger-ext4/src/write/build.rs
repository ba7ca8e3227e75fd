//! From the final tree to a file system: places everything that is not content and writes it.

use banger_tree::{ContentError, InodeId, NodeKind, Tree, Xattrs};

use super::directory::{Directory, Name};
use super::extents::write_extent_tree;
use super::finish;
use super::inode_table::{InodeTableWriter, Tables};
use super::layout::{BLOCKS_PER_INODE, INODES_PER_GROUP_MAX, LOST_FOUND_BLOCKS, Layout, Room, group_count};
use super::mapped_run::MappedRun;
use super::new_inode::new_inode;
use super::numbering::{LOST_FOUND, Numbering, path_of};
use super::output::Output;
use super::store::{Content, ImageStore, check_cancelled};
use super::xattrs;
use crate::backend::BuildReport;
use crate::error::Ext4Error;
use crate::format::crc32c::Checksum;
use crate::format::device;
use crate::format::dirent::file_type_code;
use crate::format::inode::{EXTENTS_FL, FAST_SYMLINK_MAX, INDEX_FL, Inode, LINK_MAX};
use crate::format::xattr::{encode_block, encode_in_inode};
use crate::format::{BLOCK_BYTES, BLOCK_SIZE, BLOCKS_PER_GROUP, Block, INODES_PER_BLOCK, InodeNumber};
use crate::options::Ext4Options;
use crate::tree_cost;

/// Units of `i_blocks` in a block.
const SECTORS_PER_BLOCK: u64 = BLOCK_BYTES / 512;
/// Inodes between two looks at whether to stop.
const CANCEL_INTERVAL: u32 = 1024;

/// Writes the file system of `tree` around the contents in `store`.
///
/// # Errors
/// The tree does not fit, ext4 cannot hold a part of it, the host refuses, or the caller stopped.
pub(crate) fn build(store: &mut ImageStore, tree: &Tree) -> Result<BuildReport, Ext4Error> {
    check_cancelled(&store.options.cancellation)?;
    store.options.charge_tree(tree)?;
    let numbering = Numbering::new(tree)?;
    release_unnamed(store, tree, &numbering)?;
    // From here on all free space is holes, also if it had bytes before.
    for range in store.space.free().iter() {
        check_cancelled(&store.options.cancellation)?;
        store.file.punch(range).map_err(|source| store.file.error("punch a hole into", source))?;
    }

    let plan = SizePlan::new(store, tree, &numbering)?;
    let moved_tables = apply_inodes_per_group(store, &plan)?;
    let ImageStore { file, space, layout, options, contents, .. } = store;
    let mut builder = Builder {
        tree,
        numbering: &numbering,
        contents,
        options,
        seed: Checksum::of_filesystem(&options.uuid),
        inodes: InodeTableWriter::new(Tables::new(*layout, moved_tables)),
        output: Output {
            file,
            space,
            size_bytes: layout.blocks_max * BLOCK_BYTES,
            needed_bytes: plan.needed_blocks * BLOCK_BYTES,
        },
    };
    builder.put_tree()?;
    let Builder { inodes, output, .. } = builder;
    finish::finish(output, inodes, *layout, options, plan.blocks, numbering.last())
}

/// Frees contents without a file in the tree, and checks the others.
fn release_unnamed(store: &mut ImageStore, tree: &Tree, numbering: &Numbering) -> Result<(), Ext4Error> {
    let mut named = vec![false; store.contents.len()];
    for (index, numbered) in numbering.order.iter().enumerate() {
        if index % CANCEL_INTERVAL as usize == 0 {
            check_cancelled(&store.options.cancellation)?;
        }
        let NodeKind::Regular { size_bytes, content: Some(id) } = tree.inode(numbered.id).kind else {
            continue;
        };
        let content = store.contents.get(id.index()).filter(|content| content.is_finished());
        let content = content.ok_or(ContentError::Unknown { id })?;
        if content.size_bytes != size_bytes {
            let (declared_bytes, written_bytes) = (size_bytes, content.size_bytes);
            return Err(ContentError::WrongLength { declared_bytes, written_bytes }.into());
        }
        if std::mem::replace(&mut named[id.index()], true) {
            let reason = "its content is also another file's; only hard links share content".to_owned();
            return Err(Ext4Error::Limit { path: path_of(tree, numbered.id), reason });
        }
    }
    for (index, _) in named.iter().enumerate().filter(|(_, named)| !**named) {
        store.release_index(index);
    }
    Ok(())
}

/// How large the file system will be.
#[derive(Debug)]
struct SizePlan {
    /// Blocks of the file system: exact if the size is given, else at least.
    blocks: u64,
    inodes_per_group: u32,
    /// Blocks that would do, about.
    needed_blocks: u64,
}

impl SizePlan {
    fn new(store: &ImageStore, tree: &Tree, numbering: &Numbering) -> Result<Self, Ext4Error> {
        let (layout, options) = (&store.layout, &store.options);
        let content = store.space.used() + estimated_blocks(tree, numbering);
        let needed = u64::from(numbering.last());
        let asked = needed.max(u64::from(options.inodes.unwrap_or_default()));
        // Room for new files, not only for those of the tree.
        let wanted = asked.max(match layout.room {
            Room::Quarter => needed + needed / 4,
            Room::Blocks(blocks) => needed + blocks / BLOCKS_PER_INODE,
        });
        let mut blocks = layout.blocks_max;
        if !layout.size_is_fixed {
            let groups = wanted.div_ceil(INODES_PER_GROUP_MAX);
            blocks = layout.blocks_min.max(layout.size_for(layout.with_room(content)));
            if u64::from(group_count(blocks)) < groups {
                blocks = groups * BLOCKS_PER_GROUP;
            }
        }
        let groups = u64::from(group_count(blocks));
        if needed > groups * INODES_PER_GROUP_MAX {
            return Err(Ext4Error::NoInodes { inodes: groups * INODES_PER_GROUP_MAX, needed });
        }
        let planned = u64::from(layout.inodes_per_group);
        let in_blocks = |per_group: u64| {
            let per_group = per_group.next_multiple_of(u64::from(INODES_PER_BLOCK)).min(INODES_PER_GROUP_MAX);
            u32::try_from(per_group).expect("at most 32768")
        };
        let mut inodes_per_group =
            in_blocks(if planned * groups >= wanted { planned } else { wanted.div_ceil(groups) });
        // A size that is given may be too small for more inodes than there must be.
        if layout.size_is_fixed && planned * groups >= asked {
            let roomy = Layout { inodes_per_group, ..*layout };
            if roomy.size_for(roomy.with_room(content)) > blocks {
                inodes_per_group = in_blocks(planned);
            }
        }
        // Larger tables take room of their own.
        let layout = Layout { inodes_per_group, ..*layout };
        let needed_blocks = layout.size_for(content + content / 64 + 1);
        if !layout.size_is_fixed {
            blocks = layout.rounded_up(blocks);
            // Where the size is to fit, all is counted when all is placed.
            if layout.room == Room::Quarter {
                blocks = blocks.max(needed_blocks);
            }
        }
        Ok(Self { blocks, inodes_per_group, needed_blocks })
    }
}

/// Returns the approximate number of blocks that are not content, without extent and xattr blocks.
fn estimated_blocks(tree: &Tree, numbering: &Numbering) -> u64 {
    let root = std::iter::once(tree.root());
    let inodes = root.chain(numbering.lost_found).chain(numbering.order.iter().map(|numbered| numbered.id));
    inodes.map(|id| tree_cost::inode_blocks(tree, id)).sum::<u64>() + LOST_FOUND_BLOCKS
}

/// Makes the inode tables as large as planned; returns the new places of tables with content around them.
fn apply_inodes_per_group(store: &mut ImageStore, plan: &SizePlan) -> Result<Vec<Block>, Ext4Error> {
    if plan.inodes_per_group == store.layout.inodes_per_group {
        return Ok(Vec::new());
    }
    let touched = store.space.touched_groups();
    store.layout.inodes_per_group = plan.inodes_per_group;
    store.space.relayout(store.layout);
    let blocks = store.layout.inode_table_blocks();
    let no_space = |store: &ImageStore| {
        let size_bytes = store.layout.blocks_max * BLOCK_BYTES;
        let missing = (blocks * u64::from(touched)).saturating_sub(store.space.available()).max(1);
        Ext4Error::NoSpace { size_bytes, needed_bytes: size_bytes + missing * BLOCK_BYTES }
    };
    (0..touched)
        .map(|_| {
            let run = store.space.take_contiguous(blocks).ok_or_else(|| no_space(store))?;
            Ok(Block(run.start))
        })
        .collect()
}

/// Walks the tree in the order of the numbers and writes inodes with all they need.
struct Builder<'a> {
    tree: &'a Tree,
    numbering: &'a Numbering,
    contents: &'a [Content],
    options: &'a Ext4Options,
    seed: Checksum,
    inodes: InodeTableWriter,
    output: Output<'a>,
}

impl Builder<'_> {
    fn put_tree(&mut self) -> Result<(), Ext4Error> {
        let numbering = self.numbering;
        self.put_inode(InodeNumber::ROOT, self.tree.root(), InodeNumber::ROOT)?;
        match numbering.lost_found {
            Some(id) => self.put_inode(InodeNumber::FIRST, id, InodeNumber::ROOT)?,
            None => self.put_lost_found()?,
        }
        for (number, numbered) in (InodeNumber::FIRST.0 + 1..).zip(&numbering.order) {
            if number.is_multiple_of(CANCEL_INTERVAL) {
                check_cancelled(&self.options.cancellation)?;
            }
            self.put_inode(InodeNumber(number), numbered.id, numbered.parent)?;
        }
        Ok(())
    }

    /// Writes `lost+found` for an image without one.
    fn put_lost_found(&mut self) -> Result<(), Ext4Error> {
        let mut raw = new_inode(0o040_700, self.options.timestamp);
        raw.i_links_count = 2;
        let number = InodeNumber::FIRST;
        let directory = self.directory(number, InodeNumber::ROOT);
        let encoded = directory.encode(&[]).expect("an empty directory is a list");
        self.put_directory_blocks(&mut raw, number, &encoded.bytes)?;
        self.put_raw(number, &raw)
    }

    fn put_inode(&mut self, number: InodeNumber, id: InodeId, parent: InodeNumber) -> Result<(), Ext4Error> {
        let inode = self.tree.inode(id);
        let attributes = &inode.attributes;
        let limit = |reason: String| Ext4Error::Limit { path: path_of(self.tree, id), reason };
        let mode = inode.kind.file_type().mode_bits() | (attributes.mode & 0o7777);
        let mut raw = new_inode(mode, attributes.mtime);
        raw.set_owner(attributes.uid, attributes.gid);
        raw.set_size(inode.size_bytes());
        if !inode.is_dir() {
            let names = inode.names();
            if names > LINK_MAX {
                return Err(limit(format!("it has {names} names, {LINK_MAX} is the most")));
            }
            raw.i_links_count = u16::try_from(names).expect("at most 65000");
        }
        match &inode.kind {
            NodeKind::Regular { content, .. } => {
                let content = content.map(|id| &self.contents[id.index()]);
                let runs = content.into_iter().flat_map(Content::runs);
                self.put_extents(&mut raw, number, runs)?;
            }
            NodeKind::Directory { .. } => self.put_directory(&mut raw, number, id, parent)?,
            NodeKind::Symlink { target } => {
                if target.is_empty() || target.len() >= BLOCK_SIZE || target.contains(&0) {
                    return Err(limit(format!("its target has {} bytes, or NUL among them", target.len())));
                }
                if target.len() <= FAST_SYMLINK_MAX {
                    raw.i_block[..target.len()].copy_from_slice(target);
                } else {
                    let mut block = [0; BLOCK_SIZE];
                    block[..target.len()].copy_from_slice(target);
                    let runs = self.output.put_file(&block)?;
                    self.put_extents(&mut raw, number, runs.into_iter())?;
                }
            }
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                raw.i_block = device::encode(*major, *minor)
                    .ok_or_else(|| limit(format!("device {major}:{minor} is beyond 4095:1048575")))?;
            }
            NodeKind::Fifo | NodeKind::Socket => {}
        }
        self.put_xattrs(&mut raw, id, &attributes.xattrs)?;
        self.put_raw(number, &raw)
    }

    fn put_directory(
        &mut self,
        raw: &mut Inode,
        number: InodeNumber,
        id: InodeId,
        parent: InodeNumber,
    ) -> Result<(), Ext4Error> {
        let tree = self.tree;
        let children = tree.inode(id).children().expect("the caller looked at the type");
        let mut subdirectories = 0_u32;
        let mut names: Vec<Name<'_>> = Vec::with_capacity(children.len() + 1);
        for (name, child) in children {
            let file_type = tree.inode(*child).kind.file_type();
            subdirectories += u32::from(tree.inode(*child).is_dir());
            let inode = self.numbering.number(*child);
            names.push(Name { name, inode, file_type: file_type_code(file_type) });
        }
        if number == InodeNumber::ROOT && self.numbering.lost_found.is_none() {
            subdirectories += 1;
            let at = names.partition_point(|name| name.name < LOST_FOUND);
            let inode = InodeNumber::FIRST;
            names.insert(at, Name { name: LOST_FOUND, inode, file_type: 2 });
        }
        let encoded = self.directory(number, parent).encode(&names).ok_or_else(|| Ext4Error::Limit {
            path: path_of(tree, id),
            reason: format!("{} names are more than its index can hold", names.len()),
        })?;
        // A count that does not fit is not kept: `dir_nlink`.
        let links = if subdirectories + 2 > LINK_MAX { 1 } else { subdirectories + 2 };
        raw.i_links_count = u16::try_from(links).expect("at most 65000");
        self.put_directory_blocks(raw, number, &encoded.bytes)?;
        raw.i_flags |= if encoded.indexed { INDEX_FL } else { 0 };
        Ok(())
    }

    fn directory(&self, number: InodeNumber, parent: InodeNumber) -> Directory<'_> {
        let blocks_min = if number == InodeNumber::FIRST { LOST_FOUND_BLOCKS } else { 1 };
        Directory {
            number,
            parent,
            seed: self.seed.of_inode(number, 0),
            hash_seed: &self.options.hash_seed,
            blocks_min: usize::try_from(blocks_min).expect("a few"),
        }
    }

    fn put_directory_blocks(
        &mut self,
        raw: &mut Inode,
        number: InodeNumber,
        bytes: &[u8],
    ) -> Result<(), Ext4Error> {
        raw.set_size(bytes.len() as u64);
        let runs = self.output.put_file(bytes)?;
        self.put_extents(raw, number, runs.into_iter())
    }

    fn put_extents(
        &mut self,
        raw: &mut Inode,
        number: InodeNumber,
        runs: impl Iterator<Item = MappedRun>,
    ) -> Result<(), Ext4Error> {
        let tree = write_extent_tree(&mut self.output, self.seed.of_inode(number, 0), runs)?;
        raw.i_flags |= EXTENTS_FL;
        raw.i_block = tree.i_block;
        raw.set_blocks(tree.blocks * SECTORS_PER_BLOCK);
        Ok(())
    }

    fn put_xattrs(&mut self, raw: &mut Inode, id: InodeId, given: &Xattrs) -> Result<(), Ext4Error> {
        if given.is_empty() {
            return Ok(());
        }
        let limit = |reason: String| Ext4Error::Limit { path: path_of(self.tree, id), reason };
        let placed = xattrs::place(given).map_err(limit)?;
        raw.xattrs = encode_in_inode(&placed.in_inode.iter().collect::<Vec<_>>());
        if !placed.in_block.is_empty() {
            let block = Block(self.output.take(1)?.start);
            let entries: Vec<_> = placed.in_block.iter().collect();
            self.output.write(block, &encode_block(self.seed, block, &entries))?;
            raw.set_file_acl(block);
            raw.set_blocks(raw.blocks() + SECTORS_PER_BLOCK);
        }
        Ok(())
    }

    fn put_raw(&mut self, number: InodeNumber, raw: &Inode) -> Result<(), Ext4Error> {
        let is_dir = raw.i_mode & 0o170_000 == 0o040_000;
        let bytes = raw.encode_with_checksum(self.seed, number);
        let file = &mut *self.output.file;
        self.inodes.put(file, number, is_dir, &bytes).map_err(|source| file.error("write", source))
    }
}
