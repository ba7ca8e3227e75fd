//! Setup of the programs that the library starts.

use std::process::Command;

/// A function that gets each program before it starts: credential helpers and the tools of e2fsprogs. An embedder
/// uses it for what a program takes over from the thread that starts it, for example the mask of blocked
/// signals. The default changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChildSetup(Option<fn(&mut Command)>);

impl ChildSetup {
    /// Returns a setup that calls `prepare`.
    pub fn new(prepare: fn(&mut Command)) -> Self {
        Self(Some(prepare))
    }

    /// Prepares `command`.
    pub fn apply(self, command: &mut Command) {
        if let Self(Some(prepare)) = self {
            prepare(command);
        }
    }
}
