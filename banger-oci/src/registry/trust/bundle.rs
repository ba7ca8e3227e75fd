//! Sigstore bundles (version 0.3) with a DSSE envelope by a key, as cosign 3 makes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::error::TrustError;
use super::payload::SignedImage;
use crate::digest::{Algorithm, Digest};
use crate::one_line::one_line;

/// How the media types of bundles begin; the version follows.
pub(super) const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle.";
/// Signatures of one envelope that are read.
const MAX_ENVELOPE_SIGNATURES: usize = 8;
/// The type of the payload of an envelope.
const STATEMENT_PAYLOAD: &str = "application/vnd.in-toto+json";
/// The statement that is the signature of an image; all others are attestations.
const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    #[serde(default)]
    verification_material: Material,
    dsse_envelope: Option<Envelope>,
    message_signature: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    sha256: Option<String>,
    sha512: Option<String>,
}

/// The signed bytes of a bundle, and its signatures.
#[derive(Debug)]
pub(super) struct SignedEnvelope {
    /// The bytes that the signatures are of.
    pub(super) signed: Vec<u8>,
    /// The statement.
    pub(super) payload: Vec<u8>,
    pub(super) signatures: Vec<Vec<u8>>,
}

/// Reads the envelope of a bundle for `digest`. Nothing in it is verified yet.
pub(super) fn read_bundle(bytes: &[u8], digest: &Digest) -> Result<SignedEnvelope, TrustError> {
    let malformed = |reason: String| TrustError::MalformedSignature { digest: digest.clone(), reason };
    let unsupported =
        |what: &str| TrustError::UnsupportedBundle { digest: digest.clone(), what: what.to_owned() };
    let bundle: Bundle = serde_json::from_slice(bytes)
        .map_err(|error| malformed(one_line(&format!("its bundle cannot be read: {error}"))))?;
    let material = bundle.verification_material;
    if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
        return Err(unsupported("a certificate (keyless)"));
    }
    if bundle.message_signature.is_some() {
        return Err(unsupported("a messageSignature"));
    }
    let Some(envelope) = bundle.dsse_envelope else {
        return Err(malformed("its bundle has no dsseEnvelope".to_owned()));
    };
    if envelope.payload_type != STATEMENT_PAYLOAD {
        let kind = format!("an envelope of the type {}", one_line(&envelope.payload_type));
        return Err(TrustError::NotASignature { digest: digest.clone(), kind });
    }
    if envelope.signatures.len() > MAX_ENVELOPE_SIGNATURES {
        let limit = MAX_ENVELOPE_SIGNATURES;
        return Err(malformed(format!("its envelope has more than {limit} signatures")));
    }
    let decode =
        |text: &str| STANDARD.decode(text).map_err(|_| malformed("its bundle is not base64".to_owned()));
    let payload = decode(&envelope.payload)?;
    let signatures = envelope.signatures.iter().map(|signature| decode(&signature.sig));
    // The pre-authentication encoding of DSSE, protocol.md.
    let kind = &envelope.payload_type;
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend_from_slice(&payload);
    Ok(SignedEnvelope { signatures: signatures.collect::<Result<_, _>>()?, signed, payload })
}

/// Reads a statement that an accepted key signed, and checks that it is for `digest`.
pub(super) fn read_statement(payload: &[u8], digest: &Digest) -> Result<SignedImage, TrustError> {
    let statement: Statement =
        serde_json::from_slice(payload).map_err(|error| TrustError::MalformedSignature {
            digest: digest.clone(),
            reason: one_line(&format!("its statement cannot be read: {error}")),
        })?;
    if statement.predicate_type != SIGNATURE_PREDICATE {
        let kind = format!("an attestation of the type {}", one_line(&statement.predicate_type));
        return Err(TrustError::NotASignature { digest: digest.clone(), kind });
    }
    let hex_of = |subject: &Subject| match digest.algorithm() {
        Algorithm::Sha256 => subject.digest.sha256.clone(),
        Algorithm::Sha512 => subject.digest.sha512.clone(),
    };
    let signed: Vec<String> = statement.subject.iter().filter_map(hex_of).collect();
    if signed.iter().any(|hex| hex == digest.hex()) {
        return Ok(SignedImage { identity: None });
    }
    let signed = signed.first().map_or("no digest".to_owned(), |hex| one_line(hex));
    Err(TrustError::WrongDigest { digest: digest.clone(), signed })
}
