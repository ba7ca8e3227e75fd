//! What a scripted registry has that takes pushes: OCI distribution-spec, the push half.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::layout::sha256_digest;
use crate::scripted::{Answer, Asked, part_of};

/// The repositories of a registry in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct UploadStore(Arc<Mutex<Stored>>);

/// A repository, and a digest or a tag.
type Key = (String, String);

#[derive(Debug, Default)]
struct Stored {
    blobs: BTreeMap<Key, Vec<u8>>,
    manifests: BTreeMap<Key, (String, Vec<u8>)>,
    /// What has come of the uploads that are open.
    uploads: BTreeMap<String, Vec<u8>>,
    opened: u64,
}

impl UploadStore {
    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a blob into a repository.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) {
        self.stored().blobs.insert((repository.to_owned(), sha256_digest(bytes)), bytes.to_vec());
    }

    /// Removes a blob. Returns whether it was there.
    pub fn remove_blob(&self, repository: &str, digest: &str) -> bool {
        self.stored().blobs.remove(&(repository.to_owned(), digest.to_owned())).is_some()
    }

    /// The digests of all blobs of a repository.
    #[must_use]
    pub fn blobs(&self, repository: &str) -> Vec<String> {
        let stored = self.stored();
        let own = stored.blobs.keys().filter(|(name, _)| name == repository);
        own.map(|(_, digest)| digest.clone()).collect()
    }

    /// The media type and the bytes of a manifest, by tag or digest.
    #[must_use]
    pub fn manifest(&self, repository: &str, name: &str) -> Option<(String, Vec<u8>)> {
        self.stored().manifests.get(&(repository.to_owned(), name.to_owned())).cloned()
    }

    /// What the registry answers. It wants the query of its `Location` back as it was, and refuses the manifest of an
    /// artifact that lacks a blob.
    #[must_use]
    pub fn answer(&self, asked: &Asked) -> Answer {
        let Some(path) = asked.path().strip_prefix("/v2/").filter(|path| !path.is_empty()) else {
            return Answer::new(200, "{}");
        };
        let mut stored = self.stored();
        if let Some((repository, name)) = path.split_once("/manifests/") {
            return stored.manifest(asked, repository, name);
        }
        if let Some((repository, id)) = path.split_once("/blobs/uploads/") {
            return stored.upload(asked, repository, id);
        }
        let Some((repository, digest)) = path.split_once("/blobs/") else {
            return error(404, "NOT_FOUND");
        };
        match stored.blobs.get(&(repository.to_owned(), digest.to_owned())) {
            Some(bytes) => part_of(bytes, asked),
            None => error(404, "BLOB_UNKNOWN"),
        }
    }
}

impl Stored {
    fn manifest(&mut self, asked: &Asked, repository: &str, name: &str) -> Answer {
        let key = |name: &str| (repository.to_owned(), name.to_owned());
        if asked.method != "PUT" {
            return match self.manifests.get(&key(name)) {
                Some((media_type, bytes)) => Answer::new(200, bytes.clone())
                    .with("Content-Type", media_type)
                    .with("Docker-Content-Digest", sha256_digest(bytes)),
                None => error(404, "MANIFEST_UNKNOWN"),
            };
        }
        let Ok(manifest) = serde_json::from_slice::<Value>(&asked.bytes) else {
            return error(400, "MANIFEST_INVALID");
        };
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        // An index has no configuration.
        let config = manifest.get("config").filter(|config| !config.is_null());
        for blob in layers.iter().chain(config) {
            if !self.blobs.contains_key(&key(blob["digest"].as_str().unwrap_or_default())) {
                return error(400, "MANIFEST_BLOB_UNKNOWN");
            }
        }
        let media_type = asked.header("content-type").unwrap_or_default();
        let digest = sha256_digest(&asked.bytes);
        for name in [name, &digest] {
            self.manifests.insert(key(name), (media_type.to_owned(), asked.bytes.clone()));
        }
        Answer::new(201, "").with("Docker-Content-Digest", digest)
    }

    fn upload(&mut self, asked: &Asked, repository: &str, id: &str) -> Answer {
        let digest = query(asked, "digest");
        if asked.method == "POST" {
            if let (Some(mount), Some(from)) = (query(asked, "mount"), query(asked, "from"))
                && let Some(bytes) = self.blobs.get(&(from, mount.clone())).cloned()
            {
                self.blobs.insert((repository.to_owned(), mount), bytes);
                return Answer::new(201, "");
            }
            self.opened += 1;
            let id = format!("u{}", self.opened);
            self.uploads.insert(id.clone(), Vec::new());
            return Answer::new(202, "").with("Location", location(repository, &id));
        }
        if !asked.target.contains("?_state=a%2Bb%3D") {
            return error(400, "BLOB_UPLOAD_INVALID");
        }
        let Some(mut bytes) = self.uploads.remove(id) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        let range = asked.header("content-range").and_then(|range| range.split_once('-'));
        if range.is_some_and(|(first, _)| first.parse() != Ok(bytes.len())) {
            return error(416, "BLOB_UPLOAD_INVALID");
        }
        bytes.extend_from_slice(&asked.bytes);
        if asked.method == "PATCH" {
            let last = bytes.len().saturating_sub(1);
            self.uploads.insert(id.to_owned(), bytes);
            return Answer::new(202, "")
                .with("Location", location(repository, id))
                .with("Range", format!("0-{last}"));
        }
        if digest.as_deref() != Some(&sha256_digest(&bytes)) {
            return error(400, "DIGEST_INVALID");
        }
        let digest = sha256_digest(&bytes);
        self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
        Answer::new(201, "").with("Docker-Content-Digest", digest)
    }
}

/// Relative, and with a query.
fn location(repository: &str, id: &str) -> String {
    format!("/v2/{repository}/blobs/uploads/{id}?_state=a%2Bb%3D")
}

fn error(status: u16, code: &str) -> Answer {
    Answer::new(status, format!(r#"{{"errors":[{{"code":"{code}","message":"not here"}}]}}"#))
}

/// A value of the query.
fn query(asked: &Asked, name: &str) -> Option<String> {
    let (_, query) = asked.target.split_once('?')?;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.into_iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
}
