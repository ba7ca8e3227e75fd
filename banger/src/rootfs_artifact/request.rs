//! Requests for pushes of managed images.

use std::sync::Arc;

use banger_oci::{PullOptions, Puller, Reference, SigningKey};
use camino::Utf8PathBuf;

/// Which image to push, and where to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImagePushRequest {
    /// Name, id or unique beginning of an id of the managed image.
    pub image: String,
    /// The target: a name in a registry, an OCI layout or an OCI archive.
    pub target: Reference,
    /// A repository of the same registry that may have some of the windows: they are not sent again.
    pub mount_from: Option<Reference>,
    /// The key that signs the image after the push.
    pub sign_key: Option<Arc<SigningKey>>,
    /// The file that gets a statement where the image comes from: SLSA provenance. An existing file is replaced. The
    /// statement lies beside the pushed image, too, as an artifact of the type
    /// [`PROVENANCE_TYPE`](crate::PROVENANCE_TYPE).
    pub attest: Option<Utf8PathBuf>,
    /// The time in the statement, in seconds since the epoch; `None` leaves it out.
    /// [`source_date_epoch`](crate::source_date_epoch) reads it from the environment.
    pub source_date_epoch: Option<i64>,
    /// Options of requests: parallel uploads, registries, certificates, credentials.
    pub pull: PullOptions,
    /// The puller, whose threads and connections several calls may share; `None` makes a new one.
    pub puller: Option<Puller>,
}

impl ImagePushRequest {
    /// Returns the request to push `image` to `target`.
    pub fn new(image: impl Into<String>, target: Reference) -> Self {
        let (image, pull) = (image.into(), PullOptions::default());
        Self {
            image,
            target,
            mount_from: None,
            sign_key: None,
            attest: None,
            source_date_epoch: None,
            pull,
            puller: None,
        }
    }
}

banger_tree::setters! {
    ImagePushRequest {
        with_mount_from => mount_from: Option<Reference>,
        with_sign_key => sign_key: Option<Arc<SigningKey>>,
        with_attest => attest: Option<Utf8PathBuf>,
        with_source_date_epoch => source_date_epoch: Option<i64>,
        with_pull => pull: PullOptions,
        with_puller => puller: Option<Puller>,
    }
}
