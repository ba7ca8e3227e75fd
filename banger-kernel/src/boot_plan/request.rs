//! What a boot plan is made for.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use banger_guest::config::NetworkConfig;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::error::BootPlanError;
use super::verity::VerityDisk;
use super::vmm::Vmm;
use crate::initramfs::RootDisk;

/// A tap device of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TapDevice {
    /// Its name.
    pub name: String,
    /// The address of the guest's card, `52:54:00:12:34:56`; the monitor chooses one otherwise.
    pub mac: Option<String>,
}

impl TapDevice {
    /// Returns the device `name`, with a card whose address the monitor chooses.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), mac: None }
    }
}

/// How a machine runs the guest's instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Acceleration {
    /// By the host's virtualisation.
    #[default]
    Kvm,
    /// By translation: slow, and works without virtualisation.
    Tcg,
}

/// No way to run instructions has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not kvm or tcg")]
pub struct UnknownAcceleration {
    text: String,
}

impl FromStr for Acceleration {
    type Err = UnknownAcceleration;

    fn from_str(text: &str) -> Result<Self, UnknownAcceleration> {
        match text {
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            _ => Err(UnknownAcceleration { text: text.to_owned() }),
        }
    }
}

/// What only QEMU lets choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QemuOptions {
    /// How instructions run.
    pub acceleration: Acceleration,
    /// How the root disk is attached, by virtio over PCI by default. Over MMIO the machine is a `microvm`.
    pub disk: RootDisk,
    /// A Unix socket that leads to the agent by a virtio port: for hosts without vsock.
    pub agent_port: Option<Utf8PathBuf>,
    /// QEMU's own network, which needs no tap device. A tap device takes its place.
    pub user_network: Option<UserNetwork>,
}

impl Default for QemuOptions {
    fn default() -> Self {
        Self {
            acceleration: Acceleration::default(),
            disk: RootDisk::VirtioPci,
            agent_port: None,
            user_network: None,
        }
    }
}

/// The network that QEMU itself provides: the guest is [`ADDRESS`](Self::ADDRESS), reaches the networks of the host,
/// and reaches the host as [`GATEWAY`](Self::GATEWAY). Nobody reaches the guest but through forwarded ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UserNetwork {
    /// Ports of the host that lead to ports of the guest.
    pub forwards: Vec<PortForward>,
}

/// A TCP port of the host that leads to a port of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PortForward {
    /// The address of the host on which QEMU listens.
    pub host: SocketAddrV4,
    /// The port of the guest.
    pub guest_port: u16,
}

/// A text is not a forwarded port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not HOST:GUEST or ADDRESS:HOST:GUEST, for example 8080:80")]
pub struct PortForwardError {
    text: String,
}

impl FromStr for PortForward {
    type Err = PortForwardError;

    /// Reads `HOST:GUEST` or `ADDRESS:HOST:GUEST`. Without an address, only this host reaches the port.
    fn from_str(text: &str) -> Result<Self, PortForwardError> {
        let bad = || PortForwardError { text: text.to_owned() };
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(bad);
        let (host, guest) = text.rsplit_once(':').ok_or_else(bad)?;
        let (address, host) = host.rsplit_once(':').unwrap_or(("127.0.0.1", host));
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        Ok(Self::new(SocketAddrV4::new(address, port(host)?), port(guest)?))
    }
}

impl UserNetwork {
    /// The address of the guest.
    pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
    /// The length of the prefix of the network.
    pub const PREFIX: u8 = 24;
    /// The gateway, which is also the host.
    pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
    /// The name server.
    pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);

    /// Returns the network with these forwarded ports.
    pub fn new(forwards: Vec<PortForward>) -> Self {
        Self { forwards }
    }
}

impl PortForward {
    /// Forwards a port of the host to a port of the guest.
    pub fn new(host: SocketAddrV4, guest_port: u16) -> Self {
        Self { host, guest_port }
    }
}

/// What to start, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BootRequest {
    /// The monitor.
    pub vmm: Vmm,
    /// The root disk: a raw file or a block device.
    pub disk: Utf8PathBuf,
    /// Processors of the guest, 1 by default.
    pub cpus: u32,
    /// Memory of the guest in MiB, 512 by default.
    pub memory_mib: u32,
    /// The initrd, in the place of the kernel's own.
    pub initrd: Option<Utf8PathBuf>,
    /// The value of `root=`, by default the disk's device. `UUID=…` needs an initrd. An empty text leaves out
    /// `root=`, `ro` and `rw`, for an initrd that needs none of them.
    pub root: Option<String>,
    /// Whether the guest cannot write to the disk.
    pub read_only: bool,
    /// The hash tree by which dm-verity verifies the disk; `None` for a disk that is not verified. The guest cannot
    /// write to a verified disk: its changes are in memory. The small initramfs of banger sets this up.
    pub verity: Option<VerityDisk>,
    /// The Unix socket in which the monitor offers the guest's vsock; for QEMU that of the vhost-user device, such
    /// as vhost-device-vsock. With `None` the guest has no vsock.
    pub vsock: Option<Utf8PathBuf>,
    /// The guest's address on vsock, 3 by default.
    pub guest_cid: u32,
    /// The tap device for the guest's network card. With `None` the guest has no card.
    pub tap: Option<TapDevice>,
    /// The network configuration of the guest, for the kernel's command line.
    pub network: Option<NetworkConfig>,
    /// More words for the kernel's command line.
    pub append: Vec<String>,
    /// What only QEMU lets choose.
    pub qemu: QemuOptions,
}

impl BootRequest {
    /// Asks for `vmm` to start the image in `disk`.
    pub fn new(vmm: Vmm, disk: impl Into<Utf8PathBuf>) -> Self {
        Self {
            vmm,
            disk: disk.into(),
            cpus: 1,
            memory_mib: 512,
            initrd: None,
            root: None,
            read_only: false,
            verity: None,
            vsock: None,
            guest_cid: 3,
            tap: None,
            network: None,
            append: Vec::new(),
            qemu: QemuOptions::default(),
        }
    }

    /// Returns how the root disk is attached.
    pub fn root_disk(&self) -> RootDisk {
        match self.vmm {
            Vmm::Qemu => self.qemu.disk,
            other => other.root_disk(),
        }
    }

    pub(super) fn check(&self) -> Result<(), BootPlanError> {
        let vmm = self.vmm;
        let is_even = self.cpus == 1 || self.cpus.is_multiple_of(2);
        let limit = match vmm {
            Vmm::Firecracker if !is_even => Some("1 or an even number of processors"),
            Vmm::Firecracker if self.cpus > 32 => Some("at most 32 processors"),
            Vmm::Libkrun if self.cpus > 255 => Some("at most 255 processors"),
            _ if self.cpus == 0 => Some("at least 1 processor"),
            _ => None,
        };
        if let Some(limit) = limit {
            return Err(BootPlanError::Cpus { vmm, cpus: self.cpus, limit });
        }
        if self.memory_mib == 0 {
            return Err(BootPlanError::NoMemory);
        }
        if self.guest_cid < 3 {
            return Err(BootPlanError::Cid { cid: self.guest_cid });
        }
        // A word of the kernel's command line ends at white space.
        let words = self.append.iter().chain(&self.root);
        for word in words {
            if word.chars().any(char::is_control) {
                return Err(BootPlanError::Word { word: word.clone() });
            }
        }
        let tree = self.verity.as_ref().and_then(|verity| verity.tree.as_ref());
        let paths = [Some(&self.disk), tree, self.vsock.as_ref()].into_iter().flatten();
        paths.filter(|_| vmm == Vmm::CloudHypervisor).try_for_each(|path| no_comma(vmm, path))
    }
}

/// Options of Cloud Hypervisor are separated by commas, and it has no way to write one in a path.
fn no_comma(vmm: Vmm, path: &Utf8Path) -> Result<(), BootPlanError> {
    match path.as_str().contains([',', '"', '[', ']']) {
        true => Err(BootPlanError::Path { vmm, path: path.to_owned() }),
        false => Ok(()),
    }
}

banger_tree::setters! {
    BootRequest {
        with_cpus => cpus: u32,
        with_memory_mib => memory_mib: u32,
        with_initrd => initrd: Option<Utf8PathBuf>,
        with_root => root: Option<String>,
        with_read_only => read_only: bool,
        with_verity => verity: Option<VerityDisk>,
        with_vsock => vsock: Option<Utf8PathBuf>,
        with_guest_cid => guest_cid: u32,
        with_tap => tap: Option<TapDevice>,
        with_network => network: Option<NetworkConfig>,
        with_append => append: Vec<String>,
        with_qemu => qemu: QemuOptions,
    }
}

banger_tree::setters! {
    QemuOptions {
        with_acceleration => acceleration: Acceleration,
        with_disk => disk: RootDisk,
        with_agent_port => agent_port: Option<Utf8PathBuf>,
        with_user_network => user_network: Option<UserNetwork>,
    }
}

banger_tree::setters! {
    TapDevice {
        with_mac => mac: Option<String>,
    }
}
