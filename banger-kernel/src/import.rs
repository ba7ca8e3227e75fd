//! Takes a kernel from its source into a directory.

use std::fs::{self, File};
use std::io::Read as _;

use banger_oci::decompress::decompressor;
use banger_tree::{Cancellation, GuestPath};
use camino::{Utf8Path, Utf8PathBuf};

use crate::bundle::{BundleFacts, ReadBundle, read_bundle};
use crate::error::KernelError;
use crate::find::{
    Collected, Collector, FoundFiles, HostTree, MAX_CONFIG_BYTES, RootfsTree, StagedFile, is_release,
    read_modules, read_tree,
};
use crate::image::{Unpacked, unpack_image};
use crate::kernel::{Kernel, KernelFiles, MODULES_DEP};
use crate::modules::{ModuleInfo, ModuleTree, list_modules, write_dependencies};
use crate::read::{Member as _, PackageInfo, ReaderMember, read_deb, read_rpm, read_tar};
use crate::run::{ImportRun, KernelLimits, KernelProgress};
use crate::source::{KernelSource, SourceFormat};

/// Name of the directory of modules in the directory of a kernel.
const MODULES: &str = "modules";
const CONFIG: &str = "config";
const INITRD: &str = "initrd";
/// Directory of files that are not chosen yet.
const SCRATCH: &str = "scratch";

/// A kernel that was taken from its source.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportedKernel {
    /// The kernel; its files lie in the directory of the import.
    pub kernel: Kernel,
    /// The package that it came in.
    pub package: Option<PackageInfo>,
    /// Where the configuration came from.
    pub config_origin: Option<ConfigOrigin>,
    /// Number of modules.
    pub modules: u64,
    /// Bytes of the directory of modules.
    pub modules_bytes: u64,
    /// Whether `modules.dep` was made here.
    pub made_dependencies: bool,
    /// Licence and source, if it came in a bundle.
    pub bundle: Option<BundleFacts>,
    /// The facts that the user should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Where a configuration came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ConfigOrigin {
    /// A file.
    File,
    /// The kernel itself (`CONFIG_IKCONFIG`).
    Embedded,
}

/// Takes the newest kernel of `sources` into the empty directory `dir`. Several sources are the packages of one
/// kernel.
///
/// Packages are read without their package managers, as streams; symlinks are never followed, except with
/// [`KernelSource::Host`] and to the paths that the caller gives.
///
/// # Errors
/// A source cannot be read, is damaged, has no kernel, or costs more than `limits`; or the caller asks to stop.
/// The directory may have files then.
pub fn import_kernel(
    sources: &[KernelSource<'_>],
    dir: &Utf8Path,
    limits: &KernelLimits,
    on_progress: &dyn Fn(&KernelProgress),
    cancellation: &Cancellation,
) -> Result<ImportedKernel, KernelError> {
    let scratch = dir.join(SCRATCH);
    fs::create_dir(&scratch).map_err(KernelError::write(&scratch))?;
    let mut run = ImportRun::new(limits, cancellation, on_progress);
    let mut found = FoundFiles::default();
    let mut extra = ExtraFiles::default();
    for source in sources {
        found = read_source(&mut run, source, &scratch, found, &mut extra)?;
    }
    let name = run.source.clone();
    let chosen = found.choose(&name)?;
    let imported = finish(&run, &chosen, &extra, &scratch, dir)?;
    fs::remove_dir_all(&scratch).map_err(KernelError::write(&scratch))?;
    Ok(imported)
}

/// The files that the caller named, besides the kernel.
#[derive(Debug, Default)]
struct ExtraFiles {
    initrd: Option<Utf8PathBuf>,
    modules: Option<Utf8PathBuf>,
    config: Option<Utf8PathBuf>,
    bundle: Option<ReadBundle>,
}

fn read_source(
    run: &mut ImportRun<'_>,
    source: &KernelSource<'_>,
    scratch: &Utf8Path,
    found: FoundFiles,
    extra: &mut ExtraFiles,
) -> Result<FoundFiles, KernelError> {
    match source {
        KernelSource::Host => {
            let release = rustix::system::uname().release().to_string_lossy().into_owned();
            run.begin(format!("this machine (release {release})"), 0);
            extra.config = Some(Utf8PathBuf::from("/proc/config.gz")).filter(|path| path.exists());
            let tree = HostTree::new("/".into(), true);
            let mut collector = Collector::new(run, scratch, found);
            read_tree(run, &tree, Some(&release), &mut collector)?;
            Ok(collector.into_found())
        }
        KernelSource::Rootfs { rootfs, name } => {
            run.begin(name, 0);
            let mut collector = Collector::new(run, scratch, found);
            read_tree(run, &RootfsTree { rootfs: *rootfs, name }, None, &mut collector)?;
            Ok(collector.into_found())
        }
        KernelSource::Path(path) => read_path(run, path, path.as_str(), scratch, found),
        KernelSource::NamedFile { path, name } => read_path(run, path, name, scratch, found),
        KernelSource::Bundle { artifact, name } => {
            run.begin(name, artifact.blobs().iter().map(|blob| blob.descriptor.size).sum());
            let (found, bundle) = read_bundle(run, artifact, scratch, found)?;
            extra.initrd.clone_from(&bundle.initrd);
            extra.bundle = Some(bundle);
            run.tell();
            Ok(found)
        }
        KernelSource::Files(files) => {
            *extra = ExtraFiles {
                initrd: files.initrd.clone(),
                modules: files.modules.clone(),
                config: files.config.clone(),
                bundle: None,
            };
            read_kernel_file(run, &files.kernel, files.kernel.as_str(), scratch, found)
        }
    }
}

fn read_path(
    run: &mut ImportRun<'_>,
    path: &Utf8Path,
    name: &str,
    scratch: &Utf8Path,
    found: FoundFiles,
) -> Result<FoundFiles, KernelError> {
    let format = SourceFormat::of_named(path, name)?;
    match format {
        SourceFormat::Kernel => return read_kernel_file(run, path, name, scratch, found),
        SourceFormat::Ext4 => {
            return Err(KernelError::unsupported(name, "it is an ext4 image, which must be opened first"));
        }
        _ => {}
    }
    if format == SourceFormat::Directory {
        run.begin(name, 0);
        let mut collector = Collector::new(run, scratch, found);
        read_tree(run, &HostTree::new(path, false), None, &mut collector)?;
        return Ok(collector.into_found());
    }
    let mut file = File::open(path).map_err(KernelError::io("open", path))?;
    let length = file.metadata().map_err(KernelError::io("read", path))?.len();
    run.begin(name, length);
    let mut collector = Collector::new(run, scratch, found);
    match format {
        SourceFormat::Deb => read_deb(run, &mut file, &mut collector)?,
        SourceFormat::Rpm => read_rpm(run, &mut file, &mut collector)?,
        _ => read_tar(run, &mut file, &mut collector)?,
    }
    run.tell();
    Ok(collector.into_found())
}

/// Reads a file that is the kernel itself. Its name may say the release, as in `/boot`.
fn read_kernel_file(
    run: &mut ImportRun<'_>,
    path: &Utf8Path,
    name: &str,
    scratch: &Utf8Path,
    found: FoundFiles,
) -> Result<FoundFiles, KernelError> {
    let file = File::open(path).map_err(KernelError::io("open", path))?;
    let metadata = file.metadata().map_err(KernelError::io("read", path))?;
    if !metadata.is_file() {
        return Err(KernelError::unsupported(name, "it is not a regular file"));
    }
    run.begin(name, metadata.len());
    let mut reader = run.metered(run.counted(file));
    let mut collector = Collector::new(run, scratch, found);
    collector.named_kernel(Utf8Path::new(name), &mut ReaderMember { run, reader: &mut reader })?;
    Ok(collector.into_found())
}

/// Unpacks the chosen kernel, and puts its files in their places in `dir`.
fn finish(
    run: &ImportRun<'_>,
    chosen: &Collected,
    extra: &ExtraFiles,
    scratch: &Utf8Path,
    dir: &Utf8Path,
) -> Result<ImportedKernel, KernelError> {
    let name = match chosen.kernel_path.trim_start_matches('/') {
        "" => run.source.clone(),
        path => format!("{path} in {}", run.source),
    };
    let unpacked = unpack_image(run, &chosen.kernel, dir, &name)?;
    let release = release_of(run, chosen, &unpacked, extra.modules.as_deref())?;
    let mut warnings = chosen.warnings.clone();
    let mut files = KernelFiles::new(unpacked.image);
    files.bz_image = unpacked.bz_image;
    if let Some(initrd) = &extra.initrd {
        files.initrd = Some(copy_file(run, initrd, &dir.join(INITRD))?);
    }
    let config = match (&extra.config, chosen.config_of(&release)) {
        (_, Some(found)) => Some((read_config_file(found)?, ConfigOrigin::File)),
        (Some(given), None) => Some((read_config_file(given)?, ConfigOrigin::File)),
        (None, None) => unpacked.config.map(|config| (config, ConfigOrigin::Embedded)),
    };
    let config_origin = config.as_ref().map(|(_, origin)| *origin);
    if let Some((config, _)) = config {
        let path = dir.join(CONFIG);
        fs::write(&path, config).map_err(KernelError::write(&path))?;
        files.config = Some(path);
    }
    let modules = dir.join(MODULES);
    let given = extra.modules.as_deref();
    let given = given.map(|given| read_given_modules(run, given, &release, scratch)).transpose()?;
    if let Some(given) = given {
        let (found, more) = given.into_modules(&release);
        let found = found.ok_or_else(|| run.damaged(format!("it has no modules of {release}")))?;
        fs::rename(found, &modules).map_err(KernelError::write(&modules))?;
        warnings.extend(more);
    } else if let Some(found) = chosen.modules_of(&release) {
        fs::rename(found, &modules).map_err(KernelError::write(&modules))?;
    } else {
        let others: Vec<&str> = chosen.module_releases().collect();
        if !others.is_empty() {
            warnings.push(format!("the kernel is {release}, and the modules are of {}", others.join(", ")));
        }
    }
    let (mut tree, mut made_dependencies) = (ModuleTree::default(), false);
    if modules.is_dir() {
        tree = list_modules(&modules)?;
        check_release(&modules, &tree, &release)?;
        if !modules.join(MODULES_DEP).is_file() {
            warnings.extend(write_dependencies(run, &modules, &tree)?);
            made_dependencies = true;
            tree = list_modules(&modules)?;
        }
        files.modules = Some(modules);
    }
    let kernel = Kernel::new(release, unpacked.architecture, unpacked.format, files)
        .with_pvh_entry(unpacked.has_pvh_entry);
    if let Some(bundle) = &extra.bundle {
        bundle.check(run, &kernel)?;
    }
    Ok(ImportedKernel {
        kernel,
        package: chosen.package.clone(),
        config_origin,
        modules: tree.modules().count() as u64,
        modules_bytes: tree.size_bytes,
        made_dependencies,
        bundle: extra.bundle.as_ref().map(|bundle| bundle.config.facts.clone()),
        warnings,
    })
}

/// Returns the release: the kernel itself knows it best.
fn release_of(
    run: &ImportRun<'_>,
    chosen: &Collected,
    unpacked: &Unpacked,
    modules: Option<&Utf8Path>,
) -> Result<String, KernelError> {
    let mut named = modules.and_then(Utf8Path::file_name).into_iter().chain(chosen.module_releases());
    let found = unpacked.release.clone().or_else(|| chosen.release.clone());
    let found = found.or_else(|| named.find(|name| is_release(name)).map(str::to_owned));
    found.ok_or_else(|| {
        KernelError::unsupported(&run.source, "neither the kernel nor its file name says its release")
    })
}

/// Checks that the modules were built for the kernel.
fn check_release(dir: &Utf8Path, tree: &ModuleTree, release: &str) -> Result<(), KernelError> {
    let Some((path, _)) = tree.modules().next() else { return Ok(()) };
    match ModuleInfo::read(&dir.join(path), path.as_str())?.release {
        Some(other) if other != release => Err(KernelError::Mismatch {
            path: path.to_string(),
            reason: format!("the module is built for the kernel {other}, and this is {release}"),
        }),
        _ => Ok(()),
    }
}

/// Returns the text of a configuration.
fn read_config_file(path: &Utf8Path) -> Result<Vec<u8>, KernelError> {
    let file = File::open(path).map_err(KernelError::io("open", path))?;
    let mut text = Vec::new();
    let read = decompressor(file)
        .and_then(|reader| reader.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut text).map(drop));
    read.map_err(KernelError::io("read", path))?;
    if text.len() as u64 > MAX_CONFIG_BYTES {
        let (path, limit_bytes) = (path.to_string(), MAX_CONFIG_BYTES);
        return Err(KernelError::TooLarge { path, limit_bytes, setting: None });
    }
    let is_config = str::from_utf8(&text).is_ok_and(|text| text.contains("CONFIG_"));
    match is_config {
        true => Ok(text),
        false => Err(KernelError::unsupported(path, "it is not the configuration of a kernel")),
    }
}

fn copy_file(run: &ImportRun<'_>, from: &Utf8Path, to: &Utf8Path) -> Result<Utf8PathBuf, KernelError> {
    let file = File::open(from).map_err(KernelError::io("open", from))?;
    if !file.metadata().map_err(KernelError::io("read", from))?.is_file() {
        return Err(KernelError::unsupported(from, "it is not a regular file"));
    }
    let mut sink = StagedFile::create(run, to.to_owned(), from.to_string())?;
    let mut reader = run.metered(file);
    ReaderMember { run, reader: &mut reader }.copy_to(&mut sink)?;
    if sink.size_bytes == 0 {
        return Err(KernelError::damaged(from, "it is empty"));
    }
    Ok(to.to_owned())
}

/// Reads the modules of `release` from the directory that the caller named.
fn read_given_modules(
    run: &ImportRun<'_>,
    given: &Utf8Path,
    release: &str,
    scratch: &Utf8Path,
) -> Result<FoundFiles, KernelError> {
    if !given.is_dir() {
        return Err(KernelError::unsupported(given, "it is not a directory"));
    }
    let has_modules = |dir: &Utf8Path| {
        [MODULES_DEP, "modules.order", "modules.builtin", "kernel"].iter().any(|name| dir.join(name).exists())
    };
    let below = ["", "modules", "lib/modules", "usr/lib/modules"].map(|base| given.join(base).join(release));
    let mut places = below.iter().map(Utf8PathBuf::as_path).chain([given]);
    let from = places.find(|dir| has_modules(dir)).ok_or_else(|| KernelError::NoKernel {
        path: given.to_string(),
        reason: format!("it has no modules of {release}"),
    })?;
    let place = GuestPath::parse(format!("/lib/modules/{release}"))
        .map_err(|error| KernelError::damaged(given, error.to_string()))?;
    let mut collector = Collector::new(run, scratch, FoundFiles::default());
    read_modules(run, &HostTree::mounted(from, place.clone()), &place, &mut collector)?;
    Ok(collector.into_found())
}
