//! The record of a kernel: `kernel.json`.

use banger_kernel::{
    BundleFacts, ConfigOrigin, Kernel, KernelArchitecture, KernelFiles, KernelFormat, PackageInfo,
};
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::id::ImageId;
use crate::store::{ImageName, StoredKind, StoredRecord, parse_record};
use crate::time::now;

/// Version of the record's format; readers refuse newer ones.
const RECORD_VERSION: u32 = 1;

/// The record of a kernel in the store. Its JSON form is `kernel.json` and the output of `--json`. The bytes of
/// a record depend on its values alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelRecord {
    /// Version of this format.
    pub version: u32,
    /// Name of the kernel's directory.
    pub id: ImageId,
    /// Name that users call it by.
    pub name: ImageName,
    /// The release, as `uname -r` prints it.
    pub release: String,
    /// Processor that it runs on.
    pub architecture: KernelArchitecture,
    /// Format of the kernel itself.
    pub format: KernelFormat,
    /// Whether it has a PVH entry point.
    pub pvh: bool,
    /// The source that it was imported from, as the user wrote it.
    pub source: String,
    /// The package that it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<PackageInfo>,
    /// Digest of all its files: equal kernels have equal digests.
    pub digest: String,
    /// When it was imported, RFC 3339.
    pub created: String,
    /// Version of banger that imported it.
    pub banger_version: String,
    /// The kernel itself.
    pub image: KernelFileRecord,
    /// The bzImage that the kernel came out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bz_image: Option<KernelFileRecord>,
    /// The initrd that the user gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd: Option<KernelFileRecord>,
    /// The configuration; `None` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<KernelConfigRecord>,
    /// The modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<KernelModulesRecord>,
    /// The bundle that it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<KernelBundleRecord>,
    /// The facts that the user should know, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One file of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelFileRecord {
    /// Its name in the kernel's directory.
    pub file: String,
    /// Its length.
    pub size_bytes: u64,
    /// Digest of its bytes.
    pub digest: String,
}

/// The configuration of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelConfigRecord {
    /// The file.
    #[serde(flatten)]
    pub file: KernelFileRecord,
    /// Where it came from.
    pub origin: ConfigOrigin,
}

/// The modules of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelModulesRecord {
    /// Name of the directory in the kernel's directory.
    pub directory: String,
    /// Number of modules.
    pub modules: u64,
    /// Bytes of all files.
    pub size_bytes: u64,
    /// Digest of paths and bytes of all files.
    pub digest: String,
    /// Whether banger made `modules.dep`, as the source did not have it.
    pub made_dependencies: bool,
}

/// The bundle that a kernel came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelBundleRecord {
    /// Digest of its manifest.
    pub digest: String,
    /// Licence and source.
    #[serde(flatten)]
    pub facts: BundleFacts,
}

impl KernelRecord {
    /// The version that new records carry.
    pub const VERSION: u32 = RECORD_VERSION;

    /// Returns the record of a kernel that is imported now, without its files.
    pub(super) fn new(name: ImageName, source: String, kernel: &Kernel, image: KernelFileRecord) -> Self {
        Self {
            version: Self::VERSION,
            id: ImageId::random(),
            name,
            release: kernel.release.clone(),
            architecture: kernel.architecture,
            format: kernel.format,
            pvh: kernel.has_pvh_entry,
            source,
            package: None,
            digest: String::new(),
            created: now(),
            banger_version: env!("CARGO_PKG_VERSION").to_owned(),
            image,
            bz_image: None,
            initrd: None,
            config: None,
            modules: None,
            bundle: None,
            warnings: Vec::new(),
        }
    }

    /// Returns the kernel whose files are in `directory`.
    pub(crate) fn kernel_in(&self, directory: &Utf8Path) -> Kernel {
        let path = |file: &KernelFileRecord| directory.join(&file.file);
        let files = KernelFiles::new(path(&self.image))
            .with_bz_image(self.bz_image.as_ref().map(path))
            .with_initrd(self.initrd.as_ref().map(path))
            .with_config(self.config.as_ref().map(|config| path(&config.file)))
            .with_modules(self.modules.as_ref().map(|modules| directory.join(&modules.directory)));
        Kernel::new(self.release.clone(), self.architecture, self.format, files).with_pvh_entry(self.pvh)
    }

    /// Returns its files; the modules are a directory besides.
    pub fn files(&self) -> impl Iterator<Item = &KernelFileRecord> {
        let config = self.config.as_ref().map(|config| &config.file);
        [Some(&self.image), self.bz_image.as_ref(), self.initrd.as_ref(), config].into_iter().flatten()
    }

    /// Returns the bytes of all its files.
    pub fn size_bytes(&self) -> u64 {
        let files: u64 = self.files().map(|file| file.size_bytes).sum();
        files + self.modules.as_ref().map_or(0, |modules| modules.size_bytes)
    }

    /// Returns the record that `json` holds.
    ///
    /// # Errors
    /// The text is not a record, has a newer version, or names a file outside the kernel's directory.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let record: Self = parse_record(json, RECORD_VERSION)?;
        record.check_names()?;
        Ok(record)
    }

    /// Checks that no file is outside of the kernel's directory.
    pub(crate) fn check_names(&self) -> Result<(), String> {
        let files = self.files().map(|file| &file.file);
        for name in files.chain(self.modules.as_ref().map(|modules| &modules.directory)) {
            banger_tree::check_name(name.as_bytes()).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl StoredRecord for KernelRecord {
    const KIND: StoredKind = StoredKind::Kernel;

    fn id(&self) -> &ImageId {
        &self.id
    }

    fn name(&self) -> &ImageName {
        &self.name
    }
}
