//! Removes images that nobody needs.

use std::time::Duration;

use banger_tree::Cancellation;
use jiff::Timestamp;

use super::error::StoreError;
use super::image_store::ImageStore;
use super::lease::UnusedImage;
use super::record::ImageRecord;
use crate::id::ImageId;

/// Which images [`ImageStore::prune`] removes: those that fit every condition. Without a condition it removes all
/// images that are not in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImagePruneOptions {
    /// Names, ids or unique beginnings of ids of images that stay.
    pub keep: Vec<String>,
    /// Only images that were published longer ago than this.
    pub older_than: Option<Duration>,
    /// Say which images would be removed, and remove nothing.
    pub dry_run: bool,
}

banger_tree::setters! {
    ImagePruneOptions {
        with_keep => keep: Vec<String>,
        with_older_than => older_than: Option<Duration>,
        with_dry_run => dry_run: bool,
    }
}

/// The result of [`ImageStore::prune`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ImagePruneReport {
    /// The images that were removed, or would be.
    pub removed: Vec<ImageRecord>,
    /// The images that fit and stay, because they are in use.
    pub in_use: Vec<ImageRecord>,
    /// How many images stay for other reasons.
    pub kept: u64,
}

impl ImageStore {
    /// Removes the images that `options` select, except those in use: images with a lease in any process, and
    /// images whose file is being edited or copied.
    ///
    /// An unknown name among [`keep`](ImagePruneOptions::keep) is an error, and removes nothing. Images that are
    /// published meanwhile, and images with a damaged record, stay.
    ///
    /// # Errors
    /// A name does not exist, the state directory cannot be written, or the caller asks to stop. Images that were
    /// removed before stay removed.
    pub fn prune(
        &self,
        options: &ImagePruneOptions,
        cancellation: &Cancellation,
    ) -> Result<ImagePruneReport, StoreError> {
        let keep = |wanted: &String| self.find(wanted).map(|image| image.id);
        let kept_ids = options.keep.iter().map(keep).collect::<Result<Vec<ImageId>, _>>()?;
        let mut report = ImagePruneReport::default();
        let images = self.list()?.images;
        if images.is_empty() {
            return Ok(report);
        }
        for image in images {
            if kept_ids.contains(&image.id) || !options.is_old_enough(&image) {
                report.kept += 1;
                continue;
            }
            let is_free = match options.dry_run {
                true => UnusedImage::take(&self.directory(&image.id)).is_some(),
                false => match self.remove(image.id.as_str(), cancellation) {
                    Ok(_) => true,
                    Err(StoreError::InUse { .. }) => false,
                    // Another process was faster.
                    Err(StoreError::NotFound { .. }) => continue,
                    Err(error) => return Err(error),
                },
            };
            let list = if is_free { &mut report.removed } else { &mut report.in_use };
            list.push(image);
        }
        Ok(report)
    }
}

impl ImagePruneOptions {
    /// Whether the image was published long enough ago. An image with an unreadable time was not.
    fn is_old_enough(&self, image: &ImageRecord) -> bool {
        let Some(limit) = self.older_than else { return true };
        let Ok(created) = image.created.parse::<Timestamp>() else { return false };
        Duration::try_from(Timestamp::now().duration_since(created)).is_ok_and(|age| age > limit)
    }
}
