//! The native backend.

use banger_ext4::NativeBackend;

use crate::e2fsprogs::{Workplace, build, options};
use crate::support::cases::cases;
use crate::support::check_image;

#[test]
fn every_case_reads_back_as_its_tree_says() {
    for (name, fixture) in cases() {
        eprintln!("case: {name}");
        let place = Workplace::new();
        let image = place.image("image");
        let report = build(&NativeBackend, &image, &options(), &fixture)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(report.size_bytes, image.metadata().unwrap().len());
        check_image(&image, &fixture.tree, &fixture.store);
        assert_eq!(place.leftovers(), [image.as_str()], "{name}");
    }
}
