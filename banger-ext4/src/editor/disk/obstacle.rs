//! Why something cannot be done with a file system.

use std::borrow::Cow;

use banger_tree::Advice;

/// A reason, and apart from it what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) reason: String,
    pub(crate) advice: Option<Advice>,
}

impl Obstacle {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), advice: None }
    }

    /// Adds what to do.
    pub(crate) fn with_advice(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self { advice: Some(Advice::new(text)), ..self }
    }
}

impl From<&str> for Obstacle {
    fn from(reason: &str) -> Self {
        Self::new(reason)
    }
}

impl From<String> for Obstacle {
    fn from(reason: String) -> Self {
        Self::new(reason)
    }
}
