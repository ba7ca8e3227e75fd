//! The fields of an operation in JSON, and which operation has which of them.

use std::path::PathBuf;

use banger_tree::{FileType, GuestPath, NodeKind, RootfsError, unescape_bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::action::{ScriptAction, ScriptContent, ScriptOperation};
use crate::rootfs::attributes::ChangeOwner;
use crate::rootfs::edit::Operand;
use crate::rootfs::error::EditError;
use crate::rootfs::make::MakeDirectory;
use crate::rootfs::mode::ModeChange;
use crate::rootfs::owner::OwnerChange;
use crate::rootfs::put::Put;
use crate::rootfs::removal::Remove;

/// The names of operations.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OperationName {
    Write,
    CopyIn,
    Mkdir,
    Symlink,
    Link,
    Rename,
    Remove,
    Chmod,
    Chown,
    Setxattr,
    Removexattr,
    Mknod,
}

impl OperationName {
    fn text(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::CopyIn => "copy-in",
            Self::Mkdir => "mkdir",
            Self::Symlink => "symlink",
            Self::Link => "link",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Chmod => "chmod",
            Self::Chown => "chown",
            Self::Setxattr => "setxattr",
            Self::Removexattr => "removexattr",
            Self::Mknod => "mknod",
        }
    }
}

/// Fields of all operations. Paths and targets are escaped as in all documents of banger.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OperationFields {
    op: OperationName,
    path: Option<String>,
    content: Option<String>,
    content_base64: Option<String>,
    source: Option<String>,
    mode: Option<String>,
    owner: Option<String>,
    parents: Option<bool>,
    if_match: Option<String>,
    no_follow: Option<bool>,
    target: Option<String>,
    force: Option<bool>,
    to: Option<String>,
    no_clobber: Option<bool>,
    recursive: Option<bool>,
    name: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(rename = "type")]
    file_type: Option<String>,
    major: Option<u32>,
    minor: Option<u32>,
}

fn fault(field: &'static str, reason: impl Into<String>) -> EditError {
    EditError::ScriptField { field, reason: reason.into() }
}

fn needed(field: &'static str) -> EditError {
    fault(field, "is missing")
}

/// Returns the bytes that an escaped text means.
fn unescaped(field: &'static str, text: &str) -> Result<Vec<u8>, EditError> {
    unescape_bytes(text).ok_or_else(|| fault(field, "has a backslash that is not written as \\x5c"))
}

fn path_of(field: &'static str, text: &str) -> Result<GuestPath, EditError> {
    match unescaped(field, text)?.as_slice() {
        b"" => Err(EditError::EmptyPath),
        bytes => Ok(GuestPath::parse(bytes).map_err(RootfsError::from)?),
    }
}

impl OperationFields {
    /// Returns the operation with this index in its script.
    pub(super) fn into_operation(mut self, index: usize) -> Result<ScriptOperation, EditError> {
        let operation = self.op.text();
        let text = self.path.take();
        let in_operation = |source| EditError::Operation {
            index,
            operation,
            path: text.clone().unwrap_or_default(),
            source: Box::new(source),
        };
        let path = text.as_deref().ok_or_else(|| needed("path")).and_then(|text| {
            let bytes = unescaped("path", text)?;
            Operand::parse(&bytes)
        });
        let path = path.map_err(in_operation)?;
        let action = self.action().and_then(|action| self.check_used().map(|()| action));
        Ok(ScriptOperation { name: operation, path, action: action.map_err(in_operation)? })
    }

    fn action(&mut self) -> Result<ScriptAction, EditError> {
        Ok(match self.op {
            OperationName::Write => ScriptAction::Write { content: self.content()?, how: self.put()? },
            OperationName::CopyIn => {
                let source = self.source.take().ok_or_else(|| needed("source"))?;
                ScriptAction::CopyIn { source: PathBuf::from(source), how: self.put()? }
            }
            OperationName::Mkdir => ScriptAction::MakeDirectory(
                MakeDirectory::default()
                    .with_parents(self.parents.take().unwrap_or(false))
                    .with_mode(self.mode()?)
                    .with_owner(self.owner()?),
            ),
            OperationName::Symlink | OperationName::Link => {
                let target = self.target.take().ok_or_else(|| needed("target"))?;
                ScriptAction::Link {
                    target: unescaped("target", &target)?,
                    symbolic: matches!(self.op, OperationName::Symlink),
                    force: self.force.take().unwrap_or(false),
                }
            }
            OperationName::Rename => ScriptAction::Rename {
                to: path_of("to", &self.to.take().ok_or_else(|| needed("to"))?)?,
                no_clobber: self.no_clobber.take().unwrap_or(false),
            },
            OperationName::Remove => {
                let recursive = self.recursive.take().unwrap_or(false);
                let force = self.force.take().unwrap_or(false);
                let how = Remove::default().with_recursive(recursive).with_force(force);
                ScriptAction::Remove(how.with_empty_directories(true))
            }
            OperationName::Chmod => ScriptAction::ChangeMode {
                mode: self.mode()?.ok_or_else(|| needed("mode"))?,
                recursive: self.recursive.take().unwrap_or(false),
            },
            OperationName::Chown => ScriptAction::ChangeOwner {
                owner: self.owner()?.ok_or_else(|| needed("owner"))?,
                how: ChangeOwner::default()
                    .with_recursive(self.recursive.take().unwrap_or(false))
                    .with_dereference(!self.no_follow.take().unwrap_or(false)),
            },
            OperationName::Setxattr => {
                let name = self.xattr_name()?;
                ScriptAction::SetXattr { name, value: self.value()? }
            }
            OperationName::Removexattr => ScriptAction::RemoveXattr { name: self.xattr_name()? },
            OperationName::Mknod => {
                let kind = self.node_kind()?;
                ScriptAction::MakeNode { kind, mode: self.mode()?, owner: self.owner()? }
            }
        })
    }

    fn content(&mut self) -> Result<ScriptContent, EditError> {
        match (self.content.take(), self.content_base64.take(), self.source.take()) {
            (Some(text), None, None) => Ok(ScriptContent::Bytes(text.into_bytes())),
            (None, Some(text), None) => {
                let bytes = STANDARD.decode(text).map_err(|error| fault("contentBase64", error.to_string()));
                Ok(ScriptContent::Bytes(bytes?))
            }
            (None, None, Some(path)) => Ok(ScriptContent::File(PathBuf::from(path))),
            (None, None, None) => {
                Err(fault("content", "is missing, and so are \"contentBase64\" and \"source\""))
            }
            _ => Err(fault("content", "excludes \"contentBase64\" and \"source\", and they each other")),
        }
    }

    fn value(&mut self) -> Result<Vec<u8>, EditError> {
        match (self.value.take(), self.value_base64.take()) {
            (Some(text), None) => Ok(text.into_bytes()),
            (None, Some(text)) => {
                STANDARD.decode(text).map_err(|error| fault("valueBase64", error.to_string()))
            }
            (None, None) => Err(fault("value", "is missing, and so is \"valueBase64\"")),
            _ => Err(fault("value", "excludes \"valueBase64\"")),
        }
    }

    fn put(&mut self) -> Result<Put, EditError> {
        let if_match = self.if_match.take().map(|text| text.parse()).transpose()?;
        Ok(Put::default()
            .with_mode(self.mode()?)
            .with_owner(self.owner()?)
            .with_parents(self.parents.take().unwrap_or(false))
            .with_no_dereference(self.no_follow.take().unwrap_or(false))
            .with_if_match(if_match))
    }

    fn mode(&mut self) -> Result<Option<ModeChange>, EditError> {
        self.mode.take().map(|text| text.parse()).transpose()
    }

    fn owner(&mut self) -> Result<Option<OwnerChange>, EditError> {
        self.owner.take().map(|text| OwnerChange::parse(text.as_bytes())).transpose()
    }

    fn xattr_name(&mut self) -> Result<Vec<u8>, EditError> {
        unescaped("name", &self.name.take().ok_or_else(|| needed("name"))?)
    }

    fn node_kind(&mut self) -> Result<NodeKind, EditError> {
        let text = self.file_type.take().ok_or_else(|| needed("type"))?;
        let mut device = || match (self.major.take(), self.minor.take()) {
            (Some(major), Some(minor)) => Ok((major, minor)),
            (None, _) => Err(needed("major")),
            (_, None) => Err(needed("minor")),
        };
        Ok(match FileType::ALL.into_iter().find(|file_type| file_type.name() == text) {
            Some(FileType::CharDevice) => {
                device().map(|(major, minor)| NodeKind::CharDevice { major, minor })?
            }
            Some(FileType::BlockDevice) => {
                device().map(|(major, minor)| NodeKind::BlockDevice { major, minor })?
            }
            Some(FileType::Fifo) => NodeKind::Fifo,
            Some(FileType::Socket) => NodeKind::Socket,
            _ => return Err(fault("type", "is not char-device, block-device, fifo or socket")),
        })
    }

    /// Checks that the operation used all its fields.
    fn check_used(&self) -> Result<(), EditError> {
        let left = [
            ("content", self.content.is_some()),
            ("contentBase64", self.content_base64.is_some()),
            ("source", self.source.is_some()),
            ("mode", self.mode.is_some()),
            ("owner", self.owner.is_some()),
            ("parents", self.parents.is_some()),
            ("ifMatch", self.if_match.is_some()),
            ("noFollow", self.no_follow.is_some()),
            ("target", self.target.is_some()),
            ("force", self.force.is_some()),
            ("to", self.to.is_some()),
            ("noClobber", self.no_clobber.is_some()),
            ("recursive", self.recursive.is_some()),
            ("name", self.name.is_some()),
            ("value", self.value.is_some()),
            ("valueBase64", self.value_base64.is_some()),
            ("type", self.file_type.is_some()),
            ("major", self.major.is_some()),
            ("minor", self.minor.is_some()),
        ];
        match left.into_iter().find(|(_, is_left)| *is_left) {
            Some((field, _)) => Err(fault(field, "does not belong to this operation")),
            None => Ok(()),
        }
    }
}
