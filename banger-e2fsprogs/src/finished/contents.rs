//! Contents of a finished image: existing ones, and new ones for the next commit.

use banger_tree::{ContentError, ContentId, ContentStore, LayerIndex};

use crate::image::Image;
use crate::scratch::NumberedFiles;
use banger_ext4::Ext4Error;

/// Contents in an image, then those in a scratch directory. Ids of the image come first.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) image: Image,
    /// Inode numbers of the image's contents, by id.
    inodes: Vec<u32>,
    pub(crate) new: NumberedFiles,
}

impl Contents {
    pub(crate) fn new(image: Image, inodes: Vec<u32>, new: NumberedFiles) -> Self {
        Self { image, inodes, new }
    }

    /// Returns the id among the new contents; `None` for a content of the image.
    pub(crate) fn new_id(&self, id: ContentId) -> Option<ContentId> {
        id.index().checked_sub(self.inodes.len()).map(ContentId::from_index)
    }

    fn known_new(&self, id: ContentId) -> Result<ContentId, ContentError> {
        self.new_id(id).ok_or(ContentError::Unknown { id })
    }
}

impl ContentStore for Contents {
    fn begin(&mut self, layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
        let id = self.new.begin(layer, size_bytes)?;
        Ok(ContentId::from_index(self.inodes.len() + id.index()))
    }

    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        self.new.append(self.known_new(id)?, bytes)
    }

    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError> {
        self.new.append_hole(self.known_new(id)?, length_bytes)
    }

    fn finish(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.new.finish(self.known_new(id)?)
    }

    fn release(&mut self, id: ContentId) -> Result<(), ContentError> {
        match self.new_id(id) {
            Some(id) => self.new.release(id),
            // The commit frees contents without a name.
            None => Ok(()),
        }
    }

    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError> {
        if let Some(id) = self.new_id(id) {
            return self.new.read_at(id, offset, buffer);
        }
        let inode = self.inodes.get(id.index()).ok_or(ContentError::Unknown { id })?;
        let read = || self.image.read_at(&self.image.inode(*inode)?, offset, buffer);
        let mut read = read;
        read().map_err(|error| match error {
            Ext4Error::Io { action, path, source } => {
                ContentError::Io { action, store: path.into_string(), source }
            }
            other => ContentError::Io {
                action: "read",
                store: "the image".to_owned(),
                source: std::io::Error::other(other.to_string()),
            },
        })
    }
}
