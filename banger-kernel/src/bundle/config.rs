//! The configuration of a bundle: what its layers are, without reading them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::file_kind::BundleFileKind;
use crate::boot_plan::{BootPlan, BootRequest, Vmm};
use crate::error::KernelError;
use crate::find::is_release;
use crate::kernel::{Kernel, KernelArchitecture, KernelFormat};

/// Version of the format; readers refuse newer ones.
const CONFIG_VERSION: u32 = 1;
/// Largest configuration.
const MAX_BYTES: usize = 256 << 10;
const LINUX: &str = "linux";
/// The licence of Linux.
const LINUX_LICENCE: &str = "GPL-2.0-only";

/// The configuration of a bundle. `os` and `architecture` are where the configuration of an image has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundleConfig {
    /// Version of this format.
    pub version: u32,
    /// Always `linux`.
    pub os: String,
    /// Processor that the kernel runs on.
    pub architecture: KernelArchitecture,
    /// The release, as `uname -r` prints it.
    pub release: String,
    /// Format of the kernel itself.
    pub format: KernelFormat,
    /// Whether the vmlinux has a PVH entry point.
    pub pvh: bool,
    /// Whether there is a layer with modules.
    pub modules: bool,
    /// Licence and source.
    #[serde(flatten)]
    pub facts: BundleFacts,
    /// Default command lines by the name of the virtual machine monitor. banger makes its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub command_lines: BTreeMap<String, String>,
    /// The files, in the order of the layers.
    pub files: Vec<BundleFile>,
}

/// Licence and source of a kernel. The GPL obliges the publisher of a kernel to offer its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundleFacts {
    /// The licence as an SPDX expression; `GPL-2.0-only` by default.
    pub licence: String,
    /// The address of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
    /// The commit of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
}

/// A file of a bundle, without the compression of its layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundleFile {
    /// The kind of the file.
    pub file: BundleFileKind,
    /// Its length.
    pub size_bytes: u64,
    /// Digest of its bytes.
    pub digest: String,
}

impl Default for BundleFacts {
    fn default() -> Self {
        Self { licence: LINUX_LICENCE.to_owned(), source_url: None, source_commit: None }
    }
}

banger_tree::setters! {
    BundleFacts {
        with_source_url => source_url: Option<String>,
        with_source_commit => source_commit: Option<String>,
    }
}

impl BundleFacts {
    /// Sets [`licence`](Self::licence).
    #[must_use]
    pub fn with_licence(mut self, licence: impl Into<String>) -> Self {
        self.licence = licence.into();
        self
    }
}

impl BundleFile {
    pub(super) fn new(file: BundleFileKind, size_bytes: u64, digest: String) -> Self {
        Self { file, size_bytes, digest }
    }
}

impl BundleConfig {
    /// Returns the configuration of a bundle with `kernel`.
    pub(super) fn new(kernel: &Kernel, facts: &BundleFacts, files: Vec<BundleFile>) -> Self {
        Self {
            version: CONFIG_VERSION,
            os: LINUX.to_owned(),
            architecture: kernel.architecture,
            release: kernel.release.clone(),
            format: kernel.format,
            pvh: kernel.has_pvh_entry,
            modules: kernel.files.modules.is_some(),
            facts: facts.clone(),
            command_lines: command_lines(kernel),
            files,
        }
    }

    /// Parses the configuration of the bundle `name`.
    ///
    /// # Errors
    /// It is not a configuration, has a newer version, or is not for Linux.
    pub fn parse(json: &[u8], name: &str) -> Result<Self, KernelError> {
        let damaged = |reason: String| KernelError::damaged(name, format!("its configuration {reason}"));
        if json.len() > MAX_BYTES {
            return Err(damaged(format!("has more than {MAX_BYTES} bytes")));
        }
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let failed = |error: serde_json::Error| damaged(format!("cannot be read: {error}"));
        let Versioned { version } = serde_json::from_slice(json).map_err(failed)?;
        if version > CONFIG_VERSION {
            let reason = format!("the bundle has version {version}, and banger reads up to {CONFIG_VERSION}");
            return Err(KernelError::unsupported(name, reason));
        }
        let config: Self = serde_json::from_slice(json).map_err(failed)?;
        if config.os != LINUX {
            return Err(damaged("is not for linux".to_owned()));
        }
        if !is_release(&config.release) {
            return Err(damaged("has a release that no kernel can have".to_owned()));
        }
        Ok(config)
    }

    /// Returns the file of this kind.
    pub fn file(&self, kind: BundleFileKind) -> Option<&BundleFile> {
        self.files.iter().find(|file| file.file == kind)
    }
}

/// Returns the command lines of boot plans without options, for the monitors that start this kernel.
fn command_lines(kernel: &Kernel) -> BTreeMap<String, String> {
    let plan = |vmm: Vmm| BootPlan::new(kernel, &BootRequest::new(vmm, "rootfs.ext4")).ok();
    let planned = Vmm::ALL.into_iter().filter_map(plan);
    planned.map(|plan| (plan.vmm.name().to_owned(), plan.command_line)).collect()
}
