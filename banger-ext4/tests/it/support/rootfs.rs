//! Every implementation of `Rootfs`, with the same content.

use banger_ext4::{Ext4Backend, NativeBackend};
use banger_testkit::{assert_equal, assert_silent};
use banger_tree::{Failure as _, Rootfs, RootfsError, TreeRootfs};

use super::Fixture;
use crate::e2fsprogs::{Workplace, build, has_tools, options};

/// Calls `edit` with what `fixture` makes, as each implementation, and fails unless all of them
/// hold the same afterwards and no image is damaged by it. Returns what `edit` returned, which is
/// the same for all as well.
pub(crate) fn with_each<T: PartialEq + std::fmt::Debug>(
    fixture: &dyn Fn() -> Fixture,
    edit: impl Fn(&mut dyn Rootfs) -> T,
) -> T {
    let mut model = fixture();
    let mut tree = TreeRootfs::new(&mut model.tree, &mut model.store);
    let want = edit(&mut tree);
    let place = Workplace::new();
    let e2fsprogs = place.backend();
    let backends: [&dyn Ext4Backend; 2] = [&NativeBackend, &e2fsprogs];
    for backend in &backends[..if has_tools() { 2 } else { 1 }] {
        let image = place.image(backend.name());
        build(&NativeBackend, &image, &options(), &fixture()).unwrap();
        let mut rootfs = backend.open(&image).unwrap();
        assert_eq!(edit(&mut *rootfs), want, "{}", backend.name());
        rootfs.commit().unwrap();
        drop(rootfs);
        assert_equal(&tree, &*backend.open(&image).unwrap());
        if let Err(skip) = assert_silent(image.as_std_path()) {
            skip.report();
        }
    }
    want
}

/// Returns what a failure tells people: the message, and what to do.
pub(crate) fn told(error: &RootfsError) -> String {
    match error.advice() {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    }
}
