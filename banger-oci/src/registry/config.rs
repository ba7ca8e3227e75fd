//! The image configuration: OCI image-spec `config.md`.

use std::collections::{BTreeMap, BTreeSet};

use banger_tree::Budget;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;
use crate::registry::error::PullError;
use crate::registry::json::{self, loose_keys, loose_map, loose_text, nullable, nullable_object, words};

/// The configuration of an image: its platform, its start command, and the digests of its unpacked layers.
///
/// Fields that banger does not need, for example the history, are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// When the image was built, in RFC 3339 form.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "loose_text")]
    pub created: Option<String>,
    /// The architecture under its Go name.
    #[serde(deserialize_with = "nullable")]
    pub architecture: String,
    /// The operating system.
    #[serde(deserialize_with = "nullable")]
    pub os: String,
    /// The variant of the architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// How containers of the image are started.
    #[serde(deserialize_with = "nullable_object")]
    pub config: ContainerConfig,
    /// The layers.
    #[serde(deserialize_with = "nullable_object")]
    pub rootfs: RootfsConfig,
}

/// How containers of an image are started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User, or user and group, by name or number.
    #[serde(deserialize_with = "nullable")]
    pub user: String,
    /// Environment variables as `NAME=value`.
    #[serde(deserialize_with = "words")]
    pub env: Vec<String>,
    /// The program, with its first arguments.
    #[serde(deserialize_with = "words")]
    pub entrypoint: Vec<String>,
    /// Arguments after the entry point, or the whole command line without an entry point.
    #[serde(deserialize_with = "words")]
    pub cmd: Vec<String>,
    /// The working directory.
    #[serde(deserialize_with = "nullable")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "loose_map")]
    pub labels: BTreeMap<String, String>,
    /// Ports that the program listens on, for example `80/tcp`.
    #[serde(deserialize_with = "loose_keys", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Directories that outlive a container.
    #[serde(deserialize_with = "loose_keys", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The signal that asks the program to end.
    #[serde(deserialize_with = "loose_text", skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
}

/// The layers an image consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootfsConfig {
    /// Always `layers`.
    #[serde(rename = "type", deserialize_with = "loose_text")]
    pub kind: Option<String>,
    /// The digests of the uncompressed layer tars, base first.
    #[serde(deserialize_with = "nullable")]
    pub diff_ids: Vec<Digest>,
}

impl ImageConfig {
    /// Parses a configuration; `digest` names it in errors.
    ///
    /// # Errors
    ///
    /// [`PullError::Malformed`], and [`PullError::OverBudget`] if it has more values than a default
    /// [`Budget`] allows.
    pub fn parse(bytes: &[u8], digest: &Digest) -> Result<Self, PullError> {
        Self::parse_within(bytes, digest, &Budget::default())
    }

    /// Parses a configuration whose values are charged to `budget`.
    pub(crate) fn parse_within(bytes: &[u8], digest: &Digest, budget: &Budget) -> Result<Self, PullError> {
        json::parse(bytes, budget).map_err(PullError::document(format!("image configuration {digest}")))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<ImageConfig, PullError> {
        ImageConfig::parse(text, &Digest::of(text))
    }

    #[test]
    fn b48_null_is_taken_everywhere() {
        let fields = ["created", "architecture", "os", "variant", "config", "rootfs", "history", "x"];
        for field in fields {
            let config = parse(format!(r#"{{"{field}":null}}"#).as_bytes());
            assert_eq!(config.unwrap(), ImageConfig::default(), "{field}");
        }
        let fields = ["User", "Env", "Entrypoint", "Cmd", "WorkingDir", "Labels", "ExposedPorts", "Volumes"];
        for field in fields.into_iter().chain(["StopSignal", "OnBuild", "Healthcheck"]) {
            let config = parse(format!(r#"{{"config":{{"{field}":null}}}}"#).as_bytes());
            assert_eq!(config.unwrap(), ImageConfig::default(), "{field}");
        }
        for field in ["type", "diff_ids"] {
            let config = parse(format!(r#"{{"rootfs":{{"{field}":null}}}}"#).as_bytes());
            assert_eq!(config.unwrap(), ImageConfig::default(), "{field}");
        }
    }

    #[test]
    fn b48_what_nobody_needs_may_be_odd_and_what_is_used_not() {
        for odd in ["5", "-1", "1.5", "true", "[null]", "{\"a\":{}}", "\"x\"", "12345678901234567890123"] {
            for field in ["created", "history", "x"] {
                let text = format!(r#"{{"os":"linux","{field}":{odd}}}"#);
                assert_eq!(parse(text.as_bytes()).unwrap().os, "linux", "{text}");
            }
            for field in ["Labels", "ExposedPorts", "Volumes", "Healthcheck", "StopSignal", "OnBuild"] {
                let text = format!(r#"{{"config":{{"User":"u","{field}":{odd}}}}}"#);
                assert_eq!(parse(text.as_bytes()).unwrap().config.user, "u", "{text}");
            }
        }
        for strict in [
            r#"{"os":5}"#,
            r#"{"architecture":["amd64"]}"#,
            r#"{"config":{"User":0}}"#,
            r#"{"config":{"Env":{"A":"b"}}}"#,
            r#"{"config":{"Cmd":[5]}}"#,
            r#"{"config":[]}"#,
            r#"{"rootfs":["layers",[]]}"#,
            r#"["2020-01-01T00:00:00Z","amd64","linux"]"#,
            "null",
            "5",
            r#"{"rootfs":{"diff_ids":[null]}}"#,
            r#"{"rootfs":{"diff_ids":["md5:00"]}}"#,
            r#"{"os":"linux","os":"linux"}"#,
        ] {
            assert!(matches!(parse(strict.as_bytes()), Err(PullError::Malformed { .. })), "{strict}");
        }
        let config = parse(br#"{"config":{"Cmd":"sh","Env":["A=b",null],"ExposedPorts":{"80/tcp":{}}}}"#);
        let config = config.unwrap().config;
        assert_eq!((config.cmd, config.env), (vec!["sh".to_owned()], vec!["A=b".to_owned(), String::new()]));
        assert!(config.exposed_ports.contains("80/tcp"));
    }

    #[test]
    fn b29_values_of_a_configuration_are_counted() {
        let nested =
            format!(r#"{{"config":{{"ExposedPorts":{}0{}}}}}"#, r#"{"a":"#.repeat(9_000), "}".repeat(9_000));
        assert!(parse(nested.as_bytes()).is_ok());
        let wide = format!(r#"{{"config":{{"ExposedPorts":{{"a":[{}0]}}}}}}"#, "{},".repeat(500_000));
        let error = parse(wide.as_bytes()).unwrap_err();
        assert!(matches!(error, PullError::OverBudget { .. }), "{error}");
    }
}
