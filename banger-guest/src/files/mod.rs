//! Parsers of files that every Linux root file system has: [`os_release`] and [`accounts`].
//!
//! They take bytes and do no I/O, so the guest binary, the injection and the host read a file in the same
//! way. Each parser limits its input, because an image may put anything in these files.
//!
//! ```
//! use banger_guest::files::{accounts, os_release::OsRelease};
//!
//! let release = OsRelease::parse(b"ID=rocky\nID_LIKE=\"rhel fedora\"\n");
//! assert_eq!(release.ids().collect::<Vec<_>>(), ["rocky", "rhel", "fedora"]);
//! let user = accounts::users(b"app:x:1000:100::/srv:/bin/sh\n").next().expect("one line is valid");
//! assert_eq!((user.name, user.uid, user.gid), (&b"app"[..], 1000, 100));
//! ```

pub mod accounts;
pub mod os_release;

/// Iterates over the lines of a text, without their ends and without lines longer than `max_line_bytes`.
fn lines(text: &[u8], max_line_bytes: usize) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(move |line| line.len() <= max_line_bytes)
}
