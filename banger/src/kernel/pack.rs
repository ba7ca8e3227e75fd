//! Packs kernels of the store as a bundle.

use banger_kernel::{BundleFacts, BundledKernel, KernelArchitecture, is_bundle_tag, write_bundle};
use banger_tree::{Advice, Cancellation, Setting};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::digests::check_files;
use super::kernel_store::{KernelStore, StoredKernel};
use crate::argument::ArgumentError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::output::{OutputError, staging_beside};
use crate::output_directory::new_directory_place;
use crate::staging::sync_tree;
use crate::store::ImageName;

const DEFAULT_TAG: &str = "latest";
/// The setting of the output.
const LAYOUT: Setting = Setting("layout");
/// Longest licence, address or commit.
const MAX_FACT: usize = 1024;

/// Which kernels to pack, and what to say of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelPackRequest {
    /// Names, ids or unique prefixes of ids of kernels; each for another architecture.
    pub kernels: Vec<String>,
    /// Tag in the layout. Default: `latest`.
    pub tag: String,
    /// Licence as an SPDX expression; `None` for that of the bundle that a kernel came in, or `GPL-2.0-only`.
    pub licence: Option<String>,
    /// Address of the source; `None` for that of the bundle that a kernel came in.
    pub source_url: Option<String>,
    /// Commit of the source; `None` for that of the bundle that a kernel came in.
    pub source_commit: Option<String>,
}

impl KernelPackRequest {
    /// Returns the request for `kernels`.
    pub fn new(kernels: Vec<String>) -> Self {
        let tag = DEFAULT_TAG.to_owned();
        Self { kernels, tag, licence: None, source_url: None, source_commit: None }
    }

    /// Sets [`tag`](Self::tag).
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = tag.into();
        self
    }
}

banger_tree::setters! {
    KernelPackRequest {
        with_licence => licence: Option<String>,
        with_source_url => source_url: Option<String>,
        with_source_commit => source_commit: Option<String>,
    }
}

/// A bundle in an OCI layout. Its JSON form is the output of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PackedKernels {
    /// Version of this format.
    pub version: u32,
    /// The directory with the layout.
    pub path: Utf8PathBuf,
    /// The tag in the layout.
    pub tag: String,
    /// Digest of the index.
    pub digest: String,
    /// The kernels, in the order of their architectures.
    pub kernels: Vec<PackedKernel>,
}

/// A kernel in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PackedKernel {
    /// Its name in the store.
    pub name: ImageName,
    /// Its release.
    pub release: String,
    /// Its architecture.
    pub architecture: KernelArchitecture,
    /// Digest of its manifest.
    pub digest: String,
    /// Bytes of its layers.
    pub size_bytes: u64,
    /// Licence and source.
    #[serde(flatten)]
    pub facts: BundleFacts,
}

/// Packs kernels of the store under `dirs` as a bundle in the OCI layout `output`, a directory that is missing or
/// empty. It is complete when this returns, and as it was when it fails.
///
/// The same kernels and options give the same bytes, with the same version of banger.
///
/// # Errors
/// A kernel is missing or damaged, two have the same architecture, the directory cannot be made or has files, or
/// the caller asks to stop.
///
/// # Panics
/// The event handler panicked.
pub fn pack_kernels(
    request: &KernelPackRequest,
    output: &Utf8Path,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PackedKernels, Error> {
    events.during(cancellation, |events, cancellation| run(request, output, dirs, events, cancellation))
}

fn run(
    request: &KernelPackRequest,
    output: &Utf8Path,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PackedKernels, Error> {
    check_request(request)?;
    let place = new_directory_place(output, LAYOUT)?;
    let store = KernelStore::new(&dirs.state);
    let opened = request.kernels.iter().map(|wanted| store.open(wanted, cancellation));
    let opened: Vec<StoredKernel> = opened.collect::<Result<_, _>>()?;
    check_architectures(&opened)?;
    let mut kernels = Vec::new();
    for stored in &opened {
        check_files(stored, cancellation)?;
        let facts = facts_of(request, stored);
        if facts.source_url.is_none() {
            let message = format!(
                "the bundle does not say where the source of {} is: whoever publishes a kernel must offer its source",
                stored.record.name
            );
            events.emit(&Event::Warning { message }, cancellation);
        }
        kernels.push(BundledKernel::new(&stored.kernel, facts));
    }
    let staging = staging_beside(&place)?;
    let written = write_bundle(&kernels, &request.tag, staging.path(), cancellation)?;
    if cancellation.is_cancelled() {
        return Err(Error::Cancelled);
    }
    sync_tree(staging.path()).map_err(OutputError::io("flush", output))?;
    staging.publish(&place).map_err(OutputError::io("create", output))?;
    let packed = written.manifests.into_iter().filter_map(|(architecture, digest, size_bytes)| {
        let is_it = |(stored, _): &(&StoredKernel, _)| stored.record.architecture == architecture;
        let (stored, bundled) = opened.iter().zip(&kernels).find(is_it)?;
        let (name, release) = (stored.record.name.clone(), stored.record.release.clone());
        let (digest, facts) = (digest.to_string(), bundled.facts.clone());
        Some(PackedKernel { name, release, architecture, digest, size_bytes, facts })
    });
    let (path, digest) = (output.to_owned(), written.digest.to_string());
    let packed =
        PackedKernels { version: 1, path, tag: request.tag.clone(), digest, kernels: packed.collect() };
    events.emit(&Event::Done { path: output.to_string(), unchanged: false }, cancellation);
    Ok(packed)
}

fn facts_of(request: &KernelPackRequest, stored: &StoredKernel) -> BundleFacts {
    let known = stored.record.bundle.as_ref().map(|bundle| bundle.facts.clone()).unwrap_or_default();
    let licence = request.licence.clone().unwrap_or_else(|| known.licence.clone());
    BundleFacts::default()
        .with_licence(licence)
        .with_source_url(request.source_url.clone().or(known.source_url))
        .with_source_commit(request.source_commit.clone().or(known.source_commit))
}

fn check_request(request: &KernelPackRequest) -> Result<(), ArgumentError> {
    let bad = |setting, value: &str, reason: &str, advice: &'static str| {
        Err(ArgumentError::new(Setting(setting), value, reason).with_advice(Advice::new(advice)))
    };
    if request.kernels.is_empty() {
        return bad("kernels", "", "no kernel is given", "give the names of kernels in the store");
    }
    if !is_bundle_tag(&request.tag) {
        return bad(
            "tag",
            &request.tag,
            "it cannot be a tag",
            "use up to 128 letters, digits, `_`, `.` and `-`",
        );
    }
    for (setting, value) in [
        ("licence", &request.licence),
        ("source_url", &request.source_url),
        ("source_commit", &request.source_commit),
    ] {
        let Some(value) = value else { continue };
        if value.trim().is_empty() || value.len() > MAX_FACT || value.chars().any(char::is_control) {
            return bad(
                setting,
                value,
                "it is empty, too long or has control characters",
                "give it in one line",
            );
        }
    }
    Ok(())
}

fn check_architectures(kernels: &[StoredKernel]) -> Result<(), ArgumentError> {
    for (at, kernel) in kernels.iter().enumerate() {
        let architecture = kernel.record.architecture;
        if let Some(other) = kernels[..at].iter().find(|other| other.record.architecture == architecture) {
            let reason = format!("{} is for {architecture}, too", other.record.name);
            let advice = Advice::new("pack each of them into a bundle of its own");
            let name = kernel.record.name.to_string();
            return Err(ArgumentError::new(Setting("kernels"), name, reason).with_advice(advice));
        }
    }
    Ok(())
}
