//! Errors of booting an image.

use banger_kernel::BootPlanError;
use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};

/// Why an image cannot be planned to boot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// No kernel is given, and none of the imported ones fits.
    #[error("no kernel is given, and the store has no kernel{}", for_architecture(.architecture.as_deref()))]
    NoKernel {
        /// The processor of the image, by its OCI name, if it is known.
        architecture: Option<String>,
    },
    /// No kernel is given, and several are imported.
    #[error("no kernel is given, and the store has several: {}", .names.join(", "))]
    SeveralKernels {
        /// Names of the kernels, in order.
        names: Vec<String>,
    },
    /// The monitor cannot start the image so.
    #[error(transparent)]
    Plan(#[from] BootPlanError),
}

fn for_architecture(architecture: Option<&str>) -> String {
    architecture.map(|architecture| format!(" for {architecture}")).unwrap_or_default()
}

/// The option that names the kernel.
const KERNEL: Setting = Setting("kernel");

impl BootError {
    /// Returns a number that stays the same in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::NoKernel { .. } => 1070,
            Self::SeveralKernels { .. } => 1071,
            Self::Plan(error) => error.code(),
        }
    }
}

impl Failure for BootError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoKernel { .. } => ErrorKind::NotFound,
            Self::SeveralKernels { .. } => ErrorKind::Argument,
            Self::Plan(error) => error.kind(),
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::NoKernel { .. } => Some(Advice::new("import a kernel first")),
            Self::SeveralKernels { .. } => Some(Advice::with_setting("name one with {setting}", KERNEL)),
            Self::Plan(error) => error.advice(),
        }
    }

    fn context(&self) -> ErrorContext {
        match self {
            Self::Plan(error) => error.context(),
            _ => ErrorContext::default(),
        }
    }
}
