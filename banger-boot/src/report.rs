//! What an injection did.

use std::fmt;

use banger_guest::config::BootContract;
use banger_tree::GuestPath;
use serde::{Deserialize, Serialize};

/// What [`inject_guest_agents`](crate::inject_guest_agents) found and did: every path that is
/// another one now is in `injected` or in `fixups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InjectReport {
    /// How the guest boots.
    pub contract: BootContract,
    /// What `/sbin/init` leads to, without symlinks.
    pub init_path: GuestPath,
    /// Whether the next boot is a first boot: a marker waits for it.
    pub first_boot_pending: bool,
    /// What was written for the guest, directories among it, in the order of the paths. Empty when
    /// all was there.
    pub injected: Vec<GuestPath>,
    /// What of the image was changed so that it boots, in the order it was done.
    pub fixups: Vec<Fixup>,
    /// What the guest will lack, one sentence each.
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
    /// What for.
    pub kind: FixupKind,
    /// What was done.
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

/// What was done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing was there.
    Created,
    /// Something else was there, or it had another content.
    Replaced,
    /// It is gone.
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
    /// Host keys have to be made before sshd starts.
    SshKeysAtBoot,
    /// It says that this is a container.
    ContainerMarker,
    /// It forbids packages to start their services.
    ServiceVeto,
    /// It makes dpkg skip flushing to the disk.
    AptSpeedup,
    /// The image has no init, or another one than was asked for.
    Init,
    /// A container build masked a unit that a machine needs.
    UnitUnmasked,
    /// A unit would fail, because a program that it needs is not there.
    UnitMasked,
    /// A login on the serial console.
    SerialGetty,
    /// A service that mounts what every machine has.
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
            Self::SshKeysAtBoot => "host keys are made before sshd starts",
            Self::ContainerMarker => "says that this is a container",
            Self::ServiceVeto => "keeps packages from starting their services",
            Self::AptSpeedup => "makes dpkg skip flushing to the disk",
            Self::Init => "the kernel starts this one",
            Self::UnitUnmasked => "masked by a container build",
            Self::UnitMasked => "would fail without a program that is not there",
            Self::SerialGetty => "login on the serial console",
            Self::Runlevel => "mounts what every machine has",
            Self::Hostname => "was empty or missing",
            Self::Hosts => "was empty or missing",
            Self::ModulesLoad => "loads the module of vsock",
        })
    }
}
