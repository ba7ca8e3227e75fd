//! Private keys that sign: PKCS #8 (RFC 5958) in PEM, plain or as cosign encrypts it.

use std::fmt;

use banger_tree::escape_text;
use camino::Utf8Path;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use sha2::Digest as _;
use spki::der::asn1::{AnyRef, BitStringRef, OctetStringRef};
use spki::der::{Decode as _, Encode as _, Reader as _, SliceReader};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::encrypted_key::{ENCRYPTED_LABELS, OpenError, open_encrypted};
use super::key::{EC, ED25519, MAX_KEY_BYTES, P256, P384, PublicKey, RSA, read_small};
use super::pem::{decode_only, only_label};
use super::signing_key_error::SigningKeyError;

/// The label of a PKCS #8 key that is not encrypted.
const PLAIN_LABEL: &str = "PRIVATE KEY";

/// A private key that signs artifacts: ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits.
///
/// Its signatures are those of cosign: ECDSA with the hash of the curve, Ed25519ph, and RSA PKCS #1 v1.5 with SHA-256.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Rsa(RsaKeyPair),
}

/// The fields of a PKCS #8 key.
struct PrivateKeyInfo<'a> {
    algorithm: AlgorithmIdentifierRef<'a>,
    key: &'a [u8],
}

impl SigningKey {
    /// Reads a PEM file with one key, such as `cosign.key`. `password` decrypts it.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError::Key`], [`SigningKeyError::Password`].
    pub fn read(path: &Utf8Path, password: Option<&[u8]>) -> Result<Self, SigningKeyError> {
        let failed = |reason: String| SigningKeyError::Key { key: escape_text(path.as_str()), reason };
        let bytes = read_small(path, MAX_KEY_BYTES).map_err(failed)?;
        Self::parse(&bytes, path.as_str(), password)
    }

    /// Reads the one key of a PEM text. `name` names it in errors.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError::Key`], [`SigningKeyError::Password`].
    pub fn parse(pem: &[u8], name: &str, password: Option<&[u8]>) -> Result<Self, SigningKeyError> {
        let failed =
            |reason: &str| SigningKeyError::Key { key: escape_text(name), reason: reason.to_owned() };
        let label = only_label(pem).map_err(failed)?;
        let decoded = || decode_only(pem, &label).ok_or_else(|| failed("its PEM text is damaged"));
        match label.as_str() {
            PLAIN_LABEL => Self::from_pkcs8(&decoded()?).map_err(|reason| failed(&reason)),
            label if ENCRYPTED_LABELS.contains(&label) => {
                let locked = |reason| SigningKeyError::Password { key: escape_text(name), reason };
                let password = password.ok_or_else(|| locked("no password was given"))?;
                let der = open_encrypted(&decoded()?, password).map_err(|error| match error {
                    OpenError::Password => locked("the password is wrong, or the file was changed"),
                    OpenError::Format(reason) => failed(&reason),
                })?;
                Self::from_pkcs8(&der).map_err(|reason| failed(&reason))
            }
            "PUBLIC KEY" => Err(failed("it is a public key; give the private key of the pair")),
            label => Err(failed(&format!("keys of the type {} are not supported", escape_text(label)))),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        let info =
            PrivateKeyInfo::parse(der).map_err(|error| format!("it is not a key of PKCS #8: {error}"))?;
        let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm, curve: ObjectIdentifier| {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new());
            let pair = pair.map_err(|error| format!("it is damaged: {error}"))?;
            let public = public_key(EC, Some(AnyRef::from(&curve)), pair.public_key().as_ref())?;
            Ok(Self { pair: Pair::Ecdsa(pair), public })
        };
        match info.algorithm.oid {
            EC => match info.algorithm.parameters_oid() {
                Ok(P256) => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, P256),
                Ok(P384) => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, P384),
                Ok(curve) => Err(format!("the curve {curve} is not supported")),
                Err(_) => Err("it names no curve".to_owned()),
            },
            ED25519 => {
                // The octets of an octet string (RFC 8410, section 7).
                let seed = <&OctetStringRef>::from_der(info.key)
                    .map_err(|error| format!("it is damaged: {error}"))?;
                let seed = seed.as_bytes().try_into().map_err(|_| "its length is wrong".to_owned())?;
                let pair = ed25519_dalek::SigningKey::from_bytes(seed);
                let public = public_key(ED25519, None, pair.verifying_key().as_bytes())?;
                Ok(Self { pair: Pair::Ed25519(Box::new(pair)), public })
            }
            RSA => {
                let pair = RsaKeyPair::from_pkcs8(der).map_err(|error| format!("it is refused: {error}"))?;
                let public = public_key(RSA, Some(AnyRef::NULL), pair.public_key().as_ref())?;
                Ok(Self { pair: Pair::Rsa(pair), public })
            }
            other => Err(format!("the algorithm {other} is not supported")),
        }
    }

    /// Returns the public key of the pair, which verifies the signatures.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Returns a signature of `message`. ECDSA gives another one each time.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let random = SystemRandom::new();
        let failed = |reason: &str| SigningKeyError::Key {
            key: self.public.fingerprint().to_string(),
            reason: reason.to_owned(),
        };
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&random, message);
                signature
                    .map(|signature| signature.as_ref().to_vec())
                    .map_err(|_| failed("the host has no randomness"))
            }
            Pair::Ed25519(pair) => {
                let signature = pair.sign_prehashed(sha2::Sha512::new_with_prefix(message), None);
                signature.map(|signature| signature.to_bytes().to_vec()).map_err(|_| failed("it cannot sign"))
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                match pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature) {
                    Ok(()) => Ok(signature),
                    Err(_) => Err(failed("it cannot sign")),
                }
            }
        }
    }
}

/// Without the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl<'a> PrivateKeyInfo<'a> {
    fn parse(der: &'a [u8]) -> Result<Self, spki::der::Error> {
        let mut reader = SliceReader::new(der)?;
        let info = reader.sequence(|inner| {
            u8::decode(inner)?;
            let algorithm = AlgorithmIdentifierRef::decode(inner)?;
            let key = <&OctetStringRef>::decode(inner)?.as_bytes();
            // Attributes, and the public key.
            inner.read_slice(inner.remaining_len())?;
            Ok::<_, spki::der::Error>(Self { algorithm, key })
        })?;
        reader.finish()?;
        Ok(info)
    }
}

/// Returns the public key of a pair.
fn public_key(
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    bytes: &[u8],
) -> Result<PublicKey, String> {
    let encode = || {
        let algorithm = AlgorithmIdentifierRef { oid, parameters };
        let info =
            SubjectPublicKeyInfoRef { algorithm, subject_public_key: BitStringRef::from_bytes(bytes)? };
        let mut der = vec![0; usize::try_from(info.encoded_len()?)?];
        info.encode_to_slice(&mut der)?;
        Ok::<_, spki::der::Error>(der)
    };
    PublicKey::from_spki(&encode().map_err(|error| format!("its public key is damaged: {error}"))?)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn refusal(label: &str, der: &[u8]) -> String {
        let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
        SigningKey::parse(pem.as_bytes(), "k.pem", Some(b"x")).unwrap_err().to_string()
    }

    #[test]
    fn other_keys_are_refused_by_name() {
        for (label, der, expected) in [
            ("EC PRIVATE KEY", &[0x30, 0][..], "EC PRIVATE KEY"),
            ("RSA PRIVATE KEY", &[], "RSA PRIVATE KEY"),
            ("ENCRYPTED PRIVATE KEY", &[], "ENCRYPTED PRIVATE KEY"),
            ("OPENSSH PRIVATE KEY", &[], "OPENSSH PRIVATE KEY"),
            ("PUBLIC KEY", &[], "public key"),
            ("PRIVATE KEY", &[], "PKCS #8"),
            ("PRIVATE KEY", &[0x30, 0x80], "PKCS #8"),
            // X25519, which does not sign.
            ("PRIVATE KEY", &[0x30, 12, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0], "1.3.101.110"),
            // Ed25519 with a seed of one byte.
            ("PRIVATE KEY", &[0x30, 15, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 3, 4, 1, 7], "length"),
        ] {
            let message = refusal(label, der);
            assert!(message.contains(expected) && message.contains("k.pem"), "{label}: {message}");
        }
        for pem in [&b""[..], b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n"] {
            assert_eq!(SigningKey::parse(pem, "k.pem", None).unwrap_err().code(), 1310);
        }
    }
}
