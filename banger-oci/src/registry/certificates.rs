//! Certificates of registries and of this client, and the TLS configuration that they make.

use std::fmt;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::registry::error::PullError;
use crate::registry::options::PullOptions;
use crate::registry::trusted_servers::TrustedServers;

/// The certificates for one registry, as they are in their files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificates {
    /// Trusted, in addition to those of the system.
    trusted: Vec<PemFile>,
    /// The certificate of this client, and its key.
    own: Option<(PemFile, PemFile)>,
}

#[derive(PartialEq, Eq)]
struct PemFile {
    path: Utf8PathBuf,
    bytes: Vec<u8>,
}

impl fmt::Debug for PemFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes may be a private key.
        write!(formatter, "PemFile({})", self.path)
    }
}

impl Certificates {
    /// Reads the files that the options name for `registry`, `HOST[:PORT]`.
    pub(crate) fn read(options: &PullOptions, registry: &str) -> Result<Self, PullError> {
        let mut found = Self::default();
        if let Some(path) = &options.ca_cert {
            found.trusted.push(PemFile::read(path)?);
        }
        // As in other tools, the first directory with something for this registry is the only one.
        let of_registry = || {
            let name = options.certs_dirs.iter().map(|dir| dir.join(registry));
            name.into_iter().find(|dir| dir.is_dir())
        };
        if let Some(dir) = options.cert_dir.clone().or_else(of_registry) {
            found.add_directory(&dir)?;
        }
        if let (Some(certificate), Some(key)) = (&options.client_cert, &options.client_key) {
            found.own = Some((PemFile::read(certificate)?, PemFile::read(key)?));
        } else if let Some(path) = options.client_cert.as_ref().or(options.client_key.as_ref()) {
            return Err(unusable(path, &"a client certificate and its key go together"));
        }
        Ok(found)
    }

    /// Adds what a directory has: `*.crt` are trusted, `NAME.cert` and `NAME.key` belong to this client. The first pair
    /// by name counts.
    fn add_directory(&mut self, dir: &Utf8Path) -> Result<(), PullError> {
        let mut paths = Vec::new();
        for entry in dir.read_dir_utf8().map_err(|error| unusable(dir, &error))? {
            paths.push(entry.map_err(|error| unusable(dir, &error))?.into_path());
        }
        paths.sort();
        for path in &paths {
            match path.extension() {
                Some("crt") => self.trusted.push(PemFile::read(path)?),
                Some("cert") => {
                    let key = path.with_extension("key");
                    if !paths.contains(&key) {
                        return Err(unusable(path, &format!("its key {key} is missing")));
                    }
                    if self.own.is_none() {
                        self.own = Some((PemFile::read(path)?, PemFile::read(&key)?));
                    }
                }
                Some("key") if !paths.contains(&path.with_extension("cert")) => {
                    let certificate = path.with_extension("cert");
                    return Err(unusable(path, &format!("its certificate {certificate} is missing")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns the configuration of TLS; with `insecure` it accepts any certificate.
    pub(crate) fn tls_config(&self, insecure: bool) -> Result<ClientConfig, PullError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let servers = match insecure {
            true => TrustedServers::any(Arc::clone(&provider)),
            false => self.trusted_servers(&provider)?,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(servers));
        let Some((certificate, key)) = &self.own else { return Ok(builder.with_no_client_auth()) };
        let private = PrivateKeyDer::from_pem_slice(&key.bytes)
            .map_err(|_| unusable(&key.path, &"it has no private key"))?;
        builder
            .with_client_auth_cert(certificate.certificates()?, private)
            .map_err(|error| unusable(&certificate.path, &error))
    }

    /// Returns the verifier of servers, which trusts the certificates of the system besides those of the files.
    fn trusted_servers(&self, provider: &Arc<CryptoProvider>) -> Result<TrustedServers, PullError> {
        let mut roots = RootCertStore::empty();
        let mut trusted = rustls_native_certs::load_native_certs().certs;
        // Certificates of the system that do not parse are of no use to anybody.
        roots.add_parsable_certificates(trusted.iter().cloned());
        for file in &self.trusted {
            for certificate in file.certificates()? {
                roots.add(certificate.clone()).map_err(|error| unusable(&file.path, &error))?;
                trusted.push(certificate);
            }
        }
        Ok(TrustedServers::new(roots, trusted, Arc::clone(provider)))
    }
}

impl PemFile {
    fn read(path: &Utf8Path) -> Result<Self, PullError> {
        let bytes = std::fs::read(path).map_err(|error| unusable(path, &error))?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PullError> {
        let parsed = CertificateDer::pem_slice_iter(&self.bytes).collect::<Result<Vec<_>, _>>();
        let certificates = parsed.map_err(|error| unusable(&self.path, &error))?;
        match certificates.is_empty() {
            true => Err(unusable(&self.path, &"there are none")),
            false => Ok(certificates),
        }
    }
}

fn unusable(path: &Utf8Path, reason: &dyn std::fmt::Display) -> PullError {
    PullError::Environment { reason: format!("cannot use the certificates in {path}: {reason}") }
}
