//! Which certificates of servers are accepted.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// Accepts servers with a certificate by a trusted authority, or with a certificate that is itself trusted.
///
/// Registries often sign their certificate with its own key (`openssl req -x509`), which makes it the certificate of an
/// authority. WebPKI refuses a server that shows the certificate of an authority.
#[derive(Debug)]
pub(crate) struct TrustedServers {
    provider: Arc<CryptoProvider>,
    accepted: Accepted,
}

/// The certificates that are accepted.
#[derive(Debug)]
enum Accepted {
    Any,
    Trusted {
        /// `None` where no authority is trusted.
        authorities: Option<Arc<WebPkiServerVerifier>>,
        trusted: Vec<CertificateDer<'static>>,
    },
}

impl TrustedServers {
    /// Returns the verifier that trusts the authorities `roots`, which are made of the certificates `trusted`.
    pub(crate) fn new(
        roots: RootCertStore,
        trusted: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        // It fails without authorities only: no revocation lists are given.
        let accepted = Accepted::Trusted { authorities: authorities.build().ok(), trusted };
        Self { provider, accepted }
    }

    /// Returns the verifier that accepts every certificate, for registries that the configuration calls insecure.
    pub(crate) fn any(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, accepted: Accepted::Any }
    }

    /// Checks a certificate that is itself trusted: its name and its time.
    fn verify_trusted(
        shown: &CertificateDer<'_>,
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_name(&ParsedCertificate::try_from(shown)?, server_name)?;
        let parsed = Certificate::from_der(shown).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let validity = parsed.tbs_certificate().validity();
        if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for TrustedServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Accepted::Trusted { authorities, trusted } = &self.accepted else {
            return Ok(ServerCertVerified::assertion());
        };
        if trusted.iter().any(|trusted| trusted == end_entity) {
            return Self::verify_trusted(end_entity, server_name, now);
        }
        let Some(authorities) = authorities else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use banger_testkit::make_self_signed;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn a_trusted_certificate_counts_for_its_name_and_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let (key, path) = (dir.path().join("key"), dir.path().join("certificate"));
        banger_testkit::require!(make_self_signed(&key, &path));
        let own = CertificateDer::from_pem_file(path).unwrap();
        banger_testkit::require!(make_self_signed(&key, &dir.path().join("other")));
        let other = CertificateDer::from_pem_file(dir.path().join("other")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let servers = TrustedServers::new(RootCertStore::empty(), vec![own.clone()], provider);
        let now = UnixTime::now();
        let day = Duration::from_secs(24 * 60 * 60);
        let at = |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        for (shown, name, now, expected) in [
            (&own, "127.0.0.1", now, None),
            (&own, "127.0.0.2", now, Some("not valid for")),
            (&own, "127.0.0.1", at(now.as_secs() + 3 * day.as_secs()), Some("Expired")),
            (&own, "127.0.0.1", at(now.as_secs() - day.as_secs()), Some("NotValidYet")),
            (&other, "127.0.0.1", now, Some("UnknownIssuer")),
        ] {
            let name = ServerName::try_from(name).unwrap();
            let found =
                servers.verify_server_cert(shown, &[], &name, &[], now).err().map(|error| error.to_string());
            let is_it = match (&found, expected) {
                (Some(found), Some(expected)) => found.contains(expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_it, "{found:?}, not {expected:?}");
        }
    }
}
