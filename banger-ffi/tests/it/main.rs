//! The C library, as C programs see it: compiled by the compilers of this machine against `include/banger.h`,
//! linked with what `cargo build -p banger-ffi` makes.

mod abi;
#[path = "../../src/tests/agent.rs"]
mod agent;
mod build;
mod conventions;
mod documents;
mod header;
mod install;
mod programs;
mod side_by_side;
