//! The three implementations of `Rootfs` side by side: a tree, the native editor, debugfs. Equal
//! outcomes of every edit, and equal contents before and after each commit.

use banger_e2fsprogs::E2fsprogsBackend;
use banger_ext4::{Ext4Backend, Ext4Editor, NativeBackend};
use banger_testkit::{assert_equal, assert_silent, copy_sparse, listing, require, tools};
use banger_tree::{
    AttributeChange, GuestPath, MemoryStore, NodeKind, Rootfs, RootfsError, Tree, TreeRootfs, Xattrs,
};
use camino::Utf8PathBuf;

use crate::editor::{MAKERS, Maker, Numbers, Place, enrich, make, path, step};
use crate::support::check_image;
use crate::support::fixture::mode;

/// One image in two copies, and the tree they are held to.
struct Three {
    place: Place,
    native: Utf8PathBuf,
    debugfs: Utf8PathBuf,
    tree: Tree,
    store: MemoryStore,
}

impl Three {
    fn new(maker: &Maker) -> Result<Self, banger_testkit::Skip> {
        tools::tool("debugfs")?;
        let place = Place::in_memory();
        let (native, debugfs) = (place.root.join("native"), place.root.join("debugfs"));
        make(maker, &native)?;
        copy_sparse(native.as_std_path(), debugfs.as_std_path());
        let mut tree = Tree::new();
        let root = Ext4Editor::open(&native).unwrap().stat(&GuestPath::root()).unwrap().unwrap();
        *tree.attributes_mut(tree.root()) = root.attributes;
        Ok(Self { place, native, debugfs, tree, store: MemoryStore::default() })
    }

    fn backend(&self) -> E2fsprogsBackend {
        E2fsprogsBackend::new().with_scratch_directory(&self.place.root)
    }

    /// Edits all three, commits, and compares.
    fn edit(&mut self, edits: impl FnOnce(&mut [&mut dyn Rootfs])) {
        let mut native = NativeBackend.open(&self.native).unwrap();
        let backend = self.backend();
        let mut debugfs = backend.open(&self.debugfs).unwrap();
        let mut model = TreeRootfs::new(&mut self.tree, &mut self.store);
        edits(&mut [&mut model, &mut *native, &mut *debugfs]);
        assert_equal(&model, &*native);
        assert_equal(&model, &*debugfs);
        native.commit().unwrap();
        debugfs.commit().unwrap();
        assert_equal(&model, &*debugfs);
        drop((native, debugfs));
        for image in [&self.native, &self.debugfs] {
            assert_silent(image.as_std_path()).unwrap();
            assert_equal(&model, &*NativeBackend.open(image).unwrap());
            assert_equal(&model, &*backend.open(image).unwrap());
        }
        let mut left: Vec<_> = self.place.root.read_dir_utf8().unwrap().map(Result::unwrap).collect();
        left.retain(|entry| !["native", "debugfs"].contains(&entry.file_name()));
        assert_eq!(left.len(), 0, "{left:?}");
    }
}

fn sequences() -> usize {
    let asked = std::env::var("BANGER_CASES").map_or(250, |text| text.parse().expect("a number"));
    asked / 25
}

#[test]
fn random_edits_of_all_three() {
    for (number, maker) in MAKERS.iter().enumerate() {
        let mut three = require!(Three::new(maker));
        let mut numbers = Numbers(number as u64 + 1000);
        for sequence in 0..sequences().div_ceil(MAKERS.len()) {
            eprintln!("{maker:?}, {sequence}");
            three.edit(|all| {
                if sequence == 0 && number.is_multiple_of(2) {
                    enrich(all, 1024);
                }
                for _ in 0..1 + numbers.below(20) {
                    step(&mut numbers, all);
                }
            });
        }
        for image in [&three.native, &three.debugfs] {
            check_image(image, &three.tree, &three.store);
        }
    }
}

#[test]
fn names_that_mean_something_to_debugfs() {
    let mut three = require!(Three::new(&Maker::Native));
    let odd = [
        "<12>",
        "a b",
        "tab\there",
        "quo\"te",
        "two\"\"quotes\"",
        "line\nbreak",
        "return\rhere",
        "#comment",
        "-w",
        "\\",
        "'",
        "$x",
        "ends with space ",
        "\u{fc}ml\u{e4}ut",
        "*",
        "<",
        "new\n\nlines\n",
    ];
    let name = |dir: &str, name: &str| path(dir).join(name.as_bytes()).unwrap();
    three.edit(|all| {
        for rootfs in &mut *all {
            for (at, odd) in odd.iter().enumerate() {
                rootfs.create_dir(&name("/", odd), &mode(0o755)).unwrap();
                let inner = name("/", odd).join(odd.as_bytes()).unwrap();
                rootfs.write_file(&inner, &mut odd.as_bytes(), &mode(0)).unwrap();
                let link = name("/", odd).join(b"link").unwrap();
                rootfs.symlink(&link, odd.as_bytes(), &mode(0o777)).unwrap();
                let long = odd.repeat(1 + 900 / odd.len());
                rootfs.symlink(&name("/", &format!("long-{at}")), long.as_bytes(), &mode(0o777)).unwrap();
                rootfs.hard_link(&inner, &name("/", &format!("{odd}-hard"))).unwrap();
            }
            rootfs.symlink(&path("/quotes"), "\"".repeat(1000).as_bytes(), &mode(0o777)).unwrap();
            rootfs.write_file(&path("/.banger-new-1"), &mut &b"mine"[..], &mode(0o644)).unwrap();
        }
    });
    three.edit(|all| {
        for rootfs in &mut *all {
            for odd in odd {
                let inner = name("/", odd).join(odd.as_bytes()).unwrap();
                rootfs.rename(&inner, &name("/", &format!("{odd}-moved"))).unwrap();
                let change = AttributeChange { uid: Some(70_000), mode: Some(0o4711), ..Default::default() };
                rootfs.set_attributes(&name("/", &format!("{odd}-moved")), &change).unwrap();
                rootfs.remove(&name("/", &format!("{odd}-hard"))).unwrap();
            }
            rootfs.rename(&path("/<12>"), &path("/<").join(b"<13>").unwrap()).unwrap();
        }
    });
    three.edit(|all| {
        for rootfs in &mut *all {
            for odd in odd.iter().filter(|odd| **odd != "<12>") {
                rootfs.remove(&name("/", odd)).unwrap();
            }
        }
    });
    check_image(&three.debugfs, &three.tree, &three.store);
}

#[test]
fn the_limits_of_ext4_are_the_same_errors() {
    let mut three = require!(Three::new(&Maker::Native));
    let mut rich = mode(0o644);
    rich.xattrs.insert("user.large", vec![1; 5000]);
    let mut unknown = mode(0o644);
    unknown.xattrs.insert("lustre.x", "1");
    three.edit(|all| {
        let (_, images) = all.split_first_mut().unwrap();
        for image in images {
            let before = listing(&**image).unwrap();
            let change =
                |xattrs: &Xattrs| AttributeChange { xattrs: Some(xattrs.clone()), ..Default::default() };
            for (number, outcome) in [
                image.create_dir(&path("/x"), &rich),
                image.write_file(&path("/x"), &mut &b"x"[..], &unknown),
                image.symlink(&path("/x"), &[b'x'; 4096], &mode(0o777)),
                image.symlink(&path("/x"), b"", &mode(0o777)),
                image.mknod(&path("/x"), &NodeKind::CharDevice { major: 1 << 12, minor: 1 }, &mode(0o600)),
                image.mknod(&path("/x"), &NodeKind::empty_directory(), &mode(0o600)),
                image.set_attributes(&GuestPath::root(), &change(&rich.xattrs)),
            ]
            .into_iter()
            .enumerate()
            {
                assert!(matches!(outcome, Err(RootfsError::Limit { .. })), "{number}: {outcome:?}");
            }
            assert!(listing(&**image).unwrap() == before);
        }
    });
    // More than there is room for: an error at the latest when it is committed, and no change.
    let zeros_and_ones = vec![1; 70 << 20];
    for backend in [&NativeBackend as &dyn Ext4Backend, &three.backend()] {
        let image = if backend.name() == "native" { &three.native } else { &three.debugfs };
        let bytes = std::fs::read(image).unwrap();
        let mut rootfs = backend.open(image).unwrap();
        let written = rootfs.write_file(&path("/x"), &mut &zeros_and_ones[..], &mode(0o644));
        let outcome = written.and_then(|()| rootfs.commit());
        assert!(matches!(outcome, Err(RootfsError::NoSpace { .. })), "{}: {outcome:?}", backend.name());
        drop(rootfs);
        if backend.name() != "native" {
            assert!(std::fs::read(image).unwrap() == bytes, "the image is as it was");
        }
        assert_silent(image.as_std_path()).unwrap();
    }
}

#[test]
fn a_debugfs_that_lies_is_caught_and_changes_nothing() {
    let three = require!(Three::new(&Maker::Native));
    let debugfs = tools::tool("debugfs").unwrap();
    let real = debugfs.display();
    for (body, want) in [
        ("exit 0".to_owned(), "is missing"),
        ("exit 3".to_owned(), "exit status 3"),
        ("echo 'ln: bad' >&2".to_owned(), "ln: bad"),
        // Does all but one thing.
        (format!("grep -v '^ln ' script > less; exec {real} -w -f less image"), "is missing"),
        (format!("grep -v ' uid ' script > less; exec {real} -w -f less image"), "uid of inode"),
        (format!("sed 's,contents/0/0,/dev/null,' script > less; exec {real} -w -f less image"), "bytes"),
    ] {
        let program = three.place.root.join("lies");
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = -V ]; then echo 'debugfs 1.47.0 (x)' >&2; exit 0; fi\n{body}\n"
        );
        std::fs::write(&program, text).unwrap();
        let mode_bits = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode_bits).unwrap();
        let bytes = std::fs::read(&three.debugfs).unwrap();
        let mut rootfs = three.backend().with_debugfs(&program).open(&three.debugfs).unwrap();
        let attributes = banger_tree::Attributes { uid: 4321, ..mode(0o640) };
        rootfs.write_file(&path("/file"), &mut &b"content"[..], &attributes).unwrap();
        let error = rootfs.commit().unwrap_err();
        assert!(matches!(error, RootfsError::Tool { .. }), "{body}: {error}");
        assert!(error.to_string().contains(want), "{body}: {error}");
        drop(rootfs);
        assert!(std::fs::read(&three.debugfs).unwrap() == bytes, "{body}");
        std::fs::remove_file(&program).unwrap();
    }
}
