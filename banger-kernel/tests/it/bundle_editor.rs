//! Bundles that tests take apart, change, and put together again, right or wrong.

use std::fs;

use banger_kernel::{
    BUNDLE_TYPE, BundleFacts, BundledKernel, ImportedKernel, Kernel, KernelError, KernelLimits, KernelSource,
    write_bundle,
};
use banger_oci::{
    BlobCache, Platform, Progress, PullError, PullOptions, PulledArtifact, Puller, PullerOptions,
};
use banger_testkit::{Codec, LayoutBuilder, descriptor};
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::support::{Fixture, package};

/// A bundle whose configuration and layers can be changed. Digests and sizes of descriptors are always right.
#[derive(Clone)]
pub(crate) struct BundleEditor {
    pub(crate) config: Value,
    /// Media types and bytes.
    pub(crate) layers: Vec<(String, Vec<u8>)>,
    pub(crate) platform: Value,
}

impl BundleEditor {
    /// Takes the bundle of the first architecture in a layout apart.
    pub(crate) fn open(layout: &Utf8Path) -> Self {
        let index = blob(layout, &read_json(&layout.join("index.json"))["manifests"][0]);
        let index: Value = serde_json::from_slice(&index).unwrap();
        let entry = &index["manifests"][0];
        let manifest: Value = serde_json::from_slice(&blob(layout, entry)).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        Self {
            config: serde_json::from_slice(&blob(layout, &manifest["config"])).unwrap(),
            layers: layers
                .map(|layer| (layer["mediaType"].as_str().unwrap().to_owned(), blob(layout, layer)))
                .collect(),
            platform: entry["platform"].clone(),
        }
    }

    /// The position of the layer with this word in its media type.
    pub(crate) fn at(&self, kind: &str) -> usize {
        let has = |(media_type, _): &(String, Vec<u8>)| media_type.contains(&format!("kernel.{kind}.v1"));
        self.layers.iter().position(has).unwrap()
    }

    /// The bytes of a layer, not compressed.
    pub(crate) fn plain(&self, kind: &str) -> Vec<u8> {
        let (media_type, bytes) = &self.layers[self.at(kind)];
        match media_type.ends_with("+zstd") {
            true => zstd::decode_all(&bytes[..]).unwrap(),
            false => bytes.clone(),
        }
    }

    /// The entry of the configuration for this kind of file.
    pub(crate) fn entry(&mut self, file: &str) -> &mut Value {
        let files = self.config["files"].as_array_mut().unwrap();
        files.iter_mut().find(|entry| entry["file"] == file).unwrap()
    }

    /// Replaces the bytes of a layer, and tells the configuration.
    pub(crate) fn replace(&mut self, kind: &str, file: &str, plain: &[u8]) {
        let at = self.at(kind);
        let is_compressed = self.layers[at].0.ends_with("+zstd");
        self.layers[at].1 = if is_compressed { Codec::Zstd.apply(plain) } else { plain.to_vec() };
        let entry = self.entry(file);
        entry["size_bytes"] = plain.len().into();
        entry["digest"] = banger_testkit::sha256_digest(plain).into();
    }

    /// The layout with this bundle, and the descriptors of its layers.
    pub(crate) fn layout(&self) -> (LayoutBuilder, Vec<Value>) {
        let mut layout = LayoutBuilder::new();
        let config = serde_json::to_vec(&self.config).unwrap();
        let mut layers = Vec::new();
        for (media_type, bytes) in &self.layers {
            layers.push(descriptor(media_type, bytes));
            layout.blob(bytes.clone());
        }
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": banger_testkit::OCI_MANIFEST,
            "artifactType": BUNDLE_TYPE,
            "config": descriptor("application/vnd.banger.kernel.config.v1+json", &config),
            "layers": layers,
        });
        layout.blob(config);
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor(banger_testkit::OCI_MANIFEST, &manifest);
        entry["platform"] = self.platform.clone();
        entry["artifactType"] = BUNDLE_TYPE.into();
        layout.blob(manifest);
        let index = layout.index(banger_testkit::OCI_INDEX, &[entry]);
        layout.tag(index, "latest");
        (layout, layers)
    }
}

fn read_json(path: &Utf8Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn blob(layout: &Utf8Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap();
    fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap()
}

/// The error of a bundle that was not imported.
#[derive(Debug)]
pub(crate) enum BundleFailure {
    Pull(PullError),
    /// The reference leads to something else.
    NoBundle,
    Import(KernelError),
}

impl BundleFailure {
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Pull(error) => error.code(),
            Self::NoBundle => 0,
            Self::Import(error) => error.code(),
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Pull(error) => error.to_string(),
            Self::NoBundle => "no bundle".to_owned(),
            Self::Import(error) => error.to_string(),
        }
    }
}

/// Pulls the bundle that `reference` leads to, and checks all its blobs.
pub(crate) fn pull(fixture: &Fixture, reference: &str) -> Result<PulledArtifact, BundleFailure> {
    let cache = BlobCache::open(fixture.path("cache")).unwrap();
    let platform: Platform = "linux/amd64".parse().unwrap();
    let options = PullOptions::default().with_platform(Some(platform));
    let puller = Puller::new(PullerOptions::default());
    let reference = reference.parse().unwrap();
    let (progress, goes_on) = (Progress::none(), Cancellation::new());
    let found = puller.pull_artifact(&reference, BUNDLE_TYPE, &cache, &options, &progress, &goes_on);
    let artifact = found.map_err(BundleFailure::Pull)?.ok_or(BundleFailure::NoBundle)?;
    artifact.finish().map_err(BundleFailure::Pull)?;
    Ok(artifact)
}

/// Imports the bundle that `reference` leads to.
pub(crate) fn import(
    fixture: &Fixture,
    reference: &str,
    limits: &KernelLimits,
) -> Result<ImportedKernel, BundleFailure> {
    let artifact = pull(fixture, reference)?;
    let source = KernelSource::Bundle { artifact: &artifact, name: "the bundle" };
    fixture.import_within(&[source], limits).map_err(BundleFailure::Import)
}

/// A kernel with all kinds of files.
pub(crate) fn whole_kernel(fixture: &Fixture) -> Kernel {
    let deb = fixture.write("linux.deb", package("lib").deb(Codec::Zstd));
    let mut kernel = fixture.import(&deb).unwrap().kernel;
    kernel.files.initrd = Some(fixture.write("initrd", "070701 an initrd"));
    kernel
}

/// Writes a bundle of `kernels` into the directory `name`.
pub(crate) fn write(fixture: &Fixture, name: &str, kernels: &[&Kernel]) -> Utf8PathBuf {
    let dir = fixture.path(name);
    fs::create_dir(&dir).unwrap();
    let facts = BundleFacts::default()
        .with_source_url(Some("https://example.org/linux".to_owned()))
        .with_source_commit(Some("0123abc".to_owned()));
    let kernels: Vec<BundledKernel<'_>> =
        kernels.iter().map(|kernel| BundledKernel::new(kernel, facts.clone())).collect();
    write_bundle(&kernels, "latest", &dir, &Cancellation::new()).unwrap();
    dir
}
