//! Where banger keeps its state and cache on this host.

use camino::Utf8PathBuf;
use etcetera::BaseStrategy;
use etcetera::base_strategy::Xdg;

/// The two directories that banger keeps things in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// Published images: `$XDG_STATE_HOME/banger`.
    pub state: Utf8PathBuf,
    /// Downloaded blobs, which can be had again: `$XDG_CACHE_HOME/banger`.
    pub cache: Utf8PathBuf,
}

/// Why the directories are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirsError {
    /// Neither the XDG variables nor a home directory say where.
    #[error("no home directory is known; set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME")]
    NoHome,
    /// A directory's name is not UTF-8.
    #[error("directory {0} is not UTF-8; set XDG_STATE_HOME and XDG_CACHE_HOME to names that are")]
    NotUtf8(std::path::PathBuf),
}

impl Dirs {
    /// Returns the directories of the XDG base directory specification for this user.
    ///
    /// # Errors
    /// There is no home directory, or a name is not UTF-8.
    pub fn of_user() -> Result<Self, DirsError> {
        let xdg = Xdg::new().map_err(|_| DirsError::NoHome)?;
        let utf8 = |path| Utf8PathBuf::from_path_buf(path).map_err(DirsError::NotUtf8);
        let state = xdg.state_dir().ok_or(DirsError::NoHome)?;
        Ok(Self { state: utf8(state.join("banger"))?, cache: utf8(xdg.cache_dir().join("banger"))? })
    }
}
