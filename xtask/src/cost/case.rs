//! One input, how its command may end, and the bound that holds for it.

use std::path::Path;

use super::run::CostCommand;

/// Bytes of a MiB.
pub(super) const MIB: u64 = 1 << 20;

/// What holds for one input.
pub(super) struct CostBound {
    pub(super) cpu_seconds: f64,
    pub(super) peak_bytes: u64,
    pub(super) written_bytes: u64,
}

/// How a command may end.
pub(super) enum Ending {
    /// Well.
    Done,
    /// With a refusal that has this in it.
    Refused(&'static str),
    /// Well, or with that refusal.
    DoneOr(&'static str),
    /// Well or with any refusal.
    NoCrash,
}

/// One input.
pub(super) struct CostCase {
    pub(super) name: &'static str,
    pub(super) make: fn(&Path, &Path) -> anyhow::Result<CostCommand>,
    pub(super) bound: CostBound,
    pub(super) ending: Ending,
}
