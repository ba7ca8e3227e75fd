//! A kernel as plain data: what it is, and where its files are on the host.

use std::fmt;
use std::str::FromStr;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// File name of the dependencies of modules, in [`KernelFiles::modules`].
pub const MODULES_DEP: &str = "modules.dep";

/// A kernel with its files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernel {
    /// The release, as `uname -r` prints it: `6.1.0-50-cloud-amd64`. It is one file name.
    pub release: String,
    /// The processor that it runs on.
    pub architecture: KernelArchitecture,
    /// The format of [`KernelFiles::image`].
    pub format: KernelFormat,
    /// Whether the vmlinux has a PVH entry point: a note `XEN_ELFNOTE_PHYS32_ENTRY`.
    pub has_pvh_entry: bool,
    /// Its files.
    pub files: KernelFiles,
}

/// The files of a kernel. All of them are regular files or directories, never symlinks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelFiles {
    /// The kernel itself, not compressed: a vmlinux or an arm64 Image.
    pub image: Utf8PathBuf,
    /// The bzImage that the vmlinux came out of.
    pub bz_image: Option<Utf8PathBuf>,
    /// An initrd that the user gave.
    pub initrd: Option<Utf8PathBuf>,
    /// The full `.config`, as text.
    pub config: Option<Utf8PathBuf>,
    /// A directory with the content of `/lib/modules/<release>`: the modules, which may be compressed, and
    /// the `modules.*` files. [`MODULES_DEP`] is always there. It has regular files and directories only.
    pub modules: Option<Utf8PathBuf>,
}

impl Kernel {
    /// Returns a kernel with `files` and without a PVH entry point.
    pub fn new(
        release: impl Into<String>,
        architecture: KernelArchitecture,
        format: KernelFormat,
        files: KernelFiles,
    ) -> Self {
        Self { release: release.into(), architecture, format, has_pvh_entry: false, files }
    }

    /// Sets [`has_pvh_entry`](Self::has_pvh_entry).
    #[must_use]
    pub fn with_pvh_entry(mut self, has_pvh_entry: bool) -> Self {
        self.has_pvh_entry = has_pvh_entry;
        self
    }
}

impl KernelFiles {
    /// Returns the files of a kernel that has only the file `image`.
    pub fn new(image: impl Into<Utf8PathBuf>) -> Self {
        Self { image: image.into(), bz_image: None, initrd: None, config: None, modules: None }
    }
}

banger_tree::setters! {
    KernelFiles {
        with_bz_image => bz_image: Option<Utf8PathBuf>,
        with_initrd => initrd: Option<Utf8PathBuf>,
        with_config => config: Option<Utf8PathBuf>,
        with_modules => modules: Option<Utf8PathBuf>,
    }
}

/// A processor that banger starts guests on. The names are those of OCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KernelArchitecture {
    /// x86_64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl KernelArchitecture {
    /// Returns the name of the architecture in OCI: `amd64`, `arm64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for KernelArchitecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for KernelArchitecture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "amd64" => Ok(Self::Amd64),
            "arm64" => Ok(Self::Arm64),
            _ => Err(format!("{text:?} is not amd64 or arm64")),
        }
    }
}

/// The format of a kernel that a virtual machine monitor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KernelFormat {
    /// An ELF executable.
    Vmlinux,
    /// An arm64 `Image`.
    Image,
}

impl KernelFormat {
    /// Returns the name of the format, which is also the name of the file in a kernel store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vmlinux => "vmlinux",
            Self::Image => "Image",
        }
    }
}
