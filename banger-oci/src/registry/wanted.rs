//! The kind of content that a reference is to lead to: an image, or an artifact of one type.

use crate::one_line::one_line;
use crate::registry::error::PullError;
use crate::registry::manifest::{Descriptor, Manifest, bare_type, is_foreign_entry};

/// The kind of content that a reference is to lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A container image.
    #[default]
    Image,
    /// An artifact of this type.
    Artifact(String),
}

impl Wanted {
    /// Fails if a manifest has content of another kind. `what` names the manifest.
    pub(crate) fn check(&self, manifest: &Manifest, what: &str) -> Result<(), PullError> {
        let Manifest::Image(manifest) = manifest else { return Ok(()) };
        let Self::Artifact(wanted) = self else { return manifest.check(what) };
        // Manifests of before OCI 1.1 have the type in their configuration only.
        let own = manifest.artifact_type.as_deref().filter(|value| !value.is_empty());
        let found = bare_type(own.unwrap_or(&manifest.config.media_type));
        match found == *wanted {
            true => Ok(()),
            false => Err(PullError::NotAnImage {
                what: what.to_owned(),
                reason: format!("its type is `{}`", one_line(&found)),
            }),
        }
    }

    /// Returns whether an entry of an index describes content of another kind.
    pub(crate) fn excludes(&self, entry: &Descriptor) -> bool {
        match (self, entry.artifact_type.as_deref().filter(|value| !value.is_empty())) {
            (Self::Artifact(wanted), Some(found)) => bare_type(found) != *wanted,
            _ => is_foreign_entry(entry),
        }
    }
}
