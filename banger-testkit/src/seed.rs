//! Where random tests take their numbers from: one seed, printed, and fixed in CI.

use std::hash::{BuildHasher as _, RandomState};

use proptest::test_runner::{Config, RngSeed};

/// The seed of runs with `CI=true`, so that the same commit has the same result twice.
const CI_SEED: u64 = 20_261_129;

/// Returns the seed of this run's random tests and prints it: `BANGER_SEED` where it is set, a
/// fixed one with `CI=true`, else a new one.
///
/// # Panics
/// Where `BANGER_SEED` is no number.
#[expect(clippy::print_stdout, reason = "a failing test shows what it printed")]
pub fn seed() -> u64 {
    let seed = match std::env::var("BANGER_SEED") {
        Ok(given) => given.parse().expect("BANGER_SEED is a number"),
        Err(_) if crate::skip::in_ci() => CI_SEED,
        Err(_) => RandomState::new().hash_one("banger"),
    };
    println!("BANGER_SEED={seed}");
    seed
}

/// Returns how a property test draws: `BANGER_CASES` cases, or `default_cases`, from [`seed`].
///
/// # Panics
/// Where `BANGER_CASES` or `BANGER_SEED` is no number.
pub fn property_config(default_cases: u32) -> Config {
    let cases = std::env::var("BANGER_CASES")
        .map_or(default_cases, |cases| cases.parse().expect("BANGER_CASES is a number"));
    Config { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(seed()), ..Config::default() }
}
