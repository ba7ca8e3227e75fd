//! Certificates of a throwaway CA for servers on loopback.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use crate::Skip;
use crate::registry::make_certificates;

/// A certificate for `127.0.0.1` and `localhost`, and the CA that signed it.
#[derive(Debug)]
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// Makes them.
    ///
    /// # Errors
    ///
    /// A [`Skip`] when `openssl` is not installed.
    ///
    /// # Panics
    ///
    /// When there is no room for them.
    pub fn new() -> Result<Self, Skip> {
        let dir = tempfile::Builder::new().prefix("banger-certificates-").tempdir();
        let dir = dir.expect("a temporary directory can be made");
        make_certificates(dir.path(), false)?;
        Ok(Self { dir })
    }

    /// The certificate of the CA.
    #[must_use]
    pub fn ca_cert(&self) -> PathBuf {
        self.dir.path().join("ca/ca.crt")
    }

    /// A server that shows the certificate and offers these protocols by ALPN.
    ///
    /// # Panics
    ///
    /// When the files are not what `openssl` wrote.
    #[must_use]
    pub fn server(&self, protocols: &[&[u8]]) -> Arc<ServerConfig> {
        let certificates = CertificateDer::pem_file_iter(self.dir.path().join("server.crt"))
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .expect("a certificate of openssl");
        let key = PrivateKeyDer::from_pem_file(self.dir.path().join("server.key")).expect("a key of openssl");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .expect("the key is that of the certificate");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}
