//! Options and limits of a pull.

use std::sync::Arc;
use std::time::Duration;

use banger_tree::{Budget, ChildSetup, Cost, OverBudget, Setting};
use camino::Utf8PathBuf;

use crate::platform::Platform;
use crate::registry::auth::CredentialSource;
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::local_sources::LocalSources;
use crate::registry::policy::PullPolicy;
use crate::registry::proxy::ProxySettings;
use crate::registry::registries::RegistriesConfig;
use crate::registry::repository_use::RepositoryUse;
use crate::registry::source::{ArchiveInput, BlobSource};
use crate::registry::trust::TrustPolicy;
use crate::registry::wanted::Wanted;

/// How an image is pulled.
///
/// ```
/// use banger_oci::PullOptions;
///
/// let options = PullOptions::default().with_jobs(8).with_plain_http(true);
/// assert_eq!(options.jobs, 8);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PullOptions {
    /// The wanted platform; `None` is that of this machine.
    pub platform: Option<Platform>,
    /// How many layers are downloaded at a time. Default: 4.
    pub jobs: usize,
    /// Use plain http for the registry. For registries of this machine (`localhost`, `127.0.0.0/8`, `[::1]`)
    /// plain http is used anyway if https does not answer.
    pub plain_http: bool,
    /// A file with trusted PEM certificates, in addition to those of the system.
    pub ca_cert: Option<Utf8PathBuf>,
    /// Directories with a subdirectory for each registry, `HOST[:PORT]`. It has `*.crt` for trusted certificates, and
    /// `NAME.cert` with `NAME.key` for the client. The first directory that has something for a registry counts.
    /// Default: no directory.
    pub certs_dirs: Vec<Utf8PathBuf>,
    /// A directory of this kind for all registries, in the place of [`certs_dirs`](Self::certs_dirs).
    pub cert_dir: Option<Utf8PathBuf>,
    /// A PEM file with a certificate of this client, for registries that ask for one.
    pub client_cert: Option<Utf8PathBuf>,
    /// The PEM file with its private key.
    pub client_key: Option<Utf8PathBuf>,
    /// The proxies of requests. Default: no proxy; the environment is not read.
    pub proxy: ProxySettings,
    /// Mirrors, other locations and short names. Default: no configuration; no file is read.
    pub registries: RegistriesConfig,
    /// When a registry is asked. Default: always.
    pub policy: PullPolicy,
    /// Sources of user names and passwords. Default: no source, pulls are anonymous.
    pub credentials: CredentialSource,
    /// Prepares the credential helpers before they start.
    pub child_setup: ChildSetup,
    /// How often a request is made in vain before the pull fails. Default: 5.
    pub attempts: u32,
    /// The pause after the first failed attempt; it doubles with each further attempt. Default: 500 ms.
    pub backoff: Duration,
    /// The longest pause between two attempts, also if Retry-After asks for more. Default: 60 s.
    pub max_backoff: Duration,
    /// How long to wait for a connection. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long a transfer may stand still before it counts as broken. Default: 30 s.
    pub stall_timeout: Duration,
    /// The lowest rate of a transfer in bytes per second, over [`rate_window`](Self::rate_window). A slower
    /// transfer counts as broken; 0 allows any rate. Default: 1 KiB.
    pub min_rate_bytes: u64,
    /// How long a transfer may be slower than [`min_rate_bytes`](Self::min_rate_bytes). Default: 30 s.
    pub rate_window: Duration,
    /// The highest rate of all downloads of a pull together, in bytes per second; 0 allows any rate. Default: 0.
    pub limit_rate_bytes: u64,
    /// How long a server may hold up the download of a large layer before free [`jobs`](Self::jobs) help with it.
    /// Default: 1 s.
    pub split_after: Duration,
    /// The smallest piece of a layer that several connections download; a layer needs sixteen times as much.
    /// `u64::MAX` leaves all layers whole. Default: 1 MiB.
    pub min_piece_bytes: u64,
    /// The longest time that all pauses between attempts take together. Default: 10 min.
    pub max_wait: Duration,
    /// The longest time of all requests of a pull together. Default: 12 h.
    pub max_time: Duration,
    /// Limits on the cost of the image. Default: the default limits.
    pub budget: Budget,
    /// The largest manifest or index. Default: 4 MiB, the size that registries must accept.
    pub max_manifest_bytes: u64,
    /// The largest image configuration that is read. Default: 16 MiB.
    pub max_config_bytes: u64,
    /// The largest total of compressed layers. Default: 1 TiB.
    pub max_download_bytes: u64,
    /// Where the daemons and the storage of this machine are. Default: nothing is known.
    pub local: LocalSources,
    /// The archive for `docker-archive:-` and `oci-archive:-`. Default: none.
    pub input: Option<ArchiveInput>,
    /// Gives all blobs, in the place of the source that the reference names. Default: none.
    pub blob_source: Option<Arc<dyn BlobSource>>,
    /// Which images may be pulled, by their signatures. Default: no policy, every image.
    pub trust: Option<TrustPolicy>,
    /// Fetch the artifacts that refer to the image: SBOMs, attestations, signatures. Default: no.
    pub referrers: bool,
    /// The largest number of such artifacts. Default: 64.
    pub max_referrers: usize,
    /// The largest total of such artifacts, which are kept in memory. Default: 32 MiB.
    pub max_referrer_bytes: u64,
    /// The kind of content.
    pub(crate) wanted: Wanted,
    /// The use of the repository.
    pub(crate) repository_use: RepositoryUse,
    /// Whether no layer is fetched.
    pub(crate) documents_only: bool,
}

banger_tree::setters! {
    PullOptions {
        with_platform => platform: Option<Platform>,
        with_jobs => jobs: usize,
        with_plain_http => plain_http: bool,
        with_ca_cert => ca_cert: Option<Utf8PathBuf>,
        with_certs_dirs => certs_dirs: Vec<Utf8PathBuf>,
        with_cert_dir => cert_dir: Option<Utf8PathBuf>,
        with_client_cert => client_cert: Option<Utf8PathBuf>,
        with_client_key => client_key: Option<Utf8PathBuf>,
        with_proxy => proxy: ProxySettings,
        with_registries => registries: RegistriesConfig,
        with_policy => policy: PullPolicy,
        with_credentials => credentials: CredentialSource,
        with_child_setup => child_setup: ChildSetup,
        with_attempts => attempts: u32,
        with_backoff => backoff: Duration,
        with_max_backoff => max_backoff: Duration,
        with_connect_timeout => connect_timeout: Duration,
        with_stall_timeout => stall_timeout: Duration,
        with_min_rate_bytes => min_rate_bytes: u64,
        with_rate_window => rate_window: Duration,
        with_limit_rate_bytes => limit_rate_bytes: u64,
        with_split_after => split_after: Duration,
        with_min_piece_bytes => min_piece_bytes: u64,
        with_max_wait => max_wait: Duration,
        with_max_time => max_time: Duration,
        with_budget => budget: Budget,
        with_max_manifest_bytes => max_manifest_bytes: u64,
        with_max_config_bytes => max_config_bytes: u64,
        with_max_download_bytes => max_download_bytes: u64,
        with_local => local: LocalSources,
        with_input => input: Option<ArchiveInput>,
        with_blob_source => blob_source: Option<Arc<dyn BlobSource>>,
        with_trust => trust: Option<TrustPolicy>,
        with_referrers => referrers: bool,
        with_max_referrers => max_referrers: usize,
        with_max_referrer_bytes => max_referrer_bytes: u64,
    }
}

impl PullOptions {
    /// Checks the number of layers of `what`.
    pub(crate) fn check_layers(&self, layers: usize, what: &str) -> Result<(), PullError> {
        let limit = self.budget.limit(Cost::Layers);
        match layers as u64 > limit {
            true => Err(PullError::over_budget(what)(OverBudget { cost: Cost::Layers, limit })),
            false => Ok(()),
        }
    }

    pub(crate) fn manifest_cap(&self) -> Cap {
        Cap::new(self.max_manifest_bytes, Setting("max_manifest_bytes"))
    }

    pub(crate) fn config_cap(&self) -> Cap {
        Cap::new(self.max_config_bytes, Setting("max_config_bytes"))
    }

    pub(crate) fn download_cap(&self) -> Cap {
        Cap::new(self.max_download_bytes, Setting("max_download_bytes"))
    }
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            platform: None,
            jobs: 4,
            plain_http: false,
            ca_cert: None,
            certs_dirs: Vec::new(),
            cert_dir: None,
            client_cert: None,
            client_key: None,
            proxy: ProxySettings::default(),
            registries: RegistriesConfig::default(),
            policy: PullPolicy::default(),
            credentials: CredentialSource::default(),
            child_setup: ChildSetup::default(),
            attempts: 5,
            backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            min_rate_bytes: 1 << 10,
            rate_window: Duration::from_secs(30),
            limit_rate_bytes: 0,
            split_after: Duration::from_secs(1),
            min_piece_bytes: 1 << 20,
            max_wait: Duration::from_secs(600),
            max_time: Duration::from_secs(12 * 3600),
            budget: Budget::default(),
            max_manifest_bytes: 4 << 20,
            max_config_bytes: 16 << 20,
            max_download_bytes: 1 << 40,
            local: LocalSources::default(),
            input: None,
            blob_source: None,
            trust: None,
            referrers: false,
            max_referrers: 64,
            max_referrer_bytes: 32 << 20,
            wanted: Wanted::Image,
            repository_use: RepositoryUse::Pull,
            documents_only: false,
        }
    }
}
