//! OCI image layouts (image-spec `image-layout.md`), in a directory or in an archive.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use camino::{Utf8Path, Utf8PathBuf};

use super::{Archive, Document, ImageSource, Root};
use crate::auth::one_line;
use crate::digest::Digest;
use crate::error::PullError;
use crate::event::{Progress, PullEvent};
use crate::layer::{Content, Stored};
use crate::manifest::{Descriptor, ImageIndex, is_manifest_type};
use crate::options::{Cap, PullOptions};
use crate::reference::Selector;

/// The annotation that holds the tag in `index.json`.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Where containerd and docker write the whole name.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The files of a layout, by their names inside it.
pub(crate) trait LayoutFiles: fmt::Debug {
    /// Opens a file; `None` where there is none.
    fn open(&self, name: &str) -> Result<Option<Stored>, PullError>;

    /// The directory or archive, for messages.
    fn path(&self) -> &Utf8Path;

    /// What to do with one that is no layout, for messages.
    fn advice(&self) -> Result<&'static str, PullError> {
        Ok("")
    }
}

/// A layout in a directory.
#[derive(Debug)]
pub(crate) struct DirFiles(pub(crate) Utf8PathBuf);

/// A layout in a tar.
#[derive(Debug)]
pub(crate) struct ArchiveFiles(pub(crate) Archive);

impl LayoutFiles for DirFiles {
    fn open(&self, name: &str) -> Result<Option<Stored>, PullError> {
        let path = self.0.join(name);
        // Opening a FIFO would wait for ever, so the type is looked at first.
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => {
                let reason = "it is not a regular file".to_owned();
                return Err(PullError::Layout { path, reason });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(PullError::io("open", &path)(error)),
        }
        let file = File::open(&path).map_err(PullError::io("open", &path))?;
        let len = file.metadata().map_err(PullError::io("read", &path))?.len();
        Ok(Some(Stored {
            file: Arc::new(file),
            path,
            offset: 0,
            len,
            cached: None,
            verified: AtomicBool::new(false),
        }))
    }

    fn path(&self) -> &Utf8Path {
        &self.0
    }
}

impl LayoutFiles for ArchiveFiles {
    fn open(&self, name: &str) -> Result<Option<Stored>, PullError> {
        self.0.file(name.as_bytes())
    }

    fn path(&self) -> &Utf8Path {
        self.0.path()
    }

    fn advice(&self) -> Result<&'static str, PullError> {
        let is_docker = self.open("manifest.json")?.is_some();
        Ok(if is_docker { "; it was written by `docker save`, use docker-archive:" } else { "" })
    }
}

/// An image of a layout.
#[derive(Debug)]
pub(crate) struct Layout<F> {
    files: F,
    selector: Selector,
    options: PullOptions,
    progress: Progress,
}

impl<F: LayoutFiles> Layout<F> {
    pub(crate) fn new(files: F, selector: &Selector, options: &PullOptions, progress: &Progress) -> Self {
        Self { files, selector: selector.clone(), options: options.clone(), progress: progress.clone() }
    }

    fn unusable(&self, reason: impl Into<String>) -> PullError {
        PullError::Layout { path: self.files.path().to_owned(), reason: reason.into() }
    }

    fn index(&self) -> Result<ImageIndex, PullError> {
        let Some(stored) = self.files.open("index.json")? else {
            let advice = self.files.advice()?;
            return Err(self.unusable(format!("it has no index.json, so it is no OCI image layout{advice}")));
        };
        let bytes = read_stored(&stored, self.options.manifest_cap(), "index.json")?;
        // Not by `Manifest::parse`: a layout's index is an index whatever it says, and older
        // tools leave the media type out.
        let index: ImageIndex = serde_json::from_slice(&bytes)
            .map_err(|error| self.unusable(format!("index.json is malformed: {error}")))?;
        Ok(index)
    }

    fn blob(&self, digest: &Digest) -> Result<Stored, PullError> {
        let name = format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
        self.files.open(&name)?.ok_or_else(|| self.unusable(format!("it lacks the blob {digest}")))
    }

    fn small(&self, descriptor: &Descriptor, cap: Cap, what: &str) -> Result<Vec<u8>, PullError> {
        if let Some(bytes) = descriptor.embedded()? {
            return Ok(bytes);
        }
        let stored = self.blob(&descriptor.digest)?;
        let bytes = read_stored(&stored, cap, what)?;
        descriptor.check(&bytes, stored.path.as_str())?;
        Ok(bytes)
    }

    fn unknown(&self, index: &ImageIndex) -> PullError {
        let tags: BTreeSet<String> = index.manifests.iter().filter_map(tag_of).map(one_line).collect();
        let detail = if tags.is_empty() {
            "none of its images has a tag".to_owned()
        } else {
            format!("it has {}", tags.into_iter().collect::<Vec<_>>().join(", "))
        };
        let wanted = match &self.selector {
            Selector::Only => self.files.path().to_string(),
            Selector::Tag(tag) => format!("{}:{tag}", self.files.path()),
            Selector::Digest(digest) => format!("{}@{digest}", self.files.path()),
        };
        PullError::UnknownImage { reference: wanted, detail }
    }
}

fn tag_of(descriptor: &Descriptor) -> Option<&str> {
    let name = descriptor.annotations.get(REF_NAME).or(descriptor.annotations.get(CONTAINERD_NAME));
    name.map(String::as_str)
}

fn has_tag(descriptor: &Descriptor, tag: &str) -> bool {
    [REF_NAME, CONTAINERD_NAME]
        .iter()
        .filter_map(|key| descriptor.annotations.get(*key))
        .any(|name| name == tag || name.strip_suffix(tag).is_some_and(|rest| rest.ends_with(':')))
}

/// Reads a file that must not be larger than `cap`.
pub(crate) fn read_stored(stored: &Stored, cap: Cap, what: &str) -> Result<Vec<u8>, PullError> {
    cap.check(stored.len, what)?;
    let mut bytes = Vec::new();
    stored.plain_reader().read_to_end(&mut bytes).map_err(PullError::io("read", &stored.path))?;
    Ok(bytes)
}

impl<F: LayoutFiles> ImageSource for Layout<F> {
    fn root(&self) -> Result<Root, PullError> {
        let index = self.index()?;
        let images = index.manifests.iter().filter(|entry| is_manifest_type(&entry.media_type));
        let chosen: Vec<Descriptor> = match &self.selector {
            Selector::Only => {
                let names: BTreeSet<_> = images.clone().map(tag_of).collect();
                if names.len() > 1 {
                    return Err(self.unknown(&index));
                }
                images.cloned().collect()
            }
            Selector::Tag(tag) => images.filter(|entry| has_tag(entry, tag)).cloned().collect(),
            Selector::Digest(digest) => {
                match images.clone().find(|entry| entry.digest == *digest) {
                    Some(entry) => vec![entry.clone()],
                    None => {
                        // A manifest inside an index is as good as one of the list.
                        let stored = self.blob(digest).map_err(|_| self.unknown(&index))?;
                        let cap = self.options.manifest_cap();
                        let bytes = read_stored(&stored, cap, &format!("manifest {digest}"))?;
                        let size = bytes.len() as u64;
                        let media_type = String::new();
                        let descriptor = Descriptor::new(media_type, digest.clone(), size);
                        descriptor.check(&bytes, stored.path.as_str())?;
                        return Ok(Root::Document(Document {
                            digest: digest.clone(),
                            bytes,
                            media_type: None,
                        }));
                    }
                }
            }
        };
        match &chosen[..] {
            [] => Err(self.unknown(&index)),
            [only] => self.document(only).map(Root::Document),
            _ => Ok(Root::Choice(chosen)),
        }
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, PullError> {
        let what = format!("manifest {}", descriptor.digest);
        Ok(Document {
            digest: descriptor.digest.clone(),
            bytes: self.small(descriptor, self.options.manifest_cap(), &what)?,
            media_type: Some(descriptor.media_type.clone()),
        })
    }

    fn config(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        let what = format!("image configuration {}", descriptor.digest);
        self.small(descriptor, self.options.config_cap(), &what)
    }

    fn layers(&self, descriptors: &[Descriptor]) -> Result<Vec<Content>, PullError> {
        descriptors
            .iter()
            .map(|descriptor| {
                let stored = match descriptor.embedded()? {
                    Some(bytes) => Stored::from_bytes(&bytes, self.files.path())?,
                    None => self.blob(&descriptor.digest)?,
                };
                self.progress.emit(PullEvent::LayerCached {
                    digest: descriptor.digest.clone(),
                    size_bytes: descriptor.size,
                });
                Ok(Content::Stored(Arc::new(stored)))
            })
            .collect()
    }
}
