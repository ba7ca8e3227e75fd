//! Artifacts to push, and registries that take them.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use banger_oci::{
    ArtifactBlobs, ArtifactToPush, Descriptor, Digest, ImageManifest, Progress, PullEvent, Puller,
    PullerOptions, PushError, PushedArtifact, RegistryReference,
};
use banger_testkit::{ScriptedServer, UploadStore};

use crate::pull_support::*;

pub(crate) const TYPE: &str = "application/vnd.example.windows.v1";
pub(crate) const WINDOW: &str = "application/vnd.example.window.v1+zstd";

/// An artifact, which counts how often each of its blobs is read.
pub(crate) struct Artifact {
    pub(crate) manifest: ImageManifest,
    pub(crate) config: Vec<u8>,
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(crate) reads: Mutex<Vec<Digest>>,
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64)
}

impl Artifact {
    /// One with these blobs, as OCI 1.1 has it.
    pub(crate) fn new(blobs: &[Vec<u8>]) -> Self {
        let config = br#"{"record":"x"}"#.to_vec();
        let layers = blobs.iter().enumerate().map(|(at, bytes)| {
            let annotations = BTreeMap::from([("org.example.offset".to_owned(), at.to_string())]);
            Descriptor { annotations, ..descriptor(WINDOW, bytes) }
        });
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: descriptor("application/vnd.example.record.v1+json", &config),
            layers: layers.collect(),
            annotations: BTreeMap::from([("made".to_owned(), "by hand".to_owned())]),
            artifact_type: Some(TYPE.to_owned()),
            subject: None,
        };
        let blobs = blobs.iter().map(|bytes| (Digest::of(bytes), bytes.clone())).collect();
        Self { manifest, config, blobs, reads: Mutex::default() }
    }

    /// The same for registries of OCI 1.0: its configuration alone has its type.
    pub(crate) fn of_oci_1_0(blobs: &[Vec<u8>]) -> Self {
        let mut artifact = Self::new(blobs);
        artifact.manifest.artifact_type = None;
        artifact.manifest.config.media_type = TYPE.to_owned();
        artifact
    }

    /// The digests of the blobs that were read, sorted.
    pub(crate) fn reads(&self) -> Vec<Digest> {
        let mut reads = self.reads.lock().unwrap().clone();
        reads.sort();
        reads
    }
}

impl ArtifactBlobs for Artifact {
    fn read(&self, blob: &Descriptor) -> io::Result<Vec<u8>> {
        self.reads.lock().unwrap().push(blob.digest.clone());
        self.blobs.read(blob)
    }
}

/// Blobs of noise: `count` of `len` bytes each.
pub(crate) fn blobs(seed: u32, count: u32, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| noise(seed + at, len)).collect()
}

impl Bench {
    pub(crate) fn push(&self, target: &str, artifact: &Artifact) -> Result<PushedArtifact, PushError> {
        self.push_mounting(target, artifact, None)
    }

    pub(crate) fn push_mounting(
        &self,
        target: &str,
        artifact: &Artifact,
        source: Option<&RegistryReference>,
    ) -> Result<PushedArtifact, PushError> {
        let events = Arc::clone(&self.events);
        let progress = Progress::new(move |event| events.lock().unwrap().push(event));
        self.push_telling(target, artifact, source, &progress)
    }

    pub(crate) fn push_telling(
        &self,
        target: &str,
        artifact: &Artifact,
        source: Option<&RegistryReference>,
        progress: &Progress,
    ) -> Result<PushedArtifact, PushError> {
        let mut pushed = ArtifactToPush::new(&artifact.manifest, &artifact.config, artifact);
        if let Some(source) = source {
            pushed = pushed.with_mount_from(source);
        }
        let puller = Puller::new(PullerOptions::default());
        puller.push_artifact(&target.parse().unwrap(), &pushed, &self.options, progress, &self.cancel)
    }

    /// Pulls an artifact into a new cache, and compares its manifest, configuration and blobs.
    pub(crate) fn assert_pulls(&self, reference: &str, artifact: &Artifact) {
        let fresh = Self::new();
        let puller = Puller::new(PullerOptions::default());
        let (reference, progress) = (reference.parse().unwrap(), Progress::none());
        let found =
            puller.pull_artifact(&reference, TYPE, &fresh.cache, &self.options, &progress, &fresh.cancel);
        let found = found.unwrap().expect("an artifact of this type");
        assert_eq!(found.manifest(), &artifact.manifest);
        assert_eq!(found.config_bytes(), artifact.config);
        for (blob, descriptor) in found.blobs().iter().zip(&artifact.manifest.layers) {
            let mut bytes = Vec::new();
            blob.open().unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, artifact.blobs[&descriptor.digest]);
        }
        found.finish().unwrap();
        assert_eq!(found.blobs().len(), artifact.manifest.layers.len());
    }

    pub(crate) fn uploads(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, PullEvent::UploadDone { .. })).count()
    }
}

/// A scripted registry that takes pushes.
pub(crate) struct PushServer {
    server: ScriptedServer,
    pub(crate) store: UploadStore,
}

impl PushServer {
    /// Answers as its store does, where `script` has no answer of its own.
    pub(crate) fn start(script: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::start_breaking(script, |_| None)
    }

    pub(crate) fn start_breaking(
        script: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
        breaks: impl Fn(&Asked) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        let store = UploadStore::default();
        let shared = store.clone();
        let answer = move |asked: &Asked| script(asked).unwrap_or_else(|| shared.answer(asked));
        Self { server: ScriptedServer::start_breaking(answer, breaks), store }
    }

    pub(crate) fn plain() -> Self {
        Self::start(|_| None)
    }

    /// The reference of the tag `1` of `app`.
    pub(crate) fn app(&self) -> String {
        format!("{}/app:1", self.host())
    }
}

impl Deref for PushServer {
    type Target = ScriptedServer;

    fn deref(&self) -> &ScriptedServer {
        &self.server
    }
}

/// The numbers of sent, present and mounted blobs.
pub(crate) fn counts(pushed: &PushedArtifact) -> [u64; 3] {
    [pushed.sent_blobs, pushed.present_blobs, pushed.mounted_blobs]
}
