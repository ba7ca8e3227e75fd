//! Extremes: slow ones are ignored by default. `cargo test --release -p banger-ext4 -- --ignored
//! native_extremes --nocapture` runs them and prints what they took.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Instant;

use banger_ext4::{BuildReport, Ext4Backend, Ext4Builder, Ext4Options, ImageSize, NativeBackend};
use banger_testkit::{assert_silent, require};
use banger_tree::{ContentId, Inode, LayerIndex, NodeKind, Tree};
use camino::Utf8Path;

use crate::e2fsprogs::{Workplace, build, options};
use crate::support::fixture::mode;
use crate::support::judge::with_mounted;
use crate::support::{Fixture, check_image};

fn sized(size: ImageSize) -> Ext4Options {
    options().with_size(size)
}

fn put(builder: &mut dyn Ext4Builder, bytes: &[u8]) -> ContentId {
    let id = builder.begin(LayerIndex(0), bytes.len() as u64).unwrap();
    builder.append(id, bytes).unwrap();
    builder.finish(id).unwrap();
    id
}

fn regular(size_bytes: u64, content: Option<ContentId>) -> Inode {
    Inode::new(NodeKind::Regular { size_bytes, content }, mode(0o644))
}

fn directory() -> Inode {
    Inode::new(NodeKind::empty_directory(), mode(0o755))
}

/// Builds, has e2fsck check, and prints the time and what the host holds.
fn timed_build(what: &str, image: &Utf8Path, builder: Box<dyn Ext4Builder>, tree: &Tree) -> BuildReport {
    let start = Instant::now();
    let report = builder.build_ext4(tree).unwrap();
    let took = start.elapsed();
    let held = image.metadata().unwrap().blocks() * 512;
    eprintln!("{what}: {:.3} s to build, {held} bytes on the host, {report:?}", took.as_secs_f64());
    report
}

#[test]
#[ignore = "a million files"]
fn a_million_files() {
    let place = Workplace::new();
    let image = place.image("image");
    let start = Instant::now();
    let mut builder = NativeBackend.create(&image, &sized(ImageSize::DEFAULT)).unwrap();
    let mut tree = Tree::new();
    for dir in 0..1000 {
        let dir_id = tree.insert(tree.root(), format!("dir-{dir}").as_bytes(), directory()).unwrap();
        for file in 0..1000 {
            let bytes = format!("content of {dir}/{file}\n");
            let id = (file % 4 == 0).then(|| put(&mut *builder, bytes.as_bytes()));
            let size_bytes = if id.is_some() { bytes.len() as u64 } else { 0 };
            tree.insert(dir_id, format!("file-{file}").as_bytes(), regular(size_bytes, id)).unwrap();
        }
    }
    eprintln!("content took {:.3} s", start.elapsed().as_secs_f64());
    let report = timed_build("a million files", &image, builder, &tree);
    assert_eq!(report.used_inodes, 1_001_011);
    require!(assert_silent(image.as_std_path()));
    with_mounted(&image, |root| {
        for (dir, file) in [(0, 0), (999, 996), (500, 500)] {
            let text = std::fs::read_to_string(root.join(format!("dir-{dir}/file-{file}"))).unwrap();
            assert_eq!(text, format!("content of {dir}/{file}\n"));
        }
        assert_eq!(root.join("dir-77").read_dir().unwrap().count(), 1000);
    });
}

#[test]
fn t03_t12_names_and_subdirectories_beyond_all_counts() {
    let place = Workplace::new();
    for (what, count, kind) in [
        ("300,000 names", 300_000, NodeKind::Fifo),
        ("70,000 subdirectories", 70_000, NodeKind::empty_directory()),
        ("64,998 subdirectories", 64_998, NodeKind::empty_directory()),
        ("64,999 subdirectories", 64_999, NodeKind::empty_directory()),
    ] {
        let image = place.image("image");
        let mut tree = Tree::new();
        let many = tree.insert(tree.root(), b"many", directory()).unwrap();
        let is_dir = kind == NodeKind::empty_directory();
        for number in 0..count {
            let name = format!("a-name-with-number-{number}");
            tree.insert(many, name.as_bytes(), Inode::new(kind.clone(), mode(0o700))).unwrap();
        }
        let builder = NativeBackend.create(&image, &sized(ImageSize::DEFAULT)).unwrap();
        timed_build(what, &image, builder, &tree);
        require!(assert_silent(image.as_std_path()));
        with_mounted(&image, |root| {
            let many = root.join("many");
            assert_eq!(many.read_dir().unwrap().count(), count);
            let links = if is_dir && count + 2 > 65_000 { 1 } else { 2 + u64::from(is_dir) * count as u64 };
            assert_eq!(many.metadata().unwrap().nlink(), links, "{what}");
            for number in (0..count).step_by(997) {
                let name = many.join(format!("a-name-with-number-{number}"));
                assert!(name.symlink_metadata().is_ok(), "{number}");
            }
            assert!(many.join("a-name-with-number-x").symlink_metadata().is_err());
        });
        std::fs::remove_file(&image).unwrap();
    }
}

/// So many names of one length that some of equal hash come to lie in two leaves: all are found.
#[test]
#[ignore = "a directory of 100 MB"]
fn t03_equal_hashes_in_two_leaves() {
    const COUNT: usize = 300_000;
    let place = Workplace::new();
    let image = place.image("image");
    let name = |number: usize| format!("{number:0250}");
    let mut tree = Tree::new();
    for number in 0..COUNT {
        let inode = Inode::new(NodeKind::Fifo, mode(0o700));
        tree.insert(tree.root(), name(number).as_bytes(), inode).unwrap();
    }
    let builder = NativeBackend.create(&image, &sized(ImageSize::DEFAULT)).unwrap();
    timed_build("300,000 long names", &image, builder, &tree);
    require!(assert_silent(image.as_std_path()));
    with_mounted(&image, |root| {
        for number in 0..COUNT {
            assert!(root.join(name(number)).symlink_metadata().is_ok(), "{number}");
        }
    });
}

#[test]
fn t04_t16_a_hole_of_a_hundred_gigabytes() {
    const SIZE: u64 = 100 << 30;
    let place = Workplace::new();
    let image = place.image("image");
    let mut builder = NativeBackend.create(&image, &options()).unwrap();
    let id = builder.begin(LayerIndex(0), SIZE).unwrap();
    builder.append(id, b"start").unwrap();
    builder.append_hole(id, SIZE - 8).unwrap();
    builder.append(id, b"end").unwrap();
    builder.finish(id).unwrap();
    let mut tree = Tree::new();
    tree.insert(tree.root(), b"large", regular(SIZE, Some(id))).unwrap();
    timed_build("100 GiB of hole", &image, builder, &tree);
    require!(assert_silent(image.as_std_path()));
    with_mounted(&image, |root| {
        let file = std::fs::File::open(root.join("large")).unwrap();
        assert_eq!((file.metadata().unwrap().len(), file.metadata().unwrap().blocks()), (SIZE, 16));
        let mut bytes = [1; 5];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"start");
        file.read_exact_at(&mut bytes, SIZE - 5).unwrap();
        assert_eq!(&bytes, b"\0\0end");
        file.read_exact_at(&mut bytes, SIZE / 2).unwrap();
        assert_eq!(bytes, [0; 5]);
    });
}

#[test]
fn t04_fifty_thousand_extents() {
    let place = Workplace::new();
    let image = place.image("image");
    let size_bytes = 50_000 * 8192;
    let mut builder = NativeBackend.create(&image, &sized(ImageSize::Bytes(400 << 20))).unwrap();
    let id = builder.begin(LayerIndex(0), size_bytes).unwrap();
    let block = |number: u64| number.to_le_bytes().repeat(512);
    for number in 0..50_000 {
        builder.append_hole(id, 4096).unwrap();
        builder.append(id, &block(number + 1)).unwrap();
    }
    builder.finish(id).unwrap();
    let mut tree = Tree::new();
    tree.insert(tree.root(), b"striped", regular(size_bytes, Some(id))).unwrap();
    timed_build("50,000 extents", &image, builder, &tree);
    require!(assert_silent(image.as_std_path()));
    with_mounted(&image, |root| {
        let bytes = std::fs::read(root.join("striped")).unwrap();
        for (number, pair) in bytes.chunks(8192).enumerate() {
            assert!(pair[..4096].iter().all(|byte| *byte == 0), "{number}");
            assert_eq!(pair[4096..], block(number as u64 + 1), "{number}");
        }
    });
}

#[test]
fn sizes_from_a_few_megabytes_to_sixteen_terabytes() {
    let mut fixture = Fixture::default();
    fixture.dir("/d");
    fixture.file("/d/file", &[3; 300_000]);
    for size_bytes in [6 << 20, 127 << 20, (128 << 20) + 4096, 2 << 30, 64 << 30, 2 << 40] {
        let place = Workplace::new();
        let image = place.image("image");
        let start = Instant::now();
        let report = build(&NativeBackend, &image, &sized(ImageSize::Bytes(size_bytes)), &fixture).unwrap();
        let took = start.elapsed().as_secs_f64();
        let held = image.metadata().unwrap().blocks() * 512;
        eprintln!("{size_bytes} bytes: {took:.3} s, {held} bytes on the host, {report:?}");
        require!(assert_silent(image.as_std_path()));
        check_image(&image, &fixture.tree, &fixture.store);
    }
}

#[test]
#[ignore = "descriptors of 16 TiB keep e2fsck busy for half a minute"]
fn sixteen_terabytes() {
    let mut fixture = Fixture::default();
    fixture.file("/file", &[3; 300_000]);
    let place = Workplace::new();
    let image = place.image("image");
    let start = Instant::now();
    let report = build(&NativeBackend, &image, &sized(ImageSize::Bytes(1 << 44)), &fixture).unwrap();
    let took = start.elapsed().as_secs_f64();
    let held = image.metadata().unwrap().blocks() * 512;
    eprintln!("16 TiB: {took:.3} s, {held} bytes on the host, {report:?}");
    check_image(&image, &fixture.tree, &fixture.store);
}
