//! Writes ext4 file systems from a [`Tree`](banger_tree::Tree), without root, mounts or mkfs.
//!
//! A backend's [`Ext4Builder`] is first the [`ContentStore`](banger_tree::ContentStore) that
//! takes the bytes of files as they stream out of the layers, then writes the image when the tree
//! is final.
//!
//! [`Ext4Editor`] looks into finished images and edits them, whoever made them.

mod backend;
mod e2fsprogs;
mod editor;
mod error;
mod format;
mod native;
mod options;

pub use backend::{BuildReport, Ext4Backend, Ext4Builder};
pub use e2fsprogs::E2fsprogsBackend;
pub use editor::{Ext4Editor, Storage, VerifyReport};
pub use error::Ext4Error;
pub use native::NativeBackend;
pub use options::{Ext4Options, Identity, ImageSize};
