//! Writes ext4 file systems from a [`Tree`](banger_tree::Tree), without root, mounts or mkfs.
//!
//! A backend's [`Ext4Builder`] is first a [`ContentStore`](banger_tree::ContentStore): it takes the bytes of
//! files as they stream out of the layers. When the tree is final, it writes the image. [`NativeBackend`] is
//! the backend of this crate; crate `banger-e2fsprogs` has another one.
//!
//! [`Ext4Editor`] reads and edits finished images, whichever program made them.
//!
//! [`apply_ownership`] and, with feature `boot`, `inject_guest_agents` work on any
//! [`Rootfs`](banger_tree::Rootfs): a tree before it is written, or a finished image.
//!
//! ```
//! use banger_ext4::{Ext4Backend, Ext4Options, NativeBackend};
//! use banger_tree::{GuestPath, Tree};
//!
//! let directory = tempfile::tempdir()?;
//! let image = camino::Utf8Path::from_path(directory.path()).expect("a UTF-8 path").join("rootfs.ext4");
//! let report = NativeBackend.create(&image, &Ext4Options::default())?.build_ext4(&Tree::new())?;
//! assert_eq!(report.size_bytes, 1 << 30);
//! let rootfs = NativeBackend.open(&image)?;
//! assert!(rootfs.stat(&GuestPath::parse("/lost+found")?)?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `boot` (default) re-exports crate `banger-boot`.

mod backend;
mod editor;
mod error;
mod format;
mod image_lock;
pub mod on_disk;
mod options;
mod ownership;
mod sparse;
mod tree_cost;
mod write;

pub use backend::{BuildReport, Ext4Backend, Ext4Builder};
#[cfg(feature = "boot")]
pub use banger_boot::{
    BootContract, Change, Entrypoint, Fixup, FixupKind, GuestAgents, InitMode, InjectError, InjectReport,
    inject_guest_agents, injected_texts, merge_files,
};
pub use editor::{EditorEffort, Ext4Editor, FileSystemUsage, RepairReport, Storage, VerifyReport};
pub use error::Ext4Error;
pub use image_lock::ImageLock;
pub use options::{Ext4Options, Identity, ImageSize, JournalSize, check_reserved};
pub use ownership::{Mismatch, MismatchReason, OwnershipReport, apply_ownership};
pub use sparse::{copy_sparse, data_from, shares_blocks};
pub use write::{LAYOUT_VERSION, NativeBackend, clear, device_bytes, empty_lent_file};
