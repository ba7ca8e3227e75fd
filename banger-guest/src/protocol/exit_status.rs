//! How a program ended.

use serde::{Deserialize, Serialize};

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ExitStatus {
    /// It exited.
    Exited {
        /// With this status, 0 to 255.
        status: i32,
    },
    /// A signal killed it.
    Killed {
        /// Its number on Linux.
        signal: i32,
    },
}
