//! Results of an injection.

use std::fmt;

use banger_guest::config::BootContract;
use banger_tree::GuestPath;
use serde::{Deserialize, Serialize};

/// Results of [`inject_guest_agents`](crate::inject_guest_agents). Every changed path is in `injected` or in
/// `fixups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InjectReport {
    /// How the guest boots.
    pub contract: BootContract,
    /// The target of `/sbin/init`, without symlinks.
    pub init_path: GuestPath,
    /// Whether the next boot is a first boot: a marker waits for it.
    pub first_boot_pending: bool,
    /// Paths that were written for the guest, including directories, in the order of the paths. Empty if
    /// everything existed already.
    pub injected: Vec<GuestPath>,
    /// Changes of the image that make it boot, in their order.
    pub fixups: Vec<Fixup>,
    /// Missing functions of the guest, one sentence each.
    pub warnings: Vec<String>,
}

impl InjectReport {
    /// Returns whether nothing was changed.
    pub fn is_unchanged(&self) -> bool {
        self.injected.is_empty() && self.fixups.is_empty()
    }
}

/// One path of the image that was changed so that it boots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixup {
    /// The reason.
    pub kind: FixupKind,
    /// The change.
    pub change: Change,
    /// To which path.
    pub path: GuestPath,
}

impl fmt::Display for Fixup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.change {
            Change::Created => "created",
            Change::Replaced => "replaced",
            Change::Removed => "removed",
        };
        write!(formatter, "{verb} {}: {}", self.path, self.kind)
    }
}

/// The change of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing was there.
    Created,
    /// Another file was there, or it had another content.
    Replaced,
    /// It was removed.
    Removed,
}

/// Why a path of the image was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FixupKind {
    /// The kernel and init mount something here.
    MountPoint,
    /// The id would be the same in every clone.
    MachineId,
    /// The key would be the same in every clone.
    SshHostKey,
    /// A seed, secret or lease of one machine.
    MachineState,
    /// Host keys must be made before sshd starts.
    SshKeysAtBoot,
    /// It marks a container.
    ContainerMarker,
    /// It forbids packages to start their services.
    ServiceVeto,
    /// It makes dpkg skip flushing to the disk.
    AptSpeedup,
    /// The image has no init, or another init than requested.
    Init,
    /// A container build masked a unit that a machine needs.
    UnitUnmasked,
    /// A unit would fail, because a program that it needs is not there.
    UnitMasked,
    /// A line of inittab starts a program or uses a terminal that is not there.
    InittabLine,
    /// Nothing unmounts the file systems when the machine goes down.
    Shutdown,
    /// A login on the serial console.
    SerialGetty,
    /// A service that mounts the standard file systems of a machine.
    Runlevel,
    /// The machine has a name.
    Hostname,
    /// `localhost` and the machine's name have addresses.
    Hosts,
    /// vsock's module is loaded at boot.
    ModulesLoad,
}

impl fmt::Display for FixupKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::MountPoint => "a mount point of every machine",
            Self::MachineId => "unique in every clone",
            Self::SshHostKey => "unique in every clone",
            Self::MachineState => "belongs to one machine",
            Self::SshKeysAtBoot => "host keys are made before sshd starts",
            Self::ContainerMarker => "says that this is a container",
            Self::ServiceVeto => "keeps packages from starting their services",
            Self::AptSpeedup => "makes dpkg skip flushing to the disk",
            Self::Init => "the kernel starts this one",
            Self::UnitUnmasked => "masked by a container build",
            Self::UnitMasked => "would fail without a program that is not there",
            Self::InittabLine => "a line started a program or used a terminal that is not there",
            Self::Shutdown => "file systems are unmounted at shutdown",
            Self::SerialGetty => "login on the serial console",
            Self::Runlevel => "mounts what every machine has",
            Self::Hostname => "was empty or missing",
            Self::Hosts => "was empty or missing",
            Self::ModulesLoad => "loads the module of vsock",
        })
    }
}
