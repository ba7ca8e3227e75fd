//! `cargo xtask fleet-sim`: how an image reaches 1 to 10,000 hosts.
//!
//! A model, not a measurement: bytes and CPU times are measured ([`figures`]), links and their shares are simulated
//! ([`rollout`]).

mod figures;
mod rates;
mod rollout;
mod scenario;
mod table;

use anyhow::ensure;
use clap::Args;

use rollout::Mirrors;
use scenario::Site;

/// Bytes a second of a link of one gigabit.
const GBIT: f64 = 1e9 / 8.0;

#[derive(Debug, Args)]
pub(crate) struct FleetSimArguments {
    /// Numbers of hosts.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1_000, 10_000])]
    hosts: Vec<u64>,
    /// Link of the registry.
    #[arg(long, default_value_t = 10.0)]
    registry_gbit: f64,
    /// Link of each host.
    #[arg(long, default_value_t = 1.0)]
    host_gbit: f64,
    /// Link of each mirror.
    #[arg(long, default_value_t = 10.0)]
    mirror_gbit: f64,
    /// Hosts of each mirror.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    mirror_hosts: u64,
    /// Processors of each host.
    #[arg(long, default_value_t = 2.0)]
    cores: f64,
    /// Bytes in millions that the disk of a host writes in a second.
    #[arg(long, default_value_t = figures::DISK_BYTES_PER_SECOND / 1e6)]
    disk_mb: f64,
    /// Time over which the hosts begin.
    #[arg(long, default_value_t = 0.0)]
    spread_seconds: f64,
}

/// Prints the tables in Markdown.
pub(crate) fn fleet_sim(arguments: &FleetSimArguments) -> anyhow::Result<()> {
    let FleetSimArguments { registry_gbit, host_gbit, mirror_gbit, cores, disk_mb, spread_seconds, .. } =
        *arguments;
    let rates = [registry_gbit, host_gbit, mirror_gbit, cores, disk_mb];
    ensure!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0), "rates are numbers above 0");
    ensure!(spread_seconds.is_finite() && spread_seconds >= 0.0, "a time is 0 or more seconds");
    let most = 1_000_000;
    ensure!(arguments.hosts.iter().all(|hosts| (1..=most).contains(hosts)), "a fleet has 1 to {most} hosts");
    let site = Site {
        registry_rate: registry_gbit * GBIT,
        host_rate: host_gbit * GBIT,
        mirrors: Mirrors { hosts_each: arguments.mirror_hosts, rate: mirror_gbit * GBIT },
        cores,
        disk_rate: disk_mb * 1e6,
        spread_seconds,
    };
    print!("{}", table::tables(&arguments.hosts, &figures::IMAGE, &site));
    Ok(())
}
