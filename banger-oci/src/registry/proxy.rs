//! Proxies between banger and registries.

use std::fmt;

use reqwest::{NoProxy, Proxy};
use url::Url;

use crate::registry::error::PullError;
use crate::registry::origin::host_of;

/// The proxies that requests go through. The default uses none.
///
/// An address is `http://`, `https://`, `socks5://` (names are looked up here) or `socks5h://` (names are looked up by
/// the proxy), with a user name and a password if the proxy wants them. Registries of this machine (`localhost`,
/// `127.0.0.0/8`, `[::1]`) never go through a proxy.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxySettings {
    /// The proxy for https addresses.
    pub https: Option<String>,
    /// The proxy for http addresses.
    pub http: Option<String>,
    /// Hosts without a proxy, with commas between them: names with everything below them, addresses and networks
    /// (`10.0.0.0/8`); `*` is all hosts.
    pub no_proxy: Option<String>,
}

banger_tree::setters! {
    ProxySettings {
        with_https => https: Option<String>,
        with_http => http: Option<String>,
        with_no_proxy => no_proxy: Option<String>,
    }
}

impl ProxySettings {
    /// Returns the settings in the environment of the process: `https_proxy`, `http_proxy`, `all_proxy` and
    /// `no_proxy`, or the same names in capitals.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let given = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
            // In a CGI program the header `Proxy` of a request becomes HTTP_PROXY.
            let is_forged = name == "http_proxy" && variable("REQUEST_METHOD").is_some();
            given(name).or_else(|| given(&name.to_ascii_uppercase()).filter(|_| !is_forged))
        };
        let all = either("all_proxy");
        Self {
            https: either("https_proxy").or_else(|| all.clone()),
            http: either("http_proxy").or(all),
            no_proxy: either("no_proxy"),
        }
    }

    /// Returns the proxies of a client.
    pub(crate) fn proxies(&self) -> Result<Vec<Proxy>, PullError> {
        let exceptions = self.no_proxy.as_deref().and_then(NoProxy::from_string);
        let mut proxies = Vec::new();
        for (address, make) in
            [(&self.https, Proxy::https as fn(String) -> reqwest::Result<Proxy>), (&self.http, Proxy::http)]
        {
            if let Some(address) = address {
                let address = checked(address)?;
                let proxy = make(address.to_string()).map_err(|_| bad(&address, "it is not usable"))?;
                proxies.push(proxy.no_proxy(exceptions.clone()));
            }
        }
        Ok(proxies)
    }

    /// Returns the passwords in the addresses, which no message may have.
    pub(crate) fn passwords(&self) -> Vec<String> {
        let addresses = [&self.https, &self.http].into_iter().flatten();
        addresses.filter_map(|address| Some(parsed(address)?.password()?.to_owned())).collect()
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may have a password.
        let shown = |address: &Option<String>| {
            address.as_deref().map(|address| parsed(address).map_or("…".to_owned(), |url| host_of(&url)))
        };
        let mut shape = formatter.debug_struct("ProxySettings");
        shape.field("https", &shown(&self.https)).field("http", &shown(&self.http));
        shape.field("no_proxy", &self.no_proxy).finish()
    }
}

/// Parses an address; one without a scheme is that of an http proxy, as in curl.
fn parsed(address: &str) -> Option<Url> {
    let address = address.trim();
    match address.contains("://") {
        true => Url::parse(address).ok(),
        false => Url::parse(&format!("http://{address}")).ok(),
    }
}

fn checked(address: &str) -> Result<Url, PullError> {
    let Some(url) = parsed(address).filter(|url| url.host_str().is_some_and(|host| !host.is_empty())) else {
        // The text may have a password.
        return Err(PullError::Proxy {
            proxy: "of the settings".to_owned(),
            reason: "its address is not a URL".to_owned(),
        });
    };
    match url.scheme() {
        "http" | "https" | "socks5" | "socks5h" => Ok(url),
        scheme => {
            let reason = format!("`{scheme}` is not http, https, socks5 or socks5h");
            Err(bad(&url, &reason))
        }
    }
}

fn bad(url: &Url, reason: &str) -> PullError {
    PullError::Proxy { proxy: host_of(url), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> ProxySettings {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        ProxySettings::from_variables(&|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn environment() {
        let set = |https: Option<&str>, http: Option<&str>, no_proxy: Option<&str>| ProxySettings {
            https: https.map(str::to_owned),
            http: http.map(str::to_owned),
            no_proxy: no_proxy.map(str::to_owned),
        };
        for (variables, expected) in [
            (&[][..], set(None, None, None)),
            (
                &[("HTTPS_PROXY", "a"), ("HTTP_PROXY", "b"), ("NO_PROXY", "c")],
                set(Some("a"), Some("b"), Some("c")),
            ),
            (&[("https_proxy", "a"), ("HTTPS_PROXY", "b")], set(Some("a"), None, None)),
            (&[("ALL_PROXY", "socks5://a")], set(Some("socks5://a"), Some("socks5://a"), None)),
            (&[("all_proxy", "a"), ("http_proxy", "b")], set(Some("a"), Some("b"), None)),
            (&[("HTTP_PROXY", "b"), ("REQUEST_METHOD", "GET")], set(None, None, None)),
            (&[("HTTPS_PROXY", " ")], set(None, None, None)),
        ] {
            assert_eq!(of(variables), expected, "{variables:?}");
        }
    }

    #[test]
    fn addresses() {
        for (address, works) in [
            ("http://p.example:3128", true),
            ("p.example:3128", true),
            ("https://u:secret@p.example", true),
            ("socks5://127.0.0.1:1080", true),
            ("socks5h://127.0.0.1:1080", true),
            ("socks4://127.0.0.1:1080", false),
            ("ftp://p.example", false),
            ("http://", false),
            ("http://u:secret@[p", false),
        ] {
            let settings = ProxySettings::default().with_https(Some(address.to_owned()));
            let outcome = settings.proxies();
            assert_eq!(outcome.is_ok(), works, "{address}");
            let shown = format!("{settings:?} {:?}", outcome.err().map(|error| error.to_string()));
            assert!(!shown.contains("secret"), "{shown}");
        }
        assert_eq!(
            ProxySettings::default().with_https(Some("https://u:secret@p.example".to_owned())).passwords(),
            ["secret"]
        );
    }
}
