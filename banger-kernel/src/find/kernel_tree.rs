//! A root file system that kernels are looked for in, and the tree of a [`Rootfs`].

use banger_tree::{FileType, GuestPath, Rootfs, RootfsError};

use crate::error::KernelError;
use crate::read::{Member, Sink};
use crate::run::{ImportRun, PIECE_BYTES};

/// A root file system that kernels are looked for in.
pub(crate) trait KernelTree {
    /// Returns the names and types in a directory, in the order of the names; empty if it is not a directory.
    fn read_dir(&self, path: &GuestPath) -> Result<Vec<(Vec<u8>, FileType)>, KernelError>;

    /// Reads bytes of a regular file; returns 0 at its end.
    fn read_at(&self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize, KernelError>;
}

/// A file in a tree.
pub(crate) struct TreeMember<'a> {
    pub(crate) run: &'a ImportRun<'a>,
    pub(crate) tree: &'a dyn KernelTree,
    pub(crate) path: &'a GuestPath,
}

impl Member for TreeMember<'_> {
    fn copy_to(&mut self, sink: &mut dyn Sink) -> Result<(), KernelError> {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut offset = 0;
        loop {
            self.run.check()?;
            match self.tree.read_at(self.path, offset, &mut buffer)? {
                0 => return Ok(()),
                length => {
                    sink.put(&buffer[..length])?;
                    offset += length as u64;
                    self.run.read_more(length as u64);
                }
            }
        }
    }
}

/// The tree of a [`Rootfs`].
pub(crate) struct RootfsTree<'a> {
    pub(crate) rootfs: &'a dyn Rootfs,
    /// The name of the image in messages.
    pub(crate) name: &'a str,
}

impl RootfsTree<'_> {
    fn failed(&self, source: RootfsError) -> KernelError {
        match source {
            RootfsError::Cancelled => KernelError::Cancelled,
            source => KernelError::Rootfs { path: self.name.to_owned(), source },
        }
    }
}

impl KernelTree for RootfsTree<'_> {
    fn read_dir(&self, path: &GuestPath) -> Result<Vec<(Vec<u8>, FileType)>, KernelError> {
        match self.rootfs.stat(path) {
            Ok(Some(stat)) if stat.file_type == FileType::Directory => {}
            // A parent that is not a directory has nothing below it.
            Ok(_) | Err(RootfsError::NotADirectory { .. } | RootfsError::NotFound { .. }) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(self.failed(error)),
        }
        let entries = self.rootfs.read_dir(path).map_err(|error| self.failed(error))?;
        Ok(entries.into_iter().map(|entry| (entry.name, entry.file_type)).collect())
    }

    fn read_at(&self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize, KernelError> {
        self.rootfs.read_at(path, offset, buffer).map_err(|error| self.failed(error))
    }
}
