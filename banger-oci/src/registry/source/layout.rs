//! OCI image layouts (image-spec `image-layout.md`), in a directory or in an archive.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use camino::{Utf8Path, Utf8PathBuf};

use super::names::{names_of, select};
use super::{Archive, Document, ImageSource, NoImage, Root};
use crate::digest::Digest;
use crate::foreign_format::ROOT_NAMES;
use crate::one_line::one_line;
use crate::reference::Selector;
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::layer::{Content, Stored};
use crate::registry::manifest::{Descriptor, ImageIndex};
use crate::registry::options::PullOptions;
use crate::registry::trust::companions::Companions;

mod companions;

/// The files of a layout, by their names inside it.
pub(crate) trait LayoutFiles: fmt::Debug {
    /// Opens a file; `None` if it is missing.
    fn open(&self, name: &str) -> Result<Option<Stored>, PullError>;

    /// Opens several files in one call, so that an archive unpacks them in one pass.
    fn open_all(&self, names: &[String]) -> Result<Vec<Option<Stored>>, PullError> {
        names.iter().map(|name| self.open(name)).collect()
    }

    /// The directory or archive, for messages.
    fn path(&self) -> &Utf8Path;

    /// Returns the kind of the files, if they are not a layout.
    fn instead(&self) -> NoImage;
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
        // To open a FIFO would block for ever, so check the type first.
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => {
                return Err(PullError::layout(&path, "it is not a regular file"));
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

    fn instead(&self) -> NoImage {
        match ROOT_NAMES.into_iter().any(|name| self.0.join(name).exists()) {
            true => NoImage::RootDirectory,
            false => NoImage::OtherDirectory,
        }
    }
}

impl LayoutFiles for ArchiveFiles {
    fn open(&self, name: &str) -> Result<Option<Stored>, PullError> {
        self.0.file(name)
    }

    fn open_all(&self, names: &[String]) -> Result<Vec<Option<Stored>>, PullError> {
        self.0.files(names)
    }

    fn path(&self) -> &Utf8Path {
        self.0.path()
    }

    fn instead(&self) -> NoImage {
        self.0.instead()
    }
}

/// An image of a layout.
#[derive(Debug)]
pub(crate) struct Layout<F> {
    files: F,
    selector: Selector,
    options: PullOptions,
    progress: Progress,
    /// The images, where no `index.json` lists them.
    given: Option<ImageIndex>,
}

impl<F: LayoutFiles> Layout<F> {
    pub(crate) fn new(files: F, selector: &Selector, options: &PullOptions, progress: &Progress) -> Self {
        let (selector, options, progress) = (selector.clone(), options.clone(), progress.clone());
        Self { files, selector, options, progress, given: None }
    }

    /// Takes the images from `index`.
    pub(crate) fn with_index(self, index: ImageIndex) -> Self {
        Self { given: Some(index), ..self }
    }

    fn unusable(&self, reason: impl Into<String>) -> PullError {
        PullError::layout(self.files.path(), reason)
    }

    fn index(&self) -> Result<ImageIndex, PullError> {
        if let Some(given) = &self.given {
            return Ok(given.clone());
        }
        let Some(stored) = self.files.open("index.json")? else {
            let reason = "it has no index.json, so it is no OCI image layout";
            return Err(self.files.instead().error(self.files.path(), reason));
        };
        let bytes = read_stored(&stored, self.options.manifest_cap(), "index.json")?;
        ImageIndex::parse_within(&bytes, &self.options.budget)
            .map_err(PullError::document(format!("index.json of {}", self.files.path())))
    }

    fn blob(&self, digest: &Digest) -> Result<Stored, PullError> {
        self.files
            .open(&blob_name(digest))?
            .ok_or_else(|| self.unusable(format!("it lacks the blob {digest}")))
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
        let entries = index.manifests.iter().chain(&index.vague);
        let names: BTreeSet<String> =
            entries.filter_map(|entry| names_of(entry).first().map(|name| one_line(name))).collect();
        let reference = format!("{}{}", self.files.path(), self.selector);
        PullError::UnknownImage { reference, detail: names_there_are(&names) }
    }
}

/// How many names a message lists.
const MAX_LISTED: usize = 20;

/// Says which names the images of a layout or archive have.
pub(super) fn names_there_are(names: &BTreeSet<String>) -> String {
    let list: Vec<&str> = names.iter().take(MAX_LISTED).map(String::as_str).collect();
    match names.len().saturating_sub(MAX_LISTED) {
        _ if list.is_empty() => "none of its images has a name, so choose by PATH@sha256:…".to_owned(),
        0 => format!("it has {}", list.join(", ")),
        more => format!("it has {} and {more} more", list.join(", ")),
    }
}

/// The name of a blob in a layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// Reads a file that must not be larger than `cap`.
pub(crate) fn read_stored(stored: &Stored, cap: Cap, what: &str) -> Result<Vec<u8>, PullError> {
    cap.check(stored.len, what)?;
    let mut bytes = Vec::new();
    stored.plain_reader().read_to_end(&mut bytes).map_err(PullError::io("read", &stored.path))?;
    Ok(bytes)
}

impl<F: LayoutFiles> ImageSource for Layout<F> {
    fn companions(&self) -> Option<&dyn Companions> {
        Some(self)
    }

    fn root(&self) -> Result<Root, PullError> {
        let index = self.index()?;
        let has_digest = |entry: &Descriptor, digest: &Digest| entry.digest == *digest;
        let select = |entries| -> Vec<Descriptor> {
            select(entries, &self.selector, |entry| names_of(entry), has_digest)
                .into_iter()
                .cloned()
                .collect()
        };
        let chosen = ImageIndex {
            manifests: select(&index.manifests),
            vague: select(&index.vague),
            passed_over: index.passed_over.clone(),
        };
        if chosen.manifests.len() + chosen.vague.len() > 0 {
            return Ok(Root::Choice(chosen));
        }
        let Selector::Digest(digest) = &self.selector else { return Err(self.unknown(&index)) };
        // A manifest inside an index is as good as one of the list.
        let stored = self.blob(digest).map_err(|_| self.unknown(&index))?;
        let cap = self.options.manifest_cap();
        let bytes = read_stored(&stored, cap, &format!("manifest {digest}"))?;
        let size = bytes.len() as u64;
        Descriptor::new(String::new(), digest.clone(), size).check(&bytes, stored.path.as_str())?;
        Ok(Root::Document(Document { digest: digest.clone(), bytes, media_type: None }))
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
        // A layer that is listed twice is opened once.
        let mut wanted: Vec<&Digest> = Vec::new();
        let mut contents: HashMap<&Digest, Option<Content>> = HashMap::new();
        for descriptor in descriptors {
            if contents.contains_key(&descriptor.digest) {
                continue;
            }
            let embedded = match descriptor.embedded()? {
                Some(bytes) => Some(Stored::from_bytes(&bytes, self.files.path())?),
                None => {
                    wanted.push(&descriptor.digest);
                    None
                }
            };
            contents.insert(&descriptor.digest, embedded.map(|stored| Content::Stored(Arc::new(stored))));
        }
        let names: Vec<String> = wanted.iter().map(|digest| blob_name(digest)).collect();
        for (digest, stored) in wanted.into_iter().zip(self.files.open_all(&names)?) {
            let stored = stored.ok_or_else(|| self.unusable(format!("it lacks the blob {digest}")))?;
            contents.insert(digest, Some(Content::Stored(Arc::new(stored))));
        }
        descriptors
            .iter()
            .map(|descriptor| {
                self.progress.emit(PullEvent::LayerCached {
                    digest: descriptor.digest.clone(),
                    size_bytes: descriptor.size,
                });
                let content = contents.get(&descriptor.digest).cloned().flatten();
                content.ok_or_else(|| self.unusable(format!("it lacks the blob {}", descriptor.digest)))
            })
            .collect()
    }
}
