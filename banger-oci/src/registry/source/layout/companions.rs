//! Documents beside the images of a layout: entries of its `index.json`.

use super::{Layout, LayoutFiles, names_of, select};
use crate::digest::Digest;
use crate::reference::Selector;
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::manifest::{Descriptor, ManifestKind, manifest_kind};
use crate::registry::trust::SignaturePlace;
use crate::registry::trust::companions::{Companions, Referrers, refers_to};

/// Entries of `index.json` that are read to find those that refer to an image.
const MAX_ENTRIES: usize = 256;

impl<F: LayoutFiles> Layout<F> {
    fn entries(&self) -> Result<Vec<Descriptor>, PullError> {
        let index = self.index()?;
        Ok(index.manifests.into_iter().chain(index.vague).collect())
    }
}

impl<F: LayoutFiles> Companions for Layout<F> {
    fn tagged(&self, tag: &str) -> Result<Option<Vec<u8>>, PullError> {
        let entries = self.entries()?;
        let wanted = Selector::Name(tag.to_owned());
        let found = select(&entries, &wanted, |entry| names_of(entry), |_, _| false);
        found.first().map(|entry| self.companion_manifest(entry)).transpose()
    }

    fn referrers(&self, digest: &Digest) -> Result<Referrers, PullError> {
        let mut manifests = Vec::new();
        let is_other = |entry: &&Descriptor| {
            entry.digest != *digest && manifest_kind(&entry.media_type) == ManifestKind::Image
        };
        for entry in self.entries()?.iter().filter(is_other).take(MAX_ENTRIES) {
            // Another image of the layout that is damaged does not matter.
            match self.companion_manifest(entry) {
                Ok(bytes) if refers_to(&bytes, digest, &self.options.budget)? => {
                    manifests.push(entry.clone())
                }
                Ok(_)
                | Err(PullError::Mismatch { .. } | PullError::Layout { .. } | PullError::TooLarge { .. }) => {
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Referrers { manifests, found_by: Some(SignaturePlace::Referrers) })
    }

    fn companion_manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, PullError> {
        self.small(descriptor, self.options.manifest_cap(), &format!("manifest {}", descriptor.digest))
    }

    fn companion_blob(&self, descriptor: &Descriptor, cap: Cap) -> Result<Vec<u8>, PullError> {
        self.small(descriptor, cap, &format!("blob {}", descriptor.digest))
    }
}
