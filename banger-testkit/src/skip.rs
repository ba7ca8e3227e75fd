//! Tests that cannot run here: visible locally, failures in CI.

use std::io::Write;

/// Why a test cannot run on this machine.
///
/// Made by whatever needs a tool, root or a made image; turned into an early
/// return by [`require!`](crate::require).
#[derive(Debug, Clone)]
pub struct Skip {
    reason: String,
    optional: bool,
}

impl Skip {
    /// A skip that CI must not see: something is missing that
    /// `scripts/setup-tests` or the machine should have provided.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), optional: false }
    }

    /// A skip that is all right in CI too, for data that need not be there.
    pub fn optional(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), optional: true }
    }

    /// What is missing.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Prints `skipped: reason` past the test harness's capture.
    ///
    /// # Panics
    ///
    /// In CI (environment `CI=true`), unless the skip is [optional](Self::optional).
    pub fn report(&self) {
        assert!(self.optional || !in_ci(), "would be skipped, which is a failure in CI: {}", self.reason);
        // Not `eprintln!`: the harness hides that for tests that pass.
        let _ = writeln!(std::io::stderr().lock(), "skipped: {}", self.reason);
    }
}

/// Returns whether this is CI, where nothing is skipped and nothing drawn anew.
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

/// The value of a `Result<T, Skip>`, or a reported skip and a return from the test.
#[macro_export]
macro_rules! require {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(skip) => {
                let skip: $crate::Skip = skip;
                skip.report();
                return;
            }
        }
    };
}

/// Reports a skip for the formatted reason and returns from the test.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        $crate::Skip::new(format!($($reason)*)).report();
        return;
    }};
}
