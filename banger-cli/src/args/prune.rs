//! The arguments of what removes images and cached blobs.

use clap::{Args, Subcommand};

use super::examples;
use super::places::{CacheArguments, StateArguments};
use crate::units::Size;

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// List cached blobs.
    List {
        #[command(flatten)]
        cache: CacheArguments,
    },
    /// Remove cached blobs and the disks of builds; print the digests of blobs. Blobs of a running pull stay.
    #[command(after_help = examples::PRUNE)]
    Prune(PruneArguments),
    /// Hash cached blobs; print the digests of damaged ones; exit with status 1 if a damaged blob stays.
    Verify {
        /// Remove damaged blobs; the next pull downloads them again.
        #[arg(long)]
        remove: bool,
        #[command(flatten)]
        cache: CacheArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImagePruneArguments {
    /// Keep this image; repeatable: a name, an id, or a unique prefix of an id.
    #[arg(long, value_name = "NAME")]
    pub(crate) keep: Vec<String>,
    /// Remove only images that were made more than AGE ago, such as 12h, 7d or 4w.
    #[arg(long, value_name = "AGE", value_parser = crate::units::parse_age)]
    pub(crate) older_than: Option<std::time::Duration>,
    /// Remove all images.
    #[arg(long, conflicts_with_all = ["keep", "older_than"])]
    pub(crate) all: bool,
    /// Print what would be removed, and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// Remove blobs last used more than AGE ago, such as 12h, 7d or 4w.
    #[arg(long, value_name = "AGE", value_parser = crate::units::parse_age)]
    pub(crate) older_than: Option<std::time::Duration>,
    /// Remove the least recently used blobs until the cache fits SIZE.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<Size>,
    /// Remove all blobs.
    #[arg(long, conflicts_with_all = ["older_than", "max_size"])]
    pub(crate) all: bool,
    /// Print what would be removed, and remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}
