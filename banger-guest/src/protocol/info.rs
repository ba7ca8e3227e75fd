//! Answers of an agent about its guest.

use serde::{Deserialize, Serialize};

use super::exit_status::ExitStatus;
use crate::config::BootContract;

/// The agent answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// The version of banger that it came with.
    pub agent_version: String,
    /// The version of the protocol.
    pub protocol: u8,
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
}

setters! {
    Health {
        with_agent_version => agent_version: String,
        with_protocol => protocol: u8,
        with_uptime_ms => uptime_ms: u64,
    }
}

/// The state of a guest and of its first boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Info {
    /// The version of banger that the agent came with.
    pub agent_version: String,
    /// How the guest boots; an init that the first boot has installed counts as soon as it runs. Missing
    /// without `/etc/banger/guest.json`.
    pub contract: Option<BootContract>,
    /// The executable of process 1, or its name if the executable cannot be read.
    pub init: String,
    /// The first boot.
    pub first_boot: FirstBoot,
    /// The kernel.
    pub kernel: KernelInfo,
    /// The distribution, out of os-release.
    pub os: Option<OsInfo>,
    /// The hostname.
    pub hostname: String,
    /// `/etc/machine-id`, if it is set.
    pub machine_id: Option<String>,
    /// Another for every boot.
    pub boot_id: Option<String>,
    /// The network interfaces.
    pub interfaces: Vec<Addresses>,
    /// The entry point, if banger-init runs one.
    pub entrypoint: Option<EntrypointState>,
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
}

setters! {
    Info {
        with_agent_version => agent_version: String,
        with_contract => contract: Option<BootContract>,
        with_init => init: String,
        with_first_boot => first_boot: FirstBoot,
        with_kernel => kernel: KernelInfo,
        with_os => os: Option<OsInfo>,
        with_hostname => hostname: String,
        with_machine_id => machine_id: Option<String>,
        with_boot_id => boot_id: Option<String>,
        with_interfaces => interfaces: Vec<Addresses>,
        with_entrypoint => entrypoint: Option<EntrypointState>,
        with_uptime_ms => uptime_ms: u64,
    }
}

/// The state of the first boot, from its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FirstBoot {
    /// How far it has come.
    pub state: FirstBootState,
    /// Which attempt this is, from 1; 0 before the first.
    pub attempt: u32,
    /// The current or last stage.
    pub stage: Option<String>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// The end of its log, at most 8 KiB.
    pub log_tail: String,
}

setters! {
    FirstBoot {
        with_state => state: FirstBootState,
        with_attempt => attempt: u32,
        with_stage => stage: Option<String>,
        with_last_error => last_error: Option<String>,
        with_log_tail => log_tail: String,
    }
}

/// How far the first boot has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FirstBootState {
    /// The image does not need one.
    #[default]
    None,
    /// It has not begun.
    Pending,
    /// It runs now.
    Running,
    /// An attempt failed; the next boot tries again.
    Failed,
    /// It is done.
    Done,
}

/// The kernel of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KernelInfo {
    /// As `uname -r`.
    pub release: String,
    /// As `uname -v`.
    pub version: String,
    /// As `uname -m`.
    pub machine: String,
    /// The command line it was started with.
    pub command_line: String,
}

setters! {
    KernelInfo {
        with_release => release: String,
        with_version => version: String,
        with_machine => machine: String,
        with_command_line => command_line: String,
    }
}

/// The distribution of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OsInfo {
    /// `ID`.
    pub id: String,
    /// `VERSION_ID`.
    pub version_id: Option<String>,
    /// `PRETTY_NAME`.
    pub pretty_name: Option<String>,
}

setters! {
    OsInfo {
        with_id => id: String,
        with_version_id => version_id: Option<String>,
        with_pretty_name => pretty_name: Option<String>,
    }
}

/// An interface and its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Addresses {
    /// Its name.
    pub interface: String,
    /// Its hardware address, `02:00:…`.
    pub mac: Option<String>,
    /// Whether it is up.
    pub up: bool,
    /// `address/prefix`.
    pub addresses: Vec<String>,
}

setters! {
    Addresses {
        with_interface => interface: String,
        with_mac => mac: Option<String>,
        with_up => up: bool,
        with_addresses => addresses: Vec<String>,
    }
}

/// How far an entry point has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EntrypointState {
    /// It will be started.
    Starting,
    /// It runs.
    Running {
        /// Its process id.
        pid: u32,
    },
    /// It has ended.
    Ended(ExitStatus),
    /// It could not be started.
    Failed,
}
