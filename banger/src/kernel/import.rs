//! Imports a kernel into the store.

use banger_kernel::{
    ImportedKernel, KernelLimits, KernelProgress, KernelSource, import_kernel as take_kernel,
};
use banger_oci::{Digest, PullOptions, Puller};
use banger_tree::{Advice, Cancellation, Setting};
use camino::Utf8PathBuf;

use super::digests::{directory_digest, file_record, files_digest};
use super::kernel_store::{KernelStore, StoredKernel};
use super::open_source::{OpenSource, SourceOpener};
use super::record::{KernelBundleRecord, KernelConfigRecord, KernelModulesRecord, KernelRecord};
use super::source::{KernelSourceName, address_without_digest};
use crate::argument::ArgumentError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::store::ImageName;

/// What to import, and under which name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelImportRequest {
    /// The sources. Several are packages of one kernel, for example `linux-image` and `linux-modules`.
    pub sources: Vec<KernelSourceName>,
    /// Name of the kernel; `None` for its release.
    pub name: Option<ImageName>,
    /// Limits on the source.
    pub limits: KernelLimits,
    /// The SHA-256 digest of the file at an address.
    pub sha256: Option<Digest>,
    /// Options of downloads: platform, registries, certificates.
    pub pull: PullOptions,
    /// The puller, whose threads, connections and limits several imports may share; `None` makes a new one.
    pub puller: Option<Puller>,
}

impl KernelImportRequest {
    /// Returns the request for one source.
    pub fn new(source: KernelSourceName) -> Self {
        Self {
            sources: vec![source],
            name: None,
            limits: KernelLimits::default(),
            sha256: None,
            pull: PullOptions::default(),
            puller: None,
        }
    }
}

banger_tree::setters! {
    KernelImportRequest {
        with_sources => sources: Vec<KernelSourceName>,
        with_name => name: Option<ImageName>,
        with_limits => limits: KernelLimits,
        with_sha256 => sha256: Option<Digest>,
        with_pull => pull: PullOptions,
        with_puller => puller: Option<Puller>,
    }
}

/// A kernel that was imported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportedKernelFile {
    /// The kernel in the store.
    pub stored: StoredKernel,
    /// Whether the store had this kernel under this name already.
    pub unchanged: bool,
}

/// Imports the newest kernel of a source into the kernel store under `dirs`.
///
/// If the store has the same kernel under the same name, the call returns it unchanged. The kernel stays at its
/// path until the result is dropped.
///
/// # Errors
/// The source cannot be read, is damaged or has no kernel. Or another kernel has the name, the store cannot be
/// written, or the caller asks to stop. Then nothing is published and nothing is left.
///
/// # Panics
/// The event handler panicked.
pub fn import_kernel(
    request: &KernelImportRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<ImportedKernelFile, Error> {
    events.during(cancellation, |events, cancellation| run(request, dirs, events, cancellation))
}

fn run(
    request: &KernelImportRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<ImportedKernelFile, Error> {
    check_request(request)?;
    let opener = SourceOpener {
        dirs,
        pull: &request.pull,
        puller: request.puller.as_ref(),
        sha256: request.sha256.as_ref(),
        events,
        cancellation,
    };
    let opened = request.sources.iter().map(|source| opener.open(source));
    let opened = opened.collect::<Result<Vec<_>, _>>()?;
    let sources: Vec<KernelSource<'_>> = opened.iter().map(OpenSource::as_source).collect();
    let store = KernelStore::new(&dirs.state);
    let (id, staging) = store.stage(cancellation)?;
    let tell = |progress: &KernelProgress| {
        let KernelProgress { source, done_bytes, size_bytes, .. } = progress.clone();
        events.emit(&Event::KernelProgress { source, done_bytes, size_bytes }, cancellation);
    };
    let imported = take_kernel(&sources, staging.path(), &request.limits, &tell, cancellation)?;
    for message in &imported.warnings {
        events.emit(&Event::Warning { message: message.clone() }, cancellation);
    }
    let name = request.name.clone();
    let name = name.unwrap_or_else(|| ImageName::sanitized(&imported.kernel.release));
    let source: Vec<String> = request.sources.iter().map(ToString::to_string).collect();
    let mut record = record_of(name, source.join(" "), &imported, cancellation)?;
    record.id = id;
    let digest = opened.iter().find_map(OpenSource::bundle_digest);
    record.bundle = digest
        .zip(imported.bundle)
        .map(|(digest, facts)| KernelBundleRecord { digest: digest.to_string(), facts });
    if cancellation.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let (stored, unchanged) = store.publish(staging, record, cancellation)?;
    events.emit(&Event::Done { path: stored.path.to_string(), unchanged }, cancellation);
    Ok(ImportedKernelFile { stored, unchanged })
}

/// Fails if the sources do not go together, or an option does not go with them.
fn check_request(request: &KernelImportRequest) -> Result<(), ArgumentError> {
    let sources = &request.sources;
    let value = || sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let bad = |setting, value: String, reason: &str, advice: &'static str| {
        Err(ArgumentError::new(Setting(setting), value, reason).with_advice(Advice::new(advice)))
    };
    match sources.as_slice() {
        [] => bad("source", value(), "no source is given", "give a package, directory, image or kernel"),
        [KernelSourceName::Address(address)] if request.sha256.is_none() => {
            Err(address_without_digest(address))
        }
        [KernelSourceName::Address(_) | KernelSourceName::Reference(_)] => Ok(()),
        // Other sources have whole kernels.
        several
            if several.len() > 1 && !several.iter().all(|one| matches!(one, KernelSourceName::Path(_))) =>
        {
            bad("source", value(), "several sources must be packages of one kernel", "import them one by one")
        }
        _ => Ok(()),
    }?;
    let is_address = matches!(sources.as_slice(), [KernelSourceName::Address(_)]);
    let is_reference = matches!(sources.as_slice(), [KernelSourceName::Reference(_)]);
    match (&request.sha256, &request.pull.platform) {
        (Some(digest), _) if !is_address => {
            bad("sha256", digest.hex().to_owned(), "it belongs to a source with https://", "leave it out")
        }
        (_, Some(platform)) if !is_reference => bad(
            "platform",
            platform.to_string(),
            "it belongs to a reference, and other sources have one kernel",
            "leave it out",
        ),
        _ => Ok(()),
    }
}

fn record_of(
    name: ImageName,
    source: String,
    imported: &ImportedKernel,
    cancellation: &Cancellation,
) -> Result<KernelRecord, Error> {
    let kernel = &imported.kernel;
    let files = &kernel.files;
    let file = |path: &Utf8PathBuf| file_record(path, cancellation).map_err(Error::from);
    let mut record = KernelRecord::new(name, source, kernel, file(&files.image)?);
    record.package.clone_from(&imported.package);
    record.bz_image = files.bz_image.as_ref().map(file).transpose()?;
    record.initrd = files.initrd.as_ref().map(file).transpose()?;
    if let (Some(path), Some(origin)) = (&files.config, imported.config_origin) {
        record.config = Some(KernelConfigRecord { file: file(path)?, origin });
    }
    if let Some(directory) = &files.modules {
        record.modules = Some(KernelModulesRecord {
            directory: directory.file_name().unwrap_or_default().to_owned(),
            modules: imported.modules,
            size_bytes: imported.modules_bytes,
            digest: directory_digest(directory, cancellation)?,
            made_dependencies: imported.made_dependencies,
        });
    }
    record.warnings.clone_from(&imported.warnings);
    record.digest = files_digest(&record);
    Ok(record)
}
