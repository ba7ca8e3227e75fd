//! Public keys: PEM with a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).

use std::io::Read as _;

use banger_tree::escape_text;
use camino::Utf8Path;
use ed25519_dalek::{Signature, VerifyingKey};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::Digest as _;
use spki::der::asn1::UintRef;
use spki::der::{Decode as _, Reader as _, SliceReader};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::error::TrustError;
use super::pem::only_label;
use crate::digest::Digest;

pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(super) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
pub(super) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The largest file that is read as a key.
pub(super) const MAX_KEY_BYTES: u64 = 64 << 10;
/// The moduli that are accepted, in bytes: 2048 to 8192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The signatures that ECDSA keys make. cosign used SHA-256 with all curves, and now uses that of the curve.
const P256_ALGORITHMS: &[&dyn VerificationAlgorithm] = &[&ECDSA_P256_SHA256_ASN1];
const P384_ALGORITHMS: &[&dyn VerificationAlgorithm] = &[&ECDSA_P384_SHA256_ASN1, &ECDSA_P384_SHA384_ASN1];
const RSA_ALGORITHMS: &[&dyn VerificationAlgorithm] = &[
    &RSA_PKCS1_2048_8192_SHA256,
    &RSA_PSS_2048_8192_SHA256,
    &RSA_PKCS1_2048_8192_SHA384,
    &RSA_PSS_2048_8192_SHA384,
    &RSA_PKCS1_2048_8192_SHA512,
    &RSA_PSS_2048_8192_SHA512,
];

/// A public key that verifies signatures: ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    fingerprint: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyKind {
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(VerifyingKey),
    Rsa(Vec<u8>),
}

impl PublicKey {
    /// Reads the one key of a PEM file, such as `cosign.pub`.
    ///
    /// # Errors
    ///
    /// [`TrustError::Key`].
    pub fn read(path: &Utf8Path) -> Result<Self, TrustError> {
        let failed = |reason: String| TrustError::Key { key: escape_text(path.as_str()), reason };
        let bytes = read_small(path, MAX_KEY_BYTES).map_err(failed)?;
        Self::parse(&bytes, path.as_str())
    }

    /// Returns the one key in `pem`. `name` stands for it in errors.
    ///
    /// # Errors
    ///
    /// [`TrustError::Key`].
    pub fn parse(pem: &[u8], name: &str) -> Result<Self, TrustError> {
        let failed = |reason: &str| TrustError::Key { key: escape_text(name), reason: reason.to_owned() };
        match only_label(pem).map_err(failed)?.as_str() {
            "PUBLIC KEY" => {}
            "CERTIFICATE" => return Err(failed("it is a certificate; certificates are not supported")),
            label if label.ends_with("PRIVATE KEY") => {
                return Err(failed("it is a private key; give the public key of the pair"));
            }
            label => return Err(failed(&format!("it is of the type {}", escape_text(label)))),
        }
        let der =
            SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| failed("its PEM text is damaged"))?;
        Self::from_spki(&der).map_err(|reason| failed(&reason))
    }

    pub(super) fn from_spki(der: &[u8]) -> Result<Self, String> {
        let spki = SubjectPublicKeyInfoRef::from_der(der)
            .map_err(|error| format!("it is not a SubjectPublicKeyInfo: {error}"))?;
        let algorithm = spki.algorithm.oid;
        let bytes = spki.subject_public_key.as_bytes().ok_or("its bits are not whole bytes")?.to_vec();
        let kind = match algorithm {
            EC => match spki.algorithm.parameters_oid() {
                Ok(P256) if bytes.len() == 65 && bytes.starts_with(&[4]) => KeyKind::P256(bytes),
                Ok(P384) if bytes.len() == 97 && bytes.starts_with(&[4]) => KeyKind::P384(bytes),
                Ok(P256 | P384) => return Err("its point is not in the uncompressed form".to_owned()),
                Ok(curve) => return Err(format!("the curve {curve} is not supported")),
                Err(_) => return Err("it names no curve".to_owned()),
            },
            ED25519 => {
                let key = bytes.as_slice().try_into().map_err(|_| "its length is wrong".to_owned())?;
                let key = VerifyingKey::from_bytes(key).map_err(|_| "its point is not on the curve")?;
                if key.is_weak() {
                    return Err("anybody can make signatures for it".to_owned());
                }
                KeyKind::Ed25519(key)
            }
            RSA => {
                let modulus = modulus_bytes(&bytes).map_err(|error| format!("it is damaged: {error}"))?;
                if !RSA_BYTES.contains(&modulus) {
                    return Err(format!("it has {} bits; 2048 to 8192 are supported", modulus * 8));
                }
                KeyKind::Rsa(bytes)
            }
            other => return Err(format!("the algorithm {other} is not supported")),
        };
        Ok(Self { kind, fingerprint: Digest::of(der) })
    }

    /// Returns the fingerprint: the SHA-256 digest of the SubjectPublicKeyInfo in DER.
    #[must_use]
    pub fn fingerprint(&self) -> &Digest {
        &self.fingerprint
    }

    /// Returns whether this key made `signature` of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let (algorithms, key) = match &self.kind {
            KeyKind::P256(key) => (P256_ALGORITHMS, key),
            KeyKind::P384(key) => (P384_ALGORITHMS, key),
            KeyKind::Rsa(key) => (RSA_ALGORITHMS, key),
            KeyKind::Ed25519(key) => {
                let Ok(signature) = Signature::from_slice(signature) else { return false };
                // cosign hashes the message first (Ed25519ph), other signers do not.
                return key.verify_strict(message, &signature).is_ok()
                    || key
                        .verify_prehashed_strict(sha2::Sha512::new_with_prefix(message), None, &signature)
                        .is_ok();
            }
        };
        algorithms
            .iter()
            .any(|algorithm| UnparsedPublicKey::new(*algorithm, key).verify(message, signature).is_ok())
    }
}

/// Returns the length of the modulus of an RSAPublicKey (RFC 8017, appendix A.1.1).
fn modulus_bytes(der: &[u8]) -> Result<usize, spki::der::Error> {
    let mut reader = SliceReader::new(der)?;
    let modulus = reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?;
        UintRef::decode(inner)?;
        Ok::<_, spki::der::Error>(modulus.as_bytes().len())
    })?;
    reader.finish()?;
    Ok(modulus)
}

/// Reads a regular file of at most `limit_bytes`.
pub(super) fn read_small(path: &Utf8Path, limit_bytes: u64) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    match bytes.len() as u64 > limit_bytes {
        true => Err(format!("it is larger than {limit_bytes} bytes")),
        false => Ok(bytes),
    }
}
