//! Why a text is not an image reference.

use std::borrow::Cow;

use banger_tree::{Advice, ErrorKind, Failure};

/// A string that is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {reason}")]
#[non_exhaustive]
pub struct ReferenceError {
    /// The string.
    pub text: String,
    /// The reason.
    pub reason: String,
    /// The kind of text that it should be.
    what: &'static str,
    advice: Option<Cow<'static, str>>,
}

impl ReferenceError {
    /// Returns the error of a text that is not the address of a file.
    #[cfg(feature = "registry")]
    pub(crate) fn of_address(text: &str, reason: &str, advice: &'static str) -> Self {
        let (text, reason) = (crate::one_line::one_line(text), reason.to_owned());
        Self { text, reason, what: "an address of a file", advice: Some(advice.into()) }
    }

    /// Returns the error of a text that is not the name of a registry.
    #[cfg(feature = "registry")]
    pub(crate) fn of_registry(text: &str, reason: &str) -> Self {
        let (text, reason) = (crate::one_line::one_line(text), reason.to_owned());
        Self { text, reason, what: "the name of a registry", advice: Some("write HOST or HOST:PORT".into()) }
    }

    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        100
    }
}

impl Failure for ReferenceError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Argument
    }

    fn advice(&self) -> Option<Advice> {
        self.advice.clone().map(Advice::new)
    }
}

/// The fault of a text, and the text to write instead.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) reason: String,
    pub(super) advice: Option<Cow<'static, str>>,
}

impl Unfit {
    pub(super) fn new(reason: impl Into<String>, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), advice: Some(advice.into()) }
    }

    pub(super) fn into_error(self, text: &str) -> ReferenceError {
        let what = "an image reference";
        ReferenceError { text: text.to_owned(), reason: self.reason, what, advice: self.advice }
    }
}

impl From<String> for Unfit {
    fn from(reason: String) -> Self {
        Self { reason, advice: None }
    }
}
