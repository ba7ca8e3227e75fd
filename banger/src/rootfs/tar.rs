//! A root file system as a tar.

use std::collections::HashMap;
use std::io::Write;

use banger_oci::flatten::{SELINUX_XATTR, is_storable_xattr};
use banger_oci::tar::{Extent, TarEntry, TarEntryKind, TarWriter};
use banger_tree::{Cancellation, DirEntry, FileType, GuestPath, Rootfs, RootfsError, Stat, Xattrs};

use super::edit::WalkedDirs;
use super::error::{EditAdvice, EditError};
use super::look::CopyError;
use super::sparse_map::{BLOCK_BYTES, PIECES_MAX, SparseScan};

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Number of warnings that are kept.
const WARNINGS_MAX: usize = 100;
/// Start of the names that mean something else in a layer (image-spec, `layer.md`, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// Name of the whiteout of everything that a directory has in lower layers.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The content of a tar that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TarReport {
    /// Number of entries, without whiteouts.
    pub entries: u64,
    /// Number of whiteouts.
    pub whiteouts: u64,
    /// Bytes of files in the tar, without holes.
    pub content_bytes: u64,
    /// The first warnings: files that the tar does not have.
    pub warnings: Vec<String>,
    /// Number of all warnings.
    pub warning_count: u64,
}

/// Writes `path` of a root file system, with all that is below it, as a tar, in the order of the names. The names in the
/// tar begin below `path`. A symlink at `path` is followed. A file is a tar of one entry. The same content gives the
/// same bytes.
///
/// `is_left_out` says which paths the tar does not have, with all that is below them. Sockets are left out too, with a
/// warning.
///
/// # Errors
/// The path does not exist, the root file system is damaged, the output fails, or the caller asks to stop.
pub fn write_tar(
    rootfs: &dyn Rootfs,
    path: &GuestPath,
    output: &mut dyn Write,
    is_left_out: &dyn Fn(&GuestPath) -> bool,
    cancellation: &Cancellation,
) -> Result<TarReport, CopyError> {
    let top = resolved(rootfs, path)?;
    let stat = stat(rootfs, &top, cancellation)?;
    let mut tar = RootfsTar::new(rootfs, output, cancellation);
    if stat.file_type != FileType::Directory {
        tar.top = top.parent().unwrap_or_else(GuestPath::root);
        if tar.can_have(&top, &stat) {
            tar.entry(&top, &stat)?;
        }
        return tar.finish();
    }
    tar.top.clone_from(&top);
    let mut walked = WalkedDirs::default();
    tar.entry(&top, &stat)?;
    walked.enter(stat.inode, &top)?;
    let mut stack = vec![(top.clone(), tar.read_dir(&top)?.into_iter())];
    while let Some((dir, entries)) = stack.last_mut() {
        let Some(DirEntry { name, .. }) = entries.next() else {
            stack.pop();
            continue;
        };
        let path = join(dir, &name)?;
        if is_left_out(&path) {
            continue;
        }
        let stat = tar.stat(&path)?;
        if !tar.can_have(&path, &stat) {
            continue;
        }
        tar.entry(&path, &stat)?;
        if stat.file_type == FileType::Directory {
            walked.enter(stat.inode, &path)?;
            let entries = tar.read_dir(&path)?.into_iter();
            stack.push((path, entries));
        }
    }
    tar.finish()
}

fn resolved(rootfs: &dyn Rootfs, path: &GuestPath) -> Result<GuestPath, EditError> {
    rootfs.resolve(path).map_err(|error| match error {
        RootfsError::NotFound { path } => EditError::NotFound { path, advice: EditAdvice::ListAround },
        other => other.into(),
    })
}

/// Returns the path of `name` in `dir`.
pub(crate) fn join(dir: &GuestPath, name: &[u8]) -> Result<GuestPath, EditError> {
    Ok(dir.join(name).map_err(RootfsError::from)?)
}

/// Returns the extended attributes that a layer has of those that a file has. [`banger_oci::flatten`] reads no others.
pub(crate) fn layer_xattrs(xattrs: &Xattrs) -> impl Iterator<Item = (&[u8], &[u8])> {
    xattrs.iter().filter(|(name, _)| is_storable_xattr(name) && *name != SELINUX_XATTR)
}

/// Writes paths of a root file system into a tar. A path comes after its directory.
pub(crate) struct RootfsTar<'a, W> {
    rootfs: &'a dyn Rootfs,
    /// The directory below which the names in the tar begin.
    top: GuestPath,
    writer: TarWriter<W>,
    cancellation: &'a Cancellation,
    /// The first path of each inode that has several.
    first_paths: HashMap<u64, Vec<u8>>,
    report: TarReport,
    buffer: Vec<u8>,
}

impl<'a, W: Write> RootfsTar<'a, W> {
    pub(crate) fn new(rootfs: &'a dyn Rootfs, output: W, cancellation: &'a Cancellation) -> Self {
        Self {
            rootfs,
            top: GuestPath::root(),
            writer: TarWriter::new(output),
            cancellation,
            first_paths: HashMap::new(),
            report: TarReport::default(),
            buffer: vec![0; CHUNK_BYTES],
        }
    }

    /// Returns the state of an entry of a directory.
    pub(crate) fn stat(&self, path: &GuestPath) -> Result<Stat, EditError> {
        stat(self.rootfs, path, self.cancellation)
    }

    /// Returns the entries of a directory.
    pub(crate) fn read_dir(&self, path: &GuestPath) -> Result<Vec<DirEntry>, EditError> {
        Ok(self.rootfs.read_dir(path)?)
    }

    /// Returns whether a layer can have this file; warns if not.
    pub(crate) fn can_have(&mut self, path: &GuestPath, stat: &Stat) -> bool {
        if stat.file_type == FileType::Socket {
            self.warn(path, "a tar cannot have a socket");
            return false;
        }
        if path.file_name().is_some_and(is_whiteout) {
            self.warn(path, "in a layer, this name would remove another file");
            return false;
        }
        true
    }

    fn warn(&mut self, path: &GuestPath, reason: &str) {
        self.report.warning_count += 1;
        if self.report.warnings.len() < WARNINGS_MAX {
            self.report.warnings.push(format!("{path} was left out: {reason}"));
        }
    }

    /// Writes the entry of `path`, with its bytes. If an earlier entry has its inode, writes a hard link.
    pub(crate) fn entry(&mut self, path: &GuestPath, stat: &Stat) -> Result<(), CopyError> {
        self.check_cancelled()?;
        self.report.entries += 1;
        let mut entry = TarEntry {
            path: if *path == self.top { b"./".to_vec() } else { self.in_tar(path) },
            mode: stat.attributes.mode,
            uid: stat.attributes.uid,
            gid: stat.attributes.gid,
            mtime: stat.attributes.mtime,
            xattrs: layer_xattrs(&stat.attributes.xattrs).collect(),
            ..TarEntry::default()
        };
        if stat.file_type != FileType::Directory && stat.nlink > 1 {
            if let Some(first) = self.first_paths.get(&stat.inode) {
                entry.kind = TarEntryKind::HardLink;
                entry.link_target.clone_from(first);
                return self.writer.entry(&entry).map_err(CopyError::Output);
            }
            self.first_paths.insert(stat.inode, entry.path.clone());
        }
        entry.kind = match stat.file_type {
            FileType::Regular => return self.regular(path, stat, entry),
            FileType::Directory => TarEntryKind::Directory,
            FileType::Symlink => TarEntryKind::Symlink,
            FileType::CharDevice => TarEntryKind::CharDevice,
            FileType::BlockDevice => TarEntryKind::BlockDevice,
            FileType::Fifo => TarEntryKind::Fifo,
            FileType::Socket => TarEntryKind::Socket,
        };
        if entry.kind == TarEntryKind::Symlink {
            entry.link_target = self.rootfs.read_link(path).map_err(EditError::from)?;
        }
        entry.device = stat.device.unwrap_or_default();
        self.writer.entry(&entry).map_err(CopyError::Output)
    }

    /// Writes a whiteout of `name` in `dir`.
    pub(crate) fn whiteout(&mut self, dir: &GuestPath, name: &[u8]) -> Result<(), CopyError> {
        self.mark(dir, &[WHITEOUT, name].concat())
    }

    /// Writes a whiteout of everything that lower layers have in `dir`.
    pub(crate) fn opaque(&mut self, dir: &GuestPath) -> Result<(), CopyError> {
        self.mark(dir, OPAQUE)
    }

    /// Ends the tar.
    pub(crate) fn finish(self) -> Result<TarReport, CopyError> {
        self.writer.finish().map_err(CopyError::Output)?.flush().map_err(CopyError::Output)?;
        Ok(self.report)
    }

    fn mark(&mut self, dir: &GuestPath, name: &[u8]) -> Result<(), CopyError> {
        self.check_cancelled()?;
        self.report.whiteouts += 1;
        let mut path = self.in_tar(dir);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        let entry = TarEntry { path, kind: TarEntryKind::Regular, mode: 0o600, ..TarEntry::default() };
        self.writer.entry(&entry).map_err(CopyError::Output)
    }

    /// Returns a path as the tar has it: below the top, without a slash in front.
    fn in_tar(&self, path: &GuestPath) -> Vec<u8> {
        let top = if self.top.is_root() { 0 } else { self.top.as_bytes().len() };
        path.as_bytes().get(top + 1..).unwrap_or_default().to_vec()
    }

    fn check_cancelled(&self) -> Result<(), EditError> {
        if self.cancellation.is_cancelled() { Err(EditError::Cancelled) } else { Ok(()) }
    }

    fn regular(&mut self, path: &GuestPath, stat: &Stat, mut entry: TarEntry) -> Result<(), CopyError> {
        entry.size_bytes = stat.size_bytes;
        let map = self.map_of(path, stat.size_bytes)?;
        match &map {
            Some(map) => self.writer.sparse_file(&entry, map),
            None => self.writer.entry(&entry),
        }
        .map_err(CopyError::Output)?;
        for piece in map.unwrap_or_else(|| vec![Extent { offset: 0, length: stat.size_bytes }]) {
            let end = piece.offset + piece.length;
            let mut offset = piece.offset;
            while offset < end {
                let length = self.read(path, offset, end)?;
                self.writer.data(&self.buffer[..length]).map_err(CopyError::Output)?;
                offset += length as u64;
            }
            self.report.content_bytes += piece.length;
        }
        Ok(())
    }

    /// Returns the pieces of a file that are not zeros; `None` for a file that is not worth a map. Holes are not read,
    /// and give the same pieces as zeros.
    fn map_of(&mut self, path: &GuestPath, size_bytes: u64) -> Result<Option<Vec<Extent>>, EditError> {
        let block = BLOCK_BYTES as u64;
        let mut scan = SparseScan::default();
        let mut offset = 0;
        while offset < size_bytes {
            self.check_cancelled()?;
            let (start, end) = self.rootfs.data_from(path, offset)?.unwrap_or((size_bytes, size_bytes));
            let start = if start < size_bytes { (start / block * block).max(offset) } else { size_bytes };
            scan.add_zeros(start - offset);
            offset = start;
            let end = end.next_multiple_of(block).min(size_bytes);
            while offset < end {
                let length = self.read(path, offset, end)?;
                scan.add(&self.buffer[..length]);
                offset += length as u64;
                if scan.pieces() > PIECES_MAX {
                    return Ok(None);
                }
            }
        }
        Ok(scan.finish())
    }

    /// Reads at least one byte of a file into the buffer, up to `end`.
    fn read(&mut self, path: &GuestPath, offset: u64, end: u64) -> Result<usize, EditError> {
        self.check_cancelled()?;
        let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        read_full(self.rootfs, path, offset, &mut self.buffer[..wanted])?;
        Ok(wanted)
    }
}

/// Returns whether a name means something else in a layer.
pub(crate) fn is_whiteout(name: &[u8]) -> bool {
    name.starts_with(WHITEOUT)
}

/// Returns the state of a path that a directory has.
pub(crate) fn stat(
    rootfs: &dyn Rootfs,
    path: &GuestPath,
    cancellation: &Cancellation,
) -> Result<Stat, EditError> {
    if cancellation.is_cancelled() {
        return Err(EditError::Cancelled);
    }
    Ok(rootfs.stat(path)?.ok_or_else(|| RootfsError::NotFound { path: path.clone() })?)
}

/// Fills the buffer with bytes of a file that has them.
pub(crate) fn read_full(
    rootfs: &dyn Rootfs,
    path: &GuestPath,
    offset: u64,
    mut buffer: &mut [u8],
) -> Result<(), EditError> {
    let mut at = offset;
    while !buffer.is_empty() {
        match rootfs.read_at(path, at, buffer)? {
            // It never ends before its size.
            0 => return Err(RootfsError::NotFound { path: path.clone() }.into()),
            length => {
                at += length as u64;
                buffer = &mut buffer[length..];
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use banger_ext4::{Ext4Backend as _, Ext4Editor, Ext4Options, ImageSize, NativeBackend};
    use banger_tree::{Attributes, Inode, LayerIndex, NodeKind, Tree};

    use super::*;

    /// A read of all zeros would take minutes.
    #[test]
    fn a_hole_of_terabytes_is_not_read() {
        const HOLE: u64 = 1 << 43;
        let dir = tempfile::tempdir().expect("a directory");
        let image = camino::Utf8PathBuf::from_path_buf(dir.path().join("image")).expect("UTF-8");
        let options = Ext4Options::default().with_size(ImageSize::Bytes(1 << 30));
        let mut builder = NativeBackend.create(&image, &options).expect("an image");
        let size_bytes = HOLE + 5000;
        let id = builder.begin(LayerIndex(0), size_bytes).expect("content");
        builder.append_hole(id, HOLE).expect("a hole");
        builder.append(id, &[7; 5000]).expect("bytes");
        builder.finish(id).expect("content");
        let mut tree = Tree::new();
        let kind = NodeKind::Regular { size_bytes, content: Some(id) };
        let inode = Inode::new(kind, Attributes::with_mode(0o644));
        tree.insert(tree.root(), b"file", inode).expect("a free name");
        builder.build_ext4(&tree).expect("an image");
        let rootfs = Ext4Editor::open(&image).expect("an image");
        let (mut tar, path) = (Vec::new(), GuestPath::parse("/file").expect("a path"));
        let report = write_tar(&rootfs, &path, &mut tar, &|_| false, &Cancellation::new()).expect("a tar");
        assert_eq!((report.entries, report.content_bytes), (1, 5000));
        assert!(tar.len() < 20_000, "{}", tar.len());
    }
}
