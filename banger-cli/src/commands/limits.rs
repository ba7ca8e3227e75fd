//! Limits as they are given.

use banger::{Cost, Limits, PullOptions};

use crate::args::{LimitArguments, PatienceArguments};
use crate::units::Size;

/// Puts what was given in the place of the defaults.
pub(super) fn apply(arguments: &LimitArguments, limits: &mut Limits) {
    for (limit, given) in [
        (&mut limits.max_content_bytes, arguments.max_content),
        (&mut limits.max_file_bytes, arguments.max_file),
        (&mut limits.max_metadata_bytes, arguments.max_metadata),
        (&mut limits.max_tar_bytes, arguments.max_tar),
    ] {
        *limit = given.map_or(*limit, |Size(bytes)| bytes);
    }
    for (limit, given) in [
        (&mut limits.max_entries, arguments.max_entries),
        (&mut limits.max_depth, arguments.max_depth),
        (&mut limits.max_path_components, arguments.max_path_components),
        (&mut limits.max_layers, arguments.max_layers),
    ] {
        *limit = given.unwrap_or(*limit);
    }
}

/// Puts the given limits on waiting in the place of the defaults.
pub(super) fn apply_patience(arguments: &PatienceArguments, pull: &mut PullOptions) {
    if let Some(Size(bytes)) = arguments.min_rate {
        pull.min_rate_bytes = bytes;
    }
    if let Some(Size(bytes)) = arguments.limit_rate {
        pull.limit_rate_bytes = bytes;
    }
    pull.max_wait = arguments.max_wait.unwrap_or(pull.max_wait);
    pull.max_time = arguments.max_time.unwrap_or(pull.max_time);
    if let Some(urls) = arguments.max_urls {
        pull.budget = pull.budget.clone().with_limit(Cost::Urls, urls);
    }
}
