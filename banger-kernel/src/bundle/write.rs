//! Writes a bundle as an OCI layout. The bytes depend on the files and facts of the kernels alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};

use banger_oci::Digest;
use banger_oci::Platform;
use banger_oci::digest::{Algorithm, Hasher};
use banger_oci::manifest::{Descriptor, ImageManifest, OCI_INDEX, OCI_MANIFEST};
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::config::{BundleConfig, BundleFacts, BundleFile};
use super::file_kind::{BUNDLE_CONFIG_TYPE, BUNDLE_TYPE, BundleFileKind};
use super::modules_tar::write_modules_tar;
use crate::error::KernelError;
use crate::kernel::{Kernel, KernelArchitecture, KernelFormat};

/// Level of zstd: levels above gain little on kernels.
const ZSTD_LEVEL: i32 = 9;
/// The annotation of a file name, which tools such as oras write the layer to.
const TITLE: &str = "org.opencontainers.image.title";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The longest tag (distribution-spec).
const TAG_MAX: usize = 128;

/// A kernel for a bundle.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BundledKernel<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Its licence and source.
    pub facts: BundleFacts,
}

impl<'a> BundledKernel<'a> {
    /// Returns a kernel with its licence and source.
    pub fn new(kernel: &'a Kernel, facts: BundleFacts) -> Self {
        Self { kernel, facts }
    }
}

/// A bundle that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenBundle {
    /// Digest of the index.
    pub digest: Digest,
    /// The manifest of each kernel: architecture, digest, and bytes of all its layers.
    pub manifests: Vec<(KernelArchitecture, Digest, u64)>,
}

/// Returns whether `text` can be a tag of a registry.
pub fn is_bundle_tag(text: &str) -> bool {
    let is_tag = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (1..=TAG_MAX).contains(&text.len()) && !text.starts_with(['.', '-']) && text.chars().all(is_tag)
}

/// Writes a bundle of `kernels` into the empty directory `dir`, as an OCI layout with the tag `tag`. The kernels
/// have different architectures.
///
/// The same kernels give the same bytes, with the same version of banger.
///
/// # Errors
/// A file of a kernel cannot be read, the layout cannot be written, two kernels have one architecture, or the
/// caller asks to stop. The directory may have files then.
pub fn write_bundle(
    kernels: &[BundledKernel<'_>],
    tag: &str,
    dir: &Utf8Path,
    cancellation: &Cancellation,
) -> Result<WrittenBundle, KernelError> {
    let mut by_architecture: BTreeMap<&str, &BundledKernel<'_>> = BTreeMap::new();
    for bundled in kernels {
        if by_architecture.insert(bundled.kernel.architecture.name(), bundled).is_some() {
            let reason = format!("another kernel of the bundle is for {}, too", bundled.kernel.architecture);
            return Err(KernelError::Mismatch { path: bundled.kernel.release.clone(), reason });
        }
    }
    let blobs = dir.join("blobs").join("sha256");
    fs::create_dir_all(&blobs).map_err(KernelError::write(&blobs))?;
    let layout = LayoutWriter { blobs: &blobs, cancellation };
    let mut entries = Vec::new();
    let mut manifests = Vec::new();
    for bundled in by_architecture.values() {
        let (entry, size_bytes) = layout.kernel(bundled)?;
        manifests.push((bundled.kernel.architecture, entry.digest.clone(), size_bytes));
        entries.push(entry);
    }
    let index = ArtifactIndex {
        schema_version: 2,
        media_type: Some(OCI_INDEX),
        artifact_type: Some(BUNDLE_TYPE),
        manifests: entries,
    };
    let mut listed = layout.document(OCI_INDEX, &index)?;
    let digest = listed.digest.clone();
    listed.annotations = BTreeMap::from([(REF_NAME.to_owned(), tag.to_owned())]);
    let top = ArtifactIndex {
        schema_version: 2,
        media_type: Some(OCI_INDEX),
        artifact_type: None,
        manifests: vec![listed],
    };
    for (name, content) in
        [("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()), ("index.json", json(&top))]
    {
        let path = dir.join(name);
        fs::write(&path, content).map_err(KernelError::write(&path))?;
    }
    Ok(WrittenBundle { digest, manifests })
}

/// An index, with the fields in the order that tools write them in.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactIndex {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'static str>,
    manifests: Vec<Descriptor>,
}

fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("keys are texts, and nothing fails to serialize")
}

struct LayoutWriter<'a> {
    blobs: &'a Utf8Path,
    cancellation: &'a Cancellation,
}

impl LayoutWriter<'_> {
    /// Writes the blobs of a kernel; returns the entry of the index and the bytes of the layers.
    fn kernel(&self, bundled: &BundledKernel<'_>) -> Result<(Descriptor, u64), KernelError> {
        let BundledKernel { kernel, facts } = bundled;
        let files = &kernel.files;
        let image = match kernel.format {
            KernelFormat::Vmlinux => BundleFileKind::Vmlinux,
            KernelFormat::Image => BundleFileKind::Image,
        };
        let (mut layers, mut listed) = (Vec::new(), Vec::new());
        for (kind, path) in [
            (image, Some(&files.image)),
            (BundleFileKind::BzImage, files.bz_image.as_ref()),
            (BundleFileKind::Initrd, files.initrd.as_ref()),
            (BundleFileKind::Config, files.config.as_ref()),
            (BundleFileKind::Modules, files.modules.as_ref()),
        ] {
            let Some(path) = path else { continue };
            let (layer, file) = self.layer(kind, path)?;
            layers.push(layer);
            listed.push(file);
        }
        let size_bytes = layers.iter().map(|layer| layer.size).sum();
        let config = self.document(BUNDLE_CONFIG_TYPE, &BundleConfig::new(kernel, facts, listed))?;
        let annotations = [
            ("org.opencontainers.image.licenses", Some(&facts.licence)),
            ("org.opencontainers.image.revision", facts.source_commit.as_ref()),
            ("org.opencontainers.image.source", facts.source_url.as_ref()),
            ("org.opencontainers.image.version", Some(&kernel.release)),
        ];
        let annotations =
            annotations.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.clone())));
        let manifest = ImageManifest {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            config,
            layers,
            annotations: annotations.collect(),
            artifact_type: Some(BUNDLE_TYPE.to_owned()),
            subject: None,
        };
        let platform = Platform {
            os: "linux".to_owned(),
            architecture: kernel.architecture.name().to_owned(),
            variant: None,
        };
        let mut entry = self.document(OCI_MANIFEST, &manifest)?;
        // Without the artifact type, which old versions of skopeo drop: they could not copy the index as it is.
        entry.platform = Some(platform);
        Ok((entry, size_bytes))
    }

    /// Writes a small blob.
    fn document(&self, media_type: &str, document: &impl Serialize) -> Result<Descriptor, KernelError> {
        let bytes = json(document);
        let digest = Digest::of(&bytes);
        let path = self.blobs.join(digest.hex());
        fs::write(&path, &bytes).map_err(KernelError::write(&path))?;
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    /// Writes a file of a kernel as a layer.
    fn layer(&self, kind: BundleFileKind, path: &Utf8Path) -> Result<(Descriptor, BundleFile), KernelError> {
        let new = self.blobs.join("new");
        let failed = |error: io::Error| match Stopped::is_in(&error) {
            true => KernelError::Cancelled,
            false => KernelError::write(&new)(error),
        };
        let blob = HashedWriter::new(File::create_new(&new).map_err(failed)?, self.cancellation);
        let (blob, file) = match kind.is_compressed() {
            true => {
                let encoder = zstd::Encoder::new(blob, ZSTD_LEVEL).and_then(|mut encoder| {
                    encoder.include_checksum(true)?;
                    Ok(encoder)
                });
                let mut plain = HashedWriter::new(encoder.map_err(failed)?, self.cancellation);
                write_file(kind, path, &mut plain, failed)?;
                let (encoder, file) = plain.finish(kind);
                (encoder.finish().map_err(failed)?, file)
            }
            false => {
                let mut plain = HashedWriter::new(blob, self.cancellation);
                write_file(kind, path, &mut plain, failed)?;
                plain.finish(kind)
            }
        };
        let (digest, size) = (blob.hasher.finish(), blob.size_bytes);
        let place: Utf8PathBuf = self.blobs.join(digest.hex());
        fs::rename(&new, &place).map_err(failed)?;
        let (media_type, title) = kind.written();
        let mut layer = Descriptor::new(media_type, digest, size);
        layer.annotations = BTreeMap::from([(TITLE.to_owned(), title)]);
        Ok((layer, file))
    }
}

/// Writes the bytes of a file, or the tar of a directory.
fn write_file(
    kind: BundleFileKind,
    path: &Utf8Path,
    out: &mut impl Write,
    failed: impl Fn(io::Error) -> KernelError,
) -> Result<(), KernelError> {
    if kind == BundleFileKind::Modules {
        return write_modules_tar(path, out, failed);
    }
    let mut file = File::open(path).map_err(KernelError::io("open", path))?;
    io::copy(&mut file, out).map(drop).map_err(failed)
}

/// The caller asked to stop while bytes passed a writer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("cancelled")]
struct Stopped;

impl Stopped {
    fn is_in(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// Hashes and counts the bytes that pass.
struct HashedWriter<'a, W> {
    inner: W,
    hasher: Hasher,
    size_bytes: u64,
    cancellation: &'a Cancellation,
}

impl<'a, W: Write> HashedWriter<'a, W> {
    fn new(inner: W, cancellation: &'a Cancellation) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), size_bytes: 0, cancellation }
    }

    fn finish(self, kind: BundleFileKind) -> (W, BundleFile) {
        (self.inner, BundleFile::new(kind, self.size_bytes, self.hasher.finish().to_string()))
    }
}

impl<W: Write> Write for HashedWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancellation.is_cancelled() {
            return Err(io::Error::other(Stopped));
        }
        let length = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.size_bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
