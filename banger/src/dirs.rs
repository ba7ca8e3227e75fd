//! The directories for state and cache on this host.

use std::path::PathBuf;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};
use camino::Utf8PathBuf;
use etcetera::BaseStrategy;
use etcetera::base_strategy::Xdg;

/// The two directories that banger keeps things in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dirs {
    /// Published images: `$XDG_STATE_HOME/banger` for [`Dirs::of_user`].
    pub state: Utf8PathBuf,
    /// Downloaded blobs, which can be downloaded again: `$XDG_CACHE_HOME/banger` for [`Dirs::of_user`].
    pub cache: Utf8PathBuf,
}

/// Why the directories are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirsError {
    /// The XDG variables and the home directory are missing.
    #[error("no home directory is known")]
    NoHome,
    /// A directory's name is not UTF-8.
    #[error("the name of the directory {0:?} is not UTF-8")]
    NotUtf8(PathBuf),
}

impl Dirs {
    /// Returns these two directories. Reads nothing of the environment.
    pub fn new(state: impl Into<Utf8PathBuf>, cache: impl Into<Utf8PathBuf>) -> Self {
        Self { state: state.into(), cache: cache.into() }
    }

    /// Returns the directories of the XDG base directory specification for this user.
    ///
    /// This reads the environment: `XDG_STATE_HOME`, `XDG_CACHE_HOME` and `HOME`.
    /// [`Dirs::new`] does not.
    ///
    /// # Errors
    /// The home directory is missing, or a name is not UTF-8.
    pub fn of_user() -> Result<Self, DirsError> {
        let xdg = Xdg::new().map_err(|_| DirsError::NoHome)?;
        let utf8 = |path| Utf8PathBuf::from_path_buf(path).map_err(DirsError::NotUtf8);
        let state = xdg.state_dir().ok_or(DirsError::NoHome)?;
        Ok(Self::new(utf8(state.join("banger"))?, utf8(xdg.cache_dir().join("banger"))?))
    }

    /// Sets [`state`](Self::state).
    #[must_use]
    pub fn with_state(mut self, state: impl Into<Utf8PathBuf>) -> Self {
        self.state = state.into();
        self
    }

    /// Sets [`cache`](Self::cache).
    #[must_use]
    pub fn with_cache(mut self, cache: impl Into<Utf8PathBuf>) -> Self {
        self.cache = cache.into();
        self
    }
}

impl DirsError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        500
    }
}

impl Failure for DirsError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoHome => ErrorKind::NotFound,
            Self::NotUtf8(_) => ErrorKind::Argument,
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(Advice::new(match self {
            Self::NoHome => "set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME",
            Self::NotUtf8(_) => "set XDG_STATE_HOME and XDG_CACHE_HOME to names that are",
        }))
    }

    fn context(&self) -> ErrorContext {
        match self {
            Self::NoHome => ErrorContext::default(),
            Self::NotUtf8(path) => ErrorContext::default().with("path", path.display()),
        }
    }
}
