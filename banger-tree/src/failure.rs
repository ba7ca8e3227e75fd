//! The common parts of all errors of banger: kind, code, context, and advice separate from the message.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde::Serialize;

/// The kind of a failure. Programs decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller asked to stop.
    Cancelled,
    /// A file, image, name or path does not exist.
    NotFound,
    /// The place of a new file or image is taken.
    Exists,
    /// A server or the host refuses access.
    Access,
    /// A server cannot be reached, or gives a wrong answer.
    Network,
    /// The disk, the quota or the image is full.
    NoSpace,
    /// The input costs more than a limit allows.
    Limit,
    /// Another process or thread uses the file.
    InUse,
    /// The input is damaged or malformed.
    Damaged,
    /// The input is sound, but has something that banger does not support.
    Unsupported,
    /// An argument or option has an invalid value.
    Argument,
    /// A guest answered with an error, or not at all.
    Guest,
    /// The host failed otherwise, or banger has a fault.
    Internal,
}

impl ErrorKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 13] = [
        Self::Cancelled,
        Self::NotFound,
        Self::Exists,
        Self::Access,
        Self::Network,
        Self::NoSpace,
        Self::Limit,
        Self::InUse,
        Self::Damaged,
        Self::Unsupported,
        Self::Argument,
        Self::Guest,
        Self::Internal,
    ];

    /// Returns the kind's name, as JSON documents have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::Access => "access",
            Self::Network => "network",
            Self::NoSpace => "no-space",
            Self::Limit => "limit",
            Self::InUse => "in-use",
            Self::Damaged => "damaged",
            Self::Unsupported => "unsupported",
            Self::Argument => "argument",
            Self::Guest => "guest",
            Self::Internal => "internal",
        }
    }

    /// Returns the kind of an error of the host.
    pub fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        match error.kind() {
            Io::NotFound => Self::NotFound,
            Io::AlreadyExists => Self::Exists,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Self::Access,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Self::NoSpace,
            Io::ResourceBusy | Io::WouldBlock | Io::ExecutableFileBusy => Self::InUse,
            Io::InvalidInput | Io::InvalidFilename | Io::NotADirectory | Io::IsADirectory => Self::Argument,
            Io::InvalidData | Io::UnexpectedEof => Self::Damaged,
            Io::Unsupported => Self::Unsupported,
            Io::ConnectionRefused
            | Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::HostUnreachable
            | Io::NetworkUnreachable
            | Io::NotConnected
            | Io::NetworkDown
            | Io::TimedOut => Self::Network,
            _ => Self::Internal,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The name of an option of the library: the name of the field, for example `max_manifest_bytes`.
///
/// A program with other names for its options, like the command line, shows its name instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Setting(pub &'static str);

/// The next step after a failure, in one clause without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice(Box<AdviceClause>);

/// In a box, so that errors which carry advice stay small.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AdviceClause {
    /// The text, with `{setting}` for the name of the option.
    text: Cow<'static, str>,
    setting: Option<Setting>,
}

impl Advice {
    /// Returns advice that names no option.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(AdviceClause { text: text.into(), setting: None }))
    }

    /// Returns advice whose text has `{setting}` in the place of the name of `setting`.
    pub fn with_setting(text: impl Into<Cow<'static, str>>, setting: Setting) -> Self {
        Self(Box::new(AdviceClause { text: text.into(), setting: Some(setting) }))
    }

    /// Returns advice to raise the limit `setting`, for input that the caller trusts.
    pub fn to_raise(setting: Setting) -> Self {
        Self::with_setting("if the input is to be trusted, raise {setting}", setting)
    }

    /// Returns advice on a file that does not fit the disk or the process's limit on file sizes; `None` for
    /// another error.
    pub fn on_full_disk(error: &io::Error) -> Option<Self> {
        Some(Self::new(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space on that disk, or write to another"
            }
            io::ErrorKind::FileTooLarge => {
                "raise the limit on the size of files (`ulimit -f`), or choose another disk"
            }
            _ => return None,
        }))
    }

    /// Returns the option that the advice names.
    pub fn setting(&self) -> Option<Setting> {
        self.0.setting
    }

    /// Returns the advice with the name that the caller gives the option.
    pub fn worded(&self, name: impl FnOnce(Setting) -> String) -> String {
        match self.0.setting {
            Some(setting) => self.0.text.replace("{setting}", &name(setting)),
            None => self.0.text.clone().into_owned(),
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.worded(|setting| format!("the option `{}`", setting.0)))
    }
}

/// The objects of a failure, as named values: `path`, `digest`, `host`, `limit_bytes`. Serialises as one JSON
/// object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ErrorContext(BTreeMap<&'static str, String>);

impl ErrorContext {
    /// Adds one value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.insert(name, value.to_string());
        self
    }

    /// Returns the value called `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Iterates over names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// An error that a program can act on. Its `Display` is only the message: one line with the failure and its
/// object, without advice.
pub trait Failure: std::error::Error {
    /// Returns a number that stays the same for this failure in all versions.
    fn code(&self) -> u32;

    /// Returns the kind of the failure.
    fn kind(&self) -> ErrorKind;

    /// Returns whether the same call may succeed later without any change by the caller.
    fn is_transient(&self) -> bool {
        false
    }

    /// Returns the next step for the caller.
    fn advice(&self) -> Option<Advice> {
        None
    }

    /// Returns the objects of the failure.
    fn context(&self) -> ErrorContext {
        ErrorContext::default()
    }

    /// Returns the host's error number, if the host failed.
    fn os_error(&self) -> Option<i32> {
        let mut cause = self.source();
        while let Some(error) = cause {
            if let Some(number) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
                return Some(number);
            }
            cause = error.source();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_option_in_the_words_of_the_caller() {
        let advice = Advice::with_setting("raise {setting}", Setting("max_time"));
        assert_eq!(advice.to_string(), "raise the option `max_time`");
        assert_eq!(advice.worded(|setting| format!("--{}", setting.0.replace('_', "-"))), "raise --max-time");
        assert_eq!(Advice::new("try again").worded(|_| unreachable!("names no option")), "try again");
    }

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let mut names: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("serialises"), kind.name());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorKind::ALL.len());
    }

    #[test]
    fn context_is_one_object() {
        let context = ErrorContext::default().with("path", "/etc").with("limit_bytes", 7);
        assert_eq!(
            serde_json::to_string(&context).expect("serialises"),
            r#"{"limit_bytes":"7","path":"/etc"}"#
        );
    }
}
