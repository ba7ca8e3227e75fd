//! A scratch directory off the state directory's file system.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::Error;
use crate::staging::{StagingDir, sweep};
use crate::store::ImageId;

const PREFIX: &str = "banger-pull-";

/// A directory under `$TMPDIR` for one run, removed on drop, and by a later run when this one is
/// killed.
#[derive(Debug)]
pub(crate) struct Scratch(StagingDir);

impl Scratch {
    /// Makes the directory, and removes those that killed runs left.
    pub(crate) fn create() -> Result<Self, Error> {
        let failed =
            |path: &Utf8Path, source| Error::Output { action: "create", path: path.to_owned(), source };
        let parent = Utf8PathBuf::from_path_buf(std::env::temp_dir()).map_err(|path| {
            let source = io::Error::other("TMPDIR is not UTF-8; set it to a directory whose name is");
            failed(Utf8Path::new(&path.to_string_lossy()), source)
        })?;
        // What others may not remove is not theirs to fail on.
        let _ = sweep(&parent, PREFIX, "");
        let path = parent.join(format!("{PREFIX}{}", ImageId::random()));
        Ok(Self(StagingDir::create(path.clone()).map_err(|source| failed(&path, source))?))
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Utf8Path {
        self.0.path()
    }
}
