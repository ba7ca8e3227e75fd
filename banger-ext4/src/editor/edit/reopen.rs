//! A fresh look at an image that stays locked, and trials of changes.

use std::fs::File;

use banger_tree::RootfsError;

use super::Ext4Editor;

impl Ext4Editor {
    /// Forgets everything in memory, also changes that are not committed, and reads the image again. The lock stays, so
    /// no other program changes the image in between. A [trial](Self::divert_writes) ends.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`open_to_edit`](Self::open_to_edit). Then every later call fails.
    pub fn reopen(&mut self) -> Result<(), RootfsError> {
        let (image, account) = (self.disk.volume.image.clone(), self.account.clone());
        let storage = self.disk.blocks.storage.take();
        let opened = match self.is_alone {
            true => Self::open_alone_as(storage, &image, self.is_for_repair),
            false => Self::open_as(storage, &image, self.is_for_repair),
        };
        *self = opened?.with_account(account);
        Ok(())
    }

    /// Starts a trial: all later writes go to `scratch`, an empty file, and reads see them. The image does not change,
    /// whatever is committed. [`reopen`](Self::reopen) ends the trial.
    pub fn divert_writes(&mut self, scratch: File) {
        self.disk.blocks.storage.divert(scratch);
    }
}
