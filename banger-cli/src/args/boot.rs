//! The arguments of `banger image boot-plan`.

use std::net::IpAddr;

use banger::boot::{Acceleration, RootDisk, Vmm};
use banger::guest::InterfaceAddress;
use camino::Utf8PathBuf;
use clap::Args;

use super::places::{CacheArguments, StateArguments};
use crate::units::Size;

#[derive(Debug, Args)]
pub(crate) struct BootPlanArguments {
    /// Managed image (name, id, or unique prefix of an id), or ext4 file.
    #[arg(value_name = "NAME|FILE")]
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) vmm: VmmArguments,
    /// Start this kernel of the store [default: the image's own, or the only one in the store].
    #[arg(long, value_name = "KERNEL")]
    pub(crate) kernel_ref: Option<String>,
    /// Use this initrd [default: that of the kernel, or the small initramfs].
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<Utf8PathBuf>,
    /// Give the guest N processors.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) cpus: u32,
    /// Give the guest this much memory.
    #[arg(long, value_name = "SIZE", default_value = "512M")]
    pub(crate) memory: Size,
    /// Mount this root: a device, UUID=…, PARTUUID=… or LABEL=… [default: the device of the disk].
    #[arg(long, value_name = "ROOT")]
    pub(crate) root: Option<String>,
    /// Let the guest only read the disk.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Offer the guest's vsock in this Unix socket of the host.
    #[arg(long, value_name = "PATH")]
    pub(crate) vsock: Option<Utf8PathBuf>,
    /// Connect a network card to this tap device of the host.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) tap: Option<String>,
    /// Give the network card this address [default: the monitor's choice].
    #[arg(long, value_name = "MAC", requires = "tap")]
    pub(crate) mac: Option<String>,
    /// Give the guest an address with its prefix, such as 10.0.0.2/24; repeatable.
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    pub(crate) address: Vec<InterfaceAddress>,
    /// Set the guest's default route; one for IPv4, one for IPv6.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Vec<IpAddr>,
    /// Set a name server of the guest; repeatable.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<IpAddr>,
    /// Set the guest's hostname.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Add this word to the kernel's command line; repeatable.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) append: Vec<String>,
    /// Choose how QEMU runs the guest's instructions:
    /// kvm  the virtualization of this machine
    /// tcg  translation: slow, and works everywhere
    #[arg(long, value_name = "HOW", default_value = "kvm", verbatim_doc_comment)]
    pub(crate) accel: Acceleration,
    /// Choose how QEMU attaches the disk:
    /// virtio-pci   a virtio disk over PCI
    /// virtio-mmio  a virtio disk over MMIO, on a microvm
    /// nvme         an NVMe disk
    #[arg(long, value_name = "HOW", default_value = "virtio-pci", verbatim_doc_comment)]
    pub(crate) disk: RootDisk,
    /// Write the plan to this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<Utf8PathBuf>,
    /// Replace FILE if it exists.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// The virtual machine monitor.
#[derive(Debug, Args)]
pub(crate) struct VmmArguments {
    /// Choose the virtual machine monitor:
    /// qemu              a command
    /// firecracker       a configuration file, for --config-file
    /// cloud-hypervisor  a command
    /// libkrun           the values of its calls, as JSON
    /// vz                the values of the objects of Apple's framework, as JSON
    #[arg(long, value_name = "VMM", default_value = "qemu", verbatim_doc_comment)]
    pub(crate) vmm: Vmm,
}
