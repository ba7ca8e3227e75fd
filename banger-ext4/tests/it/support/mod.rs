//! Judging images: independent of which backend made them.

pub(crate) mod cases;
pub(crate) mod compare;
pub(crate) mod crash;
pub(crate) mod fixture;
pub(crate) mod import;
pub(crate) mod judge;
pub(crate) mod rootfs;
pub(crate) mod view;

pub(crate) use fixture::Fixture;
pub(crate) use judge::check_image;
pub(crate) use rootfs::with_each;

/// Says on stderr that `what` was not tested; fails where the environment says `CI=true`.
pub(crate) fn skip(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot be skipped in CI: {what}");
    eprintln!("skipped: {what}");
}

/// Returns whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
