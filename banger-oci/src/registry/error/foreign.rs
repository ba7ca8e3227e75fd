//! The texts of errors that come from somebody else.

use super::PullError;

/// Number of entries of a foreign list that a message shows.
const MAX_LISTED: usize = 20;

impl PullError {
    /// Returns the texts in this error that may be foreign.
    pub(crate) fn foreign_texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::UnknownImage { detail, .. } => vec![detail],
            Self::NoPlatform { available, .. } => {
                let more = available.len().saturating_sub(MAX_LISTED);
                if more > 0 {
                    available.truncate(MAX_LISTED);
                    available.push(format!("and {more} more"));
                }
                available.iter_mut().collect()
            }
            Self::Unauthorized { host, detail } => vec![host, detail],
            Self::CredentialHelper { reason, .. } | Self::CredentialFile { reason, .. } => vec![reason],
            Self::Realm { realm, reason, .. } => vec![realm, reason],
            Self::Unreachable { host, reason, .. } => vec![host, reason],
            Self::Status { host, path, detail, .. } => vec![host, path, detail],
            Self::Redirect { host, target, reason } => vec![host, target, reason],
            Self::Mismatch { origin, reason, .. } => vec![origin, reason],
            Self::Malformed { what, reason } | Self::NotAnImage { what, reason } => vec![what, reason],
            Self::Schema1 { what } | Self::TooLarge { what, .. } => vec![what],
            Self::Layout { reason, .. } => vec![reason],
            Self::TooSlow { what, reason, .. } => vec![what, reason],
            Self::WebPage { host, title, what, .. } => vec![host, title, what],
            Self::CacheDamaged { source, .. } => source.foreign_texts(),
            Self::OverBudget { what, .. } => vec![what],
            Self::Ambiguous { images, .. } => images.iter_mut().flat_map(|image| &mut image.names).collect(),
            Self::PlatformMismatch { stated, found, .. } => vec![stated, found],
            Self::Input { reason, .. } | Self::Daemon { reason, .. } | Self::LocalStore { reason, .. } => {
                vec![reason]
            }
            Self::BlobSource { what, .. } => vec![what],
            Self::Trust(error) => error.foreign_texts(),
            Self::Endpoints { failures, last, .. } => {
                let mut texts = last.foreign_texts();
                texts.extend(failures.iter_mut().map(|failure| &mut failure.reason));
                texts
            }
            Self::Reference(_)
            | Self::RegistriesFile { .. }
            | Self::Blocked { .. }
            | Self::NotCached { .. }
            | Self::Proxy { .. }
            | Self::ShortName { .. }
            | Self::NoCredentials { .. }
            | Self::TooManyReferrers { .. }
            | Self::LayerCount { .. }
            | Self::Io { .. }
            | Self::Environment { .. }
            | Self::CachePlace { .. }
            | Self::Cancelled
            | Self::Panicked { .. } => Vec::new(),
        }
    }
}
