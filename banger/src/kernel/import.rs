//! Imports a kernel into the store.

use banger_ext4::Ext4Editor;
use banger_kernel::{
    ImportedKernel, KernelLimits, KernelProgress, KernelSource, PlainFiles, SourceFormat,
    import_kernel as take_kernel,
};
use banger_oci::digest::{Algorithm, Hasher};
use banger_tree::{Advice, Cancellation, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use super::digests::{add_line, directory_digest, file_record};
use super::kernel_store::{KernelStore, StoredKernel};
use super::record::{KernelConfigRecord, KernelModulesRecord, KernelRecord};
use super::source::KernelSourceName;
use crate::argument::ArgumentError;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::rootfs::in_file;
use crate::store::{ImageLease, ImageName, ImageStore};

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
}

impl KernelImportRequest {
    /// Returns the request for one source.
    pub fn new(source: KernelSourceName) -> Self {
        Self { sources: vec![source], name: None, limits: KernelLimits::default() }
    }
}

banger_tree::setters! {
    KernelImportRequest {
        with_sources => sources: Vec<KernelSourceName>,
        with_name => name: Option<ImageName>,
        with_limits => limits: KernelLimits,
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
    check_sources(&request.sources)?;
    let opened = request.sources.iter().map(|source| OpenSource::open(source, dirs, cancellation));
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
    if cancellation.is_cancelled() {
        return Err(Error::Cancelled);
    }
    let (stored, unchanged) = store.publish(staging, record, cancellation)?;
    events.emit(&Event::Done { path: stored.path.to_string(), unchanged }, cancellation);
    Ok(ImportedKernelFile { stored, unchanged })
}

/// Several sources are packages: other sources have whole kernels.
fn check_sources(sources: &[KernelSourceName]) -> Result<(), ArgumentError> {
    let bad = |reason: &str, advice: &'static str| {
        let value = sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        Err(ArgumentError::new(Setting("source"), value, reason).with_advice(Advice::new(advice)))
    };
    match sources {
        [] => bad("no source is given", "give a package, directory, image or kernel"),
        [_] => Ok(()),
        several if several.iter().all(|source| matches!(source, KernelSourceName::Path(_))) => Ok(()),
        _ => bad("several sources must be packages of one kernel", "import them one by one"),
    }
}

/// A source that is open, if it is an image.
enum OpenSource {
    Host,
    Path(Utf8PathBuf),
    Files(PlainFiles),
    Image { editor: Box<Ext4Editor>, name: String, _lease: Option<ImageLease> },
}

impl OpenSource {
    fn open(source: &KernelSourceName, dirs: &Dirs, cancellation: &Cancellation) -> Result<Self, Error> {
        Ok(match source {
            KernelSourceName::Host => Self::Host,
            KernelSourceName::Files(files) => Self::Files(files.clone()),
            KernelSourceName::Image(name) => {
                let image = ImageStore::new(&dirs.state).open(name, cancellation)?;
                Self::image(&image.path, Some(image.lease), cancellation)?
            }
            KernelSourceName::Path(path) if SourceFormat::of(path)? == SourceFormat::Ext4 => {
                Self::image(path, None, cancellation)?
            }
            KernelSourceName::Path(path) => Self::Path(path.clone()),
        })
    }

    fn image(path: &Utf8Path, lease: Option<ImageLease>, cancellation: &Cancellation) -> Result<Self, Error> {
        let mut editor = Ext4Editor::open(path).map_err(in_file(path))?;
        editor.set_cancellation(cancellation);
        Ok(Self::Image { editor: Box::new(editor), name: path.to_string(), _lease: lease })
    }

    fn as_source(&self) -> KernelSource<'_> {
        match self {
            Self::Host => KernelSource::Host,
            Self::Path(path) => KernelSource::Path(path),
            Self::Files(files) => KernelSource::Files(files),
            Self::Image { editor, name, .. } => KernelSource::Rootfs { rootfs: editor.as_ref(), name },
        }
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
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for file in record.files() {
        add_line(&mut hasher, &file.file, &file.digest);
    }
    if let Some(modules) = &record.modules {
        add_line(&mut hasher, &modules.directory, &modules.digest);
    }
    record.digest = hasher.finish().to_string();
    Ok(record)
}
