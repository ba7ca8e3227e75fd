//! Results of checks.

use std::fmt;

use serde::{Serialize, Serializer};

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "subject", content = "names")]
#[non_exhaustive]
pub enum Subject {
    /// The processor.
    Architecture,
    /// The format of the kernel file.
    Format,
    /// Options of the kernel's configuration, without `CONFIG_`; any one of them serves.
    Option(Vec<&'static str>),
    /// A feature of the ext4 file system.
    Feature(#[serde(serialize_with = "as_list")] String),
    /// The program that the kernel starts first.
    Init,
    /// The modules in the image.
    Modules,
}

/// Writes one name as a list, as several are written.
fn as_list<S: Serializer>(name: &String, serializer: S) -> Result<S::Ok, S::Error> {
    [name].serialize(serializer)
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Architecture => formatter.pad("architecture"),
            Self::Format => formatter.pad("format"),
            Self::Option(names) => formatter.pad(&names.join(" or ")),
            Self::Feature(name) => formatter.pad(name),
            Self::Init => formatter.pad("init"),
            Self::Modules => formatter.pad("modules"),
        }
    }
}

/// How a check ended. The most important outcome is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The guest does not boot.
    Error,
    /// Something will be missing in the guest.
    Warning,
    /// Nothing tells it.
    Unknown,
    /// It serves.
    Ok,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Unknown => "unknown",
        })
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// How the check ended.
    pub outcome: Outcome,
    /// One sentence for people.
    pub message: String,
}

impl Finding {
    pub(super) fn new(subject: Subject, outcome: Outcome, message: impl Into<String>) -> Self {
        Self { subject, outcome, message: message.into() }
    }

    pub(super) fn ok(subject: Subject, message: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Ok, message)
    }

    pub(super) fn warning(subject: Subject, message: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Warning, message)
    }

    pub(super) fn error(subject: Subject, message: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Error, message)
    }

    pub(super) fn unknown(subject: Subject, message: impl Into<String>) -> Self {
        Self::new(subject, Outcome::Unknown, message)
    }
}
