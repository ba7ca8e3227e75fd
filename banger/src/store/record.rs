//! The record of an image: `image.json`.

use std::collections::BTreeMap;

use banger_boot::{BootContract, Fixup};
use banger_ext4::{FileSystemUsage, LAYOUT_VERSION, VerifyReport};
use banger_kernel::{Kernel, VerityDisk};
use banger_oci::{ImageConfig, VerifiedSignature};
use banger_tree::GuestPath;
use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::files::KERNEL_DIRECTORY;
use super::lookup::{StoredRecord, parse_record};
use super::name::ImageName;
use super::referrers::ReferrerRecord;
use super::stored_kind::StoredKind;
use crate::file_system::FileSystemOptions;
use crate::id::ImageId;
use crate::kernel::KernelRecord;
use crate::time::now;
use crate::verity::{VerityPlace, VerityRecord};

/// Version of the record's format; readers refuse newer ones.
const RECORD_VERSION: u32 = 1;

/// The record of a published image. Its JSON form is `image.json` and the output of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageRecord {
    /// Version of this format.
    pub version: u32,
    /// Name of the image's directory.
    pub id: ImageId,
    /// Name that users call it by.
    pub name: ImageName,
    /// The reference it was pulled by, in full, or `rootfs:FILE` for a file that was registered.
    pub source: String,
    /// Digest of the image manifest, or of the file that was registered.
    pub digest: String,
    /// Digest of the index that led to the manifest, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_digest: Option<String>,
    /// Platform: `linux/amd64`.
    pub platform: String,
    /// When it was published, RFC 3339.
    pub created: String,
    /// Version of banger that built it.
    pub banger_version: String,
    /// The options of the build.
    pub build: BuildOptions,
    /// How the image wants to be run.
    pub config: ImageConfigRecord,
    /// Its layers, base first.
    pub layers: Vec<LayerRecord>,
    /// Length of the ext4 file.
    pub size_bytes: u64,
    /// Free bytes in the file system.
    pub free_bytes: u64,
    /// Inodes of the file system.
    pub inodes: u32,
    /// Inodes in use.
    pub used_inodes: u32,
    /// How the guest boots; `None` without an injection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_contract: Option<BootContract>,
    /// Whether the first boot of the image still has something to do.
    #[serde(default)]
    pub first_boot_pending: bool,
    /// Paths that were written for the guest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub injected: Vec<GuestPath>,
    /// The changes that make the image boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixups: Vec<Fixup>,
    /// Data that the build changed or dropped, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The signatures that were verified before the pull.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<VerifiedSignature>,
    /// The artifacts that refer to the image, if they were asked for. They are in the OCI layout
    /// [`REFERRERS_DIRECTORY`](crate::REFERRERS_DIRECTORY) beside the ext4 file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub referrers: Vec<ReferrerRecord>,
    /// The kernel that came with the image. Its files are in the directory [`KERNEL_DIRECTORY`] beside the ext4
    /// file of a managed image, its modules are in the file system. Id and name are those in the kernel store
    /// then.
    ///
    /// [`KERNEL_DIRECTORY`]: crate::KERNEL_DIRECTORY
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelRecord>,
    /// The artifact that the image was pulled as, if it came as a finished image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactOrigin>,
    /// UUID of the file system, if it is not made from the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// The dm-verity hash tree, if the image has one. Its file is [`VERITY_FILE`] beside the ext4 file of a managed
    /// image.
    ///
    /// [`VERITY_FILE`]: crate::VERITY_FILE
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verity: Option<VerityRecord>,
    /// The original image, if this is a clone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloned_from: Option<ClonedFrom>,
    /// Whether a machine ran on the image, or a clone was changed: its file system has more than its layers then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ran: bool,
    /// How the image was built from another one, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<BuiltFrom>,
    /// Id of the older image whose name this one took. The older image is hidden as soon as this one is
    /// visible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ImageId>,
}

/// The layout of records from before the field.
fn first_layout() -> u32 {
    1
}

/// Options that decide the bytes of an image, besides its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuildOptions {
    /// Backend that wrote it; `none` for a file that was registered.
    pub backend: String,
    /// Version of the placement of files by the writers: [`LAYOUT_VERSION`](banger_ext4::LAYOUT_VERSION).
    #[serde(default = "first_layout")]
    pub layout: u32,
    /// The file system that was asked for.
    #[serde(flatten)]
    pub file_system: FileSystemOptions,
    /// Time of files without a time in any layer, in seconds since the epoch.
    pub timestamp_seconds: i64,
    /// The injection; `None` for an unchanged image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestBuildOptions>,
    /// Digest of the kernel; `None` for an image without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Where the dm-verity hash tree went; `None` for an image without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verity: Option<VerityPlace>,
}

impl BuildOptions {
    /// Returns the options of a build by `backend` with everything else at its default.
    pub fn new(backend: impl Into<String>) -> Self {
        Self {
            backend: backend.into(),
            layout: LAYOUT_VERSION,
            file_system: FileSystemOptions::default(),
            timestamp_seconds: 0,
            guest: None,
            kernel: None,
            verity: None,
        }
    }
}

banger_tree::setters! {
    BuildOptions {
        with_file_system => file_system: FileSystemOptions,
        with_timestamp_seconds => timestamp_seconds: i64,
        with_guest => guest: Option<GuestBuildOptions>,
        with_kernel => kernel: Option<String>,
        with_verity => verity: Option<VerityPlace>,
    }
}

/// The image that another one was cloned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClonedFrom {
    /// Its id.
    pub id: ImageId,
    /// Its name then.
    pub name: ImageName,
}

impl ClonedFrom {
    /// Returns the entry of a clone for the image `original`.
    pub(crate) fn of(original: &ImageRecord) -> Self {
        Self { id: original.id.clone(), name: original.name.clone() }
    }
}

/// The artifact that an image was pulled as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ArtifactOrigin {
    /// Digest of its manifest.
    pub digest: String,
    /// The source of the image where the artifact was pushed.
    pub source: String,
}

/// How an image was built from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuiltFrom {
    /// The name of the other image.
    pub base: ImageName,
    /// The steps, in one line each.
    pub steps: Vec<String>,
    /// The digest of the other image, the kernel and all steps.
    pub key: String,
}

impl BuiltFrom {
    /// Returns the entry of an image that was built from `base` by `steps`.
    pub(crate) fn new(base: ImageName, steps: Vec<String>, key: String) -> Self {
        Self { base, steps, key }
    }
}

/// Options of the injection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GuestBuildOptions {
    /// Init asked for: `auto`, `image`, `banger` or `install`.
    pub init: String,
    /// Digest of the guest binary and of all texts that go with it.
    pub digest: String,
}

impl GuestBuildOptions {
    /// Returns the options with the name of the init, and the digest of the guest binary and texts.
    pub fn new(init: impl Into<String>, digest: impl Into<String>) -> Self {
        Self { init: init.into(), digest: digest.into() }
    }
}

/// The part of the image configuration for running it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageConfigRecord {
    /// `ENTRYPOINT`.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// `CMD`.
    #[serde(default)]
    pub cmd: Vec<String>,
    /// `ENV`, as `NAME=value`.
    #[serde(default)]
    pub env: Vec<String>,
    /// `USER`, empty for root.
    #[serde(default)]
    pub user: String,
    /// `WORKDIR`, empty for `/`.
    #[serde(default)]
    pub working_dir: String,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl ImageConfigRecord {
    /// Returns the part of an image configuration that a record keeps.
    pub(crate) fn of(config: &ImageConfig) -> Self {
        let config = &config.config;
        Self {
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            env: config.env.clone(),
            user: config.user.clone(),
            working_dir: config.working_dir.clone(),
            labels: config.labels.clone(),
        }
    }
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerRecord {
    /// Digest of the published blob.
    pub digest: String,
    /// Digest of its tar.
    pub diff_id: String,
    /// Length of the published blob.
    pub size_bytes: u64,
}

impl LayerRecord {
    /// Returns the record of a layer: digest of the blob, digest of its tar, length of the blob.
    pub fn new(digest: impl Into<String>, diff_id: impl Into<String>, size_bytes: u64) -> Self {
        Self { digest: digest.into(), diff_id: diff_id.into(), size_bytes }
    }
}

impl ImageRecord {
    /// The version that new records carry.
    pub const VERSION: u32 = RECORD_VERSION;

    /// Returns the record of an image that is made now from `source` with this digest. The caller sets the
    /// other fields; [`ImageStore::publish`](crate::ImageStore::publish) sets the id.
    pub fn new(
        name: ImageName,
        source: impl Into<String>,
        digest: impl Into<String>,
        build: BuildOptions,
    ) -> Self {
        Self {
            version: Self::VERSION,
            id: ImageId::random(),
            name,
            source: source.into(),
            digest: digest.into(),
            index_digest: None,
            platform: String::new(),
            created: now(),
            banger_version: env!("CARGO_PKG_VERSION").to_owned(),
            build,
            config: ImageConfigRecord::default(),
            layers: Vec::new(),
            size_bytes: 0,
            free_bytes: 0,
            inodes: 0,
            used_inodes: 0,
            boot_contract: None,
            first_boot_pending: false,
            injected: Vec::new(),
            fixups: Vec::new(),
            warnings: Vec::new(),
            signatures: Vec::new(),
            referrers: Vec::new(),
            kernel: None,
            artifact: None,
            uuid: None,
            verity: None,
            cloned_from: None,
            ran: false,
            built: None,
            replaces: None,
        }
    }

    /// Returns the record for an artifact: without what belongs to this machine.
    pub(crate) fn pushed(&self) -> Self {
        Self {
            id: ImageId::zero(),
            created: String::new(),
            referrers: Vec::new(),
            artifact: None,
            cloned_from: None,
            replaces: None,
            ..self.clone()
        }
    }

    /// Returns the record of an image that is made now, by the reference `source`, of an artifact with this record.
    pub(crate) fn pulled_as(&self, name: ImageName, source: String) -> Self {
        Self { id: ImageId::random(), name, source, created: now(), ..self.pushed() }
    }

    /// Returns the kernel that came with the image, with its files beside the image's file `rootfs`; `None` if there
    /// is none.
    pub fn kernel_beside(&self, rootfs: &Utf8Path) -> Option<Kernel> {
        self.kernel.as_ref().map(|kernel| kernel.kernel_in(&rootfs.with_file_name(KERNEL_DIRECTORY)))
    }

    /// Returns the hash tree by which a guest verifies the image, with its file beside the image's file `rootfs`;
    /// `None` if there is none.
    pub fn verity_beside(&self, rootfs: &Utf8Path) -> Option<VerityDisk> {
        let VerityRecord { root_hash, data_blocks, hash_offset_bytes, file, .. } = self.verity.as_ref()?;
        Some(match rootfs.file_name() == Some(file) {
            true => VerityDisk::appended(root_hash, *data_blocks, *hash_offset_bytes),
            false => VerityDisk::beside(root_hash, *data_blocks, rootfs.with_file_name(file)),
        })
    }

    /// Returns the record of an image whose file system changes: without the hash tree of the original.
    pub(crate) fn without_verity(mut self) -> Self {
        self.verity = None;
        self.build.verity = None;
        self
    }

    /// Sets the sizes to those of a file system that was looked through.
    pub(crate) fn set_sizes(&mut self, report: &VerifyReport) {
        self.size_bytes = report.size_bytes;
        self.free_bytes = report.free_bytes;
        self.inodes = report.inodes;
        self.used_inodes = report.used_inodes;
    }

    /// Takes over the sizes of a file system.
    pub(crate) fn set_usage(&mut self, usage: FileSystemUsage) {
        self.size_bytes = usage.file_system_bytes;
        self.free_bytes = usage.free_bytes;
        self.inodes = usage.inodes;
        self.used_inodes = usage.used_inodes;
    }

    /// Returns the record that `json` holds.
    ///
    /// # Errors
    /// The text is not a record, has a newer version, or names a file outside the image's directory.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let record: Self = parse_record(json, RECORD_VERSION)?;
        record.kernel.as_ref().map_or(Ok(()), KernelRecord::check_names)?;
        record.verity.as_ref().map_or(Ok(()), VerityRecord::check)?;
        Ok(record)
    }
}

impl StoredRecord for ImageRecord {
    const KIND: StoredKind = StoredKind::Image;

    fn id(&self) -> &ImageId {
        &self.id
    }

    fn name(&self) -> &ImageName {
        &self.name
    }
}
