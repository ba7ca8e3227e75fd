//! Whether credentials may be sent to a token server.

use std::net::IpAddr;

use url::Url;

/// The rule of [`check_realm`](super::Auth) on plain facts: the registry's scheme, whether the registry
/// is public, and whether the token server is at a private address.
pub(super) fn judge_realm(
    realm: &Url,
    registry_plain: bool,
    registry_public: bool,
    realm_private: bool,
) -> Result<(), &'static str> {
    if realm.scheme() == "http" && !registry_plain {
        return Err("credentials are not sent over plain http");
    }
    if realm.scheme() == "http" && registry_public {
        return Err("credentials for a public registry are not sent over plain http");
    }
    if registry_public && realm_private {
        return Err("a public registry cannot have its token server at a private address");
    }
    Ok(())
}

/// Returns whether a URL leads to this machine or a private network. Names are looked up. A name that does
/// not resolve counts as public, as the request will fail anyway.
pub(super) async fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => is_private_address(address.into()),
        Some(url::Host::Ipv6(address)) => is_private_address(address.into()),
        Some(url::Host::Domain(name)) => {
            let port = url.port_or_known_default().unwrap_or(443);
            match tokio::net::lookup_host((name, port)).await {
                Ok(mut addresses) => addresses.any(|address| is_private_address(address.ip())),
                Err(_) => is_local_name(name),
            }
        }
        None => false,
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_broadcast()
                || a == 0
                // Shared address space of carriers (RFC 6598).
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private_address(v4.into()),
            None => {
                v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b37_realms_are_judged() {
        // realm, registry plain, registry public, realm private, accepted
        let cases = [
            ("https://auth.example/token", false, true, false, true),
            ("http://auth.example/token", false, true, false, false),
            ("https://10.0.0.1/token", false, true, true, false),
            ("https://10.0.0.1/token", false, false, true, true),
            ("http://10.0.0.1/token", false, false, true, false),
            ("http://10.0.0.1/token", true, false, true, true),
            ("http://auth.example/token", true, true, false, false),
        ];
        for (realm, plain, public, private, accepted) in cases {
            let url = Url::parse(realm).unwrap();
            assert_eq!(judge_realm(&url, plain, public, private).is_ok(), accepted, "{realm}");
        }
    }

    #[tokio::test]
    async fn b37_private_addresses() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "0x7f.1",
            "2130706433",
            "localhost",
        ];
        for host in private {
            let url = Url::parse(&format!("https://{host}/token")).unwrap();
            assert!(is_private(&url).await, "{host}");
        }
        for host in ["1.1.1.1", "100.128.0.1", "[2606:4700::1]"] {
            let url = Url::parse(&format!("https://{host}/token")).unwrap();
            assert!(!is_private(&url).await, "{host}");
        }
    }
}
