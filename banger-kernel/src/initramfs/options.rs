//! The options of an initramfs.

use std::str::FromStr;

use banger_tree::setters;

/// How a root disk is attached to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RootDisk {
    /// virtio-blk over PCI: QEMU, Cloud Hypervisor, Apple's framework.
    VirtioPci,
    /// virtio-blk over MMIO: Firecracker, libkrun, QEMU's `microvm`.
    VirtioMmio,
    /// NVMe over PCI.
    Nvme,
}

impl RootDisk {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::VirtioPci, Self::VirtioMmio, Self::Nvme];

    /// Returns the drivers that the kernel needs for the disk, by the names of their modules.
    #[must_use]
    pub fn drivers(self) -> &'static [&'static str] {
        match self {
            Self::VirtioPci => &["virtio_pci", "virtio_blk"],
            Self::VirtioMmio => &["virtio_mmio", "virtio_blk"],
            Self::Nvme => &["nvme"],
        }
    }

    /// Returns a description for messages.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::VirtioPci => "a virtio disk over PCI",
            Self::VirtioMmio => "a virtio disk over MMIO",
            Self::Nvme => "an NVMe disk",
        }
    }
}

/// No kind of root disk has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not virtio-pci, virtio-mmio or nvme")]
pub struct UnknownRootDisk {
    text: String,
}

impl FromStr for RootDisk {
    type Err = UnknownRootDisk;

    fn from_str(text: &str) -> Result<Self, UnknownRootDisk> {
        match text {
            "virtio-pci" => Ok(Self::VirtioPci),
            "virtio-mmio" => Ok(Self::VirtioMmio),
            "nvme" => Ok(Self::Nvme),
            _ => Err(UnknownRootDisk { text: text.to_owned() }),
        }
    }
}

/// How an initramfs is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitramfsCompression {
    /// Not compressed: every kernel with initramfs support reads it.
    #[default]
    None,
    /// One zstd frame: the kernel needs `CONFIG_RD_ZSTD`.
    Zstd,
}

/// What an initramfs contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InitramfsOptions {
    /// The kinds of disks that must work: a missing driver of one of them is an error. The drivers of the
    /// other kinds go in if the kernel has them. If this is empty, one kind must work, whichever it is.
    pub disks: Vec<RootDisk>,
    /// Modules to load besides the drivers of the root, by name.
    pub modules: Vec<String>,
    /// Modules to load if the kernel has them, by name.
    pub optional_modules: Vec<String>,
    /// Drivers that the kernel has built in, by the names of their modules. They add to `modules.builtin`, for
    /// example from the `.config` of a kernel without modules.
    pub builtin: Vec<String>,
    /// Whether the root file system is verified by dm-verity, and covered by memory: the modules for it go in, or
    /// have to be built in.
    pub verity: bool,
    /// How the file is compressed.
    pub compression: InitramfsCompression,
}

setters!(InitramfsOptions {
    with_disks => disks: Vec<RootDisk>,
    with_modules => modules: Vec<String>,
    with_optional_modules => optional_modules: Vec<String>,
    with_builtin => builtin: Vec<String>,
    with_verity => verity: bool,
    with_compression => compression: InitramfsCompression,
});

/// What a root that dm-verity verifies needs: the device mapper, its target, and the overlay of memory.
pub(super) const VERITY_DRIVERS: [&str; 3] = ["dm_mod", "dm_verity", "overlay"];
/// The modules that compute the hash. Kernels load them by this alias, which nothing resolves in an initramfs.
pub(super) const VERITY_HASHES: [&str; 2] = ["crypto-sha256", "sha256_generic"];

/// The driver of the root file system.
pub(super) const FILE_SYSTEM: &str = "ext4";

impl InitramfsOptions {
    /// Returns the options for a kernel without modules: every driver that it has is built in. Which ones these are
    /// is not known here.
    #[must_use]
    pub fn with_all_builtin(mut self) -> Self {
        let drivers = RootDisk::ALL.into_iter().flat_map(RootDisk::drivers).chain(&VERITY_DRIVERS);
        self.builtin.extend(drivers.chain([&FILE_SYSTEM]).map(|driver| (*driver).to_owned()));
        self
    }
}
