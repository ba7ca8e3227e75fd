//! Where an image made by the native backend is full, and what is said then.

use std::os::unix::fs::MetadataExt;

use banger_ext4::{BuildReport, Ext4Backend, Ext4Editor, Ext4Error, Ext4Options, ImageSize, NativeBackend};
use banger_testkit::{assert_clean, assert_silent, require};
use banger_tree::{ContentError, Inode, LayerIndex, NodeKind, Tree};
use camino::Utf8Path;

use crate::e2fsprogs::{Workplace, build, options};
use crate::support::fixture::mode;
use crate::support::{Fixture, check_image};

fn sized(bytes: u64) -> Ext4Options {
    options().with_size(ImageSize::Bytes(bytes))
}

/// Builds an image of `size_bytes` with one file of `blocks` blocks.
fn with_blocks(image: &Utf8Path, size_bytes: u64, blocks: u64) -> Result<BuildReport, Ext4Error> {
    let mut builder = NativeBackend.create(image, &sized(size_bytes))?;
    let id = builder.begin(LayerIndex(0), blocks * 4096)?;
    for _ in 0..blocks {
        builder.append(id, &[1; 4096])?;
    }
    builder.finish(id)?;
    let mut tree = Tree::new();
    let kind = NodeKind::Regular { size_bytes: blocks * 4096, content: Some(id) };
    tree.insert(tree.root(), b"file", Inode::new(kind, mode(0o644))).unwrap();
    builder.build_ext4(&tree)
}

#[test]
fn an_exactly_full_image_builds_and_one_block_less_does_not() {
    for size_bytes in [8 << 20, 300 << 20] {
        let place = Workplace::new();
        let image = place.image("image");
        let free_blocks = with_blocks(&image, size_bytes, 1).unwrap().free_bytes / 4096;
        std::fs::remove_file(&image).unwrap();

        let report = with_blocks(&image, size_bytes, 1 + free_blocks).unwrap();
        assert_eq!(report.free_bytes, 0);
        require!(assert_clean(image.as_std_path()));
        std::fs::remove_file(&image).unwrap();

        // One block more of content, or one less of image.
        let error = with_blocks(&image, size_bytes, 2 + free_blocks).unwrap_err();
        let Ext4Error::Content(ContentError::NoSpace { store, needed_bytes: 4096, .. }) = &error else {
            panic!("{error}");
        };
        assert!(store.contains(&size_bytes.to_string()), "{error}");
        assert_eq!(place.leftovers(), [""; 0]);
        with_blocks(&image, size_bytes - 4096, 1 + free_blocks).unwrap_err();
        assert_eq!(place.leftovers(), [""; 0]);
    }
}

/// The content fits, but its directories do not.
#[test]
fn a_tree_that_does_not_fit_says_what_would() {
    let place = Workplace::new();
    let image = place.image("image");
    let mut fixture = Fixture::default();
    for number in 0..1500 {
        fixture.dir(format!("/{number}"));
    }
    let asked = sized(10 << 20).with_inodes(Some(2000));
    let error = build(&NativeBackend, &image, &asked, &fixture).unwrap_err();
    let Ext4Error::NoSpace { size_bytes, needed_bytes } = error else { panic!("{error}") };
    assert_eq!(size_bytes, 10 << 20);
    assert!((10 << 20..20 << 20).contains(&needed_bytes), "{needed_bytes}");
    assert_eq!(place.leftovers(), [""; 0]);
    let enough = asked.with_size(ImageSize::Bytes(needed_bytes));
    build(&NativeBackend, &image, &enough, &fixture).unwrap();
    check_image(&image, &fixture.tree, &fixture.store);
}

/// More inodes than the size has by default: the tables move behind the content.
#[test]
fn t15_inodes_enough_for_the_tree_and_for_more() {
    for (size, inodes) in [
        (ImageSize::Bytes(64 << 20), None),
        (ImageSize::Auto { at_least_bytes: 16 << 20 }, None),
        (ImageSize::Auto { at_least_bytes: 300 << 20 }, Some(70_000)),
        (ImageSize::Bytes(300 << 20), None),
    ] {
        let place = Workplace::new();
        let image = place.image("image");
        let mut fixture = Fixture::default();
        fixture.dir("/d");
        fixture.file("/content", &[1; 500_000]);
        for number in 0..26_000 {
            fixture.file(format!("/d/{number}"), if number % 100 == 0 { b"x" } else { b"" });
        }
        let options = options().with_size(size).with_inodes(inodes);
        let report = build(&NativeBackend, &image, &options, &fixture).unwrap();
        assert!(report.inodes >= report.used_inodes + report.used_inodes / 5, "{report:?}");
        assert!(report.inodes >= inodes.unwrap_or(0), "{report:?}");
        require!(assert_clean(image.as_std_path()));
        check_image(&image, &fixture.tree, &fixture.store);
    }
}

#[test]
fn t06_t16_released_content_leaves_nothing_on_the_host() {
    let place = Workplace::new();
    let image = place.image("image");
    let mut builder = NativeBackend.create(&image, &sized(256 << 20)).unwrap();
    let mut put = |bytes: &[u8]| {
        let id = builder.begin(LayerIndex(0), bytes.len() as u64).unwrap();
        builder.append(id, bytes).unwrap();
        builder.finish(id).unwrap();
        id
    };
    let secret = b"a secret that a later layer removes ".repeat(100_000);
    let released = put(&secret);
    let kept = put(&[7; 100_000]);
    let unnamed = put(&secret);
    builder.release(released).unwrap();
    assert!(builder.release(released).is_err());
    let mut tree = Tree::new();
    let kind = NodeKind::Regular { size_bytes: 100_000, content: Some(kept) };
    tree.insert(tree.root(), b"kept", Inode::new(kind, mode(0o644))).unwrap();
    let _ = unnamed;
    builder.build_ext4(&tree).unwrap();
    require!(assert_clean(image.as_std_path()));
    let held = image.metadata().unwrap().blocks() * 512;
    assert!(held < 1 << 20, "the image takes {held} bytes of the host's disk");
    let bytes = std::fs::read(&image).unwrap();
    assert!(!bytes.windows(16).step_by(4).any(|window| window == &secret[..16]), "stale content");
}

#[test]
fn equal_calls_make_equal_bytes() {
    let mut images = Vec::new();
    for cut in [1000, 4096, 100_000] {
        let place = Workplace::new();
        let image = place.image("image");
        let mut builder = NativeBackend.create(&image, &options()).unwrap();
        let mut tree = Tree::new();
        for number in 0..200_u8 {
            let bytes = [number / 2; 9000].repeat(1 + usize::from(number % 7));
            let id = builder.begin(LayerIndex(0), bytes.len() as u64).unwrap();
            bytes.chunks(cut).for_each(|part| builder.append(id, part).unwrap());
            builder.finish(id).unwrap();
            if number % 3 == 0 {
                builder.release(id).unwrap();
                continue;
            }
            let kind = NodeKind::Regular { size_bytes: bytes.len() as u64, content: Some(id) };
            let name = format!("file-{number}");
            tree.insert(tree.root(), name.as_bytes(), Inode::new(kind, mode(0o644))).unwrap();
        }
        builder.build_ext4(&tree).unwrap();
        require!(assert_clean(image.as_std_path()));
        images.push(std::fs::read(&image).unwrap());
    }
    assert!(images.iter().all(|image| *image == images[0]), "however the bytes are cut");
}

#[test]
fn a_cancelled_build_leaves_nothing() {
    let place = Workplace::new();
    let options = options();
    let builder = NativeBackend.create(&place.image("image"), &options).unwrap();
    options.cancellation.cancel();
    assert!(matches!(builder.build_ext4(&Tree::new()), Err(Ext4Error::Cancelled)));
    drop(NativeBackend.create(&place.image("dropped"), &options).unwrap());
    assert_eq!(place.leftovers(), [""; 0]);
}

/// The ends of groups, with and without copies of the superblock, that have hardly room for themselves.
#[test]
fn t01_t14_t15_sizes_at_the_ends_of_groups() {
    let place = Workplace::new();
    let image = place.image("image");
    let group = 32768_u64;
    // The smallest there is, then what each of the first groups, if it is the last, has.
    let mut sizes = vec![1200, 1271, 2000, group - 1];
    for full in 1..=4 {
        // With 129 blocks for descriptors or without, and 512 blocks of inodes.
        for rest in [0, 1, 513, 514, 563, 564, 643, 644, 692, 693, 694, 8 * 100 + 1, group - 1] {
            sizes.push(full * group + rest);
        }
    }
    let mut smallest = None;
    for (at, blocks) in sizes.into_iter().enumerate() {
        // One for 16 KiB, hardly any, an odd number, as many as a bitmap has bits.
        let inodes = [None, Some(12), Some(10_001), Some(32768 * 2)][at % 4];
        let options = sized(blocks * 4096).with_inodes(inodes);
        let mut fixture = Fixture::default();
        fixture.file("/file", &[3; 300_000]);
        let built = build(&NativeBackend, &image, &options, &fixture);
        let Ok(report) = built else {
            assert!(
                smallest.is_none() || inodes == Some(32768 * 2),
                "{blocks} blocks, {inodes:?}: {built:?}"
            );
            continue;
        };
        smallest.get_or_insert(blocks);
        assert!(report.size_bytes <= blocks * 4096 && report.size_bytes + 694 * 4096 * 4 > blocks * 4096);
        require!(assert_silent(image.as_std_path()));
        let problems = Ext4Editor::open(&image).unwrap().verify().unwrap().problems;
        assert_eq!(problems, [""; 0], "{blocks} blocks, {inodes:?}");
        std::fs::remove_file(&image).unwrap();
    }
    assert!(smallest.is_some_and(|blocks| blocks < 2000));
}
