//! dm-verity: a tree of hashes over an ext4 file, so that a guest reads only the bytes that its root hash stands for.
//!
//! The bytes are those of `veritysetup format` with the same salt and UUID. `docs/verity.md` describes them.

mod error;
mod guard;
mod output;
mod parameters;
mod place;
mod record;
mod superblock;
#[cfg(test)]
mod tests;
mod tree;
mod write;

pub use error::VerityError;
pub(crate) use guard::check_unprotected;
pub(crate) use output::{TreeOutput, check_managed, check_open_file};
pub use place::{UnknownVerityPlace, VerityPlace};
pub use record::VerityRecord;
pub(crate) use write::{check_tree, tree_bytes, tree_problems, write_tree};
