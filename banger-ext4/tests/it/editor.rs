//! Random edits of finished images: after each sequence, what is read back and what the kernel shows
//! equal the model, and e2fsck has no complaint. `BANGER_CASES` says how many sequences (250).

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use banger_ext4::{Ext4Backend, Ext4Editor, Ext4Options, ImageSize, NativeBackend};
use banger_testkit::{Skip, assert_equal, assert_silent, copy_sparse, e2fsck_check, e2fscks, require, tools};
use banger_tree::{
    AttributeChange, Attributes, FileType, GuestPath, MemoryStore, NodeKind, Rootfs, RootfsError, Tree,
    TreeRootfs, Xattrs,
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::e2fsprogs::{Workplace, build, has_tools, options};
use crate::support::cases::cases;
use crate::support::check_image;
use crate::support::compare::compare_root;
use crate::support::fixture::mode;
use crate::support::judge::with_mounted;

/// Numbers that look random and are the same each time.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

pub(crate) struct Place {
    _dir: tempfile::TempDir,
    pub(crate) root: Utf8PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// In memory where the host has a place for that, for what is flushed thousands of times.
    pub(crate) fn in_memory() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        if memory.is_dir() { Self::within(memory) } else { Self::new() }
    }

    fn within(parent: &std::path::Path) -> Self {
        let dir = tempfile::Builder::new().prefix("banger-editor-").tempdir_in(parent).unwrap();
        Self { root: Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap(), _dir: dir }
    }
}

/// Makes an empty image by what `maker` says.
const UUID: &str = "62616e67-6572-4220-b465-737420696d67";
const HASH_SEED: &str = "hash_seed=62616e67-6572-4220-b465-737420736565";

pub(crate) fn make(maker: &Maker, path: &Utf8Path) -> Result<(), Skip> {
    match maker {
        Maker::Native => {
            let options = Ext4Options::default()
                .with_size(ImageSize::Bytes(64 << 20))
                .with_uuid(*b"banger edit test")
                .with_hash_seed([3; 16]);
            NativeBackend.create(path, &options).unwrap().build_ext4(&Tree::new()).unwrap();
        }
        Maker::Mkfs { newer, size, options } => {
            let program = if *newer { tools::newer_e2fsprogs("mke2fs")? } else { tools::tool("mke2fs")? };
            let mut command = Command::new(program);
            // Equal from run to run, but for times.
            command.args(["-q", "-F", "-t", "ext4", "-U", UUID, "-E", HASH_SEED]);
            command.args(*options).arg(path).arg(size);
            tools::run(&mut command);
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Maker {
    Native,
    Mkfs { newer: bool, size: &'static str, options: &'static [&'static str] },
}

pub(crate) const MAKERS: [Maker; 11] = [
    Maker::Native,
    Maker::Mkfs { newer: false, size: "64M", options: &[] },
    Maker::Mkfs { newer: true, size: "64M", options: &[] },
    Maker::Mkfs { newer: false, size: "600M", options: &[] },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &["-b", "4096", "-O", "^metadata_csum,^64bit,uninit_bg"],
    },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &["-b", "2048", "-O", "^metadata_csum,^resize_inode,^ext_attr,^large_file"],
    },
    Maker::Mkfs {
        newer: true,
        size: "64M",
        options: &["-b", "4096", "-O", "orphan_file,metadata_csum_seed"],
    },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &["-b", "1024", "-O", "^flex_bg,^dir_index", "-g", "1024"],
    },
    Maker::Mkfs { newer: false, size: "64M", options: &["-b", "1024", "-O", "^dir_nlink,^huge_file"] },
    // The defaults of 1.46.
    Maker::Mkfs { newer: true, size: "64M", options: &["-O", "^metadata_csum_seed,^orphan_file"] },
    Maker::Mkfs { newer: true, size: "64M", options: &["-b", "4096", "-O", "^64bit,^resize_inode"] },
];

pub(crate) fn path(text: &str) -> GuestPath {
    GuestPath::parse(text).unwrap()
}

fn attributes(numbers: &mut Numbers) -> Attributes {
    let mut attributes = mode(0o600 + u16::try_from(numbers.below(0o200)).unwrap());
    attributes.uid = u32::try_from(numbers.below(70_000)).unwrap();
    attributes.mtime.seconds += numbers.below(1 << 30) as i64 * 8 - (1 << 31);
    attributes.mtime.nanoseconds = u32::try_from(numbers.below(1_000_000_000)).unwrap();
    if numbers.below(3) == 0 {
        // Those of users are only for files and directories.
        for at in 0..numbers.below(4) {
            let length = [3, 60, 300][numbers.below(3)];
            attributes.xattrs.insert(format!("trusted.x{at}"), vec![b'v'; length]);
        }
    }
    if numbers.below(5) == 0 {
        let entries =
            [(1_u16, 6_u16, u32::MAX), (2, 7, 1000), (4, 4, u32::MAX), (16, 7, u32::MAX), (32, 4, u32::MAX)];
        let mut acl = vec![2, 0, 0, 0];
        for (tag, perm, id) in entries {
            acl.extend_from_slice(&tag.to_le_bytes());
            acl.extend_from_slice(&perm.to_le_bytes());
            acl.extend_from_slice(&id.to_le_bytes());
        }
        attributes.xattrs.insert("system.posix_acl_access", acl);
    }
    attributes
}

fn content(numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..numbers.below(4) {
        let length = [10, 1024, 4096, 9000, 40_000][numbers.below(5)];
        let value = if numbers.below(3) == 0 { 0 } else { b'a' + numbers.below(26) as u8 };
        bytes.extend(std::iter::repeat_n(value, length));
    }
    bytes
}

/// One edit, made of all, with the same outcome.
pub(crate) fn step(numbers: &mut Numbers, all: &mut [&mut dyn Rootfs]) {
    let dirs = ["/", "/a", "/b", "/a/c", "/link", "/b/d/e"];
    let names = ["a", "b", "c", "d", "e", "link", "a name that is a little longer than the others", "f", "g"];
    let pick = |numbers: &mut Numbers| {
        let dir = dirs[numbers.below(dirs.len())];
        path(&format!("{dir}/{}", names[numbers.below(names.len())]))
    };
    let (first, second) = (pick(numbers), pick(numbers));
    let mut attributes = attributes(numbers);
    let content = content(numbers);
    let long = "t".repeat(1 + numbers.below(200));
    let targets = ["a", "/b", "../c", "nowhere", long.as_str()];
    let target = targets[numbers.below(targets.len())].as_bytes();
    let kinds = [
        NodeKind::Fifo,
        NodeKind::Socket,
        NodeKind::CharDevice { major: 1, minor: 3 },
        NodeKind::BlockDevice { major: 259, minor: 70_000 },
    ];
    let kind = &kinds[numbers.below(kinds.len())];
    let many = 1 + numbers.below(80);
    let choice = numbers.below(16);
    let is_symlink = |rootfs: &dyn Rootfs| {
        rootfs.stat(&first).is_ok_and(|stat| stat.is_some_and(|stat| stat.file_type == FileType::Symlink))
    };
    if choice == 7 || is_symlink(&*all[0]) {
        // ext4 stores it, and the kernel does not show it.
        attributes.xattrs.remove(b"system.posix_acl_access");
    }
    let edit = |rootfs: &mut dyn Rootfs| -> Vec<Result<(), RootfsError>> {
        vec![match choice {
            0..=2 => rootfs.create_dir(&first, &attributes),
            3..=6 => rootfs.write_file(&first, &mut &content[..], &attributes),
            7 => rootfs.symlink(&first, target, &attributes),
            8 => rootfs.hard_link(&first, &second),
            9 => rootfs.mknod(&first, kind, &attributes),
            10 => rootfs.remove(&first),
            11 | 12 => rootfs.rename(&first, &second),
            13 => rootfs.set_attributes(&first, &AttributeChange::from(&attributes)),
            14 => {
                let change =
                    AttributeChange { uid: Some(7), xattrs: Some(Xattrs::default()), ..Default::default() };
                rootfs.set_attributes(&first, &change)
            }
            _ => {
                let name =
                    |at| first.join(format!("{at:-<width$}", width = 1 + many * 2).as_bytes()).unwrap();
                let make = (0..many)
                    .map(|at| rootfs.mknod(&name(at), &NodeKind::Fifo, &attributes))
                    .collect::<Vec<_>>();
                let take = (0..many / 3).map(|at| rootfs.remove(&name(at * 2))).collect::<Vec<_>>();
                return make.into_iter().chain(take).collect();
            }
        }]
    };
    let (model, others) = all.split_first_mut().expect("the model comes first");
    let want = edit(&mut **model);
    for other in others {
        for (want, found) in want.iter().zip(edit(&mut **other)) {
            let kind = |outcome: &Result<(), RootfsError>| outcome.as_ref().err().map(std::mem::discriminant);
            assert_eq!(kind(&found), kind(want), "{choice} {first} {second}: {found:?}, want {want:?}");
        }
    }
}

fn sequences() -> usize {
    std::env::var("BANGER_CASES").map_or(250, |text| text.parse().expect("BANGER_CASES is a number"))
}

#[test]
fn images_of_both_backends_read_as_their_trees() {
    let place = Workplace::new();
    for (name, mut fixture) in cases() {
        let e2fsprogs = place.backend();
        let backends: [&dyn Ext4Backend; 2] = [&NativeBackend, &e2fsprogs];
        for backend in &backends[..if has_tools() { 2 } else { 1 }] {
            let image = place.image("image");
            build(*backend, &image, &options(), &fixture)
                .unwrap_or_else(|error| panic!("{name}, {}: {error}", backend.name()));
            eprintln!("{name}, {}", backend.name());
            let model = TreeRootfs::new(&mut fixture.tree, &mut fixture.store);
            let mut editor = Ext4Editor::open(&image).unwrap();
            assert_equal(&model, &editor);
            editor.create_dir(&path("/added by an edit"), &mode(0o700)).unwrap();
            for entry in editor.read_dir(&GuestPath::root()).unwrap() {
                let at = GuestPath::root().join(&entry.name).unwrap();
                let _ = editor.rename(&at, &path("/added by an edit").join(&entry.name).unwrap());
            }
            editor.commit().unwrap();
            drop(editor);
            require!(assert_silent(image.as_std_path()));
            std::fs::remove_file(&image).unwrap();
        }
    }
}

/// Sequences of edits that are made of one empty image, one after the other.
const SEQUENCES_OF_IMAGE: usize = 25;

/// Makes what small edits make too seldom: an index of names, and an extent tree of several levels.
pub(crate) fn enrich(all: &mut [&mut dyn Rootfs], block_size: usize) {
    let pieces: Vec<u8> =
        (0..360).flat_map(|at| [vec![at as u8 | 1; block_size], vec![0; block_size]].concat()).collect();
    for rootfs in all {
        rootfs.create_dir(&path("/a"), &mode(0o755)).unwrap();
        for at in 0..150 {
            let name = path(&format!("/a/one of the names that need an index, the one of number {at}"));
            rootfs.mknod(&name, &NodeKind::Fifo, &mode(0o600)).unwrap();
        }
        rootfs.write_file(&path("/f"), &mut &pieces[..], &mode(0o644)).unwrap();
    }
}

fn random_sequences(place: &Place, group: usize, base: &Utf8Path, e2fscks: &[std::path::PathBuf]) {
    let image = place.root.join(format!("image-{group}"));
    copy_sparse(base.as_std_path(), image.as_std_path());
    let mut numbers = Numbers(group as u64);
    let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
    let root = Ext4Editor::open(&image).unwrap().stat(&GuestPath::root()).unwrap().unwrap();
    *tree.attributes_mut(tree.root()) = root.attributes;
    for sequence in 0..SEQUENCES_OF_IMAGE {
        let mut model = TreeRootfs::new(&mut tree, &mut store);
        let mut editor = Ext4Editor::open(&image).unwrap();
        if sequence == 0 && (group / MAKERS.len()).is_multiple_of(2) {
            enrich(&mut [&mut model, &mut editor], 1024);
        }
        for _ in 0..1 + numbers.below(16) {
            step(&mut numbers, &mut [&mut model, &mut editor]);
        }
        if sequence % 4 == 1 {
            assert_equal(&model, &editor);
        }
        editor.commit().unwrap();
        drop(editor);
        if sequence % 4 == 3 {
            assert_equal(&model, &Ext4Editor::open(&image).unwrap());
        }
        // Each e2fsck takes its turn, and at the end all of them.
        let e2fsck = &e2fscks[sequence % e2fscks.len()];
        if let Err(complaint) = e2fsck_check(e2fsck, image.as_std_path()) {
            let maker = &MAKERS[group % MAKERS.len()];
            panic!("{maker:?}, group {group}, sequence {sequence}: {}: {complaint}", e2fsck.display());
        }
        with_mounted(&image, |root| {
            let differences = compare_root(root, &tree, &store);
            assert!(differences.is_empty(), "group {group}, sequence {sequence}: {}", differences.join("\n"));
        });
    }
    assert_silent(image.as_std_path()).unwrap();
    check_image(&image, &tree, &store);
    std::fs::remove_file(&image).unwrap();
}

#[test]
fn random_edits_equal_the_model() {
    let place = Place::in_memory();
    let e2fscks = require!(e2fscks());
    let bases: Vec<_> = (0..MAKERS.len()).map(|at| place.root.join(format!("empty-{at}"))).collect();
    for (maker, base) in MAKERS.iter().zip(&bases) {
        require!(make(maker, base));
        require!(assert_silent(base.as_std_path()));
    }
    let groups = sequences().div_ceil(SEQUENCES_OF_IMAGE);
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let group = next.fetch_add(1, Ordering::Relaxed);
                    if group >= groups {
                        break;
                    }
                    random_sequences(&place, group, &bases[group % bases.len()], &e2fscks);
                }
            });
        }
    });
    eprintln!("{} sequences", groups * SEQUENCES_OF_IMAGE);
}
