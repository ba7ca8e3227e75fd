//! Which references a push can go to.

use banger_tree::NewFileError;
use camino::Utf8Path;

use super::error::PushError;
use crate::reference::{Reference, RegistryReference, Selector};

/// A target of a push.
#[derive(Clone, Copy, Debug)]
pub(super) enum TargetKind<'a> {
    Registry(&'a RegistryReference),
    Layout(&'a Utf8Path, &'a Selector),
    Archive(&'a Utf8Path, &'a Selector),
}

impl<'a> TargetKind<'a> {
    pub(super) fn of(target: &'a Reference) -> Result<Self, PushError> {
        match target {
            Reference::Registry(registry) => Ok(Self::Registry(registry)),
            Reference::OciLayout { dir, selector } => Ok(Self::Layout(dir, selector)),
            Reference::OciArchive { file, selector } if !target.is_input() => {
                Ok(Self::Archive(file, selector))
            }
            other => {
                let reason = "a push goes to a registry, an OCI layout or an OCI archive only".to_owned();
                Err(PushError::Target { target: other.to_string(), reason })
            }
        }
    }

    /// Fails if an archive exists, which a push does not replace: before its blobs are made for nothing.
    pub(super) fn check_vacant(&self) -> Result<(), PushError> {
        match self {
            Self::Archive(file, _) if file.symlink_metadata().is_ok() => {
                Err(PushError::file(*file)(NewFileError::Exists))
            }
            _ => Ok(()),
        }
    }
}

/// Checks that [`Puller::push_artifact`](crate::Puller::push_artifact) can push to a target, as far as this machine
/// knows: for callers that take long to make what they push.
///
/// # Errors
///
/// A push never goes to references of this kind, or the target is an archive that exists.
pub fn check_push_target(target: &Reference) -> Result<(), PushError> {
    TargetKind::of(target)?.check_vacant()
}
