//! Attempts: why one failed, and whether another one may succeed.

use std::time::Duration;

use banger_tree::{Advice, Setting};
use url::Url;

use crate::one_line::one_line;
use crate::registry::error::PullError;
use crate::registry::origin::host_of;
use crate::registry::repository_use::RepositoryUse;

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(crate) enum FailedAttempt {
    /// Another attempt may succeed.
    Transient { reason: String, after: Option<Duration>, error: PullError },
    /// A second attempt may succeed, a third hardly.
    Doubtful { reason: String, error: PullError },
    /// It may not.
    Final(PullError),
}

impl FailedAttempt {
    /// A connection that broke or stood still.
    pub(crate) fn broken(host: &str, reason: String) -> Self {
        let error = PullError::Unreachable {
            host: host.to_owned(),
            reason: reason.clone(),
            advice: Advice::new("check the network and try again; what has arrived is kept"),
            is_transient: true,
        };
        Self::Transient { reason, after: None, error }
    }

    /// A server that is slower than allowed.
    pub(crate) fn slow(host: &str, reason: String) -> Self {
        let error = PullError::TooSlow {
            what: format!("the answer of {host}"),
            reason: reason.clone(),
            advice: Advice::with_setting(
                "try again later, what has arrived is kept; or allow less by {setting}",
                Setting("min_rate_bytes"),
            ),
        };
        Self::Transient { reason, after: None, error }
    }

    /// Whether the server was slow. Bytes of a slow server do not count as progress: they would come for
    /// ever.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Self::Transient { error: PullError::TooSlow { .. }, .. })
    }

    pub(crate) fn into_error(self) -> PullError {
        match self {
            Self::Transient { error, .. } | Self::Doubtful { error, .. } | Self::Final(error) => error,
        }
    }
}

impl From<PullError> for FailedAttempt {
    fn from(error: PullError) -> Self {
        Self::Final(error)
    }
}

/// Counts failed attempts in a row.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) failed: u32,
    pub(crate) total: u32,
}

impl Attempts {
    /// Notes that something was achieved since the last failure.
    pub(crate) fn progressed(&mut self) {
        self.failed = 0;
    }
}

/// Whether the server showed a certificate that is not accepted.
pub(crate) fn is_certificate_error(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| cause.contains("invalid peer certificate"))
}

pub(crate) fn classify(url: &Url, error: &reqwest::Error, repository_use: &RepositoryUse) -> FailedAttempt {
    let host = host_of(url);
    let reason = explain(error);
    if is_certificate_error(error) {
        let advice = Advice::with_setting(
            "install ca-certificates, or name the registry's own certificate by {setting}",
            Setting("ca_cert"),
        );
        return FailedAttempt::Final(PullError::Unreachable { host, reason, advice, is_transient: false });
    }
    // It will not learn it by the next attempt.
    if chain(error).any(|cause| cause.contains("InvalidContentType")) {
        let reason = "it does not speak https".to_owned();
        let advice = Advice::with_setting(
            "if it is to be spoken to in plain http, allow that by {setting}",
            Setting("plain_http"),
        );
        return FailedAttempt::Final(PullError::Unreachable { host, reason, advice, is_transient: false });
    }
    let kept = match repository_use {
        RepositoryUse::Pull => "what is in the cache can be pulled by digest (NAME@sha256:…) without it",
        RepositoryUse::Push { .. } => "the next push sends only what is not there yet",
    };
    let causes: Vec<String> = chain(error).map(|cause| cause.to_ascii_lowercase()).collect();
    let says = |texts: &[&str]| causes.iter().any(|cause| texts.iter().any(|text| cause.contains(text)));
    let step = if says(&["dns error", "failed to lookup", "name or service not known"]) {
        "its name is not known: check the spelling, the network and the DNS settings"
    } else if says(&["connection refused"]) {
        "nothing listens there: check its address and port"
    } else if says(&["received fatal alert", "peer is incompatible", "tls handshake", "protocol version"]) {
        "it does not agree on an encryption: check that its TLS is version 1.2 or newer, and that no proxy is between"
    } else if says(&["unreachable", "no route"]) {
        "there is no way to it: check the network and the address"
    } else if error.is_timeout() {
        "check the network, its address, and whether a firewall or proxy is between"
    } else {
        "check its address and the network"
    };
    let advice = Advice::new(format!("{step}; {kept}"));
    let error = PullError::Unreachable { host, reason: reason.clone(), advice, is_transient: true };
    // A name server said that there is no such name, and most often because it is misspelled. Where no name server
    // answers, the words are others.
    match says(&["name or service not known", "name does not resolve", "no address associated"]) {
        true => FailedAttempt::Doubtful { reason, error },
        false => FailedAttempt::Transient { reason, after: None, error },
    }
}

/// The causes of an error, outermost first.
fn chain(error: &reqwest::Error) -> impl Iterator<Item = String> {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.source();
        Some(current.to_string())
    })
}

/// The innermost cause, which describes the failure best.
pub(crate) fn explain(error: &reqwest::Error) -> String {
    let text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        chain(error).last().unwrap_or_default()
    };
    one_line(&text)
}
