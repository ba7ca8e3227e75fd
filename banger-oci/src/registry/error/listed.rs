//! Entries of the lists in errors.

use std::fmt;

use crate::digest::Digest;
use crate::one_line::one_line;

/// One of several images that fit the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FittingImage {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its names, the fullest first.
    pub names: Vec<String>,
    /// Its platform, if that is known.
    pub platform: Option<String>,
}

/// A place that was asked in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointFailure {
    /// The repository at this place.
    pub endpoint: String,
    /// The message of the failure.
    pub reason: String,
}

pub(super) fn list_of_failures(failures: &[EndpointFailure]) -> String {
    let list: Vec<String> = failures.iter().map(|one| format!("{} ({})", one.endpoint, one.reason)).collect();
    list.join("; ")
}

impl fmt::Display for FittingImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.names[..] {
            [] => f.write_str("one without a name")?,
            names => f.write_str(&one_line(&names.join(" = ")))?,
        }
        match &self.platform {
            Some(platform) => write!(f, " ({}, @{})", one_line(platform), self.digest),
            None => write!(f, " (@{})", self.digest),
        }
    }
}

pub(super) fn list_of_images(images: &[FittingImage], count: usize) -> String {
    let mut list: Vec<String> = images.iter().map(ToString::to_string).collect();
    let more = count.saturating_sub(images.len());
    if more > 0 {
        list.push(format!("and {more} more"));
    }
    list.join(", ")
}
