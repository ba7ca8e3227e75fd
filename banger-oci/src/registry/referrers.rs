//! Artifacts that refer to an image: SBOMs, attestations, signatures. They are fetched with the image on request.

use std::collections::BTreeMap;

use banger_tree::Setting;

use crate::digest::Digest;
use crate::one_line::one_line;
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::manifest::{Descriptor, Manifest, OCI_MANIFEST, bare_type};
use crate::registry::options::PullOptions;
use crate::registry::source::ImageSource;
use crate::registry::trust::companions::{Companions, artifact_type, refers_to};

/// An artifact that refers to an image or to its index, in whole. Its bytes have the digests that they were asked for
/// by; nobody has looked at what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PulledReferrer {
    /// The image manifest or index that it refers to.
    pub subject: Digest,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its type, for example `application/spdx+json`; empty if it has none.
    pub artifact_type: String,
    /// The annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// The bytes of its manifest.
    pub manifest: Vec<u8>,
    /// Its configuration and its blobs, in the order of the manifest; each once.
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

impl PulledReferrer {
    /// Returns the descriptor of the manifest, as the index of a layout has it.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            artifact_type: Some(self.artifact_type.clone()).filter(|kind| !kind.is_empty()),
            ..Descriptor::new(OCI_MANIFEST.to_owned(), self.digest.clone(), self.manifest.len() as u64)
        }
    }

    /// Returns the bytes of the manifest and of all blobs together.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let blobs: u64 = self.blobs.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        blobs.saturating_add(self.manifest.len() as u64)
    }
}

/// Fetches the artifacts that refer to `subjects`, if the options ask for them.
pub(crate) fn fetch_referrers(
    source: &dyn ImageSource,
    subjects: &[&Digest],
    options: &PullOptions,
) -> Result<Vec<PulledReferrer>, PullError> {
    let (true, Some(companions)) = (options.referrers, source.companions()) else { return Ok(Vec::new()) };
    let mut fetch = ReferrerFetch { companions, options, left: options.max_referrer_bytes };
    let mut referrers: Vec<PulledReferrer> = Vec::new();
    for subject in subjects {
        let entries = companions.referrers(subject)?.manifests;
        let limit = options.max_referrers;
        if referrers.len().saturating_add(entries.len()) > limit {
            return Err(PullError::TooManyReferrers { subject: (*subject).clone(), limit });
        }
        for entry in &entries {
            if referrers.iter().all(|known| known.digest != entry.digest) {
                referrers.extend(fetch.referrer(subject, entry)?);
            }
        }
    }
    Ok(referrers)
}

struct ReferrerFetch<'a> {
    companions: &'a dyn Companions,
    options: &'a PullOptions,
    /// Bytes that may still be fetched.
    left: u64,
}

impl ReferrerFetch<'_> {
    /// Fetches one artifact; `None` if it refers to something else.
    fn referrer(
        &mut self,
        subject: &Digest,
        entry: &Descriptor,
    ) -> Result<Option<PulledReferrer>, PullError> {
        let what = format!("referrer {}", entry.digest);
        self.take(entry.size, &what)?;
        let manifest = self.companions.companion_manifest(entry)?;
        let budget = &self.options.budget;
        if !refers_to(&manifest, subject, budget)? {
            return Ok(None);
        }
        let declared = bare_type(&entry.media_type);
        let (parsed, _) = Manifest::parse_within(&manifest, &[Some(declared.as_str())], &what, budget)?;
        let Manifest::Image(parsed) = parsed else {
            return Err(PullError::Malformed { what, reason: "it is an index".to_owned() });
        };
        let mut blobs: Vec<(Digest, Vec<u8>)> = Vec::new();
        for blob in [&parsed.config].into_iter().chain(&parsed.layers) {
            if blobs.iter().any(|(digest, _)| *digest == blob.digest) {
                continue;
            }
            self.take(blob.size, &format!("blob {} of {what}", blob.digest))?;
            blobs.push((blob.digest.clone(), self.companions.companion_blob(blob, Cap::fixed(blob.size))?));
        }
        Ok(Some(PulledReferrer {
            subject: subject.clone(),
            digest: entry.digest.clone(),
            artifact_type: one_line(&artifact_type(entry, &manifest, budget)?),
            annotations: parsed.annotations,
            manifest,
            blobs,
        }))
    }

    /// Takes bytes from those that are left.
    fn take(&mut self, bytes: u64, what: &str) -> Result<(), PullError> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(PullError::TooLarge {
                what: format!("{what}, together with the referrers before it,"),
                size_bytes: (self.options.max_referrer_bytes - self.left).saturating_add(bytes),
                limit_bytes: self.options.max_referrer_bytes,
                setting: Setting("max_referrer_bytes"),
            }),
        }
    }
}
