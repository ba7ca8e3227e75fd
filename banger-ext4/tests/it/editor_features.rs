//! Images of mkfs.ext4 with all its features, and of ext2 and ext3: read as the kernel reads them, edited
//! without a complaint of e2fsck, or refused by the feature's name.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use banger_ext4::Ext4Editor;
use banger_testkit::{assert_equal, assert_silent, listing, require, tools};
use banger_tree::{GuestPath, MemoryStore, NodeKind, Rootfs, RootfsError, Tree, TreeRootfs};
use camino::Utf8Path;

use crate::editor::{Maker, Numbers, Place, enrich, make, path, step};
use crate::support::compare::compare_root;
use crate::support::fixture::mode;
use crate::support::import::import;
use crate::support::is_root;
use crate::support::judge::with_mounted;
use crate::support::rootfs::told;

/// What a maker of images has besides the defaults, and whether it is edited here.
#[derive(Clone, Copy, Debug)]
struct Feature {
    options: &'static [&'static str],
    is_edited: bool,
}

const fn edited(options: &'static [&'static str]) -> Feature {
    Feature { options, is_edited: true }
}

const fn read_only(options: &'static [&'static str]) -> Feature {
    Feature { options, is_edited: false }
}

const FEATURES: &[Feature] = &[
    edited(&["-I", "128"]),
    edited(&["-I", "128", "-b", "1024", "-O", "^metadata_csum"]),
    edited(&["-I", "512"]),
    edited(&["-I", "1024", "-b", "2048"]),
    read_only(&["-O", "quota"]),
    read_only(&["-O", "project,quota"]),
    edited(&["-O", "project"]),
    edited(&["-O", "verity"]),
    edited(&["-O", "large_dir"]),
    edited(&["-O", "ea_inode"]),
    edited(&["-O", "encrypt"]),
    edited(&["-O", "casefold"]),
    edited(&["-O", "inline_data"]),
    edited(&["-O", "inline_data", "-I", "512", "-b", "1024"]),
    read_only(&["-O", "bigalloc"]),
    read_only(&["-O", "bigalloc", "-b", "1024", "-C", "16384"]),
    edited(&["-O", "fast_commit"]),
    edited(&["-O", "sparse_super2"]),
    edited(&["-O", "sparse_super2", "-b", "1024", "-g", "1024"]),
    edited(&["-O", "meta_bg,^resize_inode"]),
    edited(&["-O", "meta_bg,^resize_inode,^flex_bg", "-b", "1024", "-g", "256", "-N", "4096"]),
    edited(&["-O", "mmp"]),
    edited(&["-O", "^extent,^64bit"]),
    edited(&["-O", "^extent,^64bit,^metadata_csum", "-b", "1024"]),
    // As ext3 has it.
    edited(&[
        "-O",
        "none,has_journal,ext_attr,filetype,resize_inode,dir_index,sparse_super,large_file",
        "-b",
        "1024",
    ]),
    edited(&["-O", "none,has_journal,ext_attr,filetype,sparse_super", "-I", "128"]),
    edited(&["-O", "^has_journal"]),
    edited(&["-O", "^has_journal,^metadata_csum,^64bit", "-b", "1024"]),
    // As ext2 has it.
    edited(&["-O", "none,ext_attr,filetype,resize_inode,dir_index,sparse_super,large_file", "-b", "4096"]),
    edited(&["-O", "^filetype"]),
    edited(&["-O", "none,ext_attr,dir_index,sparse_super", "-b", "1024", "-I", "128"]),
    edited(&["-b", "65536"]),
    edited(&["-b", "65536", "-O", "^metadata_csum,^has_journal,^dir_index"]),
    edited(&["-b", "32768", "-O", "^extent,^64bit,^metadata_csum"]),
    edited(&["-b", "16384", "-O", "inline_data"]),
    edited(&["-b", "8192", "-O", "^has_journal"]),
];

impl Feature {
    /// Returns a size in which 1024 blocks for a journal leave room for content.
    fn size(&self) -> &'static str {
        if self.has_large_blocks() { "160M" } else { "48M" }
    }

    /// Returns whether its blocks are larger than pages of memory: kernels do not mount it then.
    fn has_large_blocks(&self) -> bool {
        ["8192", "16384", "32768", "65536"].iter().any(|size| self.options.contains(size))
    }
}

fn maker(feature: &Feature) -> Maker {
    Maker::Mkfs { newer: false, size: feature.size(), options: feature.options }
}

/// Makes what each feature stores in its own way: small and large files and directories, holes, long
/// targets, attributes.
pub(crate) const POPULATE: &str = "
    printf 'a little' > tiny; : > empty; seq 30 > small; seq 20000 > large
    mkdir few few/in few/in/two many; ln -s short few/link; ln -s $(printf '%0100d' 7) few/long
    echo x > few/in/x; ln few/in/x few/in/y; mkfifo few/fifo; ln -s $(printf '%059d' 7) few/l59
    seq -f 'many/a name that is long enough for several blocks %.0f' 400 | xargs -d '\\n' touch
    python3 -c \"
with open('holes', 'wb') as file:
    for at in range(0, 61, 2):
        file.seek(4096 * at)
        file.write(b'block')
with open('far', 'wb') as file:
    file.seek(9000 << 10)
    file.write(b'end')\"
    setfattr -n user.small -v value tiny few
    setfattr -n trusted.medium -v $(printf '%0400d' 3) large
    for at in $(seq 9); do mkdir few/d$at; done; rmdir few/d4; mv few/d5 many/; rm many/*37
    find . -exec touch -h -d @1700000000 {} +";
/// What needs a kernel that has the feature.
pub(crate) const POPULATE_MORE: &str = "
    setfattr -n user.huge -v $(printf '%07000d' 3) small 2>/dev/null || true
    mkdir project && chattr -p 77 +P project 2>/dev/null && touch project/x || true
    chattr +E /nonexistent 2>/dev/null || true
    python3 - 2>/dev/null <<'END' || true
import fcntl, os, struct
fd = os.open('large', os.O_RDONLY)
fcntl.ioctl(fd, 0x40806685, struct.pack('<IIIIQII', 1, 1, 4096, 0, 0, 0, 0) + bytes(128 - 32))
END";

/// Makes an image with content of mkfs's `-d`, and with more of the kernel's where it can mount it.
fn populated(place: &Place, feature: &Feature) -> (camino::Utf8PathBuf, camino::Utf8PathBuf) {
    let (image, source) = (place.root.join("image"), place.root.join("source"));
    let _ = (std::fs::remove_file(&image), std::fs::remove_dir_all(&source));
    std::fs::create_dir(&source).unwrap();
    tools::run(Command::new("sh").args(["-ec", POPULATE]).current_dir(&source));
    let mut command = tools::command("mke2fs").unwrap();
    command.args(["-q", "-F", "-t", "ext4", "-d"]).arg(&source).args(feature.options);
    tools::run(command.arg(&image).arg(feature.size()));
    (image, source)
}

/// Has the kernel write into an image; returns whether it can.
fn populated_by_kernel(place: &Place, image: &Utf8Path) -> bool {
    let point = place.root.join("mnt");
    let _ = std::fs::create_dir(&point);
    let mounted = Command::new("mount").args(["-o", "loop"]).arg(image).arg(&point).output().unwrap();
    if !mounted.status.success() {
        return false;
    }
    let script = format!("mkdir kernel; cd kernel; {POPULATE}\n{POPULATE_MORE}");
    let made = tools::try_run(Command::new("sh").args(["-ec", &script]).current_dir(&point));
    tools::run(Command::new("umount").arg(&point));
    made.unwrap_or_else(|error| panic!("{error}"));
    true
}

/// Fails unless `editor` shows what the directory `root` of the host has.
pub(crate) fn assert_same(root: &Path, editor: &Ext4Editor) {
    let mut store = MemoryStore::default();
    let mut tree = import(root, &mut store);
    let lost_found = tree.child(tree.root(), b"lost+found");
    if lost_found.is_some() {
        tree.remove(tree.root(), b"lost+found");
    }
    assert_equal(&TreeRootfs::new(&mut tree, &mut store), editor);
}

#[test]
fn images_with_all_features_read_as_the_kernel_shows_them() {
    if !is_root() {
        return crate::support::skip("only root can mount images");
    }
    let place = Place::in_memory();
    require!(tools::tool("mke2fs").map(drop));
    let mut mounted = 0;
    for feature in FEATURES {
        eprintln!("{feature:?}");
        let (image, source) = populated(&place, feature);
        assert_same(source.as_std_path(), &Ext4Editor::open(&image).unwrap());
        let has_kernel = populated_by_kernel(&place, &image);
        mounted += usize::from(has_kernel);
        let editor = Ext4Editor::open(&image).unwrap();
        if has_kernel {
            with_mounted(&image, |root| assert_same(root, &editor));
        }
        assert_eq!(editor.notes(), [""; 0]);
        match editor.verify() {
            Ok(report) => assert_eq!(report.problems, [""; 0], "{feature:?}"),
            Err(error) => {
                assert!(error.to_string().contains("cannot be read: it has the feature bigalloc"), "{error}")
            }
        }
        assert_eq!(editor.read_at(&path("/large"), 7, &mut [0; 3]).unwrap(), 3);
    }
    assert!(mounted > FEATURES.len() * 2 / 3, "{mounted} of {}", FEATURES.len());
}

#[test]
fn images_with_all_features_are_edited_or_refused_by_name() {
    let place = Place::in_memory();
    require!(tools::tool("mke2fs").map(drop));
    for feature in FEATURES {
        eprintln!("{feature:?}");
        let (image, _) = populated(&place, feature);
        let has_kernel = is_root() && populated_by_kernel(&place, &image);
        if !feature.is_edited {
            let before = std::fs::read(&image).unwrap();
            let error = Ext4Editor::open_to_edit(&image).unwrap_err();
            let names = ["quota", "bigalloc"];
            let text = error.to_string();
            assert!(names.iter().any(|name| text.contains(name)), "{feature:?}: {text}");
            assert!(text.contains("cannot be edited"), "{text}");
            let mut editor = Ext4Editor::open(&image).unwrap();
            let error = editor.create_dir(&path("/new"), &mode(0o755)).unwrap_err();
            assert!(matches!(error, RootfsError::Unsupported { .. }), "{error}");
            drop(editor);
            assert!(std::fs::read(&image).unwrap() == before);
            continue;
        }
        change_all(&image, if has_kernel { &["", "/kernel"] } else { &[""] });
        require!(assert_silent(image.as_std_path()));
        let editor = Ext4Editor::open(&image).unwrap();
        assert_eq!(editor.verify().unwrap().problems, [""; 0]);
        if has_kernel {
            with_mounted(&image, |root| assert_same(root, &editor));
        }
    }
}

/// Changes files, directories, links and attributes below each of `roots`, in several commits.
fn change_all(image: &Utf8Path, roots: &[&str]) {
    for root in roots {
        let at = |name: &str| path(&format!("{root}{name}"));
        let mut editor = Ext4Editor::open_to_edit(image).unwrap();
        editor.write_file(&at("/few/new"), &mut &[9; 300_000][..], &mode(0o640)).unwrap();
        editor.rename(&at("/tiny"), &at("/few/in/two/tiny")).unwrap();
        editor.remove(&at("/few/in/x")).unwrap();
        editor.rename(&at("/few/in"), &at("/many/in")).unwrap();
        let mut rich = mode(0o600);
        rich.xattrs.insert("user.some", vec![5; 90]);
        rich.xattrs.insert("user.more", vec![6; 500]);
        editor.set_attributes(&at("/few/in/two/tiny"), &(&rich).into()).unwrap_err();
        editor.set_attributes(&at("/many/in/two/tiny"), &(&rich).into()).unwrap();
        editor.set_attributes(&at("/few/l59"), &(&mode(0o777)).into()).unwrap();
        editor.commit().unwrap();
        editor.remove(&at("/holes")).unwrap();
        editor.remove(&at("/few/d1")).unwrap();
        for number in 0..150 {
            let name = at(&format!("/many/one more name, as long as the others are {number}"));
            editor.mknod(&name, &NodeKind::Fifo, &mode(0o600)).unwrap();
        }
        editor.symlink(&at("/few/d2/link"), &[b't'; 90], &mode(0o777)).unwrap();
        editor.create_dir(&at("/few/d3/dir"), &mode(0o700)).unwrap();
        editor.hard_link(&at("/empty"), &at("/few/d3/dir/empty")).unwrap();
        editor.commit().unwrap();
        editor.remove(&at("/many")).unwrap();
        editor.commit().unwrap();
    }
}

/// As `random_edits_equal_the_model`, for the features that are not so common.
#[test]
fn random_edits_with_all_features_equal_the_model() {
    let place = Place::in_memory();
    require!(tools::tool("mke2fs").map(drop));
    for (group, feature) in FEATURES.iter().filter(|feature| feature.is_edited).enumerate() {
        let image = place.root.join("random");
        let _ = std::fs::remove_file(&image);
        require!(make(&maker(feature), &image));
        let mut numbers = Numbers(group as u64 + 1000);
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let root = Ext4Editor::open(&image).unwrap().stat(&GuestPath::root()).unwrap().unwrap();
        *tree.attributes_mut(tree.root()) = root.attributes;
        // Their times end in 2038, and have no nanoseconds.
        let has_all_times = !feature.options.contains(&"128");
        for sequence in 0..4 {
            let mut model = TreeRootfs::new(&mut tree, &mut store);
            let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
            if sequence == 0 {
                enrich(&mut [&mut model, &mut editor], 1024);
            }
            for _ in 0..12 {
                step(&mut numbers, &mut [&mut model, &mut editor]);
            }
            if has_all_times {
                assert_equal(&model, &editor);
            } else {
                assert_eq!(listing(&model).unwrap().len(), listing(&editor).unwrap().len());
            }
            editor.commit().unwrap();
            drop(editor);
            require!(assert_silent(image.as_std_path()));
        }
        let editor = Ext4Editor::open(&image).unwrap();
        assert_eq!(editor.verify().unwrap().problems, [""; 0], "{feature:?}");
        let has_casefold = feature.options.iter().any(|option| option.contains("casefold"));
        let is_mounted = !has_casefold && !feature.has_large_blocks();
        if is_mounted && has_all_times {
            with_mounted(&image, |root| {
                let differences = compare_root(root, &tree, &store);
                assert!(differences.is_empty(), "{feature:?}: {}", differences.join("\n"));
            });
        } else if is_mounted && is_root() {
            with_mounted(&image, |root| assert_same(root, &editor));
        }
    }
}

/// Changes the superblock of an image that has no checksums.
fn with_superblock(image: &Utf8Path, offset: usize, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(image).unwrap();
    file.write_all_at(bytes, 1024 + offset as u64).unwrap();
}

#[test]
fn what_is_not_known_is_refused_by_its_name() {
    let place = Place::in_memory();
    let image = place.root.join("image");
    let maker = Maker::Mkfs { newer: false, size: "16M", options: &["-O", "^metadata_csum,^64bit,ext_attr"] };
    // Offset and bytes in the superblock, what reading says, and what editing says.
    type Case<'a> = (usize, &'a [u8], Result<&'a str, &'a str>, &'a str);
    let cases: [Case<'_>; 12] = [
        (0x60, &[0xc3, 0x02], Err("compression"), ""),
        (0x60, &[0xca, 0x02], Err("journal_dev"), ""),
        (0x60, &[0xc2, 0x12], Err("dirdata"), ""),
        (0x63, &[0x80], Err("incompatible feature 0x80000000"), ""),
        (0x62, &[0x08], Err("incompatible feature 0x80000"), ""),
        (0x67, &[0x80], Ok("read-only compatible feature 0x80000000"), "0x80000000"),
        (0x65, &[0x10], Ok(""), "read-only"),
        (0x65, &[0x40], Ok(""), "shared_blocks"),
        (0x64, &[0xeb], Ok(""), "has_snapshot"),
        (0x3a, &[3, 0], Err("has found errors"), ""),
        (0xe8, &[12, 0], Ok(""), "unlinked files are left over"),
        (0x4c, &[2, 0], Err("revision 2"), ""),
    ];
    for (offset, bytes, reading, editing) in cases {
        let _ = std::fs::remove_file(&image);
        require!(make(&maker, &image));
        with_superblock(&image, offset, bytes);
        let outcome = Ext4Editor::open(&image);
        match reading {
            Err(want) => {
                let text = outcome.unwrap_err().to_string();
                assert!(text.contains(want) && !text.contains("cannot be edited"), "{text}");
            }
            Ok(note) => {
                let editor = outcome.unwrap();
                assert_eq!(editor.read_dir(&path("/")).unwrap().len(), 1);
                assert!(editor.notes().iter().any(|text| text.contains(note)) || note.is_empty());
                drop(editor);
                let text = Ext4Editor::open_to_edit(&image).unwrap_err().to_string();
                assert!(text.contains(editing) && text.contains("cannot be edited"), "{text}");
            }
        }
    }
}

#[test]
fn a_file_system_that_another_host_has_mounted_is_only_read() {
    let place = Place::in_memory();
    let image = place.root.join("image");
    require!(make(&Maker::Mkfs { newer: false, size: "16M", options: &["-O", "mmp"] }, &image));
    let bytes = std::fs::read(&image).unwrap();
    let block = u64::from_le_bytes(bytes[1024 + 0x168..1024 + 0x170].try_into().unwrap());
    let offset = usize::try_from(block).unwrap() * (1024 << bytes[1024 + 0x18]);
    assert_eq!(bytes[offset..offset + 4], 0x4d4d50_u32.to_le_bytes());
    with_superblock(&image, offset - 1024 + 4, &7_u32.to_le_bytes());
    with_superblock(&image, offset - 1024 + 16, b"other-host\0");
    assert_eq!(Ext4Editor::open(&image).unwrap().read_dir(&path("/")).unwrap().len(), 1);
    let text = told(&Ext4Editor::open_to_edit(&image).unwrap_err());
    assert!(text.contains("mmp") && text.contains("other-host") && text.contains("clear_mmp"), "{text}");
}

/// A block that only a list of lists of lists has.
#[test]
fn the_third_level_of_lists_is_written_and_read() {
    let place = Place::in_memory();
    let image = place.root.join("image");
    let options = &["-b", "1024", "-O", "^extent,^64bit"];
    require!(make(&Maker::Mkfs { newer: false, size: "80M", options }, &image));
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    let length = (12 + 256 + 256 * 256 + 300) * 1024;
    let mut content = std::io::Read::chain(std::io::repeat(0).take(length), &b"the end"[..]);
    editor.write_file(&path("/far"), &mut content, &mode(0o644)).unwrap();
    editor.commit().unwrap();
    drop(editor);
    require!(assert_silent(image.as_std_path()));
    let editor = Ext4Editor::open(&image).unwrap();
    let mut end = [9; 20];
    assert_eq!(editor.read_at(&path("/far"), length - 5, &mut end).unwrap(), 12);
    assert_eq!(end[..12], *b"\0\0\0\0\0the end");
    with_mounted(&image, |root| {
        let mut bytes = [9; 12];
        let file = std::fs::File::open(root.join("far")).unwrap();
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, length - 5).unwrap();
        assert_eq!(bytes, end[..12]);
    });
}
