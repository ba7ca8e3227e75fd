//! The dm-verity hash tree in the artifact of a finished image: one blob behind the windows, compressed by zstd. The
//! manifest has the root hash as an annotation, so a signature of the manifest covers it.

use banger_oci::manifest::{Descriptor, ImageManifest};

use crate::store::{ImageRecord, VERITY_FILE};
use crate::verity::tree_bytes;

/// Type of the blob.
pub(super) const TREE_TYPE: &str = "application/vnd.banger.rootfs.verity.v1+zstd";
/// Annotation of the manifest: the root hash, 64 hexadecimal digits.
pub(super) const ROOT_HASH: &str = "dev.banger.verity.root-hash";
/// The largest tree: that of an image of 32 GiB. A blob is in memory as a whole while it is sent.
pub(super) const MOST_TREE_BYTES: u64 = 260 << 20;

/// Returns the blobs of windows: all but that of the hash tree, which is the last one.
pub(super) fn windows_of(manifest: &ImageManifest) -> &[Descriptor] {
    match manifest.layers.split_last() {
        Some((last, windows)) if last.media_type == TREE_TYPE => windows,
        _ => &manifest.layers,
    }
}

/// Fails if manifest and record do not agree about the hash tree of an image of `size_bytes`.
pub(super) fn check_artifact(
    manifest: &ImageManifest,
    record: &ImageRecord,
    size_bytes: u64,
) -> Result<(), String> {
    let has_tree = windows_of(manifest).len() < manifest.layers.len();
    let annotation = manifest.annotations.get(ROOT_HASH);
    let Some(verity) = &record.verity else {
        return match has_tree || annotation.is_some() {
            true => Err("it has a hash tree, and its record has none".to_owned()),
            false => Ok(()),
        };
    };
    verity.check()?;
    if !has_tree {
        return Err("its record has a hash tree, and the manifest has no blob of it".to_owned());
    }
    if annotation != Some(&verity.root_hash) {
        return Err(format!("the annotation {ROOT_HASH} is not the root hash of the record"));
    }
    let is_of_image = verity.data_blocks.checked_mul(4096) == Some(size_bytes);
    if !is_of_image || verity.hash_offset_bytes != 0 || verity.file != VERITY_FILE {
        return Err(format!("its hash tree is not for a file of {size_bytes} bytes"));
    }
    match tree_bytes(verity).is_some_and(|bytes| bytes <= MOST_TREE_BYTES) {
        true => Ok(()),
        false => Err(format!("a hash tree for {size_bytes} bytes is too large")),
    }
}
