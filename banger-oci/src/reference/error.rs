//! Why a text is no image reference.

/// A string that is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    /// The string.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}
