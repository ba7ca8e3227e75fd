//! A scripted registry on a loopback port, and images to serve.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use banger_oci::{
    BlobCache, CredentialSource, Digest, Platform, Progress, PullError, PullEvent, PullOptions, PulledImage,
    Puller, PullerOptions, WebFile, pull,
};
use banger_testkit::ScriptedServer;
use banger_tree::{Cancellation, Failure as _};
use camino::Utf8PathBuf;
use serde_json::{Value, json};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

pub(crate) use banger_testkit::{Answer, Asked, BodyLength, part_of};

/// A scripted registry that serves a store.
pub(crate) struct Server(ScriptedServer);

impl Server {
    /// Serves `store`, where `script` has no answer of its own.
    pub(crate) fn start(
        store: Store,
        script: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self(ScriptedServer::start(move |asked| script(asked).unwrap_or_else(|| store.answer(asked))))
    }

    pub(crate) fn plain(store: Store) -> Self {
        Self::start(store, |_| None)
    }
}

impl Deref for Server {
    type Target = ScriptedServer;

    fn deref(&self) -> &ScriptedServer {
        &self.0
    }
}

/// What a registry holds: documents and blobs by digest, tags.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) manifests: BTreeMap<String, (String, Vec<u8>)>,
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
}

impl Store {
    pub(crate) fn blob(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        self.blobs.insert(digest.to_string(), bytes.to_vec());
        digest
    }

    pub(crate) fn manifest(&mut self, tag: Option<&str>, media_type: &str, value: &Value) -> Value {
        let bytes = serde_json::to_vec(value).unwrap();
        let digest = Digest::of(&bytes);
        let size = bytes.len();
        for name in tag.map(str::to_owned).into_iter().chain([digest.to_string()]) {
            self.manifests.insert(name, (media_type.to_owned(), bytes.clone()));
        }
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    }

    pub(crate) fn config(&mut self, platform: &str, layers: &[Vec<u8>]) -> Value {
        let mut parts = platform.split('/');
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
        let config = json!({
            "os": parts.next(), "architecture": parts.next(), "variant": parts.next(),
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "config": { "Cmd": ["sh"], "Env": null }, "history": null,
        });
        let bytes = serde_json::to_vec(&config).unwrap();
        json!({ "mediaType": CONFIG, "digest": self.blob(&bytes), "size": bytes.len() })
    }

    /// An image with these layers; returns its manifest and the descriptor of that.
    pub(crate) fn image(&mut self, tag: Option<&str>, platform: &str, layers: &[Vec<u8>]) -> (Value, Value) {
        let config = self.config(platform, layers);
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| json!({ "mediaType": LAYER, "digest": self.blob(layer), "size": layer.len() }))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        let descriptor = self.manifest(tag, MANIFEST, &manifest);
        (manifest, descriptor)
    }

    pub(crate) fn answer(&self, asked: &Asked) -> Answer {
        let missing = |code: &str| {
            let error = json!({ "errors": [{ "code": code, "message": "not here" }] });
            Answer::new(404, serde_json::to_vec(&error).unwrap())
        };
        if let Some((_, name)) = asked.path().split_once("/manifests/") {
            return match self.manifests.get(name) {
                Some((media_type, bytes)) => Answer::new(200, bytes.clone())
                    .with("Content-Type", media_type)
                    .with("Docker-Content-Digest", Digest::of(bytes).to_string()),
                None => missing("MANIFEST_UNKNOWN"),
            };
        }
        if asked.path().contains("/referrers/") {
            return missing("NOT_FOUND");
        }
        let Some((_, name)) = asked.path().split_once("/blobs/") else {
            return Answer::new(200, "{}");
        };
        let Some(bytes) = self.blobs.get(name) else {
            return missing("BLOB_UNKNOWN");
        };
        part_of(bytes, asked)
    }
}

pub(crate) fn range_start(asked: &Asked) -> Option<usize> {
    asked.range_start()
}

/// Bytes that do not compress and differ by seed.
pub(crate) fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        })
        .collect()
}

/// What a terminal takes for more than text.
pub(crate) const EVIL: &str = "x\n\u{1b}[2J\u{202e}y";

pub(crate) fn assert_one_line(error: &PullError) {
    let text = error.to_string();
    assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text:?}");
}

/// Message and advice of an error, with the names of the library's options.
pub(crate) fn told(error: &PullError) -> String {
    error.advice().map_or(error.to_string(), |advice| format!("{error}; {advice}"))
}

/// A pull and everything it reports.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) cache: BlobCache,
    pub(crate) options: PullOptions,
    pub(crate) events: Arc<Mutex<Vec<PullEvent>>>,
    pub(crate) cancel: Cancellation,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cache = BlobCache::open(utf8(&dir).join("cache")).unwrap();
        let options = PullOptions::default()
            .with_platform(Some("linux/amd64".parse::<Platform>().unwrap()))
            .with_credentials(CredentialSource::Anonymous)
            .with_backoff(Duration::from_millis(1))
            .with_plain_http(true)
            .with_stall_timeout(Duration::from_secs(5));
        Self { dir, cache, options, events: Arc::default(), cancel: Cancellation::new() }
    }

    pub(crate) fn path(&self) -> Utf8PathBuf {
        utf8(&self.dir)
    }

    pub(crate) fn pull(&self, reference: &str) -> Result<PulledImage, PullError> {
        let events = Arc::clone(&self.events);
        let progress = Progress::new(move |event| events.lock().unwrap().push(event));
        pull(&reference.parse().unwrap(), &self.cache, &self.options, &progress, &self.cancel)
    }

    /// Downloads a file of a web server into the cache.
    pub(crate) fn fetch_file(&self, address: &str, digest: &Digest) -> Result<WebFile, PullError> {
        let events = Arc::clone(&self.events);
        let progress = Progress::new(move |event| events.lock().unwrap().push(event));
        let puller = Puller::new(PullerOptions::default());
        let address = address.parse().unwrap();
        puller.fetch_file(&address, digest, &self.cache, &self.options, &progress, &self.cancel)
    }

    pub(crate) fn events(&self) -> Vec<PullEvent> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) fn retries(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, PullEvent::Retry { .. })).count()
    }

    /// Pulls and reads every layer to its end.
    pub(crate) fn read(&self, reference: &str) -> Result<Vec<Vec<u8>>, PullError> {
        let image = self.pull(reference)?;
        let layers = read_layers(&image)?;
        image.finish()?;
        Ok(layers)
    }
}

pub(crate) fn read_layers(image: &PulledImage) -> Result<Vec<Vec<u8>>, PullError> {
    let mut layers = Vec::new();
    for layer in &image.layers {
        let mut bytes = Vec::new();
        layer
            .open()?
            .read_to_end(&mut bytes)
            .map_err(|error| PullError::from_io(&error).cloned().unwrap_or_else(|| panic!("{error}")))?;
        layers.push(bytes);
    }
    Ok(layers)
}

fn utf8(dir: &tempfile::TempDir) -> Utf8PathBuf {
    dir.path().to_path_buf().try_into().unwrap()
}
