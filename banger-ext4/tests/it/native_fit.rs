//! File systems as small as their content, with the journal and the reserve that were asked for.

use std::os::unix::fs::FileExt as _;

use banger_ext4::{Ext4Backend, Ext4Error, ImageSize, JournalSize, NativeBackend};
use banger_testkit::{assert_clean, assert_silent, require};
use banger_tree::{ErrorKind, Failure as _};
use camino::Utf8Path;

use crate::e2fsprogs::{Workplace, build, options};
use crate::support::cases::cases;
use crate::support::{Fixture, check_image};

const MIB: u64 = 1 << 20;

/// `s_r_blocks_count_lo`, and whether the feature `has_journal` is set.
fn reserve_and_journal(image: &Utf8Path) -> (u32, bool) {
    let mut superblock = [0; 1024];
    std::fs::File::open(image).unwrap().read_exact_at(&mut superblock, 1024).unwrap();
    let number = |at: usize| u32::from_le_bytes(superblock[at..at + 4].try_into().unwrap());
    (number(8), number(0x5c) & 4 != 0)
}

#[test]
fn each_tree_fits_with_the_headroom_that_was_asked_for() {
    let place = Workplace::new();
    for (name, fixture) in cases() {
        for headroom_bytes in [0, 40 * 4096, 200 * MIB] {
            let image = place.image("image");
            let asked = options().with_size(ImageSize::Fit { headroom_bytes });
            let report = build(&NativeBackend, &image, &asked, &fixture).unwrap();
            // At least the headroom; at most what a short last group must have besides.
            let spare = report.free_bytes - headroom_bytes;
            assert!(spare < 64 * 4096, "{name}, {headroom_bytes}: {report:?}");
            assert_eq!(image.metadata().unwrap().len(), report.size_bytes, "{name}");
            require!(assert_silent(image.as_std_path()));
            check_image(&image, &fixture.tree, &fixture.store);
            std::fs::remove_file(&image).unwrap();
        }
    }
}

#[test]
fn content_of_several_groups_fits() {
    let place = Workplace::new();
    let mut fixture = Fixture::default();
    for number in 0..40_u8 {
        fixture.file(format!("/{number}"), &vec![number | 1; 7_000_000]);
    }
    for (headroom_bytes, reserved) in [(0, 0), (MIB, 300), (0, 5000)] {
        let image = place.image("image");
        let asked = options().with_size(ImageSize::Fit { headroom_bytes }).with_reserved_blocks(reserved);
        let report = build(&NativeBackend, &image, &asked, &fixture).unwrap();
        let spare = report.free_bytes - headroom_bytes - reserved * 4096;
        assert!(spare < 64 * 4096, "{headroom_bytes}: {report:?}");
        assert_eq!(u64::from(reserve_and_journal(&image).0), reserved);
        require!(assert_silent(image.as_std_path()));
        check_image(&image, &fixture.tree, &fixture.store);
        std::fs::remove_file(&image).unwrap();
    }
}

#[test]
fn the_other_backend_makes_them_fit_and_equal() {
    let place = Workplace::new();
    let backend = place.backend();
    let mut fixture = Fixture::default();
    for number in 0..30_u8 {
        fixture.file(format!("/{number}"), &vec![number | 1; 5_000_000]);
    }
    for (headroom_bytes, reserved) in [(0, 0), (3 * MIB, 300), (300 * MIB, 0)] {
        let asked = options().with_size(ImageSize::Fit { headroom_bytes }).with_reserved_blocks(reserved);
        let images = ["a", "b"].map(|name| place.image(name));
        for image in &images {
            let report = build(&backend, image, &asked, &fixture).unwrap();
            let spare = report.free_bytes - headroom_bytes - reserved * 4096;
            assert!(spare < 2 * MIB, "{headroom_bytes}: {report:?}");
            assert_eq!(image.metadata().unwrap().len(), report.size_bytes);
            assert_eq!(u64::from(reserve_and_journal(image).0), reserved);
            require!(assert_clean(image.as_std_path()));
            check_image(image, &fixture.tree, &fixture.store);
        }
        assert!(std::fs::read(&images[0]).unwrap() == std::fs::read(&images[1]).unwrap());
        for image in &images {
            std::fs::remove_file(image).unwrap();
        }
    }
}

#[test]
fn more_inodes_than_usual_fit() {
    let place = Workplace::new();
    let mut fixture = Fixture::default();
    for number in 0..9000 {
        fixture.file(format!("/{number}"), b"");
    }
    for headroom_bytes in [0, 300 * MIB] {
        let image = place.image("image");
        let asked = options().with_size(ImageSize::Fit { headroom_bytes });
        let report = build(&NativeBackend, &image, &asked, &fixture).unwrap();
        // One inode for each 16 KiB of headroom.
        let free = u64::from(report.inodes - report.used_inodes);
        assert!(free >= headroom_bytes / 16384, "{headroom_bytes}: {report:?}");
        require!(assert_silent(image.as_std_path()));
        check_image(&image, &fixture.tree, &fixture.store);
        std::fs::remove_file(&image).unwrap();
    }
}

#[test]
fn both_backends_make_the_journal_and_the_reserve_that_were_asked_for() {
    let place = Workplace::new();
    let e2fsprogs = place.backend();
    let backends: [&dyn Ext4Backend; 2] = [&NativeBackend, &e2fsprogs];
    let mut fixture = Fixture::default();
    fixture.file("/file", b"content");
    for backend in backends {
        let mut sizes = Vec::new();
        for (journal, reserved) in [
            (JournalSize::Usual, 0),
            (JournalSize::None, 0),
            (JournalSize::None, 700),
            (JournalSize::Bytes(8 * MIB), 8192),
            (JournalSize::Bytes(4 * MIB), 1),
        ] {
            let image = place.image(&format!("{}-{journal:?}-{reserved}", backend.name()));
            let size = ImageSize::Bytes(64 * MIB);
            let asked = options().with_size(size).with_journal(journal).with_reserved_blocks(reserved);
            let report = build(backend, &image, &asked, &fixture).unwrap();
            let found = reserve_and_journal(&image);
            assert_eq!((u64::from(found.0), found.1), (reserved, journal != JournalSize::None));
            require!(assert_clean(image.as_std_path()));
            check_image(&image, &fixture.tree, &fixture.store);
            sizes.push(report.free_bytes);
        }
        let [usual, none, with_reserve, of_8, of_4] = sizes.try_into().unwrap();
        assert_eq!(none, with_reserve);
        assert!(none >= usual + 4 * MIB && none <= usual + 4 * MIB + 8192, "{none} {usual}");
        assert_eq!((usual, of_4 - of_8), (of_4, 4 * MIB));
    }
}

#[test]
fn impossible_journals_and_reserves_are_named() {
    let place = Workplace::new();
    let e2fsprogs = place.backend();
    let backends: [&dyn Ext4Backend; 2] = [&NativeBackend, &e2fsprogs];
    for backend in backends {
        let image = place.image("image");
        for (asked, code) in [
            (options().with_journal(JournalSize::Bytes(1024 * 4096 - 1)), 312),
            (options().with_journal(JournalSize::Bytes(u64::MAX)), 312),
            (options().with_size(ImageSize::Bytes(16 * MIB)).with_reserved_blocks(2049), 313),
            (options().with_size(ImageSize::Auto { at_least_bytes: MIB }).with_reserved_blocks(1 << 40), 313),
            (options().with_size(ImageSize::Fit { headroom_bytes: 1 << 50 }), 302),
            (options().with_size(ImageSize::Bytes(16 * MIB)).with_journal(JournalSize::Bytes(16 * MIB)), 302),
        ] {
            let built = build(backend, &image, &asked, &Fixture::default());
            let error = built.unwrap_err();
            // mke2fs finds out itself that a journal leaves no room.
            let is_full = matches!(error, Ext4Error::NoSpace { .. }) && code == 302;
            assert!(error.code() == code || is_full, "{}: {error}", backend.name());
            assert!(matches!(error.kind(), ErrorKind::Argument | ErrorKind::NoSpace), "{error}");
            assert_eq!(place.leftovers(), [""; 0]);
        }
    }
}
