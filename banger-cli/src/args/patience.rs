//! The arguments that say how long a download may take.

use clap::Args;

use crate::units::Size;

/// How long a registry may let a pull wait.
#[derive(Debug, Args)]
pub(crate) struct PatienceArguments {
    /// Restart a transfer that brings fewer than SIZE bytes a second for 30 seconds; 0 allows any rate
    /// [default: 1K].
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_rate: Option<Size>,
    /// Download at most SIZE bytes a second, all layers together; 0 allows any rate [default: 0].
    #[arg(long, value_name = "SIZE")]
    pub(crate) limit_rate: Option<Size>,
    /// Fail when all pauses between attempts together exceed TIME, such as 90s or 10m [default: 10m].
    #[arg(long, value_name = "TIME", value_parser = crate::units::parse_age)]
    pub(crate) max_wait: Option<std::time::Duration>,
    /// Fail when requests and downloads take longer than TIME in total [default: 12h].
    #[arg(long, value_name = "TIME", value_parser = crate::units::parse_age)]
    pub(crate) max_time: Option<std::time::Duration>,
    /// Try at most N addresses of foreign layers [default: 64].
    #[arg(long, value_name = "N")]
    pub(crate) max_urls: Option<u64>,
}
