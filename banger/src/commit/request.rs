//! What to commit, and where to.

use banger_oci::LayerCompression;
use camino::Utf8PathBuf;

/// Which disk becomes an image, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommitRequest {
    /// The ext4 file. It is only read.
    pub disk: Utf8PathBuf,
    /// The managed image that the disk was a copy of, by name, id or unique beginning of an id. Another image is no
    /// error: the layer is larger then.
    pub base: String,
    /// Whether the image has the whole disk as its only layer.
    pub squash: bool,
    /// Compression of the new layer. Default: gzip.
    pub compression: LayerCompression,
    /// Comment in the history.
    pub comment: Option<String>,
    /// Author in the configuration and the history.
    pub author: Option<String>,
    /// Time of creation in seconds since 1970; `None` is now. Equal requests with a time give equal bytes.
    pub created_seconds: Option<i64>,
}

impl CommitRequest {
    /// Returns the request to write what `disk` has and `base` has not as a layer on the layers of `base`.
    pub fn new(disk: impl Into<Utf8PathBuf>, base: impl Into<String>) -> Self {
        Self {
            disk: disk.into(),
            base: base.into(),
            squash: false,
            compression: LayerCompression::default(),
            comment: None,
            author: None,
            created_seconds: None,
        }
    }
}

banger_tree::setters! {
    CommitRequest {
        with_squash => squash: bool,
        with_compression => compression: LayerCompression,
        with_comment => comment: Option<String>,
        with_author => author: Option<String>,
        with_created_seconds => created_seconds: Option<i64>,
    }
}

/// Where an image is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitTarget {
    /// A new OCI image layout.
    OciLayout {
        /// The directory, which is missing or empty.
        dir: Utf8PathBuf,
        /// The tag of the image in it.
        tag: String,
    },
}

impl CommitTarget {
    /// The tag of a layout, if none is named.
    pub const DEFAULT_TAG: &'static str = "latest";

    /// Returns the layout in the directory `dir`, which is missing or empty.
    pub fn oci_layout(dir: impl Into<Utf8PathBuf>, tag: Option<String>) -> Self {
        Self::OciLayout { dir: dir.into(), tag: tag.unwrap_or_else(|| Self::DEFAULT_TAG.to_owned()) }
    }
}
