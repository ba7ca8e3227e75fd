//! Behaviour tests; the numbers are those of the project's list of behaviours.

// clippy.toml allows unwrap in test functions; the functions they share are no less tests.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod flatten_gnu_tar;
mod flatten_links;
mod flatten_paths;
mod flatten_random;
mod flatten_stream;
mod flatten_tar;
mod flatten_whiteouts;
mod images;
mod layers;
mod model;
mod pull_archives;
mod pull_cache;
mod pull_cache_places;
mod pull_hostile;
mod pull_choice;
mod pull_documents;
mod pull_local;
mod pull_quirks;
mod pull_registry;
mod pull_slow;
mod pull_support;
mod tarball;
