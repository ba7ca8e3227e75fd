//! The HTTP clients of all pulls, one for each set of settings.

use std::sync::{Arc, Mutex, PoisonError};
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
pub(crate) struct Clients(Mutex<Vec<(Arc<ClientSettings>, reqwest::Client)>>);

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
    protocol: Protocol,
}

/// The protocol of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/2 where the server offers it: all requests share a connection.
    Shared,
    /// HTTP/1.1, a connection for each request at a time.
    Separate,
}

impl Clients {
    /// Returns the client for a pull with `options`.
    pub(crate) fn client(
        &self,
        options: &PullOptions,
        server: Server<'_>,
        protocol: Protocol,
    ) -> Result<reqwest::Client, PullError> {
        let settings = Arc::new(ClientSettings {
            certificates: Certificates::read(options, server.registry)?,
            insecure: server.insecure,
            // No proxy leads to this machine.
            proxy: if is_local(server.registry) { ProxySettings::default() } else { options.proxy.clone() },
            connect_timeout: options.connect_timeout,
            stall_timeout: options.stall_timeout,
            protocol,
        });
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == settings) {
            return Ok(client.clone());
        }
        let client = settings.client()?;
        if clients.len() == MAX_CLIENTS {
            clients.remove(0);
        }
        clients.push((settings, client.clone()));
        Ok(client)
    }
}

impl ClientSettings {
    fn client(&self) -> Result<reqwest::Client, PullError> {
        let mut tls = self.certificates.tls_config(self.insecure)?;
        if self.protocol == Protocol::Shared {
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.stall_timeout)
            // The environment is not read.
            .no_proxy();
        if self.protocol == Protocol::Separate {
            builder = builder.http1_only();
        }
        for proxy in self.proxy.proxies()? {
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|error| PullError::Environment {
            reason: format!("cannot set up the http client: {}", explain(&error)),
        })
    }
}
