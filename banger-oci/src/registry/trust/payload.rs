//! The payload of a signature by tag: the simple signing format (containers-signature(5)).

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::error::TrustError;
use crate::digest::Digest;
use crate::one_line::one_line;

/// The types of payloads that are signatures of images.
const IMAGE_TYPES: [&str; 2] = ["cosign container image signature", "atomic container signature"];

/// The name and the image that a payload is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignedImage {
    /// The name; bundles have none.
    pub(super) identity: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    critical: Critical,
    #[serde(rename = "optional")]
    _optional: Option<IgnoredAny>,
}

/// A payload as cosign writes it.
#[derive(Serialize)]
struct WrittenPayload {
    critical: Critical,
    /// `null`.
    optional: (),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: String,
}

/// Returns the payload that signs `digest` under the name `identity`; an empty name names nothing.
pub(crate) fn image_payload(identity: &str, digest: &Digest) -> Vec<u8> {
    let critical = Critical {
        identity: Identity { docker_reference: identity.to_owned() },
        image: Image { docker_manifest_digest: digest.to_string() },
        kind: IMAGE_TYPES[0].to_owned(),
    };
    let payload = WrittenPayload { critical, optional: () };
    serde_json::to_vec(&payload).expect("keys are texts, and nothing fails to serialize")
}

/// Reads a payload that an accepted key signed, and checks that it is for `digest`.
pub(super) fn read_payload(bytes: &[u8], digest: &Digest) -> Result<SignedImage, TrustError> {
    let payload: Payload = serde_json::from_slice(bytes).map_err(|error| TrustError::MalformedSignature {
        digest: digest.clone(),
        reason: one_line(&format!("its payload is no simple signing document: {error}")),
    })?;
    let Critical { identity, image, kind } = payload.critical;
    if !IMAGE_TYPES.contains(&kind.as_str()) {
        let kind = format!("a statement of the type {}", one_line(&kind));
        return Err(TrustError::NotASignature { digest: digest.clone(), kind });
    }
    if image.docker_manifest_digest != digest.to_string() {
        let signed = one_line(&image.docker_manifest_digest);
        return Err(TrustError::WrongDigest { digest: digest.clone(), signed });
    }
    // Old versions of cosign left the name empty.
    let identity = Some(identity.docker_reference).filter(|name| !name.is_empty());
    Ok(SignedImage { identity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read_strictly() {
        let digest = Digest::of(b"x");
        let document = |kind: &str, digest: &str, more: &str| {
            format!(
                r#"{{"critical":{{"identity":{{"docker-reference":"h/a"}},"image":{{"docker-manifest-digest":"{digest}"}},
                "type":"{kind}"{more}}},"optional":{{"any":[1]}}}}"#
            )
        };
        let (right, other) = (digest.to_string(), Digest::of(b"y").to_string());
        for (text, code) in [
            (document("cosign container image signature", &right, ""), None),
            (document("atomic container signature", &right, ""), None),
            (document("cosign container image signature", &right, r#","more":1"#), Some(1225)),
            (document("cosign container image signature", &right, r#","type":"x""#), Some(1225)),
            (document("https://cosign.sigstore.dev/attestation/v1", &right, ""), Some(1224)),
            (document("cosign container image signature", &other, ""), Some(1222)),
            (document("cosign container image signature", "", ""), Some(1222)),
            (r#"{"critical":null,"optional":null}"#.to_owned(), Some(1225)),
            ("[]".to_owned(), Some(1225)),
            (String::new(), Some(1225)),
        ] {
            let read = read_payload(text.as_bytes(), &digest);
            assert_eq!(read.err().map(|error| error.code()), code, "{text}");
        }
    }

    #[test]
    fn payloads_are_written_as_cosign_writes_them() {
        let digest = Digest::of(b"x");
        let written = image_payload("h/a:1", &digest);
        let expected = format!(
            "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"h/a:1\"}},\"image\":{{\"docker-manifest-digest\":\
             \"{digest}\"}},\"type\":\"cosign container image signature\"}},\"optional\":null}}"
        );
        assert_eq!(String::from_utf8(written.clone()).unwrap(), expected);
        assert_eq!(read_payload(&written, &digest).unwrap().identity.as_deref(), Some("h/a:1"));
        assert_eq!(read_payload(&image_payload("", &digest), &digest).unwrap().identity, None);
    }

    #[test]
    fn an_empty_name_names_nothing() {
        let digest = Digest::of(b"x");
        for (name, identity) in [("", None), ("h/a", Some("h/a"))] {
            let text = format!(
                r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},
                "image":{{"docker-manifest-digest":"{digest}"}},
                "type":"cosign container image signature"}},"optional":null}}"#
            );
            let found = read_payload(text.as_bytes(), &digest).unwrap();
            assert_eq!(found.identity.as_deref(), identity);
        }
    }
}
