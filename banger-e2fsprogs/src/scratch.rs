//! The scratch directory: contents in numbered files until the tree is final.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};

use banger_tree::{Advice, ContentError, ContentId, ContentStore, LayerIndex, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use crate::host;
use banger_ext4::Ext4Error;
use banger_ext4::on_disk::BLOCK_BYTES;

/// Number of contents in one directory: small enough to be fast on any file system.
const FILES_PER_DIRECTORY: usize = 4096;

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: Utf8PathBuf,
}

impl Scratch {
    /// Makes a new directory, mode 0700, in `parent`.
    ///
    /// # Errors
    /// The host refuses, or the path is not UTF-8.
    pub(crate) fn create(parent: &Utf8Path) -> Result<Self, Ext4Error> {
        let failed = |error| host::failed("create a directory in", parent, error);
        let absolute = std::path::absolute(parent).map_err(failed)?;
        let made = tempfile::Builder::new()
            .prefix("banger-pull-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(absolute)
            .map_err(failed)?;
        let path = Utf8PathBuf::from_path_buf(made.keep())
            .map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8")))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover keeps a name that shows its owner; no caller is left for the error.
        let _ = host::remove_tree(&self.path);
    }
}

/// Contents as numbered files below `contents/` of a scratch directory.
#[derive(Debug)]
pub(crate) struct NumberedFiles {
    directory: Utf8PathBuf,
    contents: Vec<Option<StoredContent>>,
    open: Option<Open>,
}

/// State of one content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredContent {
    size_bytes: u64,
    finished: bool,
    /// Blocks that have data.
    pub(crate) blocks: u64,
    /// Runs of data between holes.
    pub(crate) runs: u64,
}

/// The content that is being written.
#[derive(Debug)]
struct Open {
    id: ContentId,
    file: File,
    written_bytes: u64,
    /// First block after the last one that has data.
    next_block: u64,
}

impl NumberedFiles {
    /// Starts an empty store below `scratch`.
    ///
    /// # Errors
    /// The host refuses.
    pub(crate) fn create(scratch: &Scratch) -> Result<Self, Ext4Error> {
        let directory = scratch.path().join("contents");
        make_directory(&directory).map_err(|error| host::failed("create", &directory, error))?;
        Ok(Self { directory, contents: Vec::new(), open: None })
    }

    /// Returns the state of a finished content.
    ///
    /// # Errors
    /// There is none of this id.
    pub(crate) fn finished(&self, id: ContentId) -> Result<&StoredContent, ContentError> {
        let content = self.contents.get(id.index()).and_then(Option::as_ref);
        content.filter(|content| content.finished).ok_or(ContentError::Unknown { id })
    }

    /// Returns the file of a content, relative to the scratch directory.
    pub(crate) fn relative_path(id: ContentId) -> String {
        let index = id.index();
        format!("contents/{:x}/{index:x}", index / FILES_PER_DIRECTORY)
    }

    fn path(&self, id: ContentId) -> Utf8PathBuf {
        let index = id.index();
        self.directory.join(format!("{:x}/{index:x}", index / FILES_PER_DIRECTORY))
    }

    fn io_error(&self, action: &'static str, id: ContentId, bytes: u64, source: io::Error) -> ContentError {
        let store = self.path(id).into_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ContentError::NoSpace {
                store,
                needed_bytes: bytes,
                advice: Some(Advice::with_setting(
                    "free some space on that disk, or set {setting} to a directory on another",
                    Setting("scratch_dir"),
                )),
            },
            _ => ContentError::Io { action, store, source },
        }
    }

    /// Makes room for `length_bytes` more; returns the offset they start at and the file.
    fn advance(&mut self, id: ContentId, length_bytes: u64) -> Result<u64, ContentError> {
        let declared = self.contents.get(id.index()).and_then(Option::as_ref);
        let declared_bytes = declared.ok_or(ContentError::Unknown { id })?.size_bytes;
        let open = self.open.as_mut().filter(|open| open.id == id).ok_or(ContentError::Unknown { id })?;
        let written_bytes = open.written_bytes.saturating_add(length_bytes);
        if written_bytes > declared_bytes {
            return Err(ContentError::WrongLength { declared_bytes, written_bytes });
        }
        Ok(std::mem::replace(&mut open.written_bytes, written_bytes))
    }
}

impl ContentStore for NumberedFiles {
    fn begin(&mut self, _layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
        let id = ContentId::from_index(self.contents.len());
        let path = self.path(id);
        if id.index().is_multiple_of(FILES_PER_DIRECTORY) {
            let directory = path.parent().expect("a numbered file is in a numbered directory");
            make_directory(directory).map_err(|error| self.io_error("create", id, size_bytes, error))?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| self.io_error("create", id, size_bytes, error))?;
        self.contents.push(Some(StoredContent { size_bytes, finished: false, blocks: 0, runs: 0 }));
        self.open = Some(Open { id, file, written_bytes: 0, next_block: 0 });
        Ok(id)
    }

    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        let offset = self.advance(id, length)?;
        let open = self.open.as_mut().expect("advance found this content open");
        let first = (offset / BLOCK_BYTES).max(open.next_block);
        let end = (offset + length).div_ceil(BLOCK_BYTES);
        let content = self.contents[id.index()].as_mut().expect("advance found this content");
        if first > open.next_block || content.blocks == 0 {
            content.runs += 1;
        }
        content.blocks += end.saturating_sub(first);
        open.next_block = end;
        let written = open.file.write_all_at(bytes, offset);
        written.map_err(|error| self.io_error("write", id, length, error))
    }

    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError> {
        self.advance(id, length_bytes).map(drop)
    }

    fn finish(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.advance(id, 0)?;
        let open = self.open.as_ref().expect("advance found this content open");
        let written_bytes = open.written_bytes;
        let declared_bytes = self.contents[id.index()].expect("advance found this content").size_bytes;
        if written_bytes != declared_bytes {
            return Err(ContentError::WrongLength { declared_bytes, written_bytes });
        }
        // A hole at the end was not written yet.
        open.file.set_len(declared_bytes).map_err(|error| self.io_error("extend", id, 0, error))?;
        self.contents[id.index()].as_mut().expect("advance found this content").finished = true;
        self.open = None;
        Ok(())
    }

    fn release(&mut self, id: ContentId) -> Result<(), ContentError> {
        let content = self.contents.get_mut(id.index()).and_then(Option::take);
        content.ok_or(ContentError::Unknown { id })?;
        self.open.take_if(|open| open.id == id);
        fs::remove_file(self.path(id)).map_err(|error| self.io_error("remove", id, 0, error))
    }

    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError> {
        self.finished(id)?;
        let read = || File::open(self.path(id))?.read_at(buffer, offset);
        let mut read = read;
        read().map_err(|error| self.io_error("read", id, 0, error))
    }
}

/// Makes a directory that only its owner can look into.
pub(crate) fn make_directory(path: &Utf8Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}
