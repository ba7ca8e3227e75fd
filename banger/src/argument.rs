//! A value of an option that makes no sense.

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure, Setting};

/// An option has a value that makes no sense. The message calls the option as the library does;
/// [`worded`](Self::worded) calls it as a program does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.worded(|setting| setting.0.to_owned()))]
#[non_exhaustive]
pub struct ArgumentError {
    /// The option.
    pub setting: Setting,
    /// The value, as it was given.
    pub value: String,
    /// The fault of the value.
    pub reason: String,
    /// The next step.
    pub advice: Option<Advice>,
}

impl ArgumentError {
    /// Returns the error of `value` for `setting`.
    pub fn new(setting: Setting, value: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { setting, value: value.into(), reason: reason.into(), advice: None }
    }

    /// Returns the error with advice.
    #[must_use]
    pub fn with_advice(mut self, advice: Advice) -> Self {
        self.advice = Some(advice);
        self
    }

    /// Returns the message with the caller's own name of the option.
    pub fn worded(&self, name: impl FnOnce(Setting) -> String) -> String {
        let gap = if self.value.is_empty() { "" } else { " " };
        format!("{}{gap}{}: {}", name(self.setting), self.value, self.reason)
    }
}

impl Failure for ArgumentError {
    fn code(&self) -> u32 {
        502
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Argument
    }

    fn advice(&self) -> Option<Advice> {
        self.advice.clone()
    }

    fn context(&self) -> ErrorContext {
        ErrorContext::default().with("setting", self.setting.0).with("value", &self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_called_as_the_caller_calls_it() {
        let error = ArgumentError::new(Setting("backend"), "ntfs", "there is no such backend");
        assert_eq!(error.to_string(), "backend ntfs: there is no such backend");
        assert_eq!(
            error.worded(|setting| format!("--{}", setting.0)),
            "--backend ntfs: there is no such backend"
        );
    }
}
