//! The backends by name.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "e2fsprogs")]
use banger_e2fsprogs::E2fsprogsBackend;
use banger_ext4::{
    BuildReport, Ext4Backend as _, Ext4Builder, Ext4Error, Ext4Options, Identity, NativeBackend,
};
use banger_tree::{Advice, ChildSetup, Setting, Tree};
use camino::Utf8Path;

use crate::argument::ArgumentError;
use crate::error::Error;
use crate::output::OutputFile;
use crate::output_fd::OutputFd;
use crate::scratch::ScratchDir;

/// Name of the default backend.
pub const DEFAULT_BACKEND: &str = "native";

/// The writer of the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// The native writer: one pass, no tools.
    #[default]
    Native,
    /// `mkfs.ext4` and `debugfs` of the host: slow, and the reference.
    #[cfg(feature = "e2fsprogs")]
    E2fsprogs,
}

impl Backend {
    /// Returns the name that users choose it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            #[cfg(feature = "e2fsprogs")]
            Self::E2fsprogs => "e2fsprogs",
        }
    }

    /// Starts an image at `place`; files that the backend needs meanwhile go into a directory of their own
    /// in `scratch_dir`, or in `$TMPDIR`.
    pub(crate) fn create(
        self,
        place: BuildPlace<'_>,
        options: &Ext4Options,
        scratch_dir: Option<&Utf8Path>,
        child_setup: ChildSetup,
    ) -> Result<Begun, Error> {
        match (self, place) {
            (Self::Native, BuildPlace::Path(path)) => {
                Ok(Begun { builder: NativeBackend.create(path, options)?, _scratch: None })
            }
            (Self::Native, BuildPlace::Fd(output)) => {
                Ok(Begun { builder: output.begin(options)?, _scratch: None })
            }
            #[cfg(feature = "e2fsprogs")]
            (Self::E2fsprogs, BuildPlace::Fd(_)) => {
                let reason = "it writes to new files only";
                let error = ArgumentError::new(Setting("backend"), self.name(), reason);
                Err(error.with_advice(Advice::new("choose native, or write to a path")).into())
            }
            #[cfg(feature = "e2fsprogs")]
            (Self::E2fsprogs, BuildPlace::Path(path)) => {
                let scratch = ScratchDir::create(scratch_dir)?;
                let backend = E2fsprogsBackend::new()
                    .with_scratch_directory(scratch.path())
                    .with_child_setup(child_setup);
                Ok(Begun { builder: backend.create(path, options)?, _scratch: Some(scratch) })
            }
        }
    }
}

/// The file that an image is written to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BuildPlace<'a> {
    /// A new file at this path.
    Path(&'a Utf8Path),
    /// An open file of the caller.
    Fd(&'a OutputFd),
}

/// An image under construction, with the scratch directory that it needs.
pub(crate) struct Begun {
    // Dropped first: it removes its own files in the scratch directory.
    pub(crate) builder: Box<dyn Ext4Builder>,
    _scratch: Option<ScratchDir>,
}

impl Begun {
    /// Sets the values that were not known when the image was begun.
    pub(crate) fn set_identity(&mut self, identity: Identity) {
        self.builder.set_identity(identity);
    }

    /// Writes the image of `tree`.
    pub(crate) fn build_ext4(self, tree: &Tree) -> Result<BuildReport, Error> {
        Ok(self.builder.build_ext4(tree)?)
    }
}

/// Returns the error with the name of the final file in the place of the file under construction.
pub(crate) fn named(file: &OutputFile, error: Error) -> Error {
    match error {
        Error::Ext4(Ext4Error::Io { action, path, source }) if file.is_partial(&path) => {
            Error::Ext4(Ext4Error::Io { action, path: file.path().to_owned(), source })
        }
        other => other,
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = ArgumentError;

    fn from_str(name: &str) -> Result<Self, ArgumentError> {
        match name {
            "native" => Ok(Self::Native),
            #[cfg(feature = "e2fsprogs")]
            "e2fsprogs" => Ok(Self::E2fsprogs),
            _ => {
                let error = ArgumentError::new(Setting("backend"), name, "there is no such backend");
                Err(error.with_advice(Advice::new("choose native or e2fsprogs")))
            }
        }
    }
}
