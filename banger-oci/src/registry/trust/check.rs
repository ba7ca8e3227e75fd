//! Checks that an image meets the requirements of a policy.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::bundle::{BUNDLE_TYPE, read_bundle, read_statement};
use super::companions::{Companions, artifact_type, refers_to, signature_tag};
use super::error::TrustError;
use super::identity::IdentityRule;
use super::key::PublicKey;
use super::payload::{SignedImage, read_payload};
use super::requirement::Requirement;
use super::signature::{MAX_SIGNATURES, PAYLOAD_TYPE, SIGNATURE_KEY, SignaturePlace, VerifiedSignature};
use crate::digest::Digest;
use crate::one_line::one_line;
use crate::reference::Reference;
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::manifest::{Descriptor, Manifest, bare_type};
use crate::registry::options::PullOptions;
use crate::registry::source::ImageSource;

/// Documents among the referrers of one digest that are read for signatures.
const MAX_SIGNATURE_DOCUMENTS: usize = 64;
/// The largest payload of a signature, and the largest bundle.
const MAX_PAYLOAD_BYTES: u64 = 256 << 10;

/// The type of a signature document among the referrers.
const SIGNATURE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The layer of an attestation.
const ENVELOPE_TYPE: &str = "application/vnd.dsse.envelope.v1+json";

/// The check of one pull. Documents beside the image are read once.
pub(crate) struct TrustCheck<'a> {
    source: &'a dyn ImageSource,
    reference: &'a Reference,
    options: &'a PullOptions,
    wanted: Vec<WantedSignature>,
    signatures: RefCell<HashMap<(Digest, Stage), Rc<Found>>>,
    verified: RefCell<Vec<VerifiedSignature>>,
}

/// A signature that the policy asks for.
struct WantedSignature {
    keys: Vec<PublicKey>,
    identity: IdentityRule,
}

/// Where signatures are looked for; the second place only if the first had none that is accepted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Tag,
    Referrers,
}

/// The signatures in one place.
#[derive(Default)]
struct Found {
    signatures: Vec<FoundSignature>,
    /// Why others are none.
    refused: Vec<TrustError>,
}

/// A signature that was not verified yet.
struct FoundSignature {
    place: SignaturePlace,
    form: SignedForm,
    /// The bytes that are signed, if they are not the payload.
    signed: Option<Vec<u8>>,
    payload: Vec<u8>,
    signatures: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum SignedForm {
    Simple,
    Statement,
}

impl<'a> TrustCheck<'a> {
    /// Finds the rule for a reference. Fails if that accepts no image at all; nothing has been asked for then.
    pub(crate) fn new(
        source: &'a dyn ImageSource,
        reference: &'a Reference,
        options: &'a PullOptions,
    ) -> Result<Self, PullError> {
        let wanted = match &options.trust {
            None => Vec::new(),
            Some(policy) => {
                let rule = policy.rule_for(reference);
                let mut wanted = Vec::new();
                for requirement in rule.requirements {
                    let (policy_name, scope) = (policy.name().to_owned(), rule.scope.clone());
                    match requirement {
                        Requirement::Accept => {}
                        Requirement::Reject => {
                            let reference = reference.to_string();
                            return Err(TrustError::Rejected { policy: policy_name, reference, scope }.into());
                        }
                        Requirement::Unsupported(what) => {
                            let what = (*what).to_owned();
                            let error =
                                TrustError::UnsupportedRequirement { policy: policy_name, what, scope };
                            return Err(error.into());
                        }
                        Requirement::Signed(signed) => {
                            let keys = signed.keys.iter().map(|key| key.load(&policy_name));
                            let keys = keys.collect::<Result<_, _>>()?;
                            wanted.push(WantedSignature { keys, identity: signed.identity.clone() });
                        }
                    }
                }
                wanted
            }
        };
        let check = Self {
            source,
            reference,
            options,
            wanted,
            signatures: RefCell::default(),
            verified: RefCell::default(),
        };
        match check.wanted.is_empty() || check.source.companions().is_some() {
            true => Ok(check),
            false => Err(TrustError::UnsignedSource { reference: reference.to_string() }.into()),
        }
    }

    /// Fails unless each requirement is met by a signature of the image's manifest, or of the index that led to
    /// it. The index comes first: cosign signs what a tag leads to.
    pub(crate) fn admit(&self, index: Option<&Digest>, manifest: &Digest) -> Result<(), PullError> {
        let Some(companions) = self.source.companions() else { return Ok(()) };
        for wanted in &self.wanted {
            let mut refusal: Option<TrustError> = None;
            let mut met = None;
            let places = index.into_iter().chain([manifest]);
            for (digest, stage) in
                places.flat_map(|digest| [(digest, Stage::Tag), (digest, Stage::Referrers)])
            {
                let found = self.signatures(companions, digest, stage)?;
                match self.meet(wanted, digest, &found) {
                    Ok(signature) => {
                        met = Some(signature);
                        break;
                    }
                    Err(error)
                        if refusal.as_ref().is_none_or(|first| first.progress() < error.progress()) =>
                    {
                        refusal = Some(error);
                    }
                    Err(_) => {}
                }
            }
            match (met, refusal) {
                (Some(signature), _) => self.note(signature),
                (None, Some(error)) => return Err(error.into()),
                (None, None) => return Err(TrustError::NoSignature { digest: manifest.clone() }.into()),
            }
        }
        Ok(())
    }

    /// Returns the signatures that met the requirements.
    pub(crate) fn verified(&self) -> Vec<VerifiedSignature> {
        self.verified.borrow().clone()
    }

    fn note(&self, signature: VerifiedSignature) {
        let mut verified = self.verified.borrow_mut();
        if !verified.contains(&signature) {
            verified.push(signature);
        }
    }

    /// Returns the first signature that meets a requirement, or the most telling reason why none does.
    fn meet(
        &self,
        wanted: &WantedSignature,
        digest: &Digest,
        found: &Found,
    ) -> Result<VerifiedSignature, TrustError> {
        let mut refusal = TrustError::NoSignature { digest: digest.clone() };
        let mut refuse = |error: TrustError| {
            if refusal.progress() < error.progress() {
                refusal = error;
            }
        };
        found.refused.iter().cloned().for_each(&mut refuse);
        for signature in &found.signatures {
            match self.verify(wanted, digest, signature) {
                Ok(verified) => return Ok(verified),
                Err(error) => refuse(error),
            }
        }
        if found.signatures.len() + found.refused.len() >= MAX_SIGNATURES {
            refuse(TrustError::TooManySignatures { digest: digest.clone(), limit: MAX_SIGNATURES });
        }
        Err(refusal)
    }

    /// Verifies a signature: the key first, so that nothing is read that nobody signed.
    fn verify(
        &self,
        wanted: &WantedSignature,
        digest: &Digest,
        found: &FoundSignature,
    ) -> Result<VerifiedSignature, TrustError> {
        let message = found.signed.as_ref().unwrap_or(&found.payload);
        let made_it =
            |key: &&PublicKey| found.signatures.iter().any(|signature| key.verifies(message, signature));
        let Some(key) = wanted.keys.iter().find(made_it) else {
            let keys = match &wanted.keys[..] {
                [key] => format!("the key {}", key.fingerprint()),
                keys => format!("none of the {} keys", keys.len()),
            };
            return Err(TrustError::WrongKey { digest: digest.clone(), keys });
        };
        let SignedImage { identity } = match found.form {
            SignedForm::Simple => read_payload(&found.payload, digest)?,
            SignedForm::Statement => read_statement(&found.payload, digest)?,
        };
        if !wanted.identity.accepts(self.reference, identity.as_deref()) {
            return Err(TrustError::WrongIdentity {
                digest: digest.clone(),
                signed: identity.as_deref().map_or("no image".to_owned(), one_line),
                wanted: wanted.identity.wanted(self.reference),
            });
        }
        Ok(VerifiedSignature {
            key: key.fingerprint().clone(),
            digest: digest.clone(),
            identity,
            payload_digest: Digest::of(&found.payload),
            found_by: found.place,
        })
    }

    /// Reads the signatures of `digest` in one place.
    fn signatures(
        &self,
        companions: &dyn Companions,
        digest: &Digest,
        stage: Stage,
    ) -> Result<Rc<Found>, PullError> {
        let key = (digest.clone(), stage);
        if let Some(found) = self.signatures.borrow().get(&key) {
            return Ok(Rc::clone(found));
        }
        let mut reading =
            SignatureReading { companions, digest, options: self.options, found: Found::default() };
        match stage {
            Stage::Tag => reading.read_tag()?,
            Stage::Referrers => reading.read_referrers()?,
        }
        let found = Rc::new(reading.found);
        self.signatures.borrow_mut().insert(key, Rc::clone(&found));
        Ok(found)
    }
}

/// Reads the signatures beside one digest.
struct SignatureReading<'a> {
    companions: &'a dyn Companions,
    digest: &'a Digest,
    options: &'a PullOptions,
    found: Found,
}

impl SignatureReading<'_> {
    fn read_tag(&mut self) -> Result<(), PullError> {
        let Some(tag) = signature_tag(self.digest) else { return Ok(()) };
        match self.companions.tagged(&tag)? {
            Some(bytes) => self.read_document(&bytes, SignaturePlace::Tag),
            None => Ok(()),
        }
    }

    fn read_referrers(&mut self) -> Result<(), PullError> {
        let referrers = self.companions.referrers(self.digest)?;
        let Some(place) = referrers.found_by else { return Ok(()) };
        let budget = &self.options.budget;
        let is_signature = |kind: &str| kind == SIGNATURE_ARTIFACT || kind.starts_with(BUNDLE_TYPE);
        // The type of an artifact without one is in its manifest.
        let may_be = |entry: &&Descriptor| {
            let kind = bare_type(entry.artifact_type.as_deref().unwrap_or_default());
            kind.is_empty() || is_signature(&kind)
        };
        for entry in referrers.manifests.iter().filter(may_be).take(MAX_SIGNATURE_DOCUMENTS) {
            let bytes = match self.companions.companion_manifest(entry) {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.refuse_damage(error)?;
                    continue;
                }
            };
            if !is_signature(&artifact_type(entry, &bytes, budget)?) {
                continue;
            }
            if refers_to(&bytes, self.digest, budget)? {
                self.read_document(&bytes, place)?;
            } else {
                let signed = "another digest, or none".to_owned();
                self.refuse(TrustError::WrongDigest { digest: self.digest.clone(), signed });
            }
        }
        Ok(())
    }

    /// Reads the signatures of a document: its layers.
    fn read_document(&mut self, bytes: &[u8], place: SignaturePlace) -> Result<(), PullError> {
        let what = format!("signature document for {}", self.digest);
        let manifest = match Manifest::parse_within(bytes, &[], &what, &self.options.budget) {
            Ok((Manifest::Image(manifest), _)) => manifest,
            Ok((Manifest::Index(_), _)) => {
                let kind = "an index".to_owned();
                self.refuse(TrustError::NotASignature { digest: self.digest.clone(), kind });
                return Ok(());
            }
            Err(error @ PullError::OverBudget { .. }) => return Err(error),
            Err(error) => {
                let reason = one_line(&error.to_string());
                self.refuse(TrustError::MalformedSignature { digest: self.digest.clone(), reason });
                return Ok(());
            }
        };
        for layer in &manifest.layers {
            if self.found.signatures.len() + self.found.refused.len() >= MAX_SIGNATURES {
                break;
            }
            match self.read_layer(layer, place) {
                Ok(Ok(signature)) => self.found.signatures.push(signature),
                Ok(Err(refused)) => self.refuse(refused),
                Err(error) => self.refuse_damage(error)?,
            }
        }
        Ok(())
    }

    fn read_layer(
        &self,
        layer: &Descriptor,
        place: SignaturePlace,
    ) -> Result<Result<FoundSignature, TrustError>, PullError> {
        let digest = || self.digest.clone();
        let malformed = |reason: &str| {
            Ok(Err(TrustError::MalformedSignature { digest: digest(), reason: reason.to_owned() }))
        };
        let media_type = bare_type(&layer.media_type);
        let is_bundle = media_type.starts_with(BUNDLE_TYPE);
        if !is_bundle && media_type != PAYLOAD_TYPE {
            let kind = match media_type.as_str() {
                ENVELOPE_TYPE => "an attestation".to_owned(),
                other => format!("a blob of the type {}", one_line(other)),
            };
            return Ok(Err(TrustError::NotASignature { digest: digest(), kind }));
        }
        if layer.size > MAX_PAYLOAD_BYTES {
            return malformed(&format!("it has {} bytes, and {MAX_PAYLOAD_BYTES} are allowed", layer.size));
        }
        let read = || self.companions.companion_blob(layer, Cap::fixed(MAX_PAYLOAD_BYTES));
        if is_bundle {
            return Ok(read_bundle(&read()?, self.digest).map(|envelope| FoundSignature {
                place,
                form: SignedForm::Statement,
                signed: Some(envelope.signed),
                payload: envelope.payload,
                signatures: envelope.signatures,
            }));
        }
        let Some(text) = layer.annotations.get(SIGNATURE_KEY) else {
            return malformed("its payload has no signature");
        };
        let Ok(signature) = STANDARD.decode(text) else {
            return malformed("it is not base64");
        };
        Ok(Ok(FoundSignature {
            place,
            form: SignedForm::Simple,
            signed: None,
            payload: read()?,
            signatures: vec![signature],
        }))
    }

    fn refuse(&mut self, error: TrustError) {
        self.found.refused.push(error);
    }

    /// Notes a document that is missing or damaged: another signature may be accepted. Other errors end the
    /// pull.
    fn refuse_damage(&mut self, error: PullError) -> Result<(), PullError> {
        match error {
            PullError::Mismatch { .. }
            | PullError::TooLarge { .. }
            | PullError::Layout { .. }
            | PullError::Status { status: 404, .. } => {
                let reason = one_line(&error.to_string());
                self.refuse(TrustError::MalformedSignature { digest: self.digest.clone(), reason });
                Ok(())
            }
            error => Err(error),
        }
    }
}
