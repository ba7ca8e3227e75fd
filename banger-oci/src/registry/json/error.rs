//! Why a document cannot be used.

use banger_tree::OverBudget;

/// Why a document cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("{0}")]
    Malformed(String),
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}
