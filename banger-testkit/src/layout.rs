//! OCI layouts and docker archives written from layers, right or wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::compress::Compression;
use crate::entry::{Entry, Format};
use crate::layer::LayerBuilder;

/// The media type of an OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of an OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a Docker schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The media type of a Docker manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// The media type of a Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// `sha256:` and the hexadecimal digest of `bytes`.
#[must_use]
pub fn sha256_digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a String takes every write");
    }
    text
}

/// A descriptor of `bytes`.
#[must_use]
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": sha256_digest(bytes),
        "size": bytes.len(),
    })
}

/// A layer of an [`ImageBuilder`]: its blob and what the image says of it.
#[derive(Debug, Clone)]
pub struct Layer {
    blob: Vec<u8>,
    descriptor: Value,
    diff_id: String,
    tar: Vec<u8>,
}

impl Layer {
    /// The layer of `tar`, compressed and described truthfully as OCI has it.
    #[must_use]
    pub fn new(tar: Vec<u8>, compression: Compression) -> Self {
        let blob = compression.apply(&tar);
        Self {
            descriptor: descriptor(compression.oci_media_type(), &blob),
            diff_id: sha256_digest(&tar),
            blob,
            tar,
        }
    }

    /// The layer of `tar` as `blob`, a stream made by the test.
    #[must_use]
    pub fn of_blob(tar: Vec<u8>, blob: Vec<u8>, media_type: &str) -> Self {
        Self { descriptor: descriptor(media_type, &blob), diff_id: sha256_digest(&tar), blob, tar }
    }

    /// Sets a field of the descriptor (`mediaType`, `size`, `digest`, `urls`, …)
    /// and leaves the blob.
    #[must_use]
    pub fn describe(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.descriptor[field] = value.into();
        self
    }

    /// Sets the `diff_id` that the configuration lists.
    #[must_use]
    pub fn diff_id(mut self, diff_id: impl Into<String>) -> Self {
        self.diff_id = diff_id.into();
        self
    }
}

/// An image to be written into a layout or an archive: linux/amd64 unless changed.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    layers: Vec<Layer>,
    config: Value,
    config_media_type: String,
    manifest: Value,
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageBuilder {
    /// An OCI image of no layers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            layers: Vec::new(),
            config: json!({"architecture": "amd64", "os": "linux", "config": {}}),
            config_media_type: OCI_CONFIG.to_owned(),
            manifest: json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST}),
        }
    }

    /// Adds a gzip layer of `tar` above the others.
    #[must_use]
    pub fn layer(self, tar: Vec<u8>) -> Self {
        self.layer_as(Layer::new(tar, Compression::Gzip))
    }

    /// Adds a layer above the others.
    #[must_use]
    pub fn layer_as(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Sets a top-level field of the configuration, `rootfs` included; `config`
    /// holds the run parameters.
    #[must_use]
    pub fn config(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.config[field] = value.into();
        self
    }

    /// Sets a top-level field of the manifest, `layers` and `config` included.
    #[must_use]
    pub fn manifest(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.manifest[field] = value.into();
        self
    }

    /// Sets the platform in the configuration and so in the descriptors of indexes.
    #[must_use]
    pub fn platform(self, os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let image = self.config("os", os).config("architecture", architecture);
        match variant {
            Some(variant) => image.config("variant", variant),
            None => image,
        }
    }

    /// Replaces the OCI media types, those of the layers too, by Docker's.
    #[must_use]
    pub fn docker(mut self) -> Self {
        self.manifest["mediaType"] = DOCKER_MANIFEST.into();
        DOCKER_CONFIG.clone_into(&mut self.config_media_type);
        for layer in &mut self.layers {
            for compression in Compression::ALL {
                if layer.descriptor["mediaType"] == compression.oci_media_type() {
                    layer.descriptor["mediaType"] = compression.docker_media_type().into();
                }
            }
        }
        self
    }

    /// The configuration's bytes.
    #[must_use]
    pub fn config_bytes(&self) -> Vec<u8> {
        let mut config = self.config.clone();
        if config.get("rootfs").is_none() {
            let diff_ids: Vec<&str> = self.layers.iter().map(|l| l.diff_id.as_str()).collect();
            config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
        }
        config.to_string().into_bytes()
    }

    /// The manifest's bytes.
    #[must_use]
    pub fn manifest_bytes(&self) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        if manifest.get("config").is_none() {
            manifest["config"] = descriptor(&self.config_media_type, &self.config_bytes());
        }
        if manifest.get("layers").is_none() {
            let layers: Vec<&Value> = self.layers.iter().map(|l| &l.descriptor).collect();
            manifest["layers"] = json!(layers);
        }
        manifest.to_string().into_bytes()
    }

    fn platform_json(&self) -> Value {
        let mut platform = json!({});
        for field in ["os", "architecture", "variant"] {
            if let Some(value) = self.config.get(field) {
                platform[field] = value.clone();
            }
        }
        platform
    }
}

/// Builds an OCI layout directory.
///
/// ```
/// use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let mut layout = LayoutBuilder::new();
/// let image = ImageBuilder::new().layer(LayerBuilder::new().file("a", "1").finish());
/// layout.add_tagged(&image, "latest");
/// layout.write(dir.path());
/// assert!(dir.path().join("index.json").exists());
/// ```
#[derive(Debug, Clone, Default)]
pub struct LayoutBuilder {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

impl LayoutBuilder {
    /// A layout without images.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A layout of one image, tagged `latest`.
    #[must_use]
    pub fn of(image: &ImageBuilder) -> Self {
        let mut layout = Self::new();
        layout.add_tagged(image, "latest");
        layout
    }

    /// Adds a blob and returns its digest.
    pub fn blob(&mut self, bytes: Vec<u8>) -> String {
        let digest = sha256_digest(&bytes);
        self.blobs.insert(digest.clone(), bytes);
        digest
    }

    /// Stores `bytes` under `digest`, whether it is theirs or not.
    pub fn blob_as(&mut self, digest: &str, bytes: Vec<u8>) {
        self.blobs.insert(digest.to_owned(), bytes);
    }

    /// Forgets the blob of `digest`.
    pub fn remove_blob(&mut self, digest: &str) {
        self.blobs.remove(digest);
    }

    /// Adds an image's blobs and returns the descriptor of its manifest, with platform.
    ///
    /// Layer blobs are stored under the digest that the image says.
    ///
    /// # Panics
    ///
    /// When a layer's `digest` was set to something else than a string.
    pub fn add(&mut self, image: &ImageBuilder) -> Value {
        for layer in &image.layers {
            let digest = layer.descriptor["digest"].as_str().expect("a digest is a string");
            self.blob_as(digest, layer.blob.clone());
        }
        self.blob(image.config_bytes());
        let manifest = image.manifest_bytes();
        let media_type = image.manifest["mediaType"].as_str().unwrap_or(OCI_MANIFEST);
        let mut found = descriptor(media_type, &manifest);
        found["platform"] = image.platform_json();
        self.blob(manifest);
        found
    }

    /// Adds an image and names it; returns its descriptor as [`add`](Self::add) does.
    pub fn add_tagged(&mut self, image: &ImageBuilder, tag: &str) -> Value {
        let mut found = self.add(image);
        // As copying tools write it: a platform belongs into nested indexes.
        if let Some(fields) = found.as_object_mut() {
            fields.remove("platform");
        }
        self.tag(found, tag)
    }

    /// Adds an index of `descriptors` as a blob and returns its descriptor.
    pub fn index(&mut self, media_type: &str, descriptors: &[Value]) -> Value {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": descriptors,
        });
        let bytes = index.to_string().into_bytes();
        let found = descriptor(media_type, &bytes);
        self.blob(bytes);
        found
    }

    /// Lists `descriptor` in `index.json` under `tag` and returns it.
    pub fn tag(&mut self, mut descriptor: Value, tag: &str) -> Value {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.manifests.push(descriptor.clone());
        descriptor
    }

    /// Lists `descriptor` in `index.json` without a name.
    pub fn untagged(&mut self, descriptor: Value) {
        self.manifests.push(descriptor);
    }

    /// The files of the layout by relative path.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        let mut files = BTreeMap::from([
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ]);
        for (digest, bytes) in &self.blobs {
            let path = format!("blobs/{}", digest.replace(':', "/"));
            files.insert(path, bytes.clone());
        }
        files
    }

    /// Writes the layout into `dir`, which is made if it is not there.
    ///
    /// # Panics
    ///
    /// When a file cannot be written.
    pub fn write(&self, dir: &Path) {
        for (name, bytes) in self.files() {
            let path = dir.join(name);
            let parent = path.parent().expect("every file lies below the directory");
            std::fs::create_dir_all(parent).expect("the layout's directory can be made");
            std::fs::write(&path, bytes).expect("the layout's file can be written");
        }
    }

    /// The layout as the tar of an `oci-archive`.
    #[must_use]
    pub fn archive(&self) -> Vec<u8> {
        archive(self.files())
    }
}

/// The tar of a `docker-archive` (`docker save`): images with their repository tags.
#[must_use]
pub fn docker_archive(images: &[(&ImageBuilder, &[&str])]) -> Vec<u8> {
    let mut files = BTreeMap::new();
    let mut manifest = Vec::new();
    for (image, tags) in images {
        let config = image.config_bytes();
        let config_name = format!("{}.json", hex_of(&sha256_digest(&config)));
        files.insert(config_name.clone(), config);
        let mut layers = Vec::new();
        for layer in &image.layers {
            let name = format!("{}/layer.tar", hex_of(&layer.diff_id));
            files.insert(name.clone(), layer.tar.clone());
            layers.push(name);
        }
        manifest.push(json!({"Config": config_name, "RepoTags": tags, "Layers": layers}));
    }
    files.insert("manifest.json".to_owned(), json!(manifest).to_string().into_bytes());
    archive(files)
}

fn archive(files: BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    // As the tools have it: the archive's entries belong to whoever wrote it, and
    // directories come with it. skopeo cannot unpack others' without root.
    let uid = rustix::process::geteuid().as_raw().into();
    let gid = rustix::process::getegid().as_raw().into();
    let mut tar = LayerBuilder::new();
    let mut made = BTreeSet::new();
    for (name, bytes) in files {
        for (at, _) in name.match_indices('/') {
            if made.insert(name[..at].to_owned()) {
                let dir = Entry::dir(&name[..=at]).format(Format::Ustar);
                tar = tar.entry(dir.owner(uid, gid));
            }
        }
        let file = Entry::file(name, bytes).format(Format::Ustar);
        tar = tar.entry(file.owner(uid, gid));
    }
    tar.finish()
}

fn hex_of(digest: &str) -> &str {
    digest.split_once(':').map_or(digest, |(_, hex)| hex)
}
