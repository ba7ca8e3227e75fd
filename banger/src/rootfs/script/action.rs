//! The operations of a script.

use std::path::PathBuf;

use banger_tree::{GuestPath, NodeKind};

use crate::rootfs::attributes::ChangeOwner;
use crate::rootfs::edit::Operand;
use crate::rootfs::make::MakeDirectory;
use crate::rootfs::mode::ModeChange;
use crate::rootfs::owner::OwnerChange;
use crate::rootfs::put::Put;
use crate::rootfs::removal::Remove;

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScriptOperation {
    /// Its name in the script.
    pub(super) name: &'static str,
    pub(super) path: Operand,
    pub(super) action: ScriptAction,
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ScriptContent {
    Bytes(Vec<u8>),
    /// A file of this host.
    File(PathBuf),
}

/// What an operation does to its path.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ScriptAction {
    Write { content: ScriptContent, how: Put },
    CopyIn { source: PathBuf, how: Put },
    MakeDirectory(MakeDirectory),
    Link { target: Vec<u8>, symbolic: bool, force: bool },
    Rename { to: GuestPath, no_clobber: bool },
    Remove(Remove),
    ChangeMode { mode: ModeChange, recursive: bool },
    ChangeOwner { owner: OwnerChange, how: ChangeOwner },
    SetXattr { name: Vec<u8>, value: Vec<u8> },
    RemoveXattr { name: Vec<u8> },
    MakeNode { kind: NodeKind, mode: Option<ModeChange>, owner: Option<OwnerChange> },
}
