//! Differences between an image and its tree, down to the fields of inodes.
//!
//! Before the debugfs pass the differences are its work list; after it the list must be empty.

use std::borrow::Cow;
use std::collections::BTreeMap;

use banger_tree::{Cancellation, GuestPath, Inode, InodeId, NodeKind, Timestamp, Tree};

use crate::image::{Image, MTIME, ROOT_INODE, RawInode, TIMES};
use crate::xattr;
use banger_ext4::Ext4Error;
use banger_ext4::on_disk::{FAST_SYMLINK_MAX, LINK_MAX, encode_device, encode_time, file_type_code};

const LOST_AND_FOUND: &[u8] = b"lost+found";

/// One difference, with the wanted value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference<'a> {
    /// A field of an inode, by the name that debugfs has for it.
    Field { inode: u32, field: &'static str, found: u64, want: u64 },
    /// An xattr that is missing or has another value; or a surplus one, with `want` as `None`. The value is
    /// in the form of the image, not of the disk.
    Xattr { inode: u32, name: Cow<'a, [u8]>, want: Option<&'a [u8]> },
    /// A directory entry whose type is not its inode's.
    EntryType { dir: u32, name: &'a [u8], inode: u32 },
    /// Something that cannot be changed afterwards.
    Beyond(String),
}

/// The place of a difference. Its path is made only on request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    dir: &'a [u8],
    name: &'a [u8],
}

impl Place<'_> {
    pub(crate) fn path(self) -> GuestPath {
        let bytes = [self.dir, b"/", self.name].concat();
        GuestPath::parse(bytes).unwrap_or_else(|_| GuestPath::root())
    }
}

/// Calls `report` for every difference between `image` and `tree`, in the order of directories.
///
/// # Errors
/// The image cannot be read, the build is cancelled, or `report` fails.
pub(crate) fn compare<'a>(
    image: &Image,
    tree: &'a Tree,
    scope: Scope<'_>,
    cancellation: &Cancellation,
    report: &mut Report<'_, 'a>,
) -> Result<(), Ext4Error> {
    let numbers = vec![0; tree.inode_bound()];
    Comparison { image, tree, scope, cancellation, numbers, report }.run()
}

/// Expectations on an image besides its tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'s> {
    /// If the tree has no `lost+found`, the image has one of this time.
    pub(crate) lost_and_found: Option<Timestamp>,
    /// For each inode of the tree, its number in the image if it was there before, else 0. The content of old
    /// inodes, and their times except the mtime, are not compared.
    pub(crate) kept: &'s [u32],
}

impl Scope<'_> {
    fn keeps(&self, id: InodeId) -> bool {
        self.kept.get(id.index()).is_some_and(|number| *number != 0)
    }
}

/// The receiver of the differences.
pub(crate) type Report<'r, 'a> = dyn FnMut(Place<'_>, Difference<'a>) -> Result<(), Ext4Error> + 'r;

struct Comparison<'c, 'r, 'a> {
    image: &'c Image,
    tree: &'a Tree,
    scope: Scope<'c>,
    cancellation: &'c Cancellation,
    /// Inode number in the image by inode of the tree; 0 if it is not known yet.
    numbers: Vec<u32>,
    report: &'c mut Report<'r, 'a>,
}

impl<'a> Comparison<'_, '_, 'a> {
    fn run(mut self) -> Result<(), Ext4Error> {
        let root = self.tree.root();
        let place = Place { dir: b"", name: b"" };
        self.inode(place, root, ROOT_INODE, true)?;
        let mut pending = vec![(Vec::new(), root, ROOT_INODE)];
        while let Some((path, id, number)) = pending.pop() {
            if self.cancellation.is_cancelled() {
                return Err(Ext4Error::Cancelled);
            }
            self.directory(&path, id, number, &mut pending)?;
        }
        Ok(())
    }

    fn directory(
        &mut self,
        path: &[u8],
        id: InodeId,
        number: u32,
        pending: &mut Vec<(Vec<u8>, InodeId, u32)>,
    ) -> Result<(), Ext4Error> {
        let tree = self.tree;
        let children = tree.inode(id).children().expect("only directories are pending");
        let mut found = self.image.entries(&self.image.inode(number)?)?;
        for (name, child) in children {
            let place = Place { dir: path, name };
            let Some(entry) = found.remove(&name[..]) else {
                self.beyond(place, "is missing")?;
                continue;
            };
            let inode = tree.inode(*child);
            if entry.file_type != file_type_code(inode.kind.file_type()) {
                (self.report)(place, Difference::EntryType { dir: number, name, inode: entry.inode })?;
            }
            let known = std::mem::replace(&mut self.numbers[child.index()], entry.inode);
            if known == 0 {
                self.inode(place, *child, entry.inode, false)?;
            } else if known != entry.inode {
                self.beyond(place, "is not a link to the inode of its other names")?;
            }
            if inode.is_dir() {
                pending.push(([path, b"/", name].concat(), *child, entry.inode));
            }
        }
        if let Some(time) = self.scope.lost_and_found
            && id == tree.root()
            && !children.contains_key(LOST_AND_FOUND)
        {
            let entry = found.remove(LOST_AND_FOUND);
            let place = Place { dir: path, name: LOST_AND_FOUND };
            match entry {
                Some(entry) => self.lost_and_found(place, entry.inode, time)?,
                None => self.beyond(place, "is missing")?,
            }
        }
        match found.keys().next() {
            Some(name) => self.beyond(Place { dir: path, name }, "is not of the tree"),
            None => Ok(()),
        }
    }

    fn inode(&mut self, place: Place<'_>, id: InodeId, number: u32, is_root: bool) -> Result<(), Ext4Error> {
        let inode = self.tree.inode(id);
        let raw = self.image.inode(number)?;
        let attributes = &inode.attributes;
        let links = match inode.children() {
            None => inode.names(),
            Some(children) => {
                let below = children.values().filter(|child| self.tree.inode(**child).is_dir()).count();
                let has_more = is_root && self.scope.lost_and_found.is_some();
                let own = has_more && !children.contains_key(LOST_AND_FOUND);
                let links = u32::try_from(below).unwrap_or(u32::MAX - 3) + 2 + u32::from(own);
                if links > LINK_MAX { 1 } else { links }
            }
        };
        let mode = inode.kind.file_type().mode_bits() | (attributes.mode & 0o7777);
        self.fields(
            place,
            number,
            &[
                ("mode", raw.mode().into(), mode.into()),
                ("uid", raw.uid().into(), attributes.uid.into()),
                ("gid", raw.gid().into(), attributes.gid.into()),
                ("links_count", raw.links_count().into(), links.into()),
            ],
        )?;
        let keeps = self.scope.keeps(id);
        let times = if keeps { &TIMES[MTIME..=MTIME] } else { &TIMES[..] };
        self.times(place, number, &raw, attributes.mtime, times)?;
        if !keeps {
            self.kind(place, number, &raw, inode)?;
        }
        self.xattrs(place, number, &raw, inode)
    }

    fn lost_and_found(&mut self, place: Place<'_>, number: u32, time: Timestamp) -> Result<(), Ext4Error> {
        let raw = self.image.inode(number)?;
        self.fields(
            place,
            number,
            &[
                ("mode", raw.mode().into(), 0o40_700),
                ("uid", raw.uid().into(), 0),
                ("gid", raw.gid().into(), 0),
                ("links_count", raw.links_count().into(), 2),
            ],
        )?;
        self.times(place, number, &raw, time, &TIMES)
    }

    fn fields(
        &mut self,
        place: Place<'_>,
        inode: u32,
        fields: &[(&'static str, u64, u64)],
    ) -> Result<(), Ext4Error> {
        for (field, found, want) in fields.iter().copied().filter(|(_, found, want)| found != want) {
            (self.report)(place, Difference::Field { inode, field, found, want })?;
        }
        Ok(())
    }

    /// All times of an inode are the time of the layer; for a kept inode only the mtime is compared.
    fn times(
        &mut self,
        place: Place<'_>,
        number: u32,
        raw: &RawInode,
        time: Timestamp,
        fields: &[[(&'static str, usize); 2]],
    ) -> Result<(), Ext4Error> {
        let [seconds, extra] = encode_time(time);
        for field in fields {
            let [seconds, extra] = [(field[0], seconds), (field[1], extra)]
                .map(|((name, offset), want)| (name, u64::from(raw.u32(offset)), u64::from(want)));
            self.fields(place, number, &[seconds, extra])?;
        }
        Ok(())
    }

    fn kind(
        &mut self,
        place: Place<'_>,
        number: u32,
        raw: &RawInode,
        inode: &'a Inode,
    ) -> Result<(), Ext4Error> {
        match &inode.kind {
            NodeKind::Directory { .. } => Ok(()),
            NodeKind::Regular { size_bytes, .. } if raw.size() == *size_bytes => Ok(()),
            NodeKind::Regular { size_bytes, .. } => {
                self.beyond(place, &format!("has {} bytes instead of {size_bytes}", raw.size()))
            }
            NodeKind::Symlink { target } => {
                self.fields(place, number, &[("size", raw.size(), target.len() as u64)])?;
                if target.len() <= FAST_SYMLINK_MAX {
                    return self.block(place, number, raw, fast_symlink(target));
                }
                if raw.size() == target.len() as u64 && self.image.target(raw)? == target[..] {
                    return Ok(());
                }
                self.beyond(place, "has another target")
            }
            NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
                match encode_device(*major, *minor) {
                    Some(i_block) => self.block(place, number, raw, words(&i_block)),
                    None => self.beyond(place, "is a device whose number ext4 cannot hold"),
                }
            }
            NodeKind::Fifo | NodeKind::Socket => self.block(place, number, raw, [0; 15]),
        }
    }

    /// Compares `i_block` if it does not hold extents or block numbers.
    fn block(
        &mut self,
        place: Place<'_>,
        number: u32,
        raw: &RawInode,
        want: [u32; 15],
    ) -> Result<(), Ext4Error> {
        self.fields(place, number, &[("flags", raw.flags().into(), 0)])?;
        for (field, (found, want)) in BLOCK_FIELDS.into_iter().zip(raw.block().into_iter().zip(want)) {
            self.fields(place, number, &[(field, found.into(), want.into())])?;
        }
        Ok(())
    }

    fn xattrs(
        &mut self,
        place: Place<'_>,
        number: u32,
        raw: &RawInode,
        inode: &'a Inode,
    ) -> Result<(), Ext4Error> {
        let mut found: BTreeMap<Vec<u8>, Vec<u8>> = self.image.xattrs(raw)?;
        for (name, value) in inode.attributes.xattrs.iter() {
            let disk = xattr::disk_value(name, value)
                .map_err(|reason| Ext4Error::Limit { path: place.path(), reason })?;
            if found.remove(name) != Some(disk) {
                let difference = Difference::Xattr { inode: number, name: name.into(), want: Some(value) };
                (self.report)(place, difference)?;
            }
        }
        for name in found.into_keys() {
            (self.report)(place, Difference::Xattr { inode: number, name: name.into(), want: None })?;
        }
        Ok(())
    }

    fn beyond(&mut self, place: Place<'_>, what: &str) -> Result<(), Ext4Error> {
        (self.report)(place, Difference::Beyond(what.to_owned()))
    }
}

/// Names that debugfs has for the words of `i_block`.
const BLOCK_FIELDS: [&str; 15] = [
    "block[0]",
    "block[1]",
    "block[2]",
    "block[3]",
    "block[4]",
    "block[5]",
    "block[6]",
    "block[7]",
    "block[8]",
    "block[9]",
    "block[10]",
    "block[11]",
    "block[IND]",
    "block[DIND]",
    "block[TIND]",
];

impl std::fmt::Display for Difference<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = banger_tree::escape_bytes;
        match self {
            Self::Field { inode, field, found, want } => {
                write!(formatter, "{field} of inode {inode} is {found:#o} instead of {want:#o}")
            }
            Self::Xattr { inode, name, want } => {
                let what = if want.is_some() { "is not set" } else { "is stray" };
                write!(formatter, "xattr {} of inode {inode} {what}", shown(name))
            }
            Self::EntryType { inode, .. } => {
                write!(formatter, "its entry has another type than inode {inode}")
            }
            Self::Beyond(what) => formatter.write_str(what),
        }
    }
}

/// Returns the words of an `i_block`.
fn words(i_block: &[u8; 60]) -> [u32; 15] {
    let (words, _) = i_block.as_chunks::<4>();
    std::array::from_fn(|word| u32::from_le_bytes(words[word]))
}

/// Returns `i_block` of a symlink of at most 59 bytes.
fn fast_symlink(target: &[u8]) -> [u32; 15] {
    std::array::from_fn(|word| {
        u32::from_le_bytes(std::array::from_fn(|byte| target.get(4 * word + byte).copied().unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_targets_are_in_the_inode() {
        assert_eq!(fast_symlink(b"abcde")[..2], [0x6463_6261, 0x65]);
        assert_eq!(fast_symlink(&[b'x'; 59])[14], 0x0078_7878);
    }
}
