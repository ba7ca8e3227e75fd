//! The HTTP clients of all pulls, one for each set of settings.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::registry::attempt::explain;
use crate::registry::certificates::Certificates;
use crate::registry::error::PullError;
use crate::registry::options::PullOptions;
use crate::registry::origin::is_local;
use crate::registry::proxy::ProxySettings;

/// Clients that are kept.
const MAX_CLIENTS: usize = 16;

/// Existing clients. A clone shares the connections.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<Vec<(ClientSettings, ClientPair)>>);

/// The server that a client talks to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server<'a> {
    /// `HOST[:PORT]`, as the files with its certificates are named.
    pub(crate) registry: &'a str,
    /// Whether any certificate is accepted.
    pub(crate) insecure: bool,
}

/// The settings that differ between clients.
#[derive(Debug, PartialEq, Eq)]
struct ClientSettings {
    certificates: Certificates,
    insecure: bool,
    proxy: ProxySettings,
    connect_timeout: Duration,
    stall_timeout: Duration,
}

/// The clients for one server.
#[derive(Clone, Debug)]
pub(crate) struct ClientPair {
    /// HTTP/2 where the server offers it: all requests share a connection.
    pub(crate) shared: reqwest::Client,
    /// HTTP/1.1, a connection for each request at a time.
    pub(crate) separate: reqwest::Client,
    /// The same for uploads. It waits for an answer as long as the upload moves on, which
    /// [`UploadBody`](crate::registry::upload_body::UploadBody) watches.
    pub(crate) uploads: reqwest::Client,
}

impl Clients {
    /// Returns the clients for a pull with `options`.
    pub(crate) fn clients(&self, options: &PullOptions, server: Server<'_>) -> Result<ClientPair, PullError> {
        let settings = ClientSettings {
            certificates: Certificates::read(options, server.registry)?,
            insecure: server.insecure,
            // No proxy leads to this machine.
            proxy: if is_local(server.registry) { ProxySettings::default() } else { options.proxy.clone() },
            connect_timeout: options.connect_timeout,
            stall_timeout: options.stall_timeout,
        };
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pair)) = clients.iter().find(|(known, _)| *known == settings) {
            return Ok(pair.clone());
        }
        let pair = settings.clients()?;
        if clients.len() == MAX_CLIENTS {
            clients.remove(0);
        }
        clients.push((settings, pair.clone()));
        Ok(pair)
    }
}

impl ClientSettings {
    fn clients(&self) -> Result<ClientPair, PullError> {
        // The certificates of the system are read once.
        let tls = self.certificates.tls_config(self.insecure)?;
        let mut offers_http2 = tls.clone();
        offers_http2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let client = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| PullError::Environment {
                reason: format!("cannot set up the http client: {}", explain(&error)),
            })
        };
        Ok(ClientPair {
            shared: client(self.builder(offers_http2)?.read_timeout(self.stall_timeout))?,
            separate: client(self.builder(tls.clone())?.http1_only().read_timeout(self.stall_timeout))?,
            uploads: client(self.builder(tls)?.http1_only())?,
        })
    }

    fn builder(&self, tls: rustls::ClientConfig) -> Result<reqwest::ClientBuilder, PullError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            // The environment is not read.
            .no_proxy();
        for proxy in self.proxy.proxies()? {
            builder = builder.proxy(proxy);
        }
        Ok(builder)
    }
}
