//! Signatures of pushed artifacts as `cosign sign --key` makes them: layers of a document under a tag.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use banger_tree::Cancellation;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::place::PushPlace;
use super::sign_error::SignError;
use crate::digest::Digest;
use crate::one_line::one_line;
use crate::reference::Reference;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::Progress;
use crate::registry::manifest::{Descriptor, ImageManifest, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::registry::options::PullOptions;
use crate::registry::push::artifact::ArtifactToPush;
use crate::registry::push::error::PushError;
use crate::registry::push::push_artifact;
use crate::registry::stop::PullStop;
use crate::registry::trust::companions::signature_tag;
use crate::registry::trust::{MAX_SIGNATURES, PAYLOAD_TYPE, SIGNATURE_KEY, SigningKey, image_payload};

/// A signature that lies beside an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedSignature {
    /// The digest of the document with the signatures of the artifact.
    pub digest: Digest,
    /// Its tag.
    pub tag: String,
    /// The fingerprint of the key, as in [`PublicKey::fingerprint`](crate::PublicKey::fingerprint).
    pub key: Digest,
    /// Whether an equal signature by the key was there already.
    pub is_present: bool,
}

/// Signs the artifact `digest` that was pushed to `target`.
pub(crate) fn sign_artifact(
    engine: &Arc<Engine>,
    target: &Reference,
    digest: &Digest,
    key: &SigningKey,
    options: &PullOptions,
    progress: &Progress,
    cancellation: &Cancellation,
) -> Result<PushedSignature, SignError> {
    let stop = PullStop::of_push(cancellation);
    let no_place = |reason| SignError::Target { target: target.to_string(), reason };
    let Some(tag) = signature_tag(digest) else {
        return Err(no_place("signatures are found by a SHA-256 digest only"));
    };
    let Some(place) = PushPlace::open(engine, target, options, progress, &stop)? else {
        return Err(no_place("a signature cannot be added to it"));
    };
    let payload = image_payload(&identity(target), digest);
    let layer = Descriptor::new(PAYLOAD_TYPE, Digest::of(&payload), payload.len() as u64);
    let signed = |digest: Digest, is_present: bool| PushedSignature {
        digest,
        tag: tag.clone(),
        key: key.public_key().fingerprint().clone(),
        is_present,
    };
    let mut document = match place.tagged(&tag)? {
        None => SignatureDocument::default(),
        Some(bytes) => {
            let document = SignatureDocument::parse(&bytes, &tag, options)?;
            if document.has(&layer, &payload, key) {
                return Ok(signed(Digest::of(&bytes), true));
            }
            document
        }
    };
    if document.layers.len() >= MAX_SIGNATURES {
        return Err(SignError::TooMany { digest: digest.clone(), limit: MAX_SIGNATURES });
    }
    let signature = STANDARD.encode(key.sign(&payload)?);
    let annotations = BTreeMap::from([(SIGNATURE_KEY.to_owned(), signature)]);
    document.layers.push(Descriptor { annotations, ..layer });
    let (manifest, config) = document.manifest();
    let blobs = HashMap::from([(Digest::of(&payload), payload)]);
    let artifact = ArtifactToPush::new(&manifest, &config, &blobs);
    let pushed =
        push_artifact(engine, &place.tag_reference(&tag), &artifact, options, progress, cancellation)?;
    Ok(signed(pushed.digest, false))
}

/// The name in the signature: that of the target, with its tag. A layout has none.
fn identity(target: &Reference) -> String {
    match target {
        Reference::Registry(registry) => match registry.tag() {
            Some(tag) => registry.with_tag(tag).to_string(),
            None => registry.to_string(),
        },
        _ => String::new(),
    }
}

/// The signatures of an artifact.
#[derive(Debug, Default)]
struct SignatureDocument {
    layers: Vec<Descriptor>,
    annotations: BTreeMap<String, String>,
}

impl SignatureDocument {
    fn parse(bytes: &[u8], tag: &str, options: &PullOptions) -> Result<Self, SignError> {
        let occupied = |reason: String| SignError::Occupied { tag: tag.to_owned(), reason };
        let what = format!("manifest {tag}");
        match Manifest::parse_within(bytes, &[], &what, &options.budget.renewed()) {
            Ok((Manifest::Image(manifest), _)) => {
                match manifest.layers.iter().find(|layer| layer.media_type != PAYLOAD_TYPE) {
                    None => Ok(Self { layers: manifest.layers, annotations: manifest.annotations }),
                    Some(layer) => {
                        Err(occupied(format!("it has a blob of the type {}", one_line(&layer.media_type))))
                    }
                }
            }
            Ok((Manifest::Index(_), _)) => Err(occupied("it is an index".to_owned())),
            Err(error @ PullError::OverBudget { .. }) => Err(PushError::from(error).into()),
            Err(error) => Err(occupied(one_line(&error.to_string()))),
        }
    }

    /// Returns whether `key` signed this payload already.
    fn has(&self, payload_layer: &Descriptor, payload: &[u8], key: &SigningKey) -> bool {
        self.layers.iter().filter(|layer| layer.digest == payload_layer.digest).any(|layer| {
            let signature = layer.annotations.get(SIGNATURE_KEY).map(|text| STANDARD.decode(text));
            matches!(signature, Some(Ok(signature)) if key.public_key().verifies(payload, &signature))
        })
    }

    /// Returns the manifest and its configuration: cosign reads it as that of an image.
    fn manifest(self) -> (ImageManifest, Vec<u8>) {
        let digests: Vec<String> = self.layers.iter().map(|layer| layer.digest.to_string()).collect();
        let config = json!({
            "architecture": "", "os": "", "config": {}, "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let config = config.to_string().into_bytes();
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            config: Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64),
            layers: self.layers,
            annotations: self.annotations,
            artifact_type: None,
            subject: None,
        };
        (manifest, config)
    }
}
