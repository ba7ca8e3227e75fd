//! The target of a URL: host, port, and whether it is this machine.

use std::net::{Ipv4Addr, Ipv6Addr};

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

/// Whether a registry is on this machine: `localhost`, `127.0.0.0/8`, `[::1]`.
pub(crate) fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            return rest.split(']').next().is_some_and(|address| {
                address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
            });
        }
        None => host.split(':').next().unwrap_or(host),
    };
    name == "localhost" || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_registries() {
        for host in ["localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:80"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["localhost.example", "128.0.0.1:5000", "127.0.0.1.example", "[::2]:80", "r.io"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
