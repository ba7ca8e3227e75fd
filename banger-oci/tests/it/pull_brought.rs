//! Blobs that the caller brings.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use banger_oci::{BlobSource, Digest, FileBlobs, PullError, Reference};
use banger_tree::{ErrorKind, Failure as _};

use crate::pull_support::*;

/// Blobs in memory, and the digest of what every reference means.
#[derive(Debug, Default)]
struct Memory {
    blobs: HashMap<Digest, Vec<u8>>,
    root: Option<Digest>,
}

impl BlobSource for Memory {
    fn open(&self, digest: &Digest) -> io::Result<Option<Box<dyn Read + Send>>> {
        let blob = self.blobs.get(digest).cloned();
        Ok(blob.map(|bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read + Send>))
    }

    fn resolve(&self, _reference: &Reference) -> io::Result<Option<Digest>> {
        Ok(self.root.clone())
    }
}

/// A source that cannot read.
#[derive(Debug)]
struct Broken;

impl BlobSource for Broken {
    fn open(&self, _digest: &Digest) -> io::Result<Option<Box<dyn Read + Send>>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

fn digest_of(value: &serde_json::Value) -> Digest {
    value["digest"].as_str().unwrap().parse().unwrap()
}

/// An index of one image with these layers.
fn memory(layers: &[Vec<u8>]) -> (Memory, Digest) {
    let mut store = Store::default();
    let (_, mut image) = store.image(None, "linux/amd64", layers);
    image["platform"] = serde_json::json!({ "os": "linux", "architecture": "amd64" });
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [image] });
    let root = digest_of(&store.manifest(None, INDEX, &index));
    let manifests = store.manifests.values().map(|(_, bytes)| bytes);
    let blobs = store.blobs.values().chain(manifests).map(|bytes| (Digest::of(bytes), bytes.clone()));
    (Memory { blobs: blobs.collect(), root: None }, root)
}

#[test]
fn an_image_comes_from_a_map() {
    let layers = [noise(1, 100_000), noise(2, 10), noise(1, 100_000)];
    let (source, root) = memory(&layers);
    let mut bench = Bench::new();
    bench.options.blob_source = Some(Arc::new(source));
    let pinned = format!("registry.invalid/team/app@{root}");
    let image = bench.pull(&pinned).unwrap();
    assert_eq!((image.index_digest.as_ref(), image.reference.to_string()), (Some(&root), pinned.clone()));
    // A layer can be read several times.
    assert_eq!(read_layers(&image).unwrap(), layers);
    assert_eq!(read_layers(&image).unwrap(), layers);
    image.finish().unwrap();
    assert!(bench.cache.list().unwrap().is_empty(), "the cache keeps nothing");
    let error = bench.pull("registry.invalid/team/app:1").unwrap_err();
    assert!(matches!(&error, PullError::UnknownImage { .. }), "{error}");
    let (mut source, root) = memory(&layers);
    source.root = Some(root.clone());
    bench.options.blob_source = Some(Arc::new(source));
    assert_eq!(bench.pull("registry.invalid/team/app:1").unwrap().index_digest, Some(root));
}

#[test]
fn b34_wrong_blobs_of_the_caller_are_refused() {
    let layers = [noise(1, 5000), noise(2, 10)];
    let mut bench = Bench::new();
    let (whole, root) = memory(&layers);
    let pinned = format!("registry.invalid/app@{root}");
    for digest in whole.blobs.keys() {
        let bytes = &whole.blobs[digest];
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        let longer = [&bytes[..], b"x"].concat();
        for wrong in [Some(flipped), Some(longer), Some(bytes[1..].to_vec()), Some(Vec::new()), None] {
            let (mut source, _) = memory(&layers);
            match &wrong {
                Some(wrong) => drop(source.blobs.insert(digest.clone(), wrong.clone())),
                None => drop(source.blobs.remove(digest)),
            }
            bench.options.blob_source = Some(Arc::new(source));
            let error = bench.read(&pinned).unwrap_err();
            match wrong {
                None => {
                    assert!(matches!(&error, PullError::BlobSource { .. }), "{error}");
                    assert_eq!(error.kind(), ErrorKind::NotFound);
                }
                Some(_) => assert!(matches!(&error, PullError::Mismatch { .. }), "{error}"),
            }
            assert!(error.to_string().contains(digest.hex()), "{error}");
        }
    }
    bench.options.blob_source = Some(Arc::new(Broken));
    let error = bench.pull(&pinned).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Access, 1163), "{error}");
    let (source, _) = memory(&layers);
    bench.options.blob_source = Some(Arc::new(source));
    bench.options.max_manifest_bytes = 50;
    let error = bench.pull(&pinned).unwrap_err();
    assert!(matches!(&error, PullError::TooLarge { .. }), "{error}");
}

#[test]
fn an_image_comes_from_open_files() {
    let layers = [noise(1, 100_000), noise(2, 10)];
    let (source, root) = memory(&layers);
    let mut bench = Bench::new();
    let mut files = FileBlobs::default();
    for (digest, bytes) in &source.blobs {
        let path = bench.path().join(digest.hex());
        std::fs::write(&path, bytes).unwrap();
        files.insert(digest.clone(), File::open(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
    bench.options.blob_source = Some(Arc::new(files));
    let image = bench.pull(&format!("registry.invalid/app@{root}")).unwrap();
    assert_eq!(read_layers(&image).unwrap(), layers);
    assert_eq!(read_layers(&image).unwrap(), layers);
}
