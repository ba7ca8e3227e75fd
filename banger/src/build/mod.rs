//! Builds one ext4 file from a directory or a tar of the host, or an empty one.

mod request;
mod run;

pub use request::{BuildRequest, BuiltFile, SourceKind};
pub(crate) use run::build_rootfs;
