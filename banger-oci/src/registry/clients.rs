//! The HTTP clients of all pulls, one for each set of settings.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use camino::Utf8Path;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::registry::attempt::explain;
use crate::registry::error::PullError;
use crate::registry::options::PullOptions;

/// Clients that are kept.
const MAX_CLIENTS: usize = 16;

/// Existing clients. A clone shares the connections.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<Vec<(ClientSettings, reqwest::Client)>>);

/// The settings that differ between clients.
#[derive(Debug, PartialEq, Eq)]
struct ClientSettings {
    /// Trusted certificates, in addition to those of the system.
    ca_cert: Option<Vec<u8>>,
    /// Whether the registry is on this machine: then no proxy is used.
    local: bool,
    connect_timeout: Duration,
    stall_timeout: Duration,
}

impl Clients {
    /// Returns the client for a pull with `options`; `local` means that the registry is on this machine.
    pub(crate) fn client(&self, options: &PullOptions, local: bool) -> Result<reqwest::Client, PullError> {
        let ca_cert = match options.ca_cert.as_deref() {
            Some(path) => Some(std::fs::read(path).map_err(|error| unusable(path, &error))?),
            None => None,
        };
        let (connect_timeout, stall_timeout) = (options.connect_timeout, options.stall_timeout);
        let settings = ClientSettings { ca_cert, local, connect_timeout, stall_timeout };
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(known, _)| *known == settings) {
            return Ok(client.clone());
        }
        let client = settings.client(options.ca_cert.as_deref())?;
        if clients.len() == MAX_CLIENTS {
            clients.remove(0);
        }
        clients.push((settings, client.clone()));
        Ok(client)
    }
}

impl ClientSettings {
    /// Makes a client; `path` names the certificates in errors.
    fn client(&self, path: Option<&Utf8Path>) -> Result<reqwest::Client, PullError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls_config(path.unwrap_or_else(|| Utf8Path::new("")))?)
            .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
            // One connection for each download is faster than one that all share, and a broken
            // one breaks only that download.
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.stall_timeout);
        if self.local {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| PullError::Environment {
            reason: format!("cannot set up the http client: {}", explain(&error)),
        })
    }

    fn tls_config(&self, path: &Utf8Path) -> Result<rustls::ClientConfig, PullError> {
        let mut roots = rustls::RootCertStore::empty();
        // Certificates of the system that do not parse are of no use to anybody.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = &self.ca_cert {
            let certificates = CertificateDer::pem_slice_iter(pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| unusable(path, &error))?;
            if certificates.is_empty() {
                return Err(unusable(path, &"there are none"));
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| unusable(path, &error))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions");
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

fn unusable(path: &Utf8Path, reason: &dyn std::fmt::Display) -> PullError {
    PullError::Environment { reason: format!("cannot use the certificates in {path}: {reason}") }
}
