//! Requests of the library, made from options.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use pipeline::guest::NetworkConfig;
use pipeline::{
    BuildRequest, ChildSetup, Cost, Credential, CredentialSource, FileSystemOptions, GuestBinary,
    GuestOptions, ImageSize, JournalSize, Limits, OutputFd, ProxySettings, PublicKey, PullError, PullOptions,
    PullRequest, Reference, RegisterRequest, RegistriesConfig, TrustPolicy, Uuid, parse_init_mode,
    parse_uuid,
};

use crate::error::Fault;
use crate::option_reader::OptionReader;
use crate::options::{banger_option, banger_option::*};
use crate::signals::unblock_in_child;
use crate::sources::set_sources;

/// How long a credential helper may take where nothing is said.
const HELPER_TIMEOUT_MS: u64 = 30_000;

/// Where a pull puts its image.
#[derive(Debug)]
pub(crate) enum PullTarget {
    Store,
    File(Utf8PathBuf),
    Fd(OutputFd),
}

/// Returns the request of a pull, whose options depend on its target. `call` is its name.
pub(crate) fn pull_request(
    reference: Reference,
    given: OptionReader<'_>,
    target: &PullTarget,
    call: &str,
) -> Result<PullRequest, Fault> {
    let mut request = PullRequest::new(reference);
    if matches!(target, PullTarget::Store) {
        request.name = given.parsed(BANGER_OPT_NAME)?;
    }
    // An open file is written in place, by the native backend.
    if !matches!(target, PullTarget::Fd(_)) {
        request.force = given.flag(BANGER_OPT_FORCE).unwrap_or(false);
        request.scratch_dir = path(&given, BANGER_OPT_SCRATCH_DIR);
        request.verity = given.parsed_text(BANGER_OPT_VERITY)?;
    }
    request.pull = pull_options(&given)?;
    // Beside a file of the caller there is no place for them.
    if matches!(target, PullTarget::Store) {
        request.pull.referrers = given.flag(BANGER_OPT_REFERRERS).unwrap_or(false);
    }
    request.rootfs_only = given.flag(BANGER_OPT_ROOTFS_ONLY).unwrap_or(false);
    request.limits = limits(&given)?;
    request.file_system = file_system(&given)?;
    request.backend = given.parsed(BANGER_OPT_BACKEND)?.unwrap_or_default();
    let guest = guest_options(&given)?;
    request.kernel_ref = given.text(BANGER_OPT_KERNEL_REF).map(str::to_owned);
    request.guest = given.flag(BANGER_OPT_INJECT).unwrap_or(true).then_some(guest);
    request.source_date_epoch = given.number(BANGER_OPT_SOURCE_DATE_EPOCH)?;
    given.finish(call)?;
    Ok(request)
}

/// Returns the request for an ext4 file that becomes a managed image.
pub(crate) fn register_request(rootfs: &Utf8Path, given: OptionReader<'_>) -> Result<RegisterRequest, Fault> {
    let request = RegisterRequest::new(rootfs)
        .with_name(given.parsed(BANGER_OPT_NAME)?)
        .with_kernel_ref(given.text(BANGER_OPT_KERNEL_REF).map(str::to_owned));
    given.finish("banger_image_register")?;
    Ok(request)
}

/// Returns the request for the metadata of an image.
pub(crate) fn metadata_request(
    reference: Reference,
    given: OptionReader<'_>,
    call: &str,
) -> Result<PullRequest, Fault> {
    let mut request = PullRequest::new(reference);
    request.pull = pull_options(&given)?;
    request.limits = limits(&given)?;
    given.finish(call)?;
    Ok(request)
}

/// Returns the request of a build.
pub(crate) fn build_request(
    source: Option<&Utf8Path>,
    given: OptionReader<'_>,
    call: &str,
) -> Result<BuildRequest, Fault> {
    let mut request = BuildRequest::empty();
    request.source = source.map(Utf8Path::to_owned);
    request.own_identity = given.flag(BANGER_OPT_OWN_IDENTITY).unwrap_or(false);
    if source.is_none() && !request.own_identity {
        // Who forgot the source shall not get an empty disk.
        return Err(Fault::argument(format!("source is NULL, and {BANGER_OPT_OWN_IDENTITY:?} is not set")));
    }
    request.limits = limits(&given)?;
    request.file_system = file_system(&given)?;
    request.backend = given.parsed(BANGER_OPT_BACKEND)?.unwrap_or_default();
    request.force = given.flag(BANGER_OPT_FORCE).unwrap_or(false);
    request.source_date_epoch = given.number(BANGER_OPT_SOURCE_DATE_EPOCH)?;
    request.scratch_dir = path(&given, BANGER_OPT_SCRATCH_DIR);
    request.child_setup = ChildSetup::new(unblock_in_child);
    given.finish(call)?;
    Ok(request)
}

/// Returns how an image is made to boot.
pub(crate) fn guest_options(given: &OptionReader<'_>) -> Result<GuestOptions, Fault> {
    let init = given.text(BANGER_OPT_INIT).map(parse_init_mode).transpose()?.unwrap_or_default();
    let binary = given.bytes(BANGER_OPT_GUEST_BINARY).map(GuestBinary::new);
    let dir = path(given, BANGER_OPT_GUEST_DIR);
    Ok(GuestOptions::default().with_init(init).with_dir(dir).with_binary(binary))
}

/// Returns how an image or a kernel is downloaded.
pub(crate) fn pull_options(given: &OptionReader<'_>) -> Result<PullOptions, Fault> {
    let mut options = connection_options(given)?;
    options.platform = given.parsed(BANGER_OPT_PLATFORM)?;
    if let Some(jobs) = given.number::<u16>(BANGER_OPT_JOBS)? {
        options.jobs = usize::from(jobs);
    }
    options.policy = given.parsed_text(BANGER_OPT_PULL_POLICY)?.unwrap_or_default();
    options.credentials = credentials(given)?;
    options.trust = trust(given)?;
    for (limit, key) in [
        (&mut options.min_rate_bytes, BANGER_OPT_MIN_RATE_BYTES),
        (&mut options.limit_rate_bytes, BANGER_OPT_LIMIT_RATE_BYTES),
        (&mut options.min_piece_bytes, BANGER_OPT_MIN_PIECE_BYTES),
        (&mut options.max_manifest_bytes, BANGER_OPT_MAX_MANIFEST_BYTES),
        (&mut options.max_config_bytes, BANGER_OPT_MAX_CONFIG_BYTES),
        (&mut options.max_download_bytes, BANGER_OPT_MAX_DOWNLOAD_BYTES),
    ] {
        put(limit, given.number(key)?);
    }
    for (time, key) in [
        (&mut options.rate_window, BANGER_OPT_RATE_WINDOW_MS),
        (&mut options.split_after, BANGER_OPT_SPLIT_AFTER_MS),
    ] {
        put(time, given.number(key)?.map(Duration::from_millis));
    }
    if let Some(urls) = given.number(BANGER_OPT_MAX_URLS)? {
        options.budget = options.budget.with_limit(Cost::Urls, urls);
    }
    set_sources(&mut options, given)?;
    Ok(options)
}

/// Returns how a push reaches its target.
pub(crate) fn push_options(given: &OptionReader<'_>) -> Result<PullOptions, Fault> {
    let mut options = connection_options(given)?;
    options.credentials = credentials(given)?;
    if let Some(jobs) = given.number::<u16>(BANGER_OPT_JOBS)? {
        options.jobs = usize::from(jobs);
    }
    Ok(options)
}

/// Returns how a registry is reached.
pub(crate) fn connection_options(given: &OptionReader<'_>) -> Result<PullOptions, Fault> {
    let mut options = PullOptions::default();
    let files = given.list(BANGER_OPT_REGISTRIES_CONF);
    match (given.text(BANGER_OPT_REGISTRIES), files) {
        (None | Some("none"), []) => {}
        (None, files) => {
            let files: Vec<Utf8PathBuf> = files.iter().map(Utf8PathBuf::from).collect();
            options.registries = RegistriesConfig::read(&files)?;
        }
        (Some("user"), []) => {
            let user = PullOptions::of_user()?;
            (options.registries, options.certs_dirs) = (user.registries, user.certs_dirs);
        }
        (Some("none" | "user"), _) => {
            return Err(Fault::argument(format!(
                "{BANGER_OPT_REGISTRIES:?} and {BANGER_OPT_REGISTRIES_CONF:?} exclude each other"
            )));
        }
        (Some(other), _) => {
            return Err(Fault::argument(format!(
                "{BANGER_OPT_REGISTRIES:?} cannot be {other:?}: it is \"none\" or \"user\""
            )));
        }
    }
    options.child_setup = ChildSetup::new(unblock_in_child);
    options.plain_http = given.flag(BANGER_OPT_PLAIN_HTTP).unwrap_or(false);
    options.ca_cert = path(given, BANGER_OPT_CA_CERT);
    let certs_dirs = given.list(BANGER_OPT_CERTS_DIR);
    if !certs_dirs.is_empty() {
        options.certs_dirs = certs_dirs.iter().map(Utf8PathBuf::from).collect();
    }
    options.cert_dir = path(given, BANGER_OPT_CERT_DIR);
    options.client_cert = path(given, BANGER_OPT_CLIENT_CERT);
    options.client_key = path(given, BANGER_OPT_CLIENT_KEY);
    options.proxy = proxy(given)?;
    put(&mut options.attempts, given.number(BANGER_OPT_ATTEMPTS)?);
    for (time, key) in [
        (&mut options.backoff, BANGER_OPT_BACKOFF_MS),
        (&mut options.max_backoff, BANGER_OPT_MAX_BACKOFF_MS),
        (&mut options.connect_timeout, BANGER_OPT_CONNECT_TIMEOUT_MS),
        (&mut options.stall_timeout, BANGER_OPT_STALL_TIMEOUT_MS),
        (&mut options.max_wait, BANGER_OPT_MAX_WAIT_MS),
        (&mut options.max_time, BANGER_OPT_MAX_TIME_MS),
    ] {
        put(time, given.number(key)?.map(Duration::from_millis));
    }
    Ok(options)
}

fn proxy(given: &OptionReader<'_>) -> Result<ProxySettings, Fault> {
    let exceptions = given.text(BANGER_OPT_NO_PROXY).map(str::to_owned);
    match (given.text(BANGER_OPT_PROXY), exceptions) {
        (None, None) => Ok(ProxySettings::default()),
        (None, Some(_)) => {
            Err(Fault::argument(format!("{BANGER_OPT_NO_PROXY:?} goes with {BANGER_OPT_PROXY:?}")))
        }
        (Some("environment"), exceptions) => {
            let found = ProxySettings::from_env();
            let exceptions = exceptions.or_else(|| found.no_proxy.clone());
            Ok(found.with_no_proxy(exceptions))
        }
        (Some(address), exceptions) => {
            let address = Some(address.to_owned());
            Ok(ProxySettings::default()
                .with_https(address.clone())
                .with_http(address)
                .with_no_proxy(exceptions))
        }
    }
}

/// Returns how a login is checked and where it is kept, and the credential.
pub(crate) fn login_request(given: OptionReader<'_>) -> Result<(PullOptions, Credential), Fault> {
    let mut options = connection_options(&given)?;
    options.credentials = login_files(&given)?;
    let token = given.text(BANGER_OPT_IDENTITY_TOKEN);
    let token = token.map(|token| Credential::IdentityToken(token.to_owned()));
    let password = password(&given)?;
    given.finish("banger_login")?;
    match (password, token) {
        (Some(credential), None) | (None, Some(credential)) => Ok((options, credential)),
        _ => Err(Fault::argument(format!(
            "a login needs {BANGER_OPT_USER:?} and {BANGER_OPT_PASSWORD:?}, or {BANGER_OPT_IDENTITY_TOKEN:?}"
        ))),
    }
}

/// Returns where logins are removed.
pub(crate) fn logout_request(given: OptionReader<'_>) -> Result<PullOptions, Fault> {
    let mut options = PullOptions::default();
    options.child_setup = ChildSetup::new(unblock_in_child);
    options.credentials = login_files(&given)?;
    given.finish("banger_logout")?;
    Ok(options)
}

/// Returns the files that keep logins.
fn login_files(given: &OptionReader<'_>) -> Result<CredentialSource, Fault> {
    let files = credential_files(given)?;
    match (given.text(BANGER_OPT_AUTH), files) {
        (None | Some("user"), None) => Ok(CredentialSource::User),
        (None, Some(files)) => Ok(files),
        (Some("user"), Some(_)) => Err(Fault::argument(format!(
            "{BANGER_OPT_AUTH:?} and {BANGER_OPT_AUTH_FILE:?} exclude each other"
        ))),
        (Some(other), _) => {
            Err(Fault::argument(format!("{BANGER_OPT_AUTH:?} cannot be {other:?} here: it is \"user\"")))
        }
    }
}

/// Returns the one source of credentials that the options name.
pub(crate) fn credentials(given: &OptionReader<'_>) -> Result<CredentialSource, Fault> {
    let auth = match given.text(BANGER_OPT_AUTH) {
        None => None,
        Some("anonymous") => Some(CredentialSource::Anonymous),
        Some("user") => Some(CredentialSource::User),
        Some(other) => {
            return Err(Fault::argument(format!(
                "{BANGER_OPT_AUTH:?} cannot be {other:?}: it is \"anonymous\" or \"user\""
            )));
        }
    };
    let password = password(given)?;
    let token = given.text(BANGER_OPT_IDENTITY_TOKEN);
    let token = token.map(|token| Credential::IdentityToken(token.to_owned()));
    let files = credential_files(given)?;
    let fixed = [password, token].map(|credential| credential.map(CredentialSource::Fixed));
    let mut sources = [auth, files].into_iter().chain(fixed).flatten();
    match (sources.next(), sources.next()) {
        (source, None) => Ok(source.unwrap_or_default()),
        _ => Err(Fault::argument("the options name more than one source of credentials")),
    }
}

fn password(given: &OptionReader<'_>) -> Result<Option<Credential>, Fault> {
    match (given.text(BANGER_OPT_USER), given.text(BANGER_OPT_PASSWORD)) {
        (None, None) => Ok(None),
        (Some(user), Some(password)) => {
            Ok(Some(Credential::Password { user: user.to_owned(), password: password.to_owned() }))
        }
        _ => Err(Fault::argument(format!("{BANGER_OPT_USER:?} and {BANGER_OPT_PASSWORD:?} go together"))),
    }
}

fn credential_files(given: &OptionReader<'_>) -> Result<Option<CredentialSource>, Fault> {
    let files = given.list(BANGER_OPT_AUTH_FILE);
    let helper_dir = path(given, BANGER_OPT_HELPER_DIR);
    let helper_timeout = given.number(BANGER_OPT_HELPER_TIMEOUT_MS)?;
    if files.is_empty() && (helper_dir.is_some() || helper_timeout.is_some()) {
        return Err(Fault::argument(format!("options of helpers go with {BANGER_OPT_AUTH_FILE:?}")));
    }
    Ok((!files.is_empty()).then(|| CredentialSource::Files {
        files: files.iter().map(Utf8PathBuf::from).collect(),
        helper_dir,
        helper_timeout: Duration::from_millis(helper_timeout.unwrap_or(HELPER_TIMEOUT_MS)),
    }))
}

/// Returns the keys or the policy that the options name; `None` if there are none.
fn trust(given: &OptionReader<'_>) -> Result<Option<TrustPolicy>, Fault> {
    let (keys, policy) = (given.list(BANGER_OPT_VERIFY_KEY), given.text(BANGER_OPT_POLICY));
    let failed = |error| Fault::from(PullError::from(error));
    match (keys, policy) {
        ([], None) => Ok(None),
        ([], Some(path)) => TrustPolicy::read(path.into()).map(Some).map_err(failed),
        (keys, None) => {
            let keys = keys.iter().map(|path| PublicKey::read(path.as_str().into()));
            let keys = keys.collect::<Result<Vec<_>, _>>().map_err(failed)?;
            Ok(Some(TrustPolicy::of_keys(keys)))
        }
        (_, Some(_)) => Err(Fault::argument(format!(
            "{BANGER_OPT_VERIFY_KEY:?} and {BANGER_OPT_POLICY:?} exclude each other"
        ))),
    }
}

fn limits(given: &OptionReader<'_>) -> Result<Limits, Fault> {
    let mut limits = Limits::default();
    for (limit, key) in [
        (&mut limits.max_content_bytes, BANGER_OPT_MAX_CONTENT_BYTES),
        (&mut limits.max_tar_bytes, BANGER_OPT_MAX_TAR_BYTES),
        (&mut limits.max_entries, BANGER_OPT_MAX_ENTRIES),
        (&mut limits.max_depth, BANGER_OPT_MAX_DEPTH),
        (&mut limits.max_file_bytes, BANGER_OPT_MAX_FILE_BYTES),
        (&mut limits.max_xattr_bytes, BANGER_OPT_MAX_XATTR_BYTES),
        (&mut limits.max_metadata_bytes, BANGER_OPT_MAX_METADATA_BYTES),
        (&mut limits.max_path_components, BANGER_OPT_MAX_PATH_COMPONENTS),
        (&mut limits.max_layers, BANGER_OPT_MAX_LAYERS),
        (&mut limits.max_extended_bytes, BANGER_OPT_MAX_EXTENDED_BYTES),
        (&mut limits.max_sparse_extents, BANGER_OPT_MAX_SPARSE_EXTENTS),
    ] {
        put(limit, given.number(key)?);
    }
    put(&mut limits.max_warnings, given.number(BANGER_OPT_MAX_WARNINGS)?);
    Ok(limits)
}

fn file_system(given: &OptionReader<'_>) -> Result<FileSystemOptions, Fault> {
    Ok(FileSystemOptions::default()
        .with_size(size(given)?)
        .with_inodes(given.number(BANGER_OPT_INODES)?)
        .with_label(given.text(BANGER_OPT_LABEL).unwrap_or_default().to_owned())
        .with_uuid(uuid(given)?)
        .with_journal(
            given.number(BANGER_OPT_JOURNAL_BYTES)?.map_or(JournalSize::Usual, JournalSize::of_bytes),
        )
        .with_reserved_blocks(given.number(BANGER_OPT_RESERVED_BLOCKS)?.unwrap_or(0)))
}

fn size(given: &OptionReader<'_>) -> Result<ImageSize, Fault> {
    let exact = given.number(BANGER_OPT_SIZE_BYTES)?;
    let least = given.number(BANGER_OPT_SIZE_AT_LEAST_BYTES)?;
    match (exact, least, given.number(BANGER_OPT_HEADROOM_BYTES)?) {
        (None, None, None) => Ok(ImageSize::DEFAULT),
        (Some(bytes), None, None) => Ok(ImageSize::Bytes(bytes)),
        (None, Some(at_least_bytes), None) => Ok(ImageSize::Auto { at_least_bytes }),
        (None, None, Some(headroom_bytes)) => Ok(ImageSize::Fit { headroom_bytes }),
        _ => Err(Fault::argument(format!(
            "{BANGER_OPT_SIZE_BYTES:?}, {BANGER_OPT_SIZE_AT_LEAST_BYTES:?} and {BANGER_OPT_HEADROOM_BYTES:?} \
             exclude each other"
        ))),
    }
}

pub(crate) fn uuid(given: &OptionReader<'_>) -> Result<Option<Uuid>, Fault> {
    Ok(given.text(BANGER_OPT_UUID).map(parse_uuid).transpose()?)
}

fn path(given: &OptionReader<'_>, key: banger_option) -> Option<Utf8PathBuf> {
    given.text(key).map(Utf8PathBuf::from)
}

fn put<T>(place: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *place = given;
    }
}

/// Returns the network of a guest.
pub(crate) fn network_config(given: &OptionReader<'_>) -> Result<NetworkConfig, Fault> {
    Ok(NetworkConfig::default()
        .with_interface(given.text(BANGER_OPT_NETWORK_INTERFACE).map(str::to_owned))
        .with_addresses(given.parsed_list(BANGER_OPT_NETWORK_ADDRESS)?)
        .with_gateways(given.parsed_list(BANGER_OPT_NETWORK_GATEWAY)?)
        .with_dns(given.parsed_list(BANGER_OPT_NETWORK_DNS)?)
        .with_hostname(given.text(BANGER_OPT_HOSTNAME).map(str::to_owned)))
}

/// Returns the variables of a program.
pub(crate) fn environment(given: &OptionReader<'_>) -> Result<Vec<(String, String)>, Fault> {
    variables(given, BANGER_OPT_EXEC_ENV)
}

/// Returns the variables under `key`.
pub(crate) fn variables(
    given: &OptionReader<'_>,
    key: banger_option,
) -> Result<Vec<(String, String)>, Fault> {
    let variable = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Fault::argument(format!("{key:?} cannot be {text:?}: it is NAME=VALUE"))),
    };
    given.list(key).iter().map(variable).collect()
}
