//! Recognises a directory or archive that has no image of the wanted format.

use banger_tree::Advice;
use camino::Utf8Path;

use crate::registry::error::PullError;

/// The actual kind of the directory or archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoImage {
    /// An archive that `docker save` wrote.
    DockerArchive,
    /// An archive with an OCI layout.
    OciArchive,
    /// A directory that looks like a root file system.
    RootDirectory,
    /// A tar that looks like a root file system.
    RootTar,
    /// A tar that may be anything.
    OtherTar,
    /// A directory that may be anything.
    OtherDirectory,
}

impl NoImage {
    /// Returns the error of a pull from `path`.
    pub(crate) fn error(self, path: &Utf8Path, reason: &str) -> PullError {
        PullError::Layout {
            path: path.to_owned(),
            reason: reason.to_owned(),
            advice: self.advice().map(Advice::new),
            may_be_root: matches!(self, Self::RootDirectory | Self::RootTar | Self::OtherTar),
        }
    }

    fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::DockerArchive => "it was written by `docker save`: write docker-archive: before it",
            Self::OciArchive => "it is an OCI layout: write oci-archive: before it",
            Self::RootDirectory => "it looks like a root file system: build an image of it instead",
            Self::RootTar => {
                "it looks like a root file system, as `docker export` writes it: build an image of it instead"
            }
            Self::OtherTar => {
                "if it is a root file system, as `docker export` writes it, build an image of it instead"
            }
            Self::OtherDirectory => return None,
        })
    }
}
