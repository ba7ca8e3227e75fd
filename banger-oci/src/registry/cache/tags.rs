//! The digests that tags had when they were pulled last: `tags/<hex>`, by the SHA-256 of the reference.

use std::fs;
use std::io::Read as _;

use banger_tree::{Existing, NewFile};
use camino::Utf8PathBuf;

use super::place::{self, Place, Purpose};
use super::prune::items;
use super::{BlobCache, SMALL_BLOB_MODE, is_at};
use crate::digest::Digest;
use crate::reference::RegistryReference;
use crate::registry::error::PullError;

/// The directory of the tags.
const TAGS: &str = "tags";
/// The largest file that is read: a reference and a digest.
const MAX_LEN: u64 = 4096;

impl BlobCache {
    /// Notes that a tag leads to the manifest or index `digest`.
    pub(crate) fn note_tag(&self, reference: &RegistryReference, digest: &Digest) -> Result<(), PullError> {
        if self.tag(reference)?.as_ref() == Some(digest) {
            return Ok(());
        }
        place::make_directory(&self.root.join(TAGS))?;
        let path = self.tag_path(reference);
        let written = NewFile::create(path.as_std_path(), SMALL_BLOB_MODE).and_then(|file| {
            // The next pull notes it again.
            let mut file = file.without_flush();
            file.write_bytes(format!("{reference}\n{digest}\n").as_bytes())?;
            file.publish(Existing::Replace)
        });
        written.map_err(|error| PullError::io("create", &path)(error.into()))
    }

    /// Removes the tags whose manifests are not in the cache. A pull notes them again.
    pub(super) fn forget_lost_tags(&self) -> Result<(), PullError> {
        for item in items(&self.root.join(TAGS))? {
            let Ok(item) = item else { continue };
            // Others are tags that are being written.
            if format!("sha256:{}", item.file_name()).parse::<Digest>().is_err() {
                continue;
            }
            let path = item.path();
            let Place::File(file) = place::open(path, Purpose::Read)? else { continue };
            let mut text = String::new();
            let is_read = (&file).take(MAX_LEN).read_to_string(&mut text).is_ok();
            let digest = text.lines().nth(1).and_then(|line| line.parse::<Digest>().ok());
            let is_lost = !is_read || digest.is_none_or(|digest| !self.blob_path(&digest).exists());
            // A pull may have noted another manifest since.
            if is_lost && is_at(&file, path) {
                let _gone = fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// Returns the digest that a tag had when it was pulled last.
    pub(crate) fn tag(&self, reference: &RegistryReference) -> Result<Option<Digest>, PullError> {
        let path = self.tag_path(reference);
        let Place::File(file) = place::open(&path, Purpose::Read)? else { return Ok(None) };
        let mut text = String::new();
        if file.take(MAX_LEN).read_to_string(&mut text).is_err() {
            return Ok(None);
        }
        // Anything else there counts as missing.
        let digest =
            text.strip_prefix(&format!("{reference}\n")).and_then(|rest| rest.trim_end().parse().ok());
        Ok(digest)
    }

    fn tag_path(&self, reference: &RegistryReference) -> Utf8PathBuf {
        self.root.join(TAGS).join(Digest::of(reference.to_string().as_bytes()).hex())
    }
}

#[cfg(test)]
mod tests {
    use super::super::PruneOptions;
    use super::*;

    #[test]
    fn tags_are_kept_until_they_move() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlobCache::open(Utf8PathBuf::try_from(dir.path().join("c")).unwrap()).unwrap();
        let reference = |text: &str| match text.parse().unwrap() {
            crate::Reference::Registry(reference) => reference,
            other => panic!("{other}"),
        };
        let (debian, alpine) = (reference("debian:12"), reference("alpine:12"));
        assert_eq!(cache.tag(&debian).unwrap(), None);
        for bytes in [b"1", b"1", b"2"] {
            let digest = Digest::of(bytes);
            cache.note_tag(&debian, &digest).unwrap();
            assert_eq!(cache.tag(&debian).unwrap(), Some(digest));
            assert_eq!(cache.tag(&alpine).unwrap(), None);
        }
        std::fs::write(cache.tag_path(&debian), "nonsense").unwrap();
        assert_eq!(cache.tag(&debian).unwrap(), None);
    }

    #[test]
    fn a_prune_forgets_tags_without_manifests() {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlobCache::open(Utf8PathBuf::try_from(dir.path().join("c")).unwrap()).unwrap();
        let references = ["debian:12", "alpine:12"].map(|text| match text.parse().unwrap() {
            crate::Reference::Registry(reference) => reference,
            other => panic!("{other}"),
        });
        let digests = [b"1", b"2"].map(|bytes| {
            let digest = Digest::of(bytes);
            cache.put_small(&digest, bytes).unwrap();
            digest
        });
        let tags = || references.each_ref().map(|reference| cache.tag(reference).unwrap());
        for (reference, digest) in references.iter().zip(&digests) {
            cache.note_tag(reference, digest).unwrap();
        }
        let (broken, begun) =
            (cache.root.join(TAGS).join("0".repeat(64)), cache.root.join(TAGS).join(".begun"));
        fs::write(&broken, "nonsense").unwrap();
        fs::write(&begun, "").unwrap();
        cache.remove(&digests[0]).unwrap();
        cache.prune(&PruneOptions::default().with_dry_run(true)).unwrap();
        assert_eq!(tags(), digests.each_ref().map(|digest| Some(digest.clone())));
        cache.prune(&PruneOptions::default()).unwrap();
        assert_eq!(tags(), [None, Some(digests[1].clone())]);
        assert!(!broken.exists() && begun.exists());
        cache.prune(&PruneOptions::default().with_all(true)).unwrap();
        assert_eq!(tags(), [None, None]);
    }
}
