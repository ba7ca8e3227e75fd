//! Scripts of edits, carried out.

use banger_ext4::Ext4Editor;
use banger_tree::{Cancellation, GuestPath, Timestamp, escape_bytes};
use serde::Serialize;

use super::EditScript;
use super::action::{ScriptAction, ScriptContent, ScriptOperation};
use crate::error::Error;
use crate::rootfs::edit::{Destination, Edit};
use crate::rootfs::error::EditError;
use crate::rootfs::make::MakeLink;
use crate::rootfs::moving::Move;
use crate::rootfs::put::PutSource;
use crate::rootfs::{RootfsPlace, change, in_file, open_to_edit, remove_xattr, set_xattr};

/// A script that was carried out. Its JSON form is the output of `banger rootfs edit --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScriptReport {
    /// Whether it was a trial, which changed nothing.
    pub dry_run: bool,
    /// The operations, in their order.
    pub operations: Vec<OperationReport>,
}

/// An operation that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OperationReport {
    /// Its index in the script, from 0 on.
    pub index: usize,
    /// Its name in the script.
    pub op: &'static str,
    /// The changed paths, symlinks followed; empty if there was nothing to do.
    pub paths: Vec<GuestPath>,
    /// With `write`: the SHA-256 digest of the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Carries out a script on the file system at `place`, as one commit. With `dry_run`, everything is done in a scratch file
/// of the host, also the commit, and no byte of the file system changes.
///
/// # Errors
/// As [`open_to_edit`]; or an operation fails ([`EditError::Operation`]), or one commit cannot hold all changes. Then
/// the file system is unchanged.
pub fn edit_by_script(
    place: impl Into<RootfsPlace>,
    script: &EditScript,
    timestamp: Timestamp,
    dry_run: bool,
    cancellation: &Cancellation,
) -> Result<ScriptReport, Error> {
    let place = place.into();
    let mut rootfs = open_to_edit(&place)?;
    run_script(&mut rootfs, script, timestamp, dry_run, cancellation).map_err(in_file(&place.file))
}

/// Carries out a script, as [`edit_by_script`] does, on a file that is open. Earlier changes of `rootfs` belong to the
/// commit.
///
/// # Errors
/// As [`edit_by_script`]. Then, and with `dry_run`, `rootfs` forgets all changes since the last commit.
pub fn run_script(
    rootfs: &mut Ext4Editor,
    script: &EditScript,
    timestamp: Timestamp,
    dry_run: bool,
    cancellation: &Cancellation,
) -> Result<ScriptReport, EditError> {
    if dry_run {
        let failed = |source| EditError::Host { action: "make", path: "a scratch file".to_owned(), source };
        rootfs.divert_writes(tempfile::tempfile().map_err(failed)?);
    }
    rootfs.set_cancellation(cancellation);
    let done = change(rootfs, timestamp, cancellation, true, |edit| {
        let reports = edit.script(script)?;
        if dry_run {
            // A scratch file proves nothing.
            edit.take_written();
        }
        Ok(reports)
    });
    if dry_run || done.is_err() {
        rootfs.set_cancellation(&Cancellation::default());
        // The first error says more.
        let reopened = rootfs.reopen();
        if done.is_ok() {
            reopened?;
        }
    }
    Ok(ScriptReport { dry_run, operations: done? })
}

impl Edit<'_> {
    pub(super) fn script(&mut self, script: &EditScript) -> Result<Vec<OperationReport>, EditError> {
        let mut reports = Vec::new();
        for (index, operation) in script.operations.iter().enumerate() {
            self.check_cancelled()?;
            let done = self.operation(operation);
            let (paths, digest) = done.map_err(|source| EditError::Operation {
                index,
                operation: operation.name,
                path: escape_bytes(operation.path.path.as_bytes()),
                source: Box::new(source),
            })?;
            reports.push(OperationReport { index, op: operation.name, paths, digest });
        }
        Ok(reports)
    }

    fn operation(
        &mut self,
        operation: &ScriptOperation,
    ) -> Result<(Vec<GuestPath>, Option<String>), EditError> {
        let operand = &operation.path;
        let path = &operand.path;
        let exact =
            |path: &GuestPath| Destination { path: path.clone(), is_directory: false, is_exact: true };
        let paths = match &operation.action {
            ScriptAction::Write { content, how } => {
                let mut bytes;
                let source = match content {
                    ScriptContent::Bytes(content) => {
                        bytes = content.as_slice();
                        PutSource::Reader(&mut bytes)
                    }
                    ScriptContent::File(file) if file.is_dir() => {
                        let source = std::io::ErrorKind::IsADirectory.into();
                        let path = file.display().to_string();
                        return Err(EditError::Host { action: "read", path, source });
                    }
                    ScriptContent::File(file) => PutSource::Path(file.clone()),
                };
                let paths = self.put(vec![source], &exact(path), how)?;
                let digest = paths.first().and_then(|path| self.written_digest(path));
                return Ok((paths, digest));
            }
            ScriptAction::CopyIn { source, how } => {
                self.put(vec![PutSource::Path(source.clone())], &exact(path), how)?
            }
            ScriptAction::MakeDirectory(how) => vec![self.make_directory(path, how)?],
            ScriptAction::Link { target, symbolic, force } => {
                let how = MakeLink::default().with_symbolic(*symbolic).with_force(*force);
                self.link(&[target], &exact(path), how)?
            }
            ScriptAction::Rename { to, no_clobber } => {
                let how = Move::default().with_no_clobber(*no_clobber);
                self.rename(std::slice::from_ref(operand), &exact(to), how)?
            }
            ScriptAction::Remove(how) => self.remove(operand, *how)?.into_iter().collect(),
            ScriptAction::ChangeMode { mode, recursive } => {
                self.change_mode(operand, mode, *recursive)?;
                vec![path.clone()]
            }
            ScriptAction::ChangeOwner { owner, how } => {
                self.change_owner(operand, owner, *how)?;
                vec![path.clone()]
            }
            ScriptAction::SetXattr { name, value } => {
                let place = self.entry_place(operand)?;
                set_xattr(self.rootfs, &place, name, value)?;
                self.changed()?;
                vec![place]
            }
            ScriptAction::RemoveXattr { name } => {
                let place = self.entry_place(operand)?;
                remove_xattr(self.rootfs, &place, name)?;
                self.changed()?;
                vec![place]
            }
            ScriptAction::MakeNode { kind, mode, owner } => {
                vec![self.make_node(path, kind, mode.as_ref(), owner.as_ref())?]
            }
        };
        let moves_files = !matches!(
            operation.action,
            ScriptAction::MakeDirectory(_)
                | ScriptAction::ChangeMode { .. }
                | ScriptAction::ChangeOwner { .. }
                | ScriptAction::SetXattr { .. }
                | ScriptAction::RemoveXattr { .. }
                | ScriptAction::MakeNode { .. }
        );
        if moves_files {
            // Written files may have other paths now, or none.
            self.take_written();
        }
        Ok((paths, None))
    }
}
