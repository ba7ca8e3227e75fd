//! The `banger` command.

fn main() {}
