//! Checks that a directory of banger can be trusted: no other user may have put files into it.

/// Writable for everybody. A group may be the user's own, and is the user's business.
const ALL_MAY_WRITE: u32 = 0o002;
/// Only the owner of a file may remove it from a sticky directory.
const STICKY: u32 = 0o1000;

/// Why a directory cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// It belongs to a user other than this one and root.
    AnotherUser,
    /// Every user can write to it.
    Everybody,
}

impl Distrust {
    /// Returns the reason why user `own` cannot trust a directory with this owner and mode, if there is one.
    /// With `allows_sticky`, every user may write to it if the sticky bit protects files, as in `/tmp`.
    pub fn of(owner: u32, mode: u32, own: u32, allows_sticky: bool) -> Option<Self> {
        if owner != own && owner != 0 {
            return Some(Self::AnotherUser);
        }
        let is_open = mode & ALL_MAY_WRITE != 0 && !(allows_sticky && mode & STICKY != 0);
        is_open.then_some(Self::Everybody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_others_are_not_trusted() {
        for (owner, mode, own, allows_sticky, want) in [
            (1000, 0o700, 1000, false, None),
            (0, 0o755, 1000, false, None),
            (0, 0o1777, 1000, true, None),
            (0, 0o1777, 1000, false, Some(Distrust::Everybody)),
            (1000, 0o775, 1000, false, None),
            (1000, 0o777, 1000, true, Some(Distrust::Everybody)),
            (1001, 0o700, 1000, true, Some(Distrust::AnotherUser)),
            (1001, 0o700, 0, true, Some(Distrust::AnotherUser)),
        ] {
            assert_eq!(Distrust::of(owner, mode, own, allows_sticky), want, "{owner} {mode:o} {own}");
        }
    }
}
