//! A scratch directory off the state directory's file system.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::id::ImageId;
use crate::output::OutputError;
use crate::staging::{StagingDir, sweep};

const PREFIX: &str = "banger-pull-";

/// A directory for one run, removed on drop, or by a later run if this run is killed.
#[derive(Debug)]
pub(crate) struct ScratchDir(StagingDir);

impl ScratchDir {
    /// Makes the directory in `parent` (by default in `$TMPDIR`), and removes directories of killed runs
    /// there.
    pub(crate) fn create(parent: Option<&Utf8Path>) -> Result<Self, OutputError> {
        let parent = match parent {
            Some(parent) => parent.to_owned(),
            None => temporary_directory()?,
        };
        // A failed sweep does not matter to this run.
        let _ = sweep(&parent, PREFIX, "");
        let path = parent.join(format!("{PREFIX}{}", ImageId::random()));
        Ok(Self(StagingDir::create(path.clone()).map_err(OutputError::io("create", &path))?))
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Utf8Path {
        self.0.path()
    }
}

fn temporary_directory() -> Result<Utf8PathBuf, OutputError> {
    Utf8PathBuf::from_path_buf(std::env::temp_dir()).map_err(|path| {
        let source = io::Error::other("TMPDIR is not UTF-8; set it to a directory whose name is");
        OutputError::io("create", Utf8Path::new(&path.to_string_lossy()))(source)
    })
}
