//! Kind, code, context and advice of the errors of a pull.

use std::io;

use banger_tree::{Advice, Cost, ErrorContext, ErrorKind, Failure, Setting};

use super::PullError;

impl Failure for PullError {
    fn code(&self) -> u32 {
        Self::code(self)
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Reference(_) => ErrorKind::Argument,
            Self::UnknownImage { .. } | Self::NoPlatform { .. } => ErrorKind::NotFound,
            Self::Ambiguous { .. } => ErrorKind::Argument,
            Self::Unauthorized { .. }
            | Self::CredentialHelper { .. }
            | Self::CredentialFile { .. }
            | Self::Realm { .. }
            | Self::CachePlace { .. } => ErrorKind::Access,
            Self::Status { status: 404 | 410, .. } => ErrorKind::NotFound,
            Self::Unreachable { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::TooSlow { .. }
            | Self::WebPage { .. } => ErrorKind::Network,
            Self::PlatformMismatch { .. }
            | Self::Mismatch { .. }
            | Self::Malformed { .. }
            | Self::LayerCount { .. }
            | Self::Layout { .. } => ErrorKind::Damaged,
            Self::NotAnImage { .. } | Self::Schema1 { .. } => ErrorKind::Unsupported,
            Self::TooLarge { .. } | Self::OverBudget { .. } | Self::TooManyReferrers { .. } => {
                ErrorKind::Limit
            }
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::CacheDamaged { source, .. } => source.kind(),
            Self::Input { .. } => ErrorKind::Argument,
            Self::Daemon { kind, .. } | Self::LocalStore { kind, .. } => *kind,
            Self::BlobSource { source, .. } => ErrorKind::of_io(source),
            Self::Trust(error) => error.kind(),
            Self::Environment { .. } | Self::Panicked { .. } => ErrorKind::Internal,
            Self::RegistriesFile { .. } | Self::Proxy { .. } | Self::ShortName { .. } => ErrorKind::Argument,
            Self::Blocked { .. } => ErrorKind::Access,
            Self::Endpoints { last, .. } => last.kind(),
            Self::NotCached { .. } | Self::NoCredentials { .. } => ErrorKind::NotFound,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { is_transient, .. } => *is_transient,
            Self::Status { status, .. } => is_transient_status(*status),
            Self::TooSlow { .. } => true,
            Self::LocalStore { kind, .. } => *kind == ErrorKind::InUse,
            Self::CacheDamaged { source, .. } => source.is_transient(),
            Self::Endpoints { last, .. } => last.is_transient(),
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::Interrupted | io::ErrorKind::TimedOut)
            }
            _ => false,
        }
    }

    fn advice(&self) -> Option<Advice> {
        let text = |text: &'static str| Some(Advice::new(text));
        match self {
            Self::Ambiguous { advice, .. }
            | Self::Unreachable { advice, .. }
            | Self::TooSlow { advice, .. }
            | Self::Input { advice, .. }
            | Self::Daemon { advice, .. }
            | Self::LocalStore { advice, .. }
            | Self::CachePlace { advice, .. } => Some(advice.clone()),
            Self::Layout { advice, .. } => advice.clone(),
            Self::CacheDamaged { source, .. } => source.advice(),
            Self::Endpoints { last, .. } => last.advice(),
            Self::RegistriesFile { .. } => {
                text("correct the file; containers-registries.conf(5) has the format")
            }
            Self::Blocked { .. } => text("choose an image of another registry, or change that file"),
            Self::NotCached { .. } => Some(Advice::with_setting(
                "pull it once with the network, or allow a download by {setting}",
                Setting("policy"),
            )),
            Self::Proxy { .. } => {
                text("write its address as http://HOST:PORT, https://HOST:PORT or socks5h://HOST:PORT")
            }
            Self::ShortName { .. } => text("write the name with its registry, as in docker.io/library/NAME"),
            Self::NoCredentials { .. } => {
                text("check the name of the registry, and which file has its credentials")
            }
            Self::Trust(error) => error.advice(),
            Self::UnknownImage { .. } => text("check its name and tag"),
            Self::NoPlatform { available, .. } => advice_on_platforms(available),
            Self::PlatformMismatch { stated, .. } => Some(Advice::with_setting(
                format!(
                    "leave out {{setting}} to take it as {} all the same",
                    stated.replace(['{', '}'], "")
                ),
                Setting("platform"),
            )),
            Self::Unauthorized { .. } => Some(Advice::with_setting(
                "check the name, or give credentials by {setting}",
                Setting("credentials"),
            )),
            Self::CredentialHelper { config, .. } => {
                Some(Advice::new(format!("repair it or remove it from {config}")))
            }
            Self::Status { status: 429, .. } => Some(Advice::with_setting(
                "wait a while, or give credentials by {setting}",
                Setting("credentials"),
            )),
            Self::Status { status, .. } if is_transient_status(*status) => text("try again later"),
            Self::Schema1 { .. } => text("push the image again with a current tool"),
            Self::LayerCount { .. } => text("build the image again"),
            Self::TooManyReferrers { .. } => {
                Some(Advice::with_setting("raise {setting}", Setting("max_referrers")))
            }
            Self::TooLarge { setting, .. } => {
                Some(Advice::with_setting("if it is to be trusted, raise {setting}", *setting))
            }
            Self::OverBudget { over, .. } => {
                Some(Advice::with_setting("if it is to be trusted, raise {setting}", setting_of(over.cost)))
            }
            Self::Io { path, source, .. }
                if source.kind() == io::ErrorKind::NotFound && path.as_str().starts_with("//") =>
            {
                text("leave the slashes out before a relative path")
            }
            Self::Io { action, source, .. } => advice_on_io(action, source),
            Self::WebPage { .. } => {
                text("check the address, and whether a proxy or a login page stands before it")
            }
            _ => None,
        }
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::UnknownImage { reference, .. } => context.with("reference", reference),
            Self::NoPlatform { reference, wanted, .. } => {
                context.with("reference", reference).with("platform", wanted)
            }
            Self::Ambiguous { reference, count, .. } => {
                context.with("reference", reference).with("count", count)
            }
            Self::PlatformMismatch { digest, stated, .. } => {
                context.with("digest", digest).with("platform", stated)
            }
            Self::Unauthorized { host, .. } | Self::Unreachable { host, .. } => context.with("host", host),
            Self::CredentialHelper { helper, config, .. } => {
                context.with("helper", helper).with("path", config)
            }
            Self::CredentialFile { path, .. }
            | Self::Layout { path, .. }
            | Self::Io { path, .. }
            | Self::LocalStore { path, .. }
            | Self::RegistriesFile { path, .. }
            | Self::CachePlace { path, .. } => context.with("path", path),
            Self::Daemon { socket, .. } => context.with("path", socket),
            Self::BlobSource { what, .. } => context.with("what", what),
            Self::Blocked { reference, path } => context.with("reference", reference).with("path", path),
            Self::Endpoints { what, failures, .. } => {
                let places: Vec<&str> = failures.iter().map(|failure| failure.endpoint.as_str()).collect();
                context.with("what", what).with("endpoints", places.join(", "))
            }
            Self::NotCached { what } => context.with("what", what),
            Self::Proxy { proxy, .. } => context.with("host", proxy),
            Self::ShortName { name, .. } => context.with("reference", name),
            Self::NoCredentials { registry } => context.with("host", registry),
            Self::Realm { registry, realm, .. } => context.with("host", registry).with("realm", realm),
            Self::Status { host, status, method, path, .. } => {
                context.with("host", host).with("status", status).with("method", method).with("path", path)
            }
            Self::Redirect { host, target, .. } => context.with("host", host).with("target", target),
            Self::Mismatch { digest, origin, .. } => context.with("digest", digest).with("origin", origin),
            Self::LayerCount { digest, .. } => context.with("digest", digest),
            Self::TooManyReferrers { subject, limit } => context.with("digest", subject).with("limit", limit),
            Self::TooLarge { what, size_bytes, limit_bytes, .. } => {
                context.with("what", what).with("size_bytes", size_bytes).with("limit_bytes", limit_bytes)
            }
            Self::OverBudget { what, over } => {
                let context = context.with("what", what).with("cost", over.cost.name());
                context.with("limit", over.limit)
            }
            Self::WebPage { host, what, .. } => context.with("host", host).with("what", what),
            Self::CacheDamaged { digest, cache, .. } => context.with("digest", digest).with("path", cache),
            Self::Trust(error) => error.context(),
            Self::Malformed { what, .. }
            | Self::NotAnImage { what, .. }
            | Self::Schema1 { what }
            | Self::TooSlow { what, .. } => context.with("what", what),
            Self::Reference(_)
            | Self::Environment { .. }
            | Self::Input { .. }
            | Self::Panicked { .. }
            | Self::Cancelled => context,
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } | Self::BlobSource { source, .. } => source.raw_os_error(),
            Self::CacheDamaged { source, .. } => source.os_error(),
            _ => None,
        }
    }
}

/// Whether a status promises a later success; proxies have codes of their own from 520 on.
pub(crate) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..) && !matches!(status, 501 | 505)
}

/// Returns advice with the platforms that may be of use.
fn advice_on_platforms(available: &[String]) -> Option<Advice> {
    if !available.is_empty() && available.iter().all(|platform| platform.starts_with("windows/")) {
        return Some(Advice::new(
            "choose another image: this one is for Windows only, and its files are no Linux root",
        ));
    }
    Some(Advice::with_setting("choose one of them by {setting}", Setting("platform")))
}

/// Returns advice for a cache that cannot be written. A pull writes to no other place.
fn advice_on_io(action: &str, source: &io::Error) -> Option<Advice> {
    let setting = Setting("cache_dir");
    match ErrorKind::of_io(source) {
        ErrorKind::NoSpace => Some(Advice::with_setting(
            "free some space, for instance by pruning the cache, or set {setting} to a directory on another disk",
            setting,
        )),
        ErrorKind::Access if ["create", "keep", "write"].iter().any(|verb| action.starts_with(verb)) => {
            Some(Advice::with_setting("set {setting} to a directory that can be written", setting))
        }
        _ => None,
    }
}

/// Returns the option that raises a limit of the budget: that of all stages, or one that only a pull has.
fn setting_of(cost: Cost) -> Setting {
    cost.setting().unwrap_or(match cost {
        Cost::Urls => Setting("max_urls"),
        _ => Setting("max_document_nodes"),
    })
}
