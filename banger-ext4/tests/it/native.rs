//! The native backend.

use banger_ext4::{Ext4Backend, ImageSize, NativeBackend};
use banger_testkit::{
    Access, Ignore, Image, Mounted, assert_clean, assert_same_tree, reference_tree, require, snapshot,
};

use crate::e2fsprogs::{Workplace, build, options};
use crate::support::cases::cases;
use crate::support::check_image;
use crate::support::import::import;

#[test]
fn every_case_reads_back_as_its_tree_says() {
    for (name, fixture) in cases() {
        eprintln!("case: {name}");
        let place = Workplace::new();
        let image = place.image("image");
        let report = build(&NativeBackend, &image, &options(), &fixture)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(report.size_bytes, image.metadata().unwrap().len());
        require!(assert_clean(image.as_std_path()));
        check_image(&image, &fixture.tree, &fixture.store);
        assert_eq!(place.leftovers(), [image.as_str()], "{name}");
    }
}

#[test]
fn real_images_come_out_as_they_are_unpacked() {
    for made in [Image::DebianMinbase, Image::DebianLayers] {
        let reference = require!(reference_tree(made));
        let place = Workplace::new();
        let image = place.image("image");
        let options = options().with_size(ImageSize::DEFAULT);
        let mut builder = NativeBackend.create(&image, &options).unwrap();
        let tree = import(&reference, &mut *builder);
        let report = builder.build_ext4(&tree).unwrap();
        eprintln!("{}: {report:?}", made.name());
        require!(assert_clean(image.as_std_path()));
        let mounted = require!(Mounted::new(image.as_std_path(), Access::ReadOnly));
        assert_same_tree(
            &snapshot(&reference),
            &snapshot(mounted.path()),
            Ignore { root_mtime: false, lost_and_found: true },
        );
    }
}
