//! `/etc/banger/guest.json`: decisions of the injection about a guest.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of [`GuestConfig`] that this crate writes, and the newest that it reads.
pub const CONFIG_VERSION: u32 = 1;

/// The kernel module that carries vsock in a guest.
pub const VSOCK_MODULE: &str = "vmw_vsock_virtio_transport";

/// Paths of files in a guest.
pub mod paths {
    /// The configuration that the injection wrote, a [`GuestConfig`](super::GuestConfig).
    pub const GUEST_CONFIG: &str = "/etc/banger/guest.json";
    /// The binary.
    pub const AGENT: &str = "/usr/local/bin/banger-vsock-agent";
    /// A hard link of it, to configure the network.
    pub const NETWORK: &str = "/usr/local/libexec/banger-network-bootstrap";
    /// A hard link of it, to drive the first boot.
    pub const FIRST_BOOT: &str = "/usr/local/libexec/banger-first-boot";
    /// The script that calls the package manager of the distribution.
    pub const FIRST_BOOT_SCRIPT: &str = "/usr/local/libexec/banger-first-boot.sh";
    /// A hard link of it, to be process 1.
    pub const INIT: &str = "/usr/local/libexec/banger-init";
    /// While it exists the first boot is not done, a [`FirstBootMarker`](super::FirstBootMarker).
    pub const FIRST_BOOT_PENDING: &str = "/var/lib/banger/first-boot-pending";
    /// Appears when the first boot is done.
    pub const FIRST_BOOT_DONE: &str = "/var/lib/banger/first-boot-done";
    /// Log of the first boot.
    pub const FIRST_BOOT_LOG: &str = "/var/log/banger-first-boot.log";
    /// The directories of the modules of kernels, one for each release.
    pub const MODULES: &str = "/lib/modules";
    /// In an initramfs, the directory of the modules to load, in the order of their names.
    pub const INITRAMFS_MODULES: &str = "/banger/modules";
    /// In an initramfs, the release of the kernel that the modules are for.
    pub const INITRAMFS_KERNEL: &str = "/banger/kernel";
}

/// How a guest boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BootContract {
    /// `/sbin/init` leads to systemd.
    Systemd,
    /// OpenRC, started by busybox, sysvinit or openrc-init.
    Openrc,
    /// runit.
    Runit,
    /// s6-overlay's `/init`.
    S6,
    /// busybox init with an inittab.
    Busybox,
    /// banger-init: the image has no usable init, or the user asked for banger-init.
    Banger,
}

impl BootContract {
    /// The name in records and in the environment of the first boot.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Openrc => "openrc",
            Self::Runit => "runit",
            Self::S6 => "s6",
            Self::Busybox => "busybox",
            Self::Banger => "banger",
        }
    }
}

impl fmt::Display for BootContract {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Which init was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InitMode {
    /// The init of the image if it has one, else banger-init.
    #[default]
    Auto,
    /// The image's, and nothing else.
    Image,
    /// banger's, always.
    Banger,
    /// banger-init, until the first boot has installed an init.
    Install,
}

impl InitMode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Image, Self::Banger, Self::Install];

    /// The name in records and that users choose it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Image => "image",
            Self::Banger => "banger",
            Self::Install => "install",
        }
    }
}

/// The text does not name an init mode.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` is not an init mode: choose auto, image, banger or install")]
pub struct InitModeError {
    name: String,
}

impl FromStr for InitMode {
    type Err = InitModeError;

    fn from_str(name: &str) -> Result<Self, InitModeError> {
        let known = Self::ALL.into_iter().find(|mode| mode.name() == name);
        known.ok_or_else(|| InitModeError { name: name.to_owned() })
    }
}

impl fmt::Display for InitMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Decisions of the injection about a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GuestConfig {
    /// [`CONFIG_VERSION`].
    pub version: u32,
    /// How the guest boots.
    pub contract: BootContract,
    /// Which init was asked for.
    #[serde(default)]
    pub init: InitMode,
    /// An init of the image that banger-init becomes after its own work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<String>,
    /// The program for banger-init, from the image's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Entrypoint>,
    /// Whether banger-init keeps a login shell on the console besides an entry point. Without an entry point
    /// there is always a shell.
    #[serde(default)]
    pub console_shell: bool,
}

setters! {
    GuestConfig {
        with_contract => contract: BootContract,
        with_init => init: InitMode,
        with_handover => handover: Option<String>,
        with_entrypoint => entrypoint: Option<Entrypoint>,
        with_console_shell => console_shell: bool,
    }
}

/// The program that an image is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Entrypoint {
    /// `Entrypoint` and `Cmd`, joined.
    pub argv: Vec<String>,
    /// `Env`, as `NAME=value`.
    pub env: Vec<String>,
    /// `User`: name or uid, with `:` and group or gid.
    pub user: Option<String>,
    /// `WorkingDir`.
    pub working_dir: Option<String>,
}

setters! {
    Entrypoint {
        with_argv => argv: Vec<String>,
        with_env => env: Vec<String>,
        with_user => user: Option<String>,
        with_working_dir => working_dir: Option<String>,
    }
}

/// Why a guest's configuration cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GuestConfigError {
    /// It is not the JSON that it should be.
    #[error("cannot read the guest configuration: {0}")]
    Json(#[source] serde_json::Error),
    /// A newer banger wrote it.
    #[error("the guest configuration has version {found}; only version {CONFIG_VERSION} is supported")]
    Version {
        /// The version in it.
        found: u32,
    },
}

impl GuestConfig {
    /// A configuration for a contract, with nothing optional in it.
    #[must_use]
    pub fn new(contract: BootContract) -> Self {
        Self {
            version: CONFIG_VERSION,
            contract,
            init: InitMode::Auto,
            handover: None,
            entrypoint: None,
            console_shell: false,
        }
    }

    /// Reads the content of `/etc/banger/guest.json`. Unknown fields of a later release are skipped, if the
    /// version is the same.
    ///
    /// # Errors
    ///
    /// The content is not this document, or has a newer version.
    pub fn from_json(json: &[u8]) -> Result<Self, GuestConfigError> {
        let config: Self = serde_json::from_slice(json).map_err(GuestConfigError::Json)?;
        if config.version != CONFIG_VERSION {
            return Err(GuestConfigError::Version { found: config.version });
        }
        Ok(config)
    }

    /// The content of `/etc/banger/guest.json`; the same for the same configuration.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("strings and numbers are always JSON");
        json.push(b'\n');
        json
    }
}

/// The content of `/var/lib/banger/first-boot-pending`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirstBootMarker {
    /// How often the first boot was begun.
    pub attempt: u32,
    /// The current or last stage.
    pub stage: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

impl FirstBootMarker {
    /// Returns the marker in a file's content. An unreadable marker counts as a first boot that never began:
    /// a torn or empty marker still asks for one.
    #[must_use]
    pub fn from_json(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }

    /// The content of the file.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).expect("strings and numbers are always JSON");
        json.push(b'\n');
        json
    }
}
