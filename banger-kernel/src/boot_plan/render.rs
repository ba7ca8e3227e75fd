//! A plan in the words of its monitor.

use serde_json::Value;

use super::plan::BootPlan;
use super::vmm::Vmm;
use super::{cloud_hypervisor, firecracker, libkrun, qemu, virtualization};

/// A plan in the words of its monitor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RenderedPlan {
    /// A program with its arguments.
    Command(Vec<String>),
    /// A document: the configuration file of Firecracker, or the values of calls.
    Document(Value),
}

impl BootPlan {
    /// Returns the plan in the words of its monitor.
    pub fn render(&self) -> RenderedPlan {
        match self.vmm {
            Vmm::CloudHypervisor => RenderedPlan::Command(cloud_hypervisor::command(self)),
            Vmm::Firecracker => RenderedPlan::Document(firecracker::configuration(self)),
            Vmm::Libkrun => RenderedPlan::Document(libkrun::calls(self)),
            Vmm::Qemu => RenderedPlan::Command(qemu::command(self)),
            Vmm::Virtualization => RenderedPlan::Document(virtualization::configuration(self)),
        }
    }
}
