//! In-memory root file system tree of a container image: the waist of banger.
//!
//! Code before the [`Tree`] knows OCI, code after it knows ext4. A tree has inodes ([`Attributes`] and a
//! [`NodeKind`]), directory entries as bytes, and hard links as shared inodes. Each regular file with bytes
//! has a [`ContentId`] in a [`ContentStore`]. [`Rootfs`] is the view by path. A tree with its store
//! ([`TreeRootfs`]) implements it, and so do the finished images of `banger-ext4`.
//!
//! ```
//! use banger_tree::{Attributes, GuestPath, MemoryStore, Rootfs, Tree, TreeRootfs};
//!
//! let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
//! let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
//! let etc = GuestPath::parse("/etc")?;
//! rootfs.create_dir(&etc, &Attributes::with_mode(0o755))?;
//! rootfs.write_file(&etc.join(b"hostname")?, &mut &b"vm\n"[..], &Attributes::with_mode(0o644))?;
//! assert_eq!(rootfs.read(&GuestPath::parse("etc/hostname")?)?, b"vm\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Limits: 2^32 - 1 inodes; names up to 255 bytes; paths up to 4096 bytes. A tree never touches the host's
//! file system. Only [`NewFile`] does: all crates make files on the host with it.

mod attributes;
mod budget;
mod cancellation;
mod child_setup;
mod children;
mod content;
mod content_error;
mod content_id;
mod corruption;
mod distrust;
mod escape;
mod failure;
mod host_place;
mod inode;
mod inode_id;
mod kind;
mod locked_file;
mod memory_store;
mod metadata;
mod new_file;
mod new_file_error;
mod path;
pub mod places;
mod resolve;
mod resolve_error;
mod rootfs;
mod rootfs_error;
mod setters;
mod timestamp;
mod tree;
mod tree_contents;
mod tree_error;
mod tree_rootfs;

pub use attributes::{AttributeChange, Attributes, XATTR_ENTRY_BYTES, XATTR_NAME_MAX, Xattrs};
pub use budget::{
    Budget, Cost, ENTRY_ALLOWANCE_BYTES, FREE_PATH_COMPONENTS, INODE_MEMORY_BYTES, NAME_MEMORY_BYTES,
    OverBudget,
};
pub use cancellation::{CancelGuard, Cancellation};
pub use child_setup::ChildSetup;
pub use children::{Children, ChildrenIter};
pub use content::{ContentStore, LayerIndex};
pub use content_error::ContentError;
pub use content_id::ContentId;
pub use corruption::Corruption;
pub use distrust::Distrust;
pub use escape::{escape_bytes, escape_text, is_hidden, unescape_bytes};
pub use failure::{Advice, ErrorContext, ErrorKind, Failure, Setting};
pub use host_place::{Existing, HostPlace};
pub use inode::Inode;
pub use inode_id::InodeId;
pub use kind::{DEVICE_MAJOR_MAX, DEVICE_MINOR_MAX, FileType, NodeKind};
pub use locked_file::LockedFile;
pub use memory_store::MemoryStore;
pub use metadata::{Metadata, MetadataEntry, MetadataKind};
pub use new_file::{NewFile, write_new_file};
pub use new_file_error::NewFileError;
pub use path::{GuestPath, NAME_MAX, PATH_MAX, PathError, SYMLINK_TARGET_MAX, check_name};
pub use resolve::{Lookup, ResolveAccount, ResolveStop, Resolved, count_components, resolve};
pub use resolve_error::{MAX_SYMLINK_HOPS, ResolveError};
pub use rootfs::{DirEntry, Rootfs, Stat};
pub use rootfs_error::RootfsError;
pub use timestamp::Timestamp;
pub use tree::{Tree, TreeWalk};
pub use tree_error::TreeError;
pub use tree_rootfs::TreeRootfs;
