//! What to commit, and where to.

use banger_oci::{LayerCompression, PullOptions, Puller, Reference};

/// Which disk becomes an image, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommitRequest {
    /// The disk, which is only read: a managed image, for example that of a machine which was kept, by name, id or unique
    /// beginning of an id; else the path of an ext4 file. A text with a slash is always a path.
    pub disk: String,
    /// The managed image that the disk was a copy of, by name, id or unique beginning of an id. Another image is no
    /// error: the layer is larger then.
    pub base: String,
    /// The target: a name in a registry, an OCI layout, which may have other images, or an OCI archive.
    pub target: Reference,
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
    /// A repository of the target's registry that may have layers of the base: they are not sent again. Default: the
    /// repository that the base was pulled from.
    pub mount_from: Option<Reference>,
    /// Options of requests: parallel uploads, registries, certificates, credentials.
    pub pull: PullOptions,
    /// The puller, whose threads and connections several calls may share; `None` makes a new one.
    pub puller: Option<Puller>,
}

impl CommitRequest {
    /// Returns the request to write to `target` what `disk` has and `base` has not, as a layer on the layers of `base`.
    pub fn new(disk: impl Into<String>, base: impl Into<String>, target: Reference) -> Self {
        Self {
            disk: disk.into(),
            base: base.into(),
            target,
            squash: false,
            compression: LayerCompression::default(),
            comment: None,
            author: None,
            created_seconds: None,
            mount_from: None,
            pull: PullOptions::default(),
            puller: None,
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
        with_mount_from => mount_from: Option<Reference>,
        with_pull => pull: PullOptions,
        with_puller => puller: Option<Puller>,
    }
}
