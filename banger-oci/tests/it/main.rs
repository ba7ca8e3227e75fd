//! Behaviour tests; the numbers are those of the project's list of behaviours.

// clippy.toml allows unwrap in test functions; the functions they share are no less tests.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod flatten_budget;
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
#[cfg(feature = "registry")]
mod pull_archives;
#[cfg(feature = "registry")]
mod pull_brought;
#[cfg(feature = "registry")]
mod pull_cache;
#[cfg(feature = "registry")]
mod pull_cache_places;
#[cfg(feature = "registry")]
mod pull_choice;
#[cfg(feature = "registry")]
mod pull_containerd;
#[cfg(feature = "registry")]
mod pull_daemon;
#[cfg(feature = "registry")]
mod pull_documents;
#[cfg(feature = "registry")]
mod pull_hostile;
#[cfg(feature = "registry")]
mod pull_input;
#[cfg(feature = "registry")]
mod pull_local;
#[cfg(feature = "registry")]
mod pull_logins;
#[cfg(feature = "registry")]
mod pull_mirrors;
#[cfg(feature = "registry")]
mod pull_network;
#[cfg(feature = "registry")]
mod pull_pieces;
#[cfg(feature = "registry")]
mod pull_policy;
#[cfg(feature = "registry")]
mod pull_quirks;
#[cfg(feature = "registry")]
mod pull_referrers;
#[cfg(feature = "registry")]
mod pull_registry;
#[cfg(feature = "registry")]
mod pull_slow;
#[cfg(feature = "registry")]
mod pull_storage;
#[cfg(feature = "registry")]
mod pull_support;
#[cfg(feature = "registry")]
mod pull_trust;
#[cfg(feature = "registry")]
mod pull_weather;
#[cfg(feature = "registry")]
mod push_beside;
#[cfg(feature = "registry")]
mod push_docker_registry;
#[cfg(feature = "registry")]
mod push_errors;
#[cfg(feature = "registry")]
mod push_files;
#[cfg(feature = "registry")]
mod push_local;
#[cfg(feature = "registry")]
mod push_registry;
#[cfg(feature = "registry")]
mod push_support;
#[cfg(feature = "registry")]
mod push_weather;
#[cfg(feature = "registry")]
mod source_support;
mod tarball;
