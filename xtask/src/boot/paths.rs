//! Paths as the library takes them.

use std::path::Path;

use anyhow::anyhow;
use camino::Utf8PathBuf;

/// Returns the path, whose name must be UTF-8.
pub(crate) fn utf8(path: &Path) -> anyhow::Result<Utf8PathBuf> {
    Utf8PathBuf::from_path_buf(path.to_path_buf()).map_err(|path| anyhow!("{} is not UTF-8", path.display()))
}
