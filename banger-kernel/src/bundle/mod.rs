//! Kernel bundles: a kernel as an OCI artifact.
//!
//! ```text
//! index                   one entry for each architecture
//! └─ manifest             artifactType application/vnd.banger.kernel.v1
//!    ├─ config            JSON: BundleConfig
//!    └─ layers            vmlinux or Image, bzImage, initrd, .config, a tar of the modules
//! ```
//! docs/kernels.md describes the format.

mod config;
mod file_kind;
mod modules_tar;
mod read;
mod write;

pub use config::{BundleConfig, BundleFacts, BundleFile};
pub use file_kind::{BUNDLE_CONFIG_TYPE, BUNDLE_TYPE, BundleFileKind};
pub(crate) use read::{ReadBundle, read_bundle};
pub use write::{BundledKernel, WrittenBundle, is_bundle_tag, write_bundle};
