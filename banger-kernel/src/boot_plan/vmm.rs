//! Virtual machine monitors.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::initramfs::RootDisk;

/// No virtual machine monitor has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not firecracker, cloud-hypervisor, qemu, libkrun or vz")]
pub struct UnknownVmm {
    text: String,
}

/// A virtual machine monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Vmm {
    /// Firecracker: a configuration file for `--config-file`.
    Firecracker,
    /// Cloud Hypervisor: a command.
    CloudHypervisor,
    /// QEMU: a command.
    Qemu,
    /// libkrun: the values of its calls.
    Libkrun,
    /// Virtualization, the framework of macOS: the values of its objects.
    #[serde(rename = "vz")]
    Virtualization,
}

impl Vmm {
    /// Every monitor.
    pub const ALL: [Self; 5] =
        [Self::Firecracker, Self::CloudHypervisor, Self::Qemu, Self::Libkrun, Self::Virtualization];

    /// Returns how the root disk is attached. QEMU can attach it otherwise.
    pub const fn root_disk(self) -> RootDisk {
        match self {
            Self::Firecracker | Self::Libkrun => RootDisk::VirtioMmio,
            Self::CloudHypervisor | Self::Qemu | Self::Virtualization => RootDisk::VirtioPci,
        }
    }

    /// Returns the name by which users ask for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firecracker => "firecracker",
            Self::CloudHypervisor => "cloud-hypervisor",
            Self::Qemu => "qemu",
            Self::Libkrun => "libkrun",
            Self::Virtualization => "vz",
        }
    }
}

impl fmt::Display for Vmm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Vmm {
    type Err = UnknownVmm;

    fn from_str(text: &str) -> Result<Self, UnknownVmm> {
        let found = Self::ALL.into_iter().find(|vmm| vmm.name() == text);
        found.ok_or_else(|| UnknownVmm { text: text.to_owned() })
    }
}
