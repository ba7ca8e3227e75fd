//! Errors of boot plans.

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};
use camino::Utf8PathBuf;

use super::vmm::Vmm;
use crate::kernel::KernelArchitecture;

/// Error of a boot plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BootPlanError {
    /// The monitor does not start this kernel.
    #[error("{vmm} does not start kernel {release} ({architecture}): {reason}")]
    Kernel {
        /// The monitor.
        vmm: Vmm,
        /// The release of the kernel.
        release: String,
        /// The processor of the kernel.
        architecture: KernelArchitecture,
        /// The reason.
        reason: &'static str,
    },
    /// The monitor has not this number of processors.
    #[error("a machine of {vmm} cannot have {cpus} processors, but {limit}")]
    Cpus {
        /// The monitor.
        vmm: Vmm,
        /// The requested number.
        cpus: u32,
        /// The limit.
        limit: &'static str,
    },
    /// A machine needs memory.
    #[error("a machine needs at least 1 MiB of memory")]
    NoMemory,
    /// The address on vsock belongs to somebody else.
    #[error("{cid} cannot be the address of a guest on vsock: 0 to 2 have a meaning")]
    Cid {
        /// The requested address.
        cid: u32,
    },
    /// A word cannot be on a command line.
    #[error("{word:?} cannot be on the kernel's command line: it has a control character")]
    Word {
        /// The word.
        word: String,
    },
    /// Only an initrd finds a root file system by this name.
    #[error("the kernel does not find {root} by itself, and there is no initrd")]
    Root {
        /// The value of `root=`.
        root: String,
    },
    /// The root file system cannot be verified so.
    #[error("the root file system cannot be verified: {reason}")]
    Verity {
        /// The reason.
        reason: String,
    },
    /// The drivers of the kernel are in an initrd that knows nothing of `banger.verity=`.
    #[error(
        "kernel {release} has an initrd of its own and no modules, so its root file system cannot be verified"
    )]
    VerityInitrd {
        /// The release of the kernel.
        release: String,
    },
    /// The monitor cannot be given this path.
    #[error("{vmm} cannot be given the path {path}: it has a comma, a quotation mark or a bracket")]
    Path {
        /// The monitor.
        vmm: Vmm,
        /// The path.
        path: Utf8PathBuf,
    },
}

impl BootPlanError {
    /// Returns a number that stays the same in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Kernel { .. } => 1120,
            Self::Verity { .. } => 1294,
            Self::VerityInitrd { .. } => 1295,
            _ => 1121,
        }
    }
}

impl Failure for BootPlanError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Kernel { .. } | Self::VerityInitrd { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Argument,
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::Kernel { .. } => Some(Advice::new("take another kernel or another monitor")),
            Self::VerityInitrd { .. } => Some(Advice::new(
                "import the kernel with its modules, or give an initrd that reads banger.verity=",
            )),
            Self::Root { .. } => Some(Advice::new("name the root by its device or its PARTUUID")),
            Self::Path { .. } => Some(Advice::new("move or link the file to another path")),
            _ => None,
        }
    }

    fn context(&self) -> ErrorContext {
        match self {
            Self::Path { path, .. } => ErrorContext::default().with("path", path),
            _ => ErrorContext::default(),
        }
    }
}
