//! Documents about booting, as programs get them.

use banger_kernel::check::{CheckRequest, Finding, Outcome};
use banger_kernel::{BootPlan, Kernel, KernelArchitecture, RenderedPlan, Vmm};
use camino::Utf8Path;
use serde::Serialize;
use serde_json::Value;

use super::image::BootImage;
use super::kernel::BootKernel;

/// The image of a document.
#[derive(Clone, Debug, Serialize)]
struct ImageEntry<'a> {
    path: &'a Utf8Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> From<&'a BootImage> for ImageEntry<'a> {
    fn from(image: &'a BootImage) -> Self {
        let record = image.record.as_ref();
        Self {
            path: &image.path,
            id: record.map(|record| record.id.as_str()),
            name: record.map(|record| record.name.as_str()),
        }
    }
}

/// The kernel of a document.
#[derive(Clone, Debug, Serialize)]
struct KernelEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    release: &'a str,
    architecture: KernelArchitecture,
}

impl<'a> From<&'a BootKernel> for KernelEntry<'a> {
    fn from(kernel: &'a BootKernel) -> Self {
        let record = kernel.record.as_ref();
        let Kernel { release, architecture, .. } = &kernel.kernel;
        Self {
            id: record.map(|record| record.id.as_str()),
            name: record.map(|record| record.name.as_str()),
            release,
            architecture: *architecture,
        }
    }
}

/// The result of a check of an image with a kernel.
#[derive(Clone, Debug, Serialize)]
pub struct KernelCheckDocument<'a> {
    version: u32,
    image: ImageEntry<'a>,
    kernel: KernelEntry<'a>,
    vmm: Vmm,
    profiles: Vec<&'static str>,
    outcome: Outcome,
    findings: &'a [Finding],
}

impl<'a> KernelCheckDocument<'a> {
    /// Returns the document of the `findings` of a check for `request`.
    pub fn new(
        image: &'a BootImage,
        kernel: &'a BootKernel,
        request: &CheckRequest,
        findings: &'a [Finding],
    ) -> Self {
        Self {
            version: 1,
            image: image.into(),
            kernel: kernel.into(),
            vmm: request.vmm,
            profiles: request.profiles.iter().map(|profile| profile.name()).collect(),
            outcome: findings.iter().map(|finding| finding.outcome).min().unwrap_or(Outcome::Ok),
            findings,
        }
    }

    /// Returns the most important outcome.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// A boot plan with its form for the virtual machine monitor.
#[derive(Clone, Debug, Serialize)]
pub struct BootPlanDocument<'a> {
    version: u32,
    image: ImageEntry<'a>,
    kernel: KernelEntry<'a>,
    plan: &'a BootPlan,
    /// A program with its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    /// A document for the monitor.
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<Value>,
}

impl<'a> BootPlanDocument<'a> {
    /// Returns the document of `plan`, which starts `image` with `kernel`.
    pub fn new(image: &'a BootImage, kernel: &'a BootKernel, plan: &'a BootPlan) -> Self {
        let (command, configuration) = match plan.render() {
            RenderedPlan::Document(value) => (None, Some(value)),
            RenderedPlan::Command(words) => (Some(words), None),
            _ => (None, None),
        };
        Self { version: 1, image: image.into(), kernel: kernel.into(), plan, command, configuration }
    }
}
