//! The record of an image: `image.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr;

use banger_boot::{BootContract, Fixup};
use banger_tree::GuestPath;
use serde::{Deserialize, Serialize};

use super::copies::ClonedFrom;
use super::name::ImageName;

/// Version of the record's format; readers refuse newer ones.
const RECORD_VERSION: u32 = 1;

/// Id of a published image: 12 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

impl ImageId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns an id that is very likely not in use.
    pub(crate) fn random() -> Self {
        let bits = RandomState::new().hash_one(std::process::id()) & ((1 << 48) - 1);
        Self(format!("{bits:012x}"))
    }
}

impl FromStr for ImageId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.len() == 12 && text.bytes().all(is_hex) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is not an image id of 12 hexadecimal digits")),
        }
    }
}

impl TryFrom<String> for ImageId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What is known of a published image. The JSON form is `image.json` and what `--json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Version of this format.
    pub version: u32,
    /// Name of the image's directory.
    pub id: ImageId,
    /// Name that users call it by.
    pub name: ImageName,
    /// The reference it was pulled by, in full.
    pub source: String,
    /// Digest of the image manifest.
    pub digest: String,
    /// Digest of the index that led to the manifest, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_digest: Option<String>,
    /// Platform: `linux/amd64`.
    pub platform: String,
    /// When it was published, RFC 3339.
    pub created: String,
    /// Version of banger that built it.
    pub banger_version: String,
    /// What the build was asked for.
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
    /// How the guest boots; `None` where nothing was injected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_contract: Option<BootContract>,
    /// Whether the first boot of the image still has something to do.
    #[serde(default)]
    pub first_boot_pending: bool,
    /// Paths that were written for the guest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub injected: Vec<GuestPath>,
    /// What of the image was changed so that it boots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixups: Vec<Fixup>,
    /// What the build had to change or leave out, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The image it is a copy of, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloned_from: Option<ClonedFrom>,
    /// Id of the older image that this one took the name of; gone as soon as this is visible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ImageId>,
}

/// Options that decide the bytes of an image, besides its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildOptions {
    /// Backend that wrote it.
    pub backend: String,
    /// Size asked for, in bytes; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Inodes asked for; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u32>,
    /// Time of what no layer gives a time to, in seconds since the epoch.
    pub timestamp_seconds: i64,
    /// What makes it boot; `None` for the image as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestBuildOptions>,
}

/// What was to make an image boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestBuildOptions {
    /// Init asked for: `auto`, `image`, `banger` or `install`.
    pub init: String,
    /// Digest of the guest binary and of all texts that go with it.
    pub digest: String,
}

/// The part of the image configuration that says how to run it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digest of the published blob.
    pub digest: String,
    /// Digest of its tar.
    pub diff_id: String,
    /// Length of the published blob.
    pub size_bytes: u64,
}

impl ImageRecord {
    /// The version that new records carry.
    pub const VERSION: u32 = RECORD_VERSION;

    /// Returns the record that `json` holds.
    ///
    /// # Errors
    /// It is not a record, or one of a newer version; said in words.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if version > RECORD_VERSION {
            return Err(format!("format {version} is newer than {RECORD_VERSION}; update banger"));
        }
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }
}
