//! Results of an examination.

use serde::Serialize;

/// The state of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DoctorStatus {
    /// It is there and works.
    Ok,
    /// It is not there.
    Missing,
    /// It is there and does not work.
    Unusable,
}

/// One thing that a machine has or lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DoctorItem {
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: DoctorStatus,
    /// What was found, for people.
    pub found: String,
    /// What it is needed for.
    pub needed_for: &'static str,
    /// The command or action that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl DoctorItem {
    pub(super) fn new(
        name: impl Into<String>,
        status: DoctorStatus,
        found: impl Into<String>,
        needed_for: &'static str,
    ) -> Self {
        Self { name: name.into(), status, found: found.into(), needed_for, advice: None }
    }

    pub(super) fn with_advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

/// What a machine has and lacks. Its JSON form is the output of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DoctorReport {
    /// Version of this format.
    pub version: u32,
    /// Version of banger.
    pub banger_version: &'static str,
    /// The operating system: `linux`, `macos`.
    pub os: &'static str,
    /// The processor by its OCI name.
    pub architecture: String,
    /// The distribution, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// Whether the directories for state and cache can be used: without them banger does little.
    pub usable: bool,
    /// The things, most important first.
    pub items: Vec<DoctorItem>,
}
