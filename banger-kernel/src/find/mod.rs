//! Finds the newest kernel, its configuration and its modules among the files of a source.

mod collector;
mod host_tree;
mod image_layout;
mod kernel_tree;
mod place;
mod release;
mod tree;

pub(crate) use collector::{Collected, Collector, FoundFiles, MAX_CONFIG_BYTES, StagedFile};
pub(crate) use host_tree::HostTree;
pub(crate) use kernel_tree::RootfsTree;
pub(crate) use release::is_release;
pub(crate) use tree::{read_modules, read_tree};
