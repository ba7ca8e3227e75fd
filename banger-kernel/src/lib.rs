//! Kernels for the root file systems of banger: where they come from, what they can start, and how.

mod kernel;

pub use kernel::{Kernel, KernelArchitecture, KernelFiles, KernelFormat, MODULES_DEP};
