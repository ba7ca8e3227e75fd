//! The e2fsprogs backend.

use std::os::unix::fs::{FileExt, MetadataExt};

use banger_e2fsprogs::E2fsprogsBackend;
use banger_ext4::{BuildReport, Ext4Backend, Ext4Error, Ext4Options, ImageSize, NativeBackend};
use banger_tree::{Attributes, Inode, LayerIndex, NodeKind, Timestamp, Tree, Xattrs};
use camino::{Utf8Path, Utf8PathBuf};

use crate::support::cases::cases;
use crate::support::compare::compare_root;
use crate::support::fixture::mode;
use crate::support::judge::{e2fsck, with_mounted};
use crate::support::{Fixture, check_image, skip};

/// A directory for images and one for scratch directories, removed when dropped.
pub(crate) struct Workplace {
    _dir: tempfile::TempDir,
    pub(crate) root: Utf8PathBuf,
}

impl Workplace {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        std::fs::create_dir(root.join("scratch")).unwrap();
        std::fs::create_dir(root.join("images")).unwrap();
        Self { _dir: dir, root }
    }

    pub(crate) fn image(&self, name: &str) -> Utf8PathBuf {
        self.root.join("images").join(name)
    }

    pub(crate) fn backend(&self) -> E2fsprogsBackend {
        E2fsprogsBackend::new().with_scratch_directory(self.root.join("scratch"))
    }

    /// Returns what is in the two directories.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        ["scratch", "images"]
            .into_iter()
            .flat_map(|dir| self.root.join(dir).read_dir_utf8().unwrap())
            .map(|entry| entry.unwrap().path().to_string())
            .collect()
    }
}

pub(crate) fn options() -> Ext4Options {
    Ext4Options::default()
        .with_size(ImageSize::Bytes(96 << 20))
        .with_uuid(*b"uuid of an image")
        .with_hash_seed(*b"seed for hashing")
        .with_label("a label".to_owned())
        .with_timestamp(Timestamp::from_seconds(1_700_000_000))
}

pub(crate) fn build(
    backend: &dyn Ext4Backend,
    image: &Utf8Path,
    options: &Ext4Options,
    fixture: &Fixture,
) -> Result<BuildReport, Ext4Error> {
    let mut builder = backend.create(image, options)?;
    let tree = fixture.transplanted(&mut *builder);
    builder.build_ext4(&tree)
}

/// Calls `test` with each backend that this machine can use, and a place for its images.
pub(crate) fn for_each_backend(test: impl Fn(&Workplace, &dyn Ext4Backend)) {
    let place = Workplace::new();
    test(&place, &NativeBackend);
    if has_tools() {
        let place = Workplace::new();
        test(&place, &place.backend());
    }
}

pub(crate) fn has_tools() -> bool {
    let has = E2fsprogsBackend::new().create(Utf8Path::new("/nonexistent/image"), &options());
    if matches!(has, Err(Ext4Error::ToolMissing { .. })) {
        skip("no e2fsprogs on this machine");
        return false;
    }
    true
}

#[test]
fn every_case_reads_back_as_its_tree_says() {
    if !has_tools() {
        return;
    }
    for (name, fixture) in cases() {
        eprintln!("case: {name}");
        let place = Workplace::new();
        let image = place.image("image");
        let report = build(&place.backend(), &image, &options(), &fixture)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(report.size_bytes, image.metadata().unwrap().len());
        check_image(&image, &fixture.tree, &fixture.store);
        assert_eq!(place.leftovers(), [image.as_str()], "{name}");
    }
}

#[test]
fn equal_trees_make_equal_bytes() {
    if !has_tools() {
        return;
    }
    let mut images = Vec::new();
    for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
        let place = Workplace::new();
        let mut fixture = Fixture::default();
        fixture.dir("/d");
        for number in order {
            fixture.file(format!("/d/file-{number}"), format!("content {number}").as_bytes());
            fixture.add(
                format!("/d/device-{number}"),
                NodeKind::BlockDevice { major: 8, minor: number },
                mode(0o600),
            );
        }
        fixture.add("/new\nline", NodeKind::CharDevice { major: 5, minor: 5 }, mode(0o600));
        let image = place.image("image");
        build(&place.backend(), &image, &options(), &fixture).unwrap();
        images.push(std::fs::read(&image).unwrap());
        // The clock of the host moves on by a second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let different = images[0].iter().zip(&images[1]).position(|(left, right)| left != right);
    assert_eq!(different, None, "first different byte");
    assert_eq!(images[0].len(), images[1].len());
}

#[test]
fn features_identity_and_journal_are_what_was_asked_for() {
    for_each_backend(|place, backend| {
        let image = place.image("image");
        let report = build(backend, &image, &options(), &Fixture::default()).unwrap();
        let mut superblock = [0; 1024];
        std::fs::File::open(&image).unwrap().read_exact_at(&mut superblock, 1024).unwrap();
        let word = |offset: usize| u32::from_le_bytes(superblock[offset..offset + 4].try_into().unwrap());
        assert_eq!(word(0x5c), 0x3c, "has_journal ext_attr resize_inode dir_index");
        assert_eq!(word(0x60), 0x2c2, "filetype extent 64bit flex_bg");
        assert_eq!(
            word(0x64),
            0x46b,
            "sparse_super large_file huge_file dir_nlink extra_isize metadata_csum"
        );
        assert_eq!(&superblock[0x68..0x78], b"uuid of an image");
        assert_eq!(&superblock[0x78..0x88], b"a label\0\0\0\0\0\0\0\0\0");
        assert_eq!(&superblock[0xec..0xfc], b"seed for hashing");
        for (what, offset) in [("s_wtime", 0x30), ("s_lastcheck", 0x40), ("s_mkfs_time", 0x108)] {
            assert_eq!(word(offset), 1_700_000_000, "{what}");
        }
        assert_eq!(report.inodes, word(0));
        assert_eq!(report.used_inodes, 11);
        assert_eq!(report.free_bytes, u64::from(word(0x0c)) * 4096);
        let held = image.metadata().unwrap().blocks() * 512;
        // The journal alone has 4 MiB.
        assert!(held < 3 << 20, "the image takes {held} bytes of the host's disk");
    });
}

/// Times beyond 2310 are right, but e2fsck takes them for times before 1970 that an old kernel
/// wrote wrong; the kernel is the judge here.
#[test]
fn t07_the_last_times_before_2446() {
    for_each_backend(|place, backend| {
        let mut fixture = Fixture::default();
        for (name, mtime) in [("/first", Timestamp::EXT4_MIN), ("/last", Timestamp::EXT4_MAX)] {
            fixture.file_with(name, b"x", Attributes { mtime, ..mode(0o644) });
        }
        let image = place.image("image");
        build(backend, &image, &options(), &fixture).unwrap();
        with_mounted(&image, |root| {
            let differences = compare_root(root, &fixture.tree, &fixture.store);
            assert!(differences.is_empty(), "{differences:?}");
            let stat = std::fs::metadata(root.join("last")).unwrap();
            let times = [(stat.atime(), stat.atime_nsec()), (stat.ctime(), stat.ctime_nsec())];
            assert_eq!(times, [(15_032_385_535, 999_999_999); 2], "atime and ctime are mtime");
            let birth = std::time::UNIX_EPOCH + std::time::Duration::new(15_032_385_535, 999_999_999);
            assert_eq!(stat.created().unwrap(), birth);
        });
    });
}

/// Larger than 32 bits count, and mostly holes: 1.47.3 would cut it short.
#[test]
fn t16_a_file_of_six_gigabytes() {
    for_each_backend(|place, backend| {
        const SIZE: u64 = 6 << 30;
        let image = place.image("image");
        let mut builder = backend.create(&image, &options()).unwrap();
        let id = builder.begin(LayerIndex(0), SIZE).unwrap();
        builder.append_hole(id, SIZE - 3).unwrap();
        builder.append(id, b"end").unwrap();
        builder.finish(id).unwrap();
        let mut tree = Tree::new();
        let kind = NodeKind::Regular { size_bytes: SIZE, content: Some(id) };
        tree.insert(tree.root(), b"large", Inode::new(kind, mode(0o644))).unwrap();
        builder.build_ext4(&tree).unwrap();
        e2fsck(&image);
        with_mounted(&image, |root| {
            let file = std::fs::File::open(root.join("large")).unwrap();
            assert_eq!(file.metadata().unwrap().len(), SIZE);
            assert!(file.metadata().unwrap().blocks() <= 16, "one block of data, perhaps one of extents");
            let mut end = [0; 8];
            assert_eq!(file.read_at(&mut end, SIZE - 5).unwrap(), 5);
            assert_eq!(&end[..5], b"\0\0end");
        });
    });
}

#[test]
fn odd_paths_of_the_host_mean_nothing() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    let scratch = place.root.join("scratch/-sp ace \"quote\" new\nline ünï");
    std::fs::create_dir(&scratch).unwrap();
    let backend = E2fsprogsBackend::new().with_scratch_directory(&scratch);
    let mut fixture = Fixture::default();
    let xattrs = Xattrs::from_iter([("user.a", "b")]);
    fixture.file_with("/file", b"x", Attributes { xattrs, ..mode(0o600) });
    let image = place.image("-d image?offset=4096 \"x\" 'y'\n");
    build(&backend, &image, &options(), &fixture).unwrap();
    let plain = place.image("plain");
    std::fs::rename(&image, &plain).unwrap();
    check_image(&plain, &fixture.tree, &fixture.store);
    assert_eq!(scratch.read_dir_utf8().unwrap().count(), 0);
}

#[test]
fn what_does_not_fit_is_said_with_the_size_that_would() {
    for_each_backend(|place, backend| {
        let image = place.image("image");
        let mut fixture = Fixture::default();
        for number in 0..30 {
            fixture.file(format!("/{number}"), &vec![number + 1; 1_000_000]);
        }
        let sized = |bytes| options().with_size(ImageSize::Bytes(bytes));
        // The native backend has said so by now: see `native_limits`.
        if backend.name() == "e2fsprogs" {
            let error = build(backend, &image, &sized(20 << 20), &fixture).unwrap_err();
            let Ext4Error::NoSpace { size_bytes, needed_bytes } = error else { panic!("{error}") };
            assert_eq!(size_bytes, 20 << 20);
            assert!((30 << 20..60 << 20).contains(&needed_bytes), "{needed_bytes}");
            assert_eq!(place.leftovers(), [""; 0]);
            build(backend, &image, &sized(needed_bytes), &fixture).unwrap();
            std::fs::remove_file(&image).unwrap();
        }

        let auto = options().with_size(ImageSize::Auto { at_least_bytes: 0 });
        let report = build(backend, &image, &auto, &fixture).unwrap();
        assert!((40 << 20..60 << 20).contains(&report.size_bytes), "{report:?}");
        check_image(&image, &fixture.tree, &fixture.store);
        std::fs::remove_file(&image).unwrap();

        let mut many = Fixture::default();
        many.dir("/d");
        for number in 0..3000 {
            many.file(format!("/d/{number}"), b"x");
        }
        let report = build(backend, &image, &auto, &many).unwrap();
        assert!(report.inodes >= 3012, "{report:?}");
        check_image(&image, &many.tree, &many.store);
        std::fs::remove_file(&image).unwrap();

        let too_many = sized(64 << 20).with_inodes(Some(100_000));
        let error = build(backend, &image, &too_many, &fixture).unwrap_err();
        assert!(matches!(error, Ext4Error::NoInodes { inodes: 32_768, needed: 100_000 }), "{error}");
        for bytes in [0, 1 << 20, u64::MAX] {
            let error = build(backend, &image, &sized(bytes), &fixture).unwrap_err();
            assert!(matches!(error, Ext4Error::InvalidSize { .. }), "{error}");
        }
        let label = options().with_label("seventeen bytes..".to_owned());
        let error = build(backend, &image, &label, &fixture).unwrap_err();
        assert!(matches!(error, Ext4Error::InvalidLabel { .. }), "{error}");
        assert_eq!(place.leftovers(), [""; 0]);
    });
}

#[test]
fn a_path_that_mke2fs_fails_on_is_refused() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    let mut fixture = Fixture::default();
    let mut path = String::new();
    while path.len() < 2040 {
        path.push_str("/d");
        fixture.dir(&path);
    }
    let error = build(&place.backend(), &place.image("image"), &options(), &fixture).unwrap_err();
    assert!(matches!(&error, Ext4Error::Limit { path: found, .. } if found.to_string() == path), "{error}");
    assert!(error.to_string().contains("native backend"), "{error}");
    assert_eq!(place.leftovers(), [""; 0]);
}

#[test]
fn t09_limits_name_the_path() {
    for_each_backend(|place, backend| {
        type Case = (&'static str, NodeKind, Xattrs);
        let file = || NodeKind::Regular { size_bytes: 0, content: None };
        let xattr = |name: &str, length| Xattrs::from_iter([(name, vec![1; length])]);
        let cases: [Case; 8] = [
            ("/d/large-xattr", file(), xattr("user.a", 5000)),
            ("/d/many-xattrs", file(), (0..20).map(|n| (format!("user.{n}"), vec![1; 300])).collect()),
            ("/d/namespace", file(), xattr("other.a", 1)),
            ("/d/acl", file(), xattr("system.posix_acl_access", 5)),
            ("/d/empty-target", NodeKind::Symlink { target: (&b""[..]).into() }, Xattrs::default()),
            ("/d/target", NodeKind::Symlink { target: vec![b'x'; 4096].into() }, Xattrs::default()),
            ("/d/device", NodeKind::CharDevice { major: 4096, minor: 0 }, Xattrs::default()),
            ("/lost+found", file(), Xattrs::default()),
        ];
        for (path, kind, xattrs) in cases {
            let mut fixture = Fixture::default();
            fixture.dir("/d");
            fixture.add(path, kind, Attributes { xattrs, ..mode(0o644) });
            let error = build(backend, &place.image("image"), &options(), &fixture).unwrap_err();
            assert!(
                matches!(&error, Ext4Error::Limit { path: found, .. } if found.to_string() == path),
                "{error}"
            );
            assert_eq!(place.leftovers(), [""; 0], "{path}");
        }
        let mut fixture = Fixture::default();
        let id = fixture.file("/first", b"");
        for number in 1..65_001 {
            fixture.link(format!("/{number}"), id);
        }
        let error = build(backend, &place.image("image"), &options(), &fixture).unwrap_err();
        assert!(matches!(error, Ext4Error::Limit { .. }), "{error}");
    });
}
