//! Reads a bundle: every file is checked against the configuration, and the configuration against the kernel.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};

use banger_oci::decompress::decompressor;
use banger_oci::digest::{Algorithm, Digest, Hasher};
use banger_oci::{LayerSource, PulledArtifact};
use banger_tree::Cost;
use camino::{Utf8Path, Utf8PathBuf};

use super::config::{BundleConfig, BundleFile};
use super::file_kind::BundleFileKind;
use crate::error::KernelError;
use crate::find::{Collector, FoundFiles, MAX_CONFIG_BYTES, StagedFile};
use crate::kernel::{Kernel, KernelFormat};
use crate::read::{Entries, Member, PackageInfo, ReaderMember, drain, read_tar_stream};
use crate::run::{ImportRun, MAX_KERNEL};

/// A bundle whose files were read and fit its configuration.
#[derive(Debug)]
pub(crate) struct ReadBundle {
    pub(crate) config: BundleConfig,
    /// The initrd, copied.
    pub(crate) initrd: Option<Utf8PathBuf>,
}

/// Reads the layers of a bundle into `scratch`.
pub(crate) fn read_bundle(
    run: &ImportRun<'_>,
    artifact: &PulledArtifact,
    scratch: &Utf8Path,
    found: FoundFiles,
) -> Result<(FoundFiles, ReadBundle), KernelError> {
    let config = BundleConfig::parse(artifact.config_bytes(), &run.source)?;
    let kinds = layer_kinds(run, artifact, &config)?;
    let has_bz_image = kinds.iter().any(|(kind, ..)| *kind == BundleFileKind::BzImage);
    let mut collector = Collector::new(run, scratch, found);
    let mut initrd = None;
    for (kind, is_compressed, at) in kinds {
        let Some(file) = config.file(kind) else { continue };
        let failed = |error| run.read_error(error);
        let layer = LayerSource::open(&artifact.blobs()[at]).map_err(failed)?;
        let plain: Box<dyn Read> = match is_compressed {
            true => decompressor(layer).map_err(failed)?,
            false => layer,
        };
        let mut checked = CheckedReader::new(plain, file.size_bytes);
        let mut reader = run.metered(&mut checked);
        let release = &config.release;
        match kind {
            // The bzImage has it, too. Both are compared later.
            BundleFileKind::Vmlinux if has_bz_image => drain(run, &mut reader)?,
            BundleFileKind::Vmlinux | BundleFileKind::Image | BundleFileKind::BzImage => {
                let name = format!("{}-{release}", kind.name());
                collector
                    .named_kernel(Utf8Path::new(&name), &mut ReaderMember { run, reader: &mut reader })?;
            }
            BundleFileKind::Initrd => {
                let path = scratch.join("initrd");
                let mut copy = StagedFile::create(run, path.clone(), "the initrd".to_owned())?;
                ReaderMember { run, reader: &mut reader }.copy_to(&mut copy)?;
                initrd = Some(path);
            }
            BundleFileKind::Config => {
                let path = format!("boot/config-{release}");
                collector.file(path.as_bytes(), &mut ReaderMember { run, reader: &mut reader })?;
            }
            BundleFileKind::Modules => {
                let mut modules = ModuleEntries { run, release, collector: &mut collector };
                read_tar_stream(run, reader, &mut modules)?;
            }
        }
        checked.finish(file).map_err(|reason| run.damaged(format!("its {}: {reason}", kind.name())))?;
    }
    Ok((collector.into_found(), ReadBundle { config, initrd }))
}

/// Returns the kind of each layer, whether it is compressed, and its position. Configuration and layers must list
/// the same files.
fn layer_kinds(
    run: &ImportRun<'_>,
    artifact: &PulledArtifact,
    config: &BundleConfig,
) -> Result<Vec<(BundleFileKind, bool, usize)>, KernelError> {
    let mut listed = BTreeSet::new();
    for file in &config.files {
        if !listed.insert(file.file) {
            return Err(run.damaged(format!("its configuration lists {} twice", file.file.name())));
        }
        check_size(run, file)?;
    }
    let mut kinds: Vec<(BundleFileKind, bool, usize)> = Vec::new();
    for (at, layer) in artifact.blobs().iter().enumerate() {
        let media_type = &layer.descriptor.media_type;
        let Some((kind, is_compressed)) = BundleFileKind::of_layer(media_type) else {
            let reason = format!("the bundle has a layer of the type {media_type:?}");
            return Err(KernelError::unsupported(&run.source, reason));
        };
        if kinds.iter().any(|(other, ..)| *other == kind) {
            return Err(run.damaged(format!("it has two layers with {}", kind.name())));
        }
        if !listed.contains(&kind) {
            return Err(run.damaged(format!("its configuration does not list {}", kind.name())));
        }
        kinds.push((kind, is_compressed, at));
    }
    let has = |kind| kinds.iter().any(|(other, ..)| *other == kind);
    if let Some(missing) = listed.iter().find(|kind| !has(**kind)) {
        return Err(run.damaged(format!("the layer with {} is missing", missing.name())));
    }
    let (own, other) = match config.format {
        KernelFormat::Vmlinux => (BundleFileKind::Vmlinux, BundleFileKind::Image),
        KernelFormat::Image => (BundleFileKind::Image, BundleFileKind::Vmlinux),
    };
    if !has(own) {
        return Err(run.damaged(format!("it has no {}", own.name())));
    }
    if has(other) || (own == BundleFileKind::Image && has(BundleFileKind::BzImage)) {
        return Err(run.damaged(format!("it has other kernels beside its {}", own.name())));
    }
    if config.modules != has(BundleFileKind::Modules) {
        return Err(run.damaged("its configuration says other things about modules than its layers"));
    }
    Ok(kinds)
}

/// Fails if a file would be larger than a limit allows.
fn check_size(run: &ImportRun<'_>, file: &BundleFile) -> Result<(), KernelError> {
    let (limit_bytes, setting) = match file.file {
        BundleFileKind::Vmlinux | BundleFileKind::Image | BundleFileKind::BzImage => {
            (run.limits.max_kernel_bytes, Some(MAX_KERNEL))
        }
        BundleFileKind::Config => (MAX_CONFIG_BYTES, None),
        BundleFileKind::Initrd | BundleFileKind::Modules => {
            (run.limits.max_content_bytes, Cost::ImageBytes.setting())
        }
    };
    match file.size_bytes > limit_bytes {
        true => Err(KernelError::TooLarge {
            path: format!("{} in {}", file.file.name(), run.source),
            limit_bytes,
            setting,
        }),
        false => Ok(()),
    }
}

impl ReadBundle {
    /// Compares the configuration with the kernel that came out.
    pub(crate) fn check(&self, run: &ImportRun<'_>, kernel: &Kernel) -> Result<(), KernelError> {
        let config = &self.config;
        let differs = |what: &str, stated: &str, found: &str| KernelError::Mismatch {
            path: run.source.clone(),
            reason: format!("its configuration says {what} {stated}, and the kernel has {found}"),
        };
        for (what, stated, found) in [
            ("release", config.release.as_str(), kernel.release.as_str()),
            ("architecture", config.architecture.name(), kernel.architecture.name()),
            ("format", config.format.name(), kernel.format.name()),
            ("PVH entry point", yes_no(config.pvh), yes_no(kernel.has_pvh_entry)),
        ] {
            if stated != found {
                return Err(differs(what, stated, found));
            }
        }
        let has_bz_image = config.file(BundleFileKind::BzImage).is_some();
        if has_bz_image != kernel.files.bz_image.is_some() {
            return Err(run.damaged("its bzImage has another format"));
        }
        if let Some(vmlinux) = config.file(BundleFileKind::Vmlinux).filter(|_| has_bz_image) {
            let path = &kernel.files.image;
            let file = File::open(path).map_err(KernelError::io("open", path))?;
            let mut checked = CheckedReader::new(Box::new(file), vmlinux.size_bytes);
            drain(run, &mut checked)?;
            if checked.finish(vmlinux).is_err() {
                let reason = "its bzImage has another kernel than its vmlinux".to_owned();
                return Err(KernelError::Mismatch { path: run.source.clone(), reason });
            }
        }
        Ok(())
    }
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// Takes the tar of modules, which has regular files and directories of `/lib/modules/<release>` only.
struct ModuleEntries<'a, 'b> {
    run: &'a ImportRun<'a>,
    release: &'a str,
    collector: &'a mut Collector<'b>,
}

impl ModuleEntries<'_, '_> {
    fn foreign(&self, path: &[u8], reason: &str) -> KernelError {
        let path = banger_tree::escape_bytes(path);
        self.run.damaged(format!("its modules have {path}, which {reason}"))
    }
}

impl Entries for ModuleEntries<'_, '_> {
    fn file(&mut self, path: &[u8], member: &mut dyn Member) -> Result<(), KernelError> {
        let below = path.strip_prefix(b"./").unwrap_or(path);
        let mut parts = below.split(|byte| *byte == b'/');
        if parts.any(|part| matches!(part, b"" | b"." | b"..")) {
            return Err(self.foreign(path, "leads to another place"));
        }
        let is_kept = match below.iter().position(|byte| *byte == b'/') {
            None => below.starts_with(b"modules."),
            Some(end) => !matches!(&below[..end], b"build" | b"source"),
        };
        if !is_kept {
            return Err(self.foreign(path, "is not a file of modules"));
        }
        let place = [b"lib/modules/", self.release.as_bytes(), b"/", below].concat();
        self.collector.file(&place, member)
    }

    fn link(&mut self, path: &[u8], _is_hard: bool) -> Result<(), KernelError> {
        Err(self.foreign(path, "is a link"))
    }

    fn package(&mut self, _: PackageInfo) {}
}

/// Hashes the bytes that pass, and stops behind the stated size.
struct CheckedReader {
    inner: Box<dyn Read>,
    hasher: Hasher,
    size_bytes: u64,
    limit_bytes: u64,
}

impl CheckedReader {
    fn new(inner: Box<dyn Read>, limit_bytes: u64) -> Self {
        Self { inner, hasher: Hasher::new(Algorithm::Sha256), size_bytes: 0, limit_bytes }
    }

    /// Compares the bytes with what the configuration says.
    fn finish(self, file: &BundleFile) -> Result<(), String> {
        if self.size_bytes != file.size_bytes {
            return Err(format!("it has {} bytes, not {}", self.size_bytes, file.size_bytes));
        }
        let found: Digest = self.hasher.finish();
        match found.to_string() == file.digest {
            true => Ok(()),
            false => Err(format!("its digest is {found}, not {}", banger_tree::escape_text(&file.digest))),
        }
    }
}

impl Read for CheckedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        self.size_bytes += length as u64;
        match self.size_bytes > self.limit_bytes {
            true => {
                Err(io::Error::other(format!("a file has more than the stated {} bytes", self.limit_bytes)))
            }
            false => Ok(length),
        }
    }
}
