//! Limits as they are given.

use banger::Limits;

use crate::args::LimitArguments;
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
    limits.max_entries = arguments.max_entries.unwrap_or(limits.max_entries);
    limits.max_depth = arguments.max_depth.unwrap_or(limits.max_depth);
}
