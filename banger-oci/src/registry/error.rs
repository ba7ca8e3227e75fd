//! Errors of a pull.

use std::io;
use std::sync::Arc;

use banger_tree::{Advice, ErrorKind, Failure as _, OverBudget, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use crate::digest::Digest;
use crate::one_line::one_line;
use crate::reference::ReferenceError;
use crate::registry::json::JsonError;
use crate::registry::trust::TrustError;

mod failure;
mod foreign;
mod listed;

pub(crate) use failure::is_transient_status;
pub use listed::{EndpointFailure, FittingImage};
use listed::{list_of_failures, list_of_images};

/// Error of a pull. Each message is one line; [`advice`](banger_tree::Failure::advice) has the next step.
///
/// The type is cheap to clone: the same failure of a download reaches every reader of the layer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The reference does not parse.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The registry, layout or archive exists, but not the image.
    #[error("there is no image `{reference}`: {detail}")]
    UnknownImage {
        /// The value asked for.
        reference: String,
        /// The message of the registry, or the existing tags.
        detail: String,
    },
    /// The image exists, for other platforms only.
    #[error("`{reference}` is not built for {wanted}, only for {}", available.join(", "))]
    NoPlatform {
        /// The value asked for.
        reference: String,
        /// The platform asked for.
        wanted: String,
        /// The existing platforms.
        available: Vec<String>,
    },
    /// Several images fit the reference.
    #[error("`{reference}` fits {count} images: {}", list_of_images(images, *count))]
    Ambiguous {
        /// The value asked for.
        reference: String,
        /// How many images fit.
        count: usize,
        /// The first of them.
        images: Vec<FittingImage>,
        /// The way to choose one.
        advice: Advice,
    },
    /// The configuration of an image names another platform than its index.
    #[error("the index says that image {digest} is built for {stated}, its configuration says {found}")]
    PlatformMismatch {
        /// The image manifest.
        digest: Digest,
        /// The platform in the index.
        stated: String,
        /// The platform in the configuration.
        found: String,
    },
    /// The registry or its token server refuses access.
    #[error("{host} refuses access: {detail}")]
    Unauthorized {
        /// The host that refused.
        host: String,
        /// Its message.
        detail: String,
    },
    /// A credential helper failed, hung, or does not exist.
    #[error("credential helper {helper} {reason}")]
    CredentialHelper {
        /// The program's name.
        helper: String,
        /// The failure.
        reason: String,
        /// The configuration file that names it.
        config: Utf8PathBuf,
    },
    /// A file with credentials cannot be read or understood.
    #[error("cannot use the credentials in {path}: {reason}")]
    CredentialFile {
        /// The file.
        path: Utf8PathBuf,
        /// The reason.
        reason: String,
    },
    /// The registry names a token server that must not be given credentials.
    #[error("{registry} names an unacceptable token server {realm}: {reason}")]
    Realm {
        /// The registry.
        registry: String,
        /// The address it gave.
        realm: String,
        /// The reason.
        reason: String,
    },
    /// No answer from a host, after all attempts.
    #[error("cannot reach {host}: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// The last failure.
        reason: String,
        /// The next step.
        advice: Advice,
        /// Whether a later attempt may succeed.
        is_transient: bool,
    },
    /// The host answered with an error status, after all attempts.
    #[error("{host} answered {status} to {method} {path}: {detail}")]
    Status {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The method of the request.
        method: &'static str,
        /// The path of the request.
        path: String,
        /// Its message.
        detail: String,
    },
    /// A redirect that must not be followed.
    #[error("{host} redirects to {target}: {reason}")]
    Redirect {
        /// The host that redirects.
        host: String,
        /// The target.
        target: String,
        /// Why that is refused.
        reason: String,
    },
    /// A blob does not fit its descriptor. It is not kept.
    #[error("blob {digest} from {origin} is refused: {reason}")]
    Mismatch {
        /// The digest of the descriptor.
        digest: Digest,
        /// The host or file it came from.
        origin: String,
        /// The wrong size or digest, and the expected one.
        reason: String,
    },
    /// A manifest, index or configuration cannot be understood.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// Which document.
        what: String,
        /// The reason.
        reason: String,
    },
    /// The manifest is of an artifact that is not an image.
    #[error("{what} is not a container image: {reason}")]
    NotAnImage {
        /// Which manifest.
        what: String,
        /// The actual kind of document.
        reason: String,
    },
    /// A manifest in the format before 2016.
    #[error("{what} is a schema 1 manifest, which is not supported")]
    Schema1 {
        /// Which manifest.
        what: String,
    },
    /// The numbers of layers in the manifest and in its configuration differ, or the image has no layers.
    #[error("image {digest} has {layers} layers and {diff_ids} diff_ids")]
    LayerCount {
        /// The manifest.
        digest: Digest,
        /// Layers in the manifest.
        layers: usize,
        /// Entries of `rootfs.diff_ids` in the configuration.
        diff_ids: usize,
    },
    /// Something is larger than the caller allows.
    #[error("{what} is {size_bytes} bytes large, more than the {limit_bytes} that are allowed")]
    TooLarge {
        /// The object that is too large.
        what: String,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
        /// The field of [`PullOptions`](crate::PullOptions) that sets the limit.
        setting: Setting,
    },
    /// An image layout or archive is broken.
    #[error("{path} is not usable: {reason}")]
    Layout {
        /// The directory or archive.
        path: Utf8PathBuf,
        /// The reason.
        reason: String,
        /// The next step, if there is one.
        advice: Option<Advice>,
        /// Whether it may be a root file system, of which a file system can be built without an image.
        may_be_root: bool,
    },
    /// A file of this machine cannot be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// The error.
        source: Arc<io::Error>,
    },
    /// The environment lacks a need of the pull: a directory for the cache, certificates, threads.
    #[error("{reason}")]
    Environment {
        /// The missing part, and the next step.
        reason: String,
    },
    /// A server takes longer than the caller allows.
    #[error("{what} takes too long: {reason}")]
    TooSlow {
        /// The slow operation.
        what: String,
        /// How slow it was.
        reason: String,
        /// The next step, with the option that sets the limit.
        advice: Advice,
    },
    /// The registry answered with a page for people, as a login page or a proxy does.
    #[error("{who} answered with a web page{title} where {what} was expected ({host})")]
    WebPage {
        /// Who answered: the registry or the token server.
        who: &'static str,
        /// The host that answered.
        host: String,
        /// The title of the page, with a space and quotes, or nothing.
        title: String,
        /// The value asked for.
        what: String,
    },
    /// A blob of the cache was damaged. It has been removed, and cannot be fetched again.
    #[error(
        "blob {digest} in the cache {cache} was damaged and has been removed; fetching it again failed: {source}"
    )]
    CacheDamaged {
        /// The blob.
        digest: Digest,
        /// The directory of the cache.
        cache: Utf8PathBuf,
        /// Why it cannot be fetched.
        source: Box<PullError>,
    },
    /// A file or directory of the cache was not made by banger.
    #[error("{path} of the cache is not usable: {reason}")]
    CachePlace {
        /// The file or directory.
        path: Utf8PathBuf,
        /// The reason.
        reason: String,
        /// The next step.
        advice: Advice,
    },
    /// The image costs more than the caller allows.
    #[error("{what}: {over}")]
    OverBudget {
        /// The exceeded limit.
        what: String,
        /// Which limit was reached.
        over: OverBudget,
    },
    /// A file or directory with the configuration of registries cannot be used.
    #[error("cannot use the registries configuration {path}: {reason}")]
    RegistriesFile {
        /// The file or directory.
        path: Utf8PathBuf,
        /// The reason.
        reason: String,
    },
    /// The configuration of registries forbids the pull.
    #[error("{path} blocks `{reference}`")]
    Blocked {
        /// The value asked for.
        reference: String,
        /// The file with the configuration.
        path: Utf8PathBuf,
    },
    /// No place has the image, or a part of it.
    #[error("{what} cannot be had from any of {} places: {}", failures.len(), list_of_failures(failures))]
    Endpoints {
        /// The value asked for.
        what: String,
        /// The places in the order in which they were asked, each with its failure.
        failures: Vec<EndpointFailure>,
        /// The failure of the last one.
        last: Box<PullError>,
    },
    /// The pull policy forbids requests, and the image is not complete in the cache.
    #[error("{what} is not in the cache, and the pull policy forbids a download")]
    NotCached {
        /// The missing part.
        what: String,
    },
    /// The address of a proxy cannot be used.
    #[error("cannot use the proxy {proxy}: {reason}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// The reason.
        reason: String,
    },
    /// A name without a registry has no single meaning.
    #[error("the short name `{name}` has no single meaning: {reason}")]
    ShortName {
        /// The name.
        name: String,
        /// The reason.
        reason: String,
    },
    /// No file or helper has credentials for the registry.
    #[error("there are no credentials for {registry}")]
    NoCredentials {
        /// The registry.
        registry: String,
    },
    /// The image is not trusted, or the policy cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// More artifacts refer to the image than the caller allows.
    #[error("more than {limit} artifacts refer to {subject}")]
    TooManyReferrers {
        /// The image manifest or index.
        subject: Digest,
        /// The limit.
        limit: usize,
    },
    /// The handler of the pull's events panicked, or a task of the pull did.
    #[error("{who} panicked: {message}")]
    Panicked {
        /// The part that panicked.
        who: &'static str,
        /// The message of the panic.
        message: String,
    },
    /// The input that a reference means is missing, or is no archive.
    #[error("the input is not usable: {reason}")]
    Input {
        /// The reason.
        reason: String,
        /// The next step.
        advice: Advice,
    },
    /// A daemon of this machine does not export an image.
    #[error("{socket} gives no image: {reason}")]
    Daemon {
        /// The socket of the daemon.
        socket: Utf8PathBuf,
        /// The reason.
        reason: String,
        /// The kind of failure.
        kind: ErrorKind,
        /// The next step.
        advice: Advice,
    },
    /// The storage of another program on this machine cannot be read.
    #[error("{path} cannot be read as a store of images: {reason}")]
    LocalStore {
        /// The directory or file.
        path: Utf8PathBuf,
        /// The reason.
        reason: String,
        /// The kind of failure.
        kind: ErrorKind,
        /// The next step.
        advice: Advice,
    },
    /// The [`BlobSource`](crate::BlobSource) of the caller fails.
    #[error("the given source cannot give {what}: {source}")]
    BlobSource {
        /// The blob, or the reference.
        what: String,
        /// The error.
        source: Arc<io::Error>,
    },
    /// The caller's [`Cancellation`](banger_tree::Cancellation) stopped the pull.
    #[error("the pull was cancelled")]
    Cancelled,
}

impl PullError {
    /// A number that stays the same for this kind of failure in all versions.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::Reference(_) => 100,
            Self::UnknownImage { .. } => 101,
            Self::NoPlatform { .. } => 102,
            Self::Unauthorized { .. } => 103,
            Self::CredentialHelper { .. } => 104,
            Self::CredentialFile { .. } => 105,
            Self::Realm { .. } => 106,
            Self::Unreachable { .. } => 107,
            Self::Status { .. } => 108,
            Self::Redirect { .. } => 109,
            Self::Mismatch { .. } => 110,
            Self::Malformed { .. } => 111,
            Self::NotAnImage { .. } => 112,
            Self::Schema1 { .. } => 113,
            Self::LayerCount { .. } => 114,
            Self::TooLarge { .. } => 115,
            Self::Layout { .. } => 116,
            Self::Io { .. } => 117,
            Self::Environment { .. } => 118,
            Self::Cancelled => 119,
            Self::TooSlow { .. } => 130,
            Self::WebPage { .. } => 131,
            Self::CacheDamaged { .. } => 132,
            Self::CachePlace { .. } => 133,
            Self::Ambiguous { .. } => 120,
            Self::PlatformMismatch { .. } => 121,
            Self::OverBudget { .. } => 134,
            Self::Panicked { .. } => 135,
            Self::Input { .. } => 1160,
            Self::Daemon { .. } => 1161,
            Self::LocalStore { .. } => 1162,
            Self::BlobSource { .. } => 1163,
            Self::RegistriesFile { .. } => 1180,
            Self::Blocked { .. } => 1181,
            Self::Endpoints { .. } => 1182,
            Self::NotCached { .. } => 1183,
            Self::Proxy { .. } => 1184,
            Self::ShortName { .. } => 1185,
            Self::NoCredentials { .. } => 1186,
            Self::Trust(error) => error.code(),
            Self::TooManyReferrers { .. } => 1240,
        }
    }

    /// Returns the pull error inside an [`io::Error`] of a [`LayerReader`](crate::LayerReader), also if a
    /// decompressor passed it on.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<&Self> {
        let mut inner: &(dyn std::error::Error + 'static) = error.get_ref()?;
        loop {
            if let Some(found) = inner.downcast_ref::<Self>() {
                return Some(found);
            }
            inner = match inner.downcast_ref::<io::Error>() {
                Some(nested) => nested.get_ref()?,
                None => inner.source()?,
            };
        }
    }

    /// Makes errors for JSON documents that cannot be used.
    pub(crate) fn document(what: impl Into<String>) -> impl FnOnce(JsonError) -> Self {
        let what = what.into();
        move |error| match error {
            JsonError::Malformed(reason) => Self::Malformed { what, reason: one_line(&reason) },
            JsonError::OverBudget(over) => Self::OverBudget { what, over },
        }
    }

    /// A layout or archive that is broken.
    pub(crate) fn layout(path: &Utf8Path, reason: impl Into<String>) -> Self {
        Self::Layout { path: path.to_owned(), reason: reason.into(), advice: None, may_be_root: false }
    }

    pub(crate) fn over_budget(what: impl Into<String>) -> impl FnOnce(OverBudget) -> Self {
        let what = what.into();
        move |over| Self::OverBudget { what, over }
    }

    /// Who reads a layer and asks no further must not take a network that fails for damage.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match self.kind() {
            ErrorKind::Network => io::ErrorKind::ConnectionAborted,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }

    pub(crate) fn io(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: Arc::new(source) }
    }
}
