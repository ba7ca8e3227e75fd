//! The cases, each with what it shows.

mod systemd;

use super::bench::Bench;

/// One case; its machines' names begin with its own.
#[derive(Debug)]
pub(crate) struct Case {
    /// How it is asked for.
    pub(crate) name: &'static str,
    /// What it shows, in one line.
    pub(crate) shows: &'static str,
    /// Does it.
    pub(crate) run: fn(&Bench) -> anyhow::Result<()>,
}

/// All cases, those that take longest first.
pub(crate) const CASES: &[Case] = &[Case {
    name: "systemd",
    shows: "a Debian with systemd reaches multi-user with no failed unit",
    run: systemd::run,
}];
