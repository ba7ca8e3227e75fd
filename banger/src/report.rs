//! An error as one JSON object, for programs.

use banger_tree::{ErrorContext, ErrorKind, Failure};
use serde::Serialize;

/// An error as one document: `code`, `kind`, `message`, `advice` and `context`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErrorReport {
    /// Version of this document.
    pub version: u32,
    /// A number that stays the same for this failure in all versions.
    pub code: u32,
    /// The kind of the failure.
    pub kind: ErrorKind,
    /// The failure and its object, in one line.
    pub message: String,
    /// The next step for the caller; may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The objects of the failure, as named values.
    pub context: ErrorContext,
}

impl ErrorReport {
    /// The version of the document that this version writes.
    pub const VERSION: u32 = 1;

    /// Returns the report of `failure`.
    pub fn of(failure: &dyn Failure) -> Self {
        Self {
            version: Self::VERSION,
            code: failure.code(),
            kind: failure.kind(),
            message: failure.to_string(),
            advice: failure.advice().map(|advice| advice.to_string()),
            context: failure.context(),
        }
    }

    /// Returns the report as JSON on one line.
    ///
    /// # Panics
    /// Never: every key is text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every key is text, and nothing else can fail")
    }
}
