//! The image configuration: OCI image-spec `config.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::PullError;
use crate::manifest::nullable;
use crate::platform::Platform;

/// What an image was built for, how it is started, and what its layers unpack to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// When the image was built, in RFC 3339 form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The architecture under its Go name.
    pub architecture: String,
    /// The operating system.
    pub os: String,
    /// The variant of the architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How containers of the image are started.
    #[serde(deserialize_with = "nullable")]
    pub config: ContainerConfig,
    /// The layers.
    pub rootfs: RootfsConfig,
    /// How the layers came to be.
    #[serde(deserialize_with = "nullable")]
    pub history: Vec<History>,
}

/// How containers of an image are started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User, or user and group, by name or number.
    #[serde(deserialize_with = "nullable")]
    pub user: String,
    /// Environment variables as `NAME=value`.
    #[serde(deserialize_with = "nullable")]
    pub env: Vec<String>,
    /// The program, with its first arguments.
    #[serde(deserialize_with = "nullable")]
    pub entrypoint: Vec<String>,
    /// Arguments after the entry point, or the whole command line where there is none.
    #[serde(deserialize_with = "nullable")]
    pub cmd: Vec<String>,
    /// The working directory.
    #[serde(deserialize_with = "nullable")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "nullable")]
    pub labels: BTreeMap<String, String>,
    /// Ports the program listens on, such as `80/tcp`; the values are empty objects.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, serde_json::Value>,
    /// Directories that outlive a container; the values are empty objects.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// The signal that asks the program to end.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
}

/// The layers an image consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootfsConfig {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the uncompressed layer tars, base first.
    #[serde(deserialize_with = "nullable")]
    pub diff_ids: Vec<Digest>,
}

/// One step of an image's making.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, in RFC 3339 form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Whether the step made no layer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Parses a configuration; `digest` names it in errors.
    ///
    /// # Errors
    ///
    /// [`PullError::Malformed`].
    pub fn parse(bytes: &[u8], digest: &Digest) -> Result<Self, PullError> {
        serde_json::from_slice(bytes).map_err(|error| PullError::Malformed {
            what: format!("image configuration {digest}"),
            reason: error.to_string(),
        })
    }

    /// The platform the image was built for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone().filter(|variant| !variant.is_empty()),
        }
    }
}
