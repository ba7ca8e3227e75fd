//! The options of an initramfs.

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
    /// How the file is compressed.
    pub compression: InitramfsCompression,
}

setters!(InitramfsOptions {
    with_disks => disks: Vec<RootDisk>,
    with_modules => modules: Vec<String>,
    with_optional_modules => optional_modules: Vec<String>,
    with_builtin => builtin: Vec<String>,
    with_compression => compression: InitramfsCompression,
});
