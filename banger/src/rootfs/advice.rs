//! The next steps after refused edits.

use banger_tree::{Advice, Setting};

/// The next step after a refused edit. A program words the first three with the names of its own commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EditAdvice {
    /// List the directory above, which shows the existing names.
    ListAround,
    /// List the directory instead of reading it as a file.
    ListIt,
    /// Make the directory first.
    MakeDirectory,
    /// Set an option: the text has `{setting}` in the place of its name.
    Set(&'static str, Setting),
    /// Follow the text.
    Do(&'static str),
}

impl EditAdvice {
    pub(super) const DIRECTORY_NEEDED: Self = Self::Do("a directory is needed there");
    pub(super) const DIRECTORY_FIRST: Self =
        Self::Set("make its directory first, or with {setting}", Setting("parents"));
    pub(super) const NO_DIRECTORY_REPLACES: Self =
        Self::Do("a directory does not replace it; remove it first");
    pub(super) const ONLY_DIRECTORY_REPLACES: Self =
        Self::Do("only a directory replaces it; remove it first");
}

impl From<EditAdvice> for Advice {
    fn from(advice: EditAdvice) -> Self {
        match advice {
            EditAdvice::ListAround => Self::new("list its directory, which shows what does"),
            EditAdvice::ListIt => Self::new("list it"),
            EditAdvice::MakeDirectory => Self::new("make the directory first"),
            EditAdvice::Set(text, setting) => Self::with_setting(text, setting),
            EditAdvice::Do(text) => Self::new(text),
        }
    }
}
