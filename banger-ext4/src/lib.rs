//! Writes ext4 file systems from a [`Tree`](banger_tree::Tree), without root, mounts or mkfs.
//!
//! A backend's [`Ext4Builder`] is first the [`ContentStore`](banger_tree::ContentStore) that
//! takes the bytes of files as they stream out of the layers, then writes the image when the tree
//! is final.
//!
//! [`Ext4Editor`] looks into finished images and edits them, whoever made them.
//!
//! [`apply_ownership`] and [`inject_guest_agents`] work on any [`Rootfs`](banger_tree::Rootfs): a tree before it is written, or a
//! finished image.

mod backend;
mod e2fsprogs;
mod editor;
mod error;
mod format;
mod inject;
mod native;
mod options;
mod ownership;
mod sparse;
mod tree_cost;

pub use backend::{BuildReport, Ext4Backend, Ext4Builder};
pub use e2fsprogs::E2fsprogsBackend;
pub use editor::{EditorEffort, Ext4Editor, Storage, VerifyReport};
pub use error::Ext4Error;
pub use inject::{
    BootContract, Change, Entrypoint, Fixup, FixupKind, GuestAgents, InitMode, InjectError, InjectReport,
    inject_guest_agents, injected_texts,
};
pub use native::NativeBackend;
pub use options::{Ext4Options, Identity, ImageSize};
pub use ownership::{Mismatch, MismatchReason, OwnershipReport, apply_ownership};
pub use sparse::copy_sparse;
