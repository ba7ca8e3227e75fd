//! Random edits of finished images: what is read back equals the model, e2fsck has no complaint,
//! and a sample is shown to the kernel. `BANGER_CASES` says how many sequences (60).

use std::collections::BTreeMap;
use std::process::Command;

use banger_ext4::{Ext4Backend, Ext4Editor, Ext4Options, ImageSize, NativeBackend};
use banger_testkit::{Skip, assert_silent, copy_sparse, require, tools};
use banger_tree::{
    AttributeChange, Attributes, FileType, GuestPath, MemoryStore, NodeKind, Rootfs, RootfsError, Stat, Tree,
    TreeRootfs, Xattrs,
};
use camino::{Utf8Path, Utf8PathBuf};

use crate::e2fsprogs::{Workplace, build, has_tools, options};
use crate::support::cases::cases;
use crate::support::check_image;
use crate::support::fixture::mode;

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
        let dir = tempfile::Builder::new().prefix("banger-editor-").tempdir().unwrap();
        Self { root: Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap(), _dir: dir }
    }
}

/// Makes an empty image by what `maker` says.
pub(crate) fn make(maker: &Maker, path: &Utf8Path) -> Result<(), Skip> {
    match maker {
        Maker::Native => {
            let options = Ext4Options {
                size: ImageSize::Bytes(64 << 20),
                uuid: *b"banger edit test",
                hash_seed: [3; 16],
                ..Ext4Options::default()
            };
            NativeBackend.create(path, &options).unwrap().build_ext4(&Tree::new()).unwrap();
        }
        Maker::Mkfs { newer, size, options } => {
            let program = if *newer { tools::newer_e2fsprogs("mke2fs")? } else { tools::tool("mke2fs")? };
            let mut command = Command::new(program);
            command.args(["-q", "-F", "-t", "ext4"]).args(*options).arg(path).arg(size);
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

pub(crate) const MAKERS: [Maker; 9] = [
    Maker::Native,
    Maker::Mkfs { newer: false, size: "64M", options: &[] },
    Maker::Mkfs { newer: true, size: "64M", options: &[] },
    Maker::Mkfs { newer: false, size: "600M", options: &[] },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &["-b", "4096", "-O", "^metadata_csum,^64bit,uninit_bg"],
    },
    Maker::Mkfs { newer: false, size: "64M", options: &["-b", "2048", "-O", "^metadata_csum,^resize_inode"] },
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

/// One edit, made of both.
pub(crate) fn step(numbers: &mut Numbers, model: &mut dyn Rootfs, editor: &mut dyn Rootfs) {
    let dirs = ["/", "/a", "/b", "/a/c", "/link", "/b/d/e"];
    let names = ["a", "b", "c", "d", "e", "link", "a name that is a little longer than the others", "f", "g"];
    let pick = |numbers: &mut Numbers| {
        let dir = dirs[numbers.below(dirs.len())];
        path(&format!("{dir}/{}", names[numbers.below(names.len())]))
    };
    let (first, second) = (pick(numbers), pick(numbers));
    let attributes = attributes(numbers);
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
    let (want, found) = (edit(model), edit(editor));
    for (want, found) in want.iter().zip(&found) {
        let kind = |outcome: &Result<(), RootfsError>| outcome.as_ref().err().map(std::mem::discriminant);
        assert_eq!(kind(found), kind(want), "{choice} {first} {second}: {found:?}, want {want:?}");
    }
}

/// What is at a path: its status, the first path of the same inode, and its bytes or target.
type Listed = (Stat, GuestPath, Vec<u8>);
/// All that [`listing`] finds.
pub(crate) type Listing = BTreeMap<GuestPath, Listed>;

/// Returns all that can be read, but what a tree and an image cannot have in common: inode
/// numbers, `lost+found` and what it changes of the root.
pub(crate) fn listing(rootfs: &dyn Rootfs) -> Result<Listing, RootfsError> {
    let mut listing = BTreeMap::new();
    let mut firsts = BTreeMap::new();
    let mut pending = vec![GuestPath::root()];
    while let Some(at) = pending.pop() {
        let mut stat = rootfs.stat(&at)?.ok_or_else(|| RootfsError::NotFound { path: at.clone() })?;
        let first = firsts.entry(stat.inode).or_insert_with(|| at.clone()).clone();
        stat.inode = 0;
        if stat.nlink > 65_000 {
            stat.nlink = 1;
        }
        if at.is_root() {
            (stat.nlink, stat.attributes) = (0, Attributes::default());
        }
        let bytes = match stat.file_type {
            FileType::Regular if stat.size_bytes > 256 << 20 => {
                let mut start = vec![0; 1 << 16];
                let length = rootfs.read_at(&at, 0, &mut start)?;
                start.truncate(length);
                start
            }
            FileType::Regular => rootfs.read(&at)?,
            FileType::Symlink => rootfs.read_link(&at)?,
            FileType::Directory => {
                for entry in rootfs.read_dir(&at)? {
                    if !at.is_root() || entry.name != b"lost+found" {
                        pending.push(at.join(&entry.name).map_err(RootfsError::Path)?);
                    }
                }
                Vec::new()
            }
            _ => Vec::new(),
        };
        listing.insert(at, (stat, first, bytes));
    }
    Ok(listing)
}

/// Fails unless both have the same names, with the same of everything.
pub(crate) fn assert_equal(want: &dyn Rootfs, found: &dyn Rootfs) {
    let (want, found) = (listing(want).unwrap(), listing(found).unwrap());
    for (path, listed) in &want {
        assert!(found.get(path) == Some(listed), "{path}: {:?}, want {listed:?}", found.get(path));
    }
    assert_eq!(found.len(), want.len());
}

fn sequences() -> usize {
    std::env::var("BANGER_CASES").map_or(60, |text| text.parse().expect("BANGER_CASES is a number"))
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

#[test]
fn random_edits_equal_the_model() {
    let place = Place::new();
    for (number, maker) in MAKERS.iter().enumerate() {
        let empty = place.root.join(format!("empty-{number}"));
        require!(make(maker, &empty));
        require!(assert_silent(empty.as_std_path()));
        for case in 0..sequences().div_ceil(MAKERS.len()) {
            let image = place.root.join("image");
            copy_sparse(empty.as_std_path(), image.as_std_path());
            let mut numbers = Numbers((case * MAKERS.len() + number) as u64);
            let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
            let root = Ext4Editor::open(&image).unwrap().stat(&GuestPath::root()).unwrap().unwrap();
            *tree.attributes_mut(tree.root()) = root.attributes;
            for round in 0..3 {
                let mut model = TreeRootfs::new(&mut tree, &mut store);
                let mut editor = Ext4Editor::open(&image).unwrap();
                for _ in 0..numbers.below(40) {
                    step(&mut numbers, &mut model, &mut editor);
                }
                if round == 0 {
                    assert_equal(&model, &editor);
                }
                editor.commit().unwrap();
                drop(editor);
                assert_equal(&model, &Ext4Editor::open(&image).unwrap());
                if case % 4 == 0 || round == 2 {
                    eprintln!("{maker:?}, case {case}, round {round}");
                    require!(assert_silent(image.as_std_path()));
                }
            }
            if case == 0 {
                check_image(&image, &tree, &store);
            }
        }
    }
}
