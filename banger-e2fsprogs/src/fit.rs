//! File systems as small as their content: mke2fs makes a larger one, and the native editor shrinks it.

use banger_ext4::{Ext4Editor, Ext4Error};
use banger_tree::{Cancellation, Rootfs as _, RootfsError};
use camino::Utf8Path;

/// By how much a new group becomes longer until it holds its own metadata and more.
const METADATA_STEP_BYTES: u64 = 64 << 10;

/// Makes the file system in `image` as small as can be with `free_bytes` free.
///
/// # Errors
/// The editor cannot shrink it, the host refuses, or the caller stopped.
pub(crate) fn fit(image: &Utf8Path, free_bytes: u64, cancellation: &Cancellation) -> Result<(), Ext4Error> {
    let failed = |error: RootfsError| failed(image, free_bytes, error);
    let mut editor = Ext4Editor::open_unpublished(image).map_err(failed)?;
    editor.set_cancellation(cancellation);
    // The first shrink frees metadata, so the second may find more.
    for _ in 0..2 {
        let least_bytes = editor.minimum_size_bytes().map_err(failed)?;
        editor.shrink(least_bytes).map_err(failed)?;
    }
    let mut for_metadata = 0;
    loop {
        let missing_bytes = free_bytes.saturating_sub(editor.usage().map_err(failed)?.free_bytes);
        if missing_bytes == 0 {
            break;
        }
        let before_bytes = editor.size_bytes();
        let wanted_bytes = before_bytes.saturating_add(missing_bytes).saturating_add(for_metadata);
        if editor.grow(wanted_bytes).map_err(failed)? == before_bytes {
            // A new group so short would hold only its own metadata.
            for_metadata += METADATA_STEP_BYTES;
        }
    }
    editor.commit().map_err(failed)
}

fn failed(image: &Utf8Path, free_bytes: u64, error: RootfsError) -> Ext4Error {
    match error {
        RootfsError::Cancelled => Ext4Error::Cancelled,
        RootfsError::Io { action, source, .. } => Ext4Error::Io { action, path: image.to_owned(), source },
        other => Ext4Error::InvalidSize { size_bytes: free_bytes, reason: other.to_string() },
    }
}
