//! What a check is made for.

use super::profile::Profile;
use crate::boot_plan::Vmm;

/// What a check is made for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckRequest {
    /// The virtual machine monitor that starts the kernel.
    pub vmm: Vmm,
    /// What the guest is to do.
    pub profiles: Vec<Profile>,
    /// Whether the kernel is started with an initrd: the small one of banger, or the kernel's own.
    pub initrd: bool,
}

impl CheckRequest {
    /// Returns a check for a boot by `vmm` with an initrd, and without a particular use.
    pub fn new(vmm: Vmm) -> Self {
        Self { vmm, profiles: Vec::new(), initrd: true }
    }
}

banger_tree::setters! {
    CheckRequest {
        with_profiles => profiles: Vec<Profile>,
        with_initrd => initrd: bool,
    }
}
