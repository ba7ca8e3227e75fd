//! Scheme, host and port of a URL.

use url::Url;

use crate::one_line::one_line;

/// Whether two URLs have scheme, host and port in common.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default()
}

/// Host and port of a URL, for messages.
pub(crate) fn host_of(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{}:{port}", one_line(host)),
        (Some(host), None) => one_line(host),
        (None, _) => url.scheme().to_owned(),
    }
}
