//! What a check is made for.

use super::initrd::InitrdCompression;
use super::profile::Profile;
use crate::boot_plan::Vmm;
use crate::initramfs::RootDisk;

/// What a check is made for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckRequest {
    /// The virtual machine monitor that starts the kernel.
    pub vmm: Vmm,
    /// How the root disk is attached, by default as `vmm` does it.
    pub disk: Option<RootDisk>,
    /// Whether the guest cannot write to the disk.
    pub read_only: bool,
    /// Whether dm-verity verifies the root file system, and memory covers it.
    pub verity: bool,
    /// What the guest is to do.
    pub profiles: Vec<Profile>,
    /// Whether the kernel is started with an initrd: the small one of banger, or the kernel's own.
    pub initrd: bool,
    /// How the initrd is compressed; `None` if it is not.
    pub initrd_compression: Option<InitrdCompression>,
    /// The value of `init=` on the kernel's command line.
    pub init: Option<String>,
}

impl CheckRequest {
    /// Returns a check for a boot by `vmm` with an initrd, and without a particular use.
    pub fn new(vmm: Vmm) -> Self {
        Self {
            vmm,
            disk: None,
            read_only: false,
            verity: false,
            profiles: Vec::new(),
            initrd: true,
            initrd_compression: None,
            init: None,
        }
    }
}

banger_tree::setters! {
    CheckRequest {
        with_disk => disk: Option<RootDisk>,
        with_read_only => read_only: bool,
        with_verity => verity: bool,
        with_profiles => profiles: Vec<Profile>,
        with_initrd => initrd: bool,
        with_initrd_compression => initrd_compression: Option<InitrdCompression>,
        with_init => init: Option<String>,
    }
}
