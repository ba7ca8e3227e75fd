//! Images are built, checked by e2fsck, mounted and compared with their trees.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

mod contents;
mod e2fsprogs;
mod e2fsprogs_images;
mod editor;
mod editor_attributes;
mod editor_damage;
mod editor_damage_cost;
mod editor_damage_features;
mod editor_damage_sealed;
mod editor_directories;
mod editor_dirty;
mod editor_dirty_formats;
mod editor_dirty_load;
mod editor_faults;
mod editor_features;
mod editor_grow;
mod editor_holes;
mod editor_large;
mod editor_matrix;
mod editor_no_journal;
mod editor_shrink;
mod editor_shrink_features;
mod editor_shrink_random;
mod editor_three;
mod editor_trim;
mod editor_uuid;
#[cfg(feature = "boot")]
mod inject;
mod judges;
mod native;
mod native_extremes;
mod native_fit;
mod native_grown;
mod native_limits;
mod native_properties;
mod ownership;
mod repair;
mod room;
mod support;
mod tools;
mod verify;
