//! A directory of the host as a tree: everything below it, and nothing else.
//!
//! Every name is opened relative to its open directory, and no symlink is followed. So long paths and changes
//! by other programs cannot lead elsewhere. Names are taken in the order of their bytes: equal directories
//! make equal calls of the store.

mod error;
#[cfg(test)]
mod tests;
mod xattrs;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use banger_oci::Limits;
use banger_oci::flatten::is_storable_xattr;
use banger_tree::{
    Attributes, Budget, Cancellation, ContentError, ContentId, ContentStore, Cost, ENTRY_ALLOWANCE_BYTES,
    INODE_MEMORY_BYTES, Inode, InodeId, LayerIndex, NAME_MEMORY_BYTES, NodeKind, OverBudget, Setting,
    Timestamp, Tree, TreeError, Xattrs, escape_bytes,
};
use camino::Utf8Path;
use rustix::fs::{AtFlags, CWD, Dev, Dir, FileType, Mode, OFlags, SeekFrom, Stat, fstat, openat};
use rustix::io::Errno;

pub use error::DirectoryError;
use xattrs::{Owner, XattrReader};

/// Bytes of a file that are read at a time.
const BUFFER_LEN: usize = 1 << 20;
/// Directories that are open at the same time, however deep the tree is.
const MAX_OPEN: usize = 64;
/// Interval of progress events, in entries and in bytes.
const REPORT_ENTRIES: u64 = 512;
const REPORT_BYTES: u64 = 8 << 20;

const DIRECTORY_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory of the host, read.
#[derive(Debug)]
pub(crate) struct HostTree {
    /// Its files name contents of the store.
    pub(crate) tree: Tree,
    /// The first warnings, at most [`Limits::max_warnings`].
    pub(crate) warnings: Vec<String>,
    /// How many there were.
    pub(crate) warning_count: u64,
}

/// Counts of the entries and bytes so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Names.
    pub(crate) entries: u64,
    /// Bytes of files, holes not.
    pub(crate) content_bytes: u64,
}

/// Reads the directory `root` into a tree, and its files into `store`.
///
/// # Errors
/// [`DirectoryError`], which names the path; `store` is the caller's to throw away then.
pub(crate) fn read_directory(
    root: &Utf8Path,
    store: &mut dyn ContentStore,
    limits: &Limits,
    budget: &Budget,
    cancellation: &Cancellation,
    progress: &dyn Fn(Counts),
) -> Result<HostTree, DirectoryError> {
    let mut walk = HostWalk {
        root,
        store,
        limits,
        budget,
        cancellation,
        progress,
        tree: Tree::new(),
        path: Vec::new(),
        linked: HashMap::new(),
        xattrs: XattrReader::new(),
        buffer: vec![0; BUFFER_LEN],
        counts: Counts::default(),
        reported: Counts::default(),
        warnings: Vec::new(),
        warning_count: 0,
    };
    // The root itself may be named by a symlink.
    let flags = DIRECTORY_FLAGS.difference(OFlags::NOFOLLOW);
    let top =
        openat(CWD, root.as_std_path(), flags, Mode::empty()).map_err(|error| walk.io("open", error))?;
    walk.run(top)?;
    progress(walk.counts);
    Ok(HostTree { tree: walk.tree, warnings: walk.warnings, warning_count: walk.warning_count })
}

struct HostWalk<'a> {
    root: &'a Utf8Path,
    store: &'a mut dyn ContentStore,
    limits: &'a Limits,
    budget: &'a Budget,
    cancellation: &'a Cancellation,
    progress: &'a dyn Fn(Counts),
    tree: Tree,
    /// The current name's path from the root, for messages.
    path: Vec<u8>,
    /// Inodes of files that have more names.
    linked: HashMap<(Dev, u64), InodeId>,
    xattrs: XattrReader,
    buffer: Vec<u8>,
    counts: Counts,
    reported: Counts,
    warnings: Vec<String>,
    warning_count: u64,
}

/// A directory on the way to the current one.
struct Level {
    /// `None` while too many directories below it are open.
    dir: Option<OwnedFd>,
    place: (Dev, u64),
    id: InodeId,
    /// Names to come, in order.
    names: std::vec::IntoIter<Box<[u8]>>,
    /// Length of [`HostWalk::path`] up to here.
    path_len: usize,
}

impl HostWalk<'_> {
    fn run(&mut self, top: OwnedFd) -> Result<(), DirectoryError> {
        let stat = fstat(&top).map_err(|error| self.io("read the attributes of", error))?;
        let root = self.tree.root();
        *self.tree.attributes_mut(root) = self.attributes(&stat, Owner::Open(top.as_fd()))?;
        let mut levels = vec![self.level(top, &stat, root)?];
        while let Some(level) = levels.last_mut() {
            self.check_cancelled()?;
            self.path.truncate(level.path_len);
            let Some(name) = level.names.next() else {
                let done = levels.pop().and_then(|level| level.dir);
                if let (Some(parent), Some(done)) = (levels.last_mut(), done)
                    && parent.dir.is_none()
                {
                    parent.dir = Some(self.reopen(parent.place, &done)?);
                }
                continue;
            };
            self.path.push(b'/');
            self.path.extend_from_slice(&name);
            let id = level.id;
            let dir = level.dir.as_ref().expect("the deepest directories are open");
            if let Some(below) = self.entry(dir.as_fd(), id, &name)? {
                levels.push(below);
                if let Some(far) = levels.len().checked_sub(MAX_OPEN + 1) {
                    levels[far].dir = None;
                }
            }
            self.report();
        }
        Ok(())
    }

    /// Adds one name to the tree; returns the directory to read next, if it is one.
    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        parent: InodeId,
        name: &[u8],
    ) -> Result<Option<Level>, DirectoryError> {
        let file_name = OsStr::from_bytes(name);
        let stat = rustix::fs::statat(dir, file_name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| self.io("read the attributes of", error))?;
        self.count_entry(name)?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        if file_type == FileType::Directory {
            let below = openat(dir, file_name, DIRECTORY_FLAGS, Mode::empty())
                .map_err(|error| self.io("open", error))?;
            // Of the opened directory: another process may have replaced the name.
            let stat = fstat(&below).map_err(|error| self.io("read the attributes of", error))?;
            let attributes = self.attributes(&stat, Owner::Open(below.as_fd()))?;
            let id = self.insert(parent, name, NodeKind::empty_directory(), attributes)?;
            return self.level(below, &stat, id).map(Some);
        }
        let place = (stat.st_dev, stat.st_ino);
        if let Some(known) = self.linked.get(&place) {
            let linked = self.tree.link(parent, name, *known);
            linked.map_err(|source| self.tree_error(source))?;
            return Ok(None);
        }
        let (kind, attributes) = match file_type {
            FileType::RegularFile => self.regular(dir, file_name, &stat)?,
            _ => {
                let kind = self.special(dir, file_name, &stat, file_type)?;
                (kind, self.attributes(&stat, Owner::Named { dir, name })?)
            }
        };
        let id = self.insert(parent, name, kind, attributes)?;
        if stat.st_nlink > 1 {
            self.linked.insert(place, id);
        }
        Ok(None)
    }

    fn insert(
        &mut self,
        parent: InodeId,
        name: &[u8],
        kind: NodeKind,
        attributes: Attributes,
    ) -> Result<InodeId, DirectoryError> {
        let inserted = self.tree.insert(parent, name, Inode::new(kind, attributes));
        inserted.map_err(|source| self.tree_error(source))
    }

    /// Lists a directory that was just opened.
    fn level(&self, dir: OwnedFd, stat: &Stat, id: InodeId) -> Result<Level, DirectoryError> {
        let list = || {
            let mut names: Vec<Box<[u8]>> = Vec::new();
            for entry in Dir::read_from(&dir)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(name.into());
                }
            }
            Ok(names)
        };
        let mut names = list().map_err(|error| self.io("list", error))?;
        names.sort_unstable();
        let (place, path_len) = ((stat.st_dev, stat.st_ino), self.path.len());
        Ok(Level { dir: Some(dir), place, id, names: names.into_iter(), path_len })
    }

    /// Opens the directory above `below` again, if it is still the directory at `place`.
    fn reopen(&self, place: (Dev, u64), below: &OwnedFd) -> Result<OwnedFd, DirectoryError> {
        let dir = openat(below, "..", DIRECTORY_FLAGS, Mode::empty())
            .map_err(|error| self.io("open the directory above", error))?;
        let stat = fstat(&dir).map_err(|error| self.io("read the attributes of", error))?;
        if (stat.st_dev, stat.st_ino) != place {
            return Err(self.changed());
        }
        Ok(dir)
    }

    /// Reads a regular file.
    fn regular(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        expected: &Stat,
    ) -> Result<(NodeKind, Attributes), DirectoryError> {
        // Without waiting, if it has become a FIFO or a terminal meanwhile.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(dir, name, flags, Mode::empty()).map_err(|error| self.io("open", error))?;
        let before = fstat(&file).map_err(|error| self.io("read the attributes of", error))?;
        if (before.st_dev, before.st_ino) != (expected.st_dev, expected.st_ino) {
            return Err(self.changed());
        }
        let attributes = self.attributes(&before, Owner::Open(file.as_fd()))?;
        let size_bytes = size_of(&before);
        self.check(Setting("max_file_bytes"), "bytes in one file", size_bytes, self.limits.max_file_bytes)?;
        let content = self.content(&file, size_bytes)?;
        let after = fstat(&file).map_err(|error| self.io("read the attributes of", error))?;
        let version = |stat: &Stat| {
            (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec)
        };
        if version(&before) != version(&after) {
            return Err(self.changed());
        }
        Ok((NodeKind::Regular { size_bytes, content }, attributes))
    }

    /// Hands a file's bytes to the store, its holes as holes.
    fn content(&mut self, file: &OwnedFd, size_bytes: u64) -> Result<Option<ContentId>, DirectoryError> {
        if size_bytes == 0 {
            return Ok(None);
        }
        let begun = self.store.begin(LayerIndex(0), size_bytes);
        let id = begun.map_err(|source| self.content_error(source))?;
        let mut at = 0;
        while at < size_bytes {
            let (data, end) = self.next_data(file, at, size_bytes)?;
            if data > at {
                let stored = self.store.append_hole(id, data - at);
                stored.map_err(|source| self.content_error(source))?;
            }
            // In whole blocks; the host has holes of whole blocks only.
            self.charge(Cost::ImageBytes, (end - data).next_multiple_of(4096))?;
            at = data;
            while at < end {
                self.check_cancelled()?;
                let wanted = usize::try_from(end - at).map_or(BUFFER_LEN, |left| left.min(BUFFER_LEN));
                let count = match rustix::io::pread(file, &mut self.buffer[..wanted], at) {
                    Ok(0) => return Err(self.changed()),
                    Ok(count) => count,
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(self.io("read", error)),
                };
                self.counts.content_bytes += count as u64;
                let stored = self.store.append(id, &self.buffer[..count]);
                stored.map_err(|source| self.content_error(source))?;
                at += count as u64;
                self.report();
            }
        }
        let finished = self.store.finish(id);
        finished.map_err(|source| self.content_error(source))?;
        Ok(Some(id))
    }

    /// Returns start and end of the next data from `at` on; both are the file's end if only a hole is left.
    fn next_data(&self, file: &OwnedFd, at: u64, size_bytes: u64) -> Result<(u64, u64), DirectoryError> {
        let data = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(data) => data.clamp(at, size_bytes),
            Err(Errno::NXIO) => return Ok((size_bytes, size_bytes)),
            // The file system does not know of holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok((at, size_bytes)),
            Err(error) => return Err(self.io("read", error)),
        };
        match rustix::fs::seek(file, SeekFrom::Hole(data)) {
            Ok(hole) if hole > data => Ok((data, hole.min(size_bytes))),
            // Cut short meanwhile: the reading finds out.
            Ok(_) | Err(Errno::NXIO) => Ok((data, size_bytes)),
            Err(error) => Err(self.io("read", error)),
        }
    }

    /// Returns the kind of an inode that is not a file or directory.
    fn special(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        file_type: FileType,
    ) -> Result<NodeKind, DirectoryError> {
        Ok(match file_type {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new())
                    .map_err(|error| self.io("read the target of", error))?
                    .into_bytes();
                self.count_memory(target.len() as u64)?;
                NodeKind::Symlink { target: target.into_boxed_slice() }
            }
            FileType::CharacterDevice => {
                let (major, minor) = device_numbers(stat);
                NodeKind::CharDevice { major, minor }
            }
            FileType::BlockDevice => {
                let (major, minor) = device_numbers(stat);
                NodeKind::BlockDevice { major, minor }
            }
            FileType::Fifo => NodeKind::Fifo,
            FileType::Socket => NodeKind::Socket,
            _ => return Err(DirectoryError::FileType { path: self.shown() }),
        })
    }

    fn attributes(&mut self, stat: &Stat, owner: Owner<'_>) -> Result<Attributes, DirectoryError> {
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).expect("less than a second");
        let time = Timestamp { seconds: stat.st_mtime, nanoseconds };
        let mtime = time.clamped_to_ext4();
        if mtime != time {
            self.warn("the modification time is outside of ext4's range and was clamped");
        }
        let mut xattrs = Xattrs::default();
        let mut left_out: Vec<Vec<u8>> = Vec::new();
        let read = self.xattrs.read(owner, |name, value| match name {
            // The label of this machine; the guest has its own policy.
            b"security.selinux" => {}
            _ if is_storable_xattr(name) => {
                xattrs.insert(name, value);
            }
            _ => left_out.push(name.to_vec()),
        });
        read.map_err(|error| self.io("read the extended attributes of", error))?;
        for name in left_out {
            let name = escape_bytes(&name);
            self.warn(&format!("the extended attribute {name} cannot be stored and was left out"));
        }
        let bytes = xattrs.room_bytes();
        self.count_memory(bytes)?;
        let permissions = Mode::from_raw_mode(stat.st_mode).bits() & 0o7777;
        let mode = u16::try_from(permissions).expect("twelve bits");
        Ok(Attributes { mode, uid: stat.st_uid, gid: stat.st_gid, mtime, xattrs })
    }

    fn count_entry(&mut self, name: &[u8]) -> Result<(), DirectoryError> {
        self.counts.entries += 1;
        self.charge(Cost::Entries, 1)?;
        let depth = self.path.iter().filter(|byte| **byte == b'/').count() as u64;
        self.check(Setting("max_depth"), "directories on the way to a path", depth, self.limits.max_depth)?;
        let bytes = INODE_MEMORY_BYTES + NAME_MEMORY_BYTES + name.len() as u64;
        let charged = self.budget.charge_above(Cost::TreeBytes, bytes, ENTRY_ALLOWANCE_BYTES);
        charged.map_err(|over| self.over_budget(over))
    }

    /// Counts memory of an entry besides that of its inode and its name.
    fn count_memory(&self, bytes: u64) -> Result<(), DirectoryError> {
        self.charge(Cost::TreeBytes, bytes)
    }

    fn charge(&self, cost: Cost, amount: u64) -> Result<(), DirectoryError> {
        self.budget.charge(cost, amount).map_err(|over| self.over_budget(over))
    }

    fn over_budget(&self, OverBudget { cost, limit }: OverBudget) -> DirectoryError {
        DirectoryError::Limit {
            path: self.shown(),
            setting: cost.setting(),
            what: cost.unit(),
            maximum: limit,
        }
    }

    fn check(
        &self,
        setting: Setting,
        what: &'static str,
        value: u64,
        maximum: u64,
    ) -> Result<(), DirectoryError> {
        match value > maximum {
            true => Err(DirectoryError::Limit { path: self.shown(), setting: Some(setting), what, maximum }),
            false => Ok(()),
        }
    }

    fn check_cancelled(&self) -> Result<(), DirectoryError> {
        if self.cancellation.is_cancelled() { Err(DirectoryError::Cancelled) } else { Ok(()) }
    }

    fn report(&mut self) {
        let (now, last) = (self.counts, self.reported);
        if now.entries - last.entries >= REPORT_ENTRIES
            || now.content_bytes - last.content_bytes >= REPORT_BYTES
        {
            self.reported = now;
            (self.progress)(now);
        }
    }

    fn warn(&mut self, text: &str) {
        self.warning_count += 1;
        if self.warnings.len() < self.limits.max_warnings {
            self.warnings.push(format!("{}: {text}", self.shown()));
        }
    }

    /// The current path for people.
    fn shown(&self) -> String {
        match self.path.is_empty() {
            true => self.root.to_string(),
            false => format!("{}{}", self.root.as_str().trim_end_matches('/'), escape_bytes(&self.path)),
        }
    }

    fn io(&self, action: &'static str, error: Errno) -> DirectoryError {
        DirectoryError::Io { action, path: self.shown(), source: error.into() }
    }

    fn changed(&self) -> DirectoryError {
        DirectoryError::Changed { path: self.shown() }
    }

    fn content_error(&self, source: ContentError) -> DirectoryError {
        DirectoryError::Content { path: self.shown(), source }
    }

    fn tree_error(&self, source: TreeError) -> DirectoryError {
        DirectoryError::Tree { path: self.shown(), source }
    }
}

fn size_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).expect("no file has less than no bytes")
}

fn device_numbers(stat: &Stat) -> (u32, u32) {
    (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev))
}
