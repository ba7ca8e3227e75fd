//! Windows that images of this machine have: they are copied, and not fetched.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use banger_tree::Cancellation;
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::blocks::BlockTarget;
use super::error::RootfsArtifactError;
use super::format::ImageWindow;
use super::window_digest::WindowDigest;
use crate::error::Error;
use crate::host_file::open_plain_path;
use crate::store::{ImageLease, ImageRecord, ImageStore, StoreError, StoredImage, WINDOWS_FILE, write_json};
use crate::threads::on_all_processors;

/// The images that are looked into, the newest first.
const MOST_IMAGES: usize = 32;
/// Bytes of a list of windows that are read: more than that of the most windows has.
const MOST_LIST_BYTES: u64 = 4 << 20;

/// The file beside an image that was pulled as an artifact: which windows its ext4 file had then. The image may have
/// been edited since, so that bytes are compared with their digest before they are used.
#[derive(Debug, Serialize, Deserialize)]
struct WindowList {
    version: u32,
    windows: Vec<ListedWindow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ListedWindow {
    offset: u64,
    digest: WindowDigest,
}

const LIST_VERSION: u32 = 1;

/// Writes the list of the windows of a new image into its directory.
pub(super) fn write_list(directory: &Utf8Path, windows: &[ImageWindow]) -> Result<(), StoreError> {
    let listed = |window: &ImageWindow| ListedWindow { offset: window.offset, digest: window.digest };
    let windows = windows.iter().map(listed).collect();
    write_json(directory, WINDOWS_FILE, &WindowList { version: LIST_VERSION, windows })
}

/// Windows of images of this machine.
pub(super) struct LocalWindows {
    images: Vec<LocalImage>,
    /// The image and the first byte of each window.
    places: HashMap<WindowDigest, (usize, u64)>,
}

struct LocalImage {
    file: File,
    /// The file stays, and nobody edits it.
    _lease: ImageLease,
}

/// What was copied.
pub(super) struct CopiedWindows {
    /// For each window: whether it was copied.
    pub(super) is_copied: Vec<bool>,
    /// Bytes of the copied windows.
    pub(super) bytes: u64,
}

impl LocalWindows {
    /// Finds images of `store` that had some of `windows`.
    pub(super) fn find(
        store: &ImageStore,
        windows: &[ImageWindow],
        cancellation: &Cancellation,
    ) -> Result<Self, Error> {
        let mut wanted: HashMap<&WindowDigest, Option<(usize, u64)>> =
            windows.iter().map(|window| (&window.digest, None)).collect();
        let mut records: Vec<ImageRecord> = store.list()?.images;
        records.retain(|record| record.artifact.is_some());
        records.sort_by(|a, b| b.created.cmp(&a.created));
        let mut images = Vec::new();
        for record in records.into_iter().take(MOST_IMAGES) {
            let Some(StoredImage { path, lease, .. }) = store.keep(record, cancellation)? else { continue };
            let Some(list) = read_list(&path.with_file_name(WINDOWS_FILE)) else { continue };
            let Ok(file) = open_plain_path(&path) else { continue };
            let mut is_used = false;
            for window in list.windows {
                if let Some(place @ None) = wanted.get_mut(&window.digest) {
                    *place = Some((images.len(), window.offset));
                    is_used = true;
                }
            }
            if is_used {
                images.push(LocalImage { file, _lease: lease });
            }
        }
        let places = wanted.into_iter().filter_map(|(digest, place)| Some((*digest, place?)));
        Ok(Self { images, places: places.collect() })
    }

    /// Copies those of `windows` that are here to `target`, on all processors. Bytes with another digest are left out.
    pub(super) fn copy(
        &self,
        windows: &[ImageWindow],
        target: &BlockTarget<'_>,
        cancellation: &Cancellation,
    ) -> Result<CopiedWindows, Error> {
        let is_copied: Vec<AtomicBool> = windows.iter().map(|_| AtomicBool::new(false)).collect();
        let bytes = AtomicU64::new(0);
        let (start, cancelled) = (|| Ok(Vec::new()), || Error::Cancelled);
        on_all_processors(windows.len(), cancellation, cancelled, start, |buffer, number| {
            let window = &windows[number];
            let Some((image, offset)) = self.places.get(&window.digest) else { return Ok(()) };
            let from = &self.images[*image].file;
            if read_window(from, *offset, window, buffer) {
                let copied = target.copy(buffer, window.offset, from, *offset);
                copied.map_err(RootfsArtifactError::io("write to", target.path))?;
                is_copied[number].store(true, Ordering::Relaxed);
                bytes.fetch_add(window.length, Ordering::Relaxed);
            }
            Ok(())
        })?;
        let is_copied = is_copied.into_iter().map(AtomicBool::into_inner).collect();
        Ok(CopiedWindows { is_copied, bytes: bytes.into_inner() })
    }
}

/// Reads a window, and returns whether it has its digest.
fn read_window(from: &File, offset: u64, window: &ImageWindow, buffer: &mut Vec<u8>) -> bool {
    let Ok(length) = usize::try_from(window.length) else { return false };
    buffer.resize(length, 0);
    from.read_exact_at(buffer, offset).is_ok() && WindowDigest::of(buffer) == window.digest
}

/// Reads the list of an image. `None` if it is missing or of no use: the windows are fetched then.
fn read_list(path: &Utf8Path) -> Option<WindowList> {
    let read = || -> io::Result<Vec<u8>> {
        let file = open_plain_path(path)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(&file, MOST_LIST_BYTES), &mut bytes)?;
        Ok(bytes)
    };
    let list: WindowList = serde_json::from_slice(&read().ok()?).ok()?;
    (list.version == LIST_VERSION).then_some(list)
}
