//! Keeps the files of a source that belong to a kernel, in a directory of the host.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use banger_tree::{Cost, GuestPath, NAME_MEMORY_BYTES, escape_bytes};
use camino::{Utf8Path, Utf8PathBuf};

use super::place::{KernelRank, Place, place_of};
use super::release::{compare_releases, is_release};
use crate::error::KernelError;
use crate::image::{HEAD_BYTES, release_in_head};
use crate::read::{Entries, Member, PackageInfo, Sink};
use crate::run::{ImportRun, MAX_KERNEL};

/// Most kernels of one archive, which has one.
const MAX_KERNELS: usize = 64;
/// Most releases with modules, and most configurations.
const MAX_RELEASES: usize = 64;
/// The label of the configuration of the only kernel.
const ANY_RELEASE: &str = "";
/// Largest configuration.
pub(crate) const MAX_CONFIG_BYTES: u64 = 4 << 20;

/// A kernel that was found.
#[derive(Debug)]
struct Candidate {
    /// Its path in the source.
    path: String,
    /// Its copy.
    copy: Utf8PathBuf,
    release: Option<String>,
    rank: KernelRank,
}

/// Takes the files of a source, and keeps those of kernels.
pub(crate) struct Collector<'a> {
    run: &'a ImportRun<'a>,
    dir: &'a Utf8Path,
    found: FoundFiles,
}

/// The files that were found so far. Several sources can add to them.
#[derive(Debug, Default)]
pub(crate) struct FoundFiles {
    kernels: Vec<Candidate>,
    configs: Vec<(String, Utf8PathBuf)>,
    /// Directories of modules by release.
    modules: BTreeMap<String, Utf8PathBuf>,
    package: Option<PackageInfo>,
    warnings: Vec<String>,
}

/// The chosen files.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The path of the kernel in the source.
    pub(crate) kernel_path: String,
    /// The copy of the kernel, in the format that the source has.
    pub(crate) kernel: Utf8PathBuf,
    /// The release that path or header of the kernel say.
    pub(crate) release: Option<String>,
    configs: Vec<(String, Utf8PathBuf)>,
    modules: BTreeMap<String, Utf8PathBuf>,
    pub(crate) package: Option<PackageInfo>,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Collector<'a> {
    /// Returns a collector that keeps files in the directory `dir`, beside those that other sources gave.
    pub(crate) fn new(run: &'a ImportRun<'a>, dir: &'a Utf8Path, found: FoundFiles) -> Self {
        Self { run, dir, found }
    }

    /// Returns the files so far.
    pub(crate) fn into_found(self) -> FoundFiles {
        self.found
    }

    /// Takes a kernel whatever its name is: the caller named the file.
    pub(crate) fn named_kernel(
        &mut self,
        path: &Utf8Path,
        member: &mut dyn Member,
    ) -> Result<(), KernelError> {
        let in_boot = GuestPath::parse(format!("/boot/{}", path.file_name().unwrap_or_default())).ok();
        let label = match in_boot.as_ref().and_then(place_of) {
            Some(Place::Kernel { label, .. }) => label,
            _ => None,
        };
        self.kernel(String::new(), label, KernelRank::Root, member)
    }

    /// Takes the only kernel of an image; its path says nothing about its release.
    pub(super) fn only_kernel(
        &mut self,
        path: &GuestPath,
        member: &mut dyn Member,
    ) -> Result<(), KernelError> {
        self.kernel(path.to_string(), None, KernelRank::Root, member)
    }

    /// Takes the configuration of the only kernel.
    pub(super) fn only_config(
        &mut self,
        path: &GuestPath,
        member: &mut dyn Member,
    ) -> Result<(), KernelError> {
        self.config(path, ANY_RELEASE, member)
    }

    /// Adds a fact that the user should know.
    pub(super) fn warn(&mut self, message: String) {
        self.found.warnings.push(message);
    }

    fn kernel(
        &mut self,
        path: String,
        label: Option<&str>,
        rank: KernelRank,
        member: &mut dyn Member,
    ) -> Result<(), KernelError> {
        if self.found.kernels.len() == MAX_KERNELS {
            return Err(self.run.damaged(format!("it has more than {MAX_KERNELS} kernels")));
        }
        let copy = self.dir.join(format!("kernel-{}", self.found.kernels.len()));
        let mut file = StagedFile::create(self.run, copy.clone(), path.clone())?;
        file.limit_bytes = self.run.limits.max_kernel_bytes;
        member.copy_to(&mut file)?;
        let label =
            label.filter(|label| is_release(label) && label.starts_with(|c: char| c.is_ascii_digit()));
        let release = release_in_head(&file.head).or(label.map(str::to_owned));
        self.found.kernels.push(Candidate { path, copy, release, rank });
        Ok(())
    }

    fn config(&mut self, path: &GuestPath, label: &str, member: &mut dyn Member) -> Result<(), KernelError> {
        if self.found.configs.len() == MAX_RELEASES {
            return Err(self.run.damaged(format!("it has more than {MAX_RELEASES} configurations")));
        }
        let copy = self.dir.join(format!("config-{}", self.found.configs.len()));
        let mut file = StagedFile::create(self.run, copy.clone(), path.to_string())?;
        file.limit_bytes = MAX_CONFIG_BYTES;
        member.copy_to(&mut file)?;
        self.found.configs.push((label.to_owned(), copy));
        Ok(())
    }

    fn module(
        &mut self,
        path: &GuestPath,
        release: &str,
        below: &[&[u8]],
        member: &mut dyn Member,
    ) -> Result<(), KernelError> {
        self.charge_name(path)?;
        let dir = match self.found.modules.get(release) {
            Some(dir) => dir.clone(),
            None if self.found.modules.len() == MAX_RELEASES => {
                return Err(self.run.damaged(format!("it has modules of more than {MAX_RELEASES} releases")));
            }
            None => {
                let dir = self.dir.join(format!("modules-{release}"));
                fs::create_dir(&dir).map_err(KernelError::write(&dir))?;
                self.found.modules.insert(release.to_owned(), dir.clone());
                dir
            }
        };
        let copy = below.iter().fold(PathBuf::from(dir), |path, part| path.join(OsStr::from_bytes(part)));
        let copy = Utf8PathBuf::from_path_buf(copy).map_err(|_| {
            KernelError::unsupported(&self.run.source, format!("the name {path} of a module is not UTF-8"))
        })?;
        if let Some(parent) = copy.parent() {
            fs::create_dir_all(parent).map_err(|error| self.twice(path, &copy, error))?;
        }
        let mut file = StagedFile::create(self.run, copy, path.to_string())?;
        member.copy_to(&mut file)
    }

    /// Charges the memory of a path that is kept.
    fn charge_name(&self, path: &GuestPath) -> Result<(), KernelError> {
        self.run.charge(Cost::TreeBytes, path.as_bytes().len() as u64 + NAME_MEMORY_BYTES)
    }

    /// Returns the error of a file whose place is taken by another one of the source.
    fn twice(&self, path: &GuestPath, copy: &Utf8Path, error: io::Error) -> KernelError {
        match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                self.run.damaged(format!("{path} is in it twice"))
            }
            _ => KernelError::write(copy)(error),
        }
    }
}

impl FoundFiles {
    /// Returns the directory of the modules of `release`, and the warnings.
    pub(crate) fn into_modules(mut self, release: &str) -> (Option<Utf8PathBuf>, Vec<String>) {
        (self.modules.remove(release), self.warnings)
    }

    /// Chooses the newest kernel; messages call the source `source`.
    pub(crate) fn choose(self, source: &str) -> Result<Collected, KernelError> {
        let newest = self.kernels.into_iter().max_by(newer);
        let Some(Candidate { path, copy, release, .. }) = newest else {
            let mut reason = "it has no file boot/vmlinuz-* and no usr/lib/modules/*/vmlinuz".to_owned();
            if let Some(package) = self.package.filter(|_| self.modules.is_empty()) {
                reason += &format!("; {} may only depend on the package that has the kernel", package.name);
            }
            return Err(KernelError::NoKernel { path: source.to_owned(), reason });
        };
        Ok(Collected {
            kernel_path: path,
            kernel: copy,
            release,
            configs: self.configs,
            modules: self.modules,
            package: self.package,
            warnings: self.warnings,
        })
    }
}

/// Orders kernels, the newest last.
fn newer(a: &Candidate, b: &Candidate) -> Ordering {
    let releases = match (&a.release, &b.release) {
        (Some(a), Some(b)) => compare_releases(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    releases.then(a.rank.cmp(&b.rank)).then_with(|| a.path.cmp(&b.path))
}

impl Collected {
    /// Returns the configuration of the kernel `release`.
    pub(crate) fn config_of(&self, release: &str) -> Option<&Utf8Path> {
        let of = |wanted: &str| self.configs.iter().find(|(label, _)| label == wanted);
        let fitting = of(release).or_else(|| of(ANY_RELEASE));
        fitting.map(|(_, path)| path.as_path())
    }

    /// Returns the directory of the modules of the kernel `release`.
    pub(crate) fn modules_of(&self, release: &str) -> Option<&Utf8Path> {
        self.modules.get(release).map(Utf8PathBuf::as_path)
    }

    /// Returns the releases that have modules.
    pub(crate) fn module_releases(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }
}

impl Entries for Collector<'_> {
    fn file(&mut self, path: &[u8], member: &mut dyn Member) -> Result<(), KernelError> {
        // A path that leads above the root is of no file that is looked for.
        let Ok(path) = GuestPath::parse(path) else { return Ok(()) };
        match place_of(&path) {
            Some(Place::Kernel { label, rank }) => self.kernel(path.to_string(), label, rank, member),
            Some(Place::Config { label }) => self.config(&path, label, member),
            Some(Place::Module { release, below }) => self.module(&path, release, &below, member),
            None => Ok(()),
        }
    }

    fn link(&mut self, path: &[u8], is_hard: bool) -> Result<(), KernelError> {
        let Ok(path) = GuestPath::parse(path) else { return Ok(()) };
        let Some(place) = place_of(&path) else { return Ok(()) };
        match place {
            _ if is_hard => {
                let reason = format!("{path} is a hard link");
                Err(KernelError::unsupported(&self.run.source, reason))
            }
            // The file that it leads to is found by itself.
            Place::Kernel { .. } | Place::Config { .. } => Ok(()),
            Place::Module { .. } => {
                self.charge_name(&path)?;
                self.found.warnings.push(format!("left out the symlink {path} among the modules"));
                Ok(())
            }
        }
    }

    fn package(&mut self, package: PackageInfo) {
        self.found.package.get_or_insert(package);
    }
}

/// A new file of the host.
pub(crate) struct StagedFile<'a> {
    file: File,
    run: &'a ImportRun<'a>,
    path: Utf8PathBuf,
    /// The name of the file in messages.
    name: String,
    /// Largest size of the file.
    pub(crate) limit_bytes: u64,
    pub(crate) size_bytes: u64,
    /// The first bytes.
    pub(crate) head: Vec<u8>,
}

impl<'a> StagedFile<'a> {
    /// Makes the file `path`; messages call it `name`.
    pub(crate) fn create(
        run: &'a ImportRun<'a>,
        path: Utf8PathBuf,
        name: String,
    ) -> Result<Self, KernelError> {
        let file = File::create_new(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => run.damaged(format!("{name} is in it twice")),
            io::ErrorKind::InvalidFilename => {
                run.damaged(format!("the name {} is too long", escape_bytes(name.as_bytes())))
            }
            _ => KernelError::write(&path)(error),
        })?;
        Ok(Self { file, run, path, name, limit_bytes: u64::MAX, size_bytes: 0, head: Vec::new() })
    }
}

impl Sink for StagedFile<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), KernelError> {
        self.run.check()?;
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > self.limit_bytes {
            let setting = (self.limit_bytes == self.run.limits.max_kernel_bytes).then_some(MAX_KERNEL);
            let path = match self.name.as_str() {
                "" => self.run.source.clone(),
                name => format!("{name} in {}", self.run.source),
            };
            return Err(KernelError::TooLarge { path, limit_bytes: self.limit_bytes, setting });
        }
        self.run.charge(Cost::ImageBytes, bytes.len() as u64)?;
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        self.file.write_all(bytes).map_err(KernelError::write(&self.path))
    }
}
