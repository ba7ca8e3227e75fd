//! Shrinking finished images: what e2fsck, the kernel and resize2fs say of it.

use std::process::Command;
use std::sync::Arc;

use banger_ext4::Ext4Editor;
use banger_testkit::{
    Access, Listing, Mounted, assert_silent_after_kernel, copy_sparse, e2fsck_check, e2fscks, listing,
    require, tools,
};
use banger_tree::{Attributes, NodeKind, Rootfs, RootfsError, Xattrs};
use camino::Utf8Path;

use crate::editor::{Maker, Numbers, Place, make, path};
use crate::support::crash::{Event, Recorder, check_crashes};
use crate::support::fixture::mode;
use crate::support::is_root;

const MIB: u64 = 1 << 20;

/// Returns attributes with a large xattr, which needs a block of its own.
fn rich(value: u8) -> Attributes {
    Attributes { xattrs: Xattrs::from_iter([("user.large", vec![value; 700])]), ..mode(0o644) }
}

/// Fills an image to `percent` of its free space with files, directories and hard links, and then removes files at
/// random until `kept` of a hundred are left.
pub(crate) fn load(editor: &mut Ext4Editor, numbers: &mut Numbers, percent: u64, kept: usize) {
    let usage = editor.usage().unwrap();
    // Without a journal, each commit needs free blocks for one.
    let has_journal = editor.features().iter().any(|feature| feature == "has_journal");
    let lent = if has_journal { 0 } else { 4000 * usage.block_bytes };
    let most = usage.free_bytes.saturating_sub(lent) * percent / 100;
    let most_inodes = usage.free_inodes as usize * percent as usize / 100;
    let (mut used, mut files, mut dirs) = (0, Vec::new(), vec!["".to_owned()]);
    while used < most && files.len() + dirs.len() < most_inodes {
        if files.len() % 40 == 0 && dirs.len() < 60 {
            let dir = format!("{}/dir-{}", dirs[numbers.below(dirs.len())], dirs.len());
            editor.create_dir(&path(&dir), &mode(0o755)).unwrap();
            dirs.push(dir);
        }
        let name = format!("{}/a file with number {}", dirs[numbers.below(dirs.len())], files.len());
        let length = [0, 100, 5000, 60_000, 400_000][numbers.below(5)];
        let content: Vec<u8> = (0..length).map(|at| (at / 7 + files.len()) as u8 | 1).collect();
        let attributes = if numbers.below(4) == 0 { rich(numbers.below(250) as u8) } else { mode(0o640) };
        match editor.write_file(&path(&name), &mut &content[..], &attributes) {
            Ok(()) => {}
            Err(RootfsError::NoSpace { .. }) => break,
            Err(error) => panic!("{error}"),
        }
        if numbers.below(6) == 0 {
            let link = format!("{}/link {}", dirs[numbers.below(dirs.len())], files.len());
            editor.hard_link(&path(&name), &path(&link)).unwrap();
        }
        used += length as u64 + 4096;
        files.push(name);
        if editor.is_commit_due() {
            editor.commit().unwrap();
        }
    }
    editor.commit().unwrap();
    let target = files.len() * kept / 100;
    while files.len() > target {
        let name = files.swap_remove(numbers.below(files.len()));
        editor.remove(&path(&name)).unwrap();
        if editor.is_commit_due() {
            editor.commit().unwrap();
        }
    }
    editor.commit().unwrap();
}

/// Fails unless the image is sound, has the size and holds what it held.
pub(crate) fn check(image: &Utf8Path, size_bytes: u64, want: &Listing, label: &str) {
    for fsck in e2fscks().unwrap() {
        if let Err(complaint) = e2fsck_check(&fsck, image.as_std_path()) {
            panic!("{label}: {}: {complaint}", fsck.display());
        }
    }
    assert_eq!(image.metadata().unwrap().len(), size_bytes, "{label}");
    let editor = Ext4Editor::open(image).unwrap();
    assert_eq!(editor.size_bytes(), size_bytes, "{label}");
    assert_eq!(editor.verify().unwrap().problems, [""; 0], "{label}");
    assert!(listing(&editor).unwrap() == *want, "{label}: other content");
}

/// What `resize2fs -P` says, in bytes.
pub(crate) fn their_minimum(image: &Utf8Path) -> u64 {
    let copy = format!("{image}.theirs");
    copy_sparse(image.as_std_path(), copy.as_ref());
    tools::run(Command::new(tools::tool("e2fsck").unwrap()).args(["-fy", &copy]));
    let output = tools::run(Command::new(tools::tool("resize2fs").unwrap()).args(["-P", &copy]));
    let header = tools::run(Command::new(tools::tool("dumpe2fs").unwrap()).args(["-h", &copy]));
    std::fs::remove_file(&copy).unwrap();
    let number = |text: &[u8], start: &str| -> u64 {
        let text = String::from_utf8_lossy(text).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(start)).unwrap().trim().to_owned();
        line.parse().unwrap()
    };
    number(&output.stdout, "Estimated minimum size of the filesystem:")
        * number(&header.stdout, "Block size:")
}

/// Makers with files in other forms.
const SHAPES: [Maker; 14] = [
    Maker::Native,
    Maker::Mkfs { newer: false, size: "64M", options: &["-b", "4096", "-O", "^has_journal"] },
    Maker::Mkfs { newer: false, size: "64M", options: &["-b", "1024", "-O", "^has_journal"] },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &["-b", "1024", "-O", "^has_journal,^flex_bg", "-g", "1024"],
    },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &["-b", "1024", "-O", "^has_journal,^metadata_csum,^64bit,uninit_bg"],
    },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &[
            "-b",
            "1024",
            "-O",
            "none,ext_attr,filetype,dir_index,sparse_super,large_file",
            "-I",
            "128",
        ],
    },
    Maker::Mkfs {
        newer: true,
        size: "64M",
        options: &["-b", "2048", "-O", "^has_journal,sparse_super2,inline_data"],
    },
    Maker::Mkfs { newer: true, size: "64M", options: &["-b", "4096", "-O", "orphan_file,mmp"] },
    // The journal in the middle, and few inodes: those at the end move.
    Maker::Mkfs { newer: false, size: "64M", options: &["-b", "1024", "-N", "900"] },
    Maker::Mkfs {
        newer: true,
        size: "64M",
        options: &["-b", "1024", "-N", "900", "-O", "inline_data,orphan_file"],
    },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &["-b", "1024", "-g", "4096", "-N", "900", "-O", "^flex_bg"],
    },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &["-b", "2048", "-N", "900", "-O", "fast_commit,^resize_inode"],
    },
    Maker::Mkfs {
        newer: false,
        size: "64M",
        options: &["-b", "1024", "-N", "700", "-O", "^metadata_csum,^filetype"],
    },
    Maker::Mkfs { newer: true, size: "64M", options: &["-b", "4096"] },
];

#[test]
fn shrinks_to_the_minimum_and_not_below() {
    let place = Place::in_memory();
    for (seed, maker) in (1..).zip(&SHAPES) {
        let label = format!("{maker:?}");
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(maker, &image));
        let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
        load(&mut editor, &mut Numbers(seed), 60, 30);
        let want = listing(&editor).unwrap();
        drop(editor);
        let theirs = their_minimum(&image);
        let before = std::fs::read(&image).unwrap();
        let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
        let least = editor.minimum_size_bytes().unwrap();
        eprintln!("{label}: {} can be {least}, by resize2fs {theirs}", editor.size_bytes());
        let block_bytes = editor.usage().unwrap().block_bytes;
        let error = editor.shrink(least - block_bytes).unwrap_err().to_string();
        assert!(error.contains(&format!("at least {least} bytes")), "{label}: {error}");
        drop(editor);
        assert!(std::fs::read(&image).unwrap() == before, "{label}: nothing was written");
        for size_bytes in [40 * MIB, least + 3 * MIB / 2, least] {
            if size_bytes == least {
                std::fs::write(&image, &before).unwrap();
            }
            let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
            let shrunk = editor.shrink(size_bytes).unwrap();
            assert!(
                shrunk <= size_bytes && shrunk + 9 * MIB > size_bytes,
                "{label}: {shrunk} of {size_bytes}"
            );
            drop(editor);
            check(&image, shrunk, &want, &format!("{label} at {size_bytes}"));
        }
        if is_root() {
            Mounted::new(image.as_std_path(), Access::ReadWrite).unwrap().unmount();
            check(&image, least, &want, &format!("{label} after a mount"));
        }
        // Not `open_to_edit`: the loop device of a mount may stay for a moment.
        let mut editor = Ext4Editor::open(&image).unwrap();
        let grown = match editor.resize(64 * MIB) {
            Ok(grown) => grown,
            Err(error) => {
                eprintln!("{label}: {error}");
                continue;
            }
        };
        drop(editor);
        check(&image, grown, &want, &format!("{label}, grown again"));
        if is_root() {
            let mounted = Mounted::new(image.as_std_path(), Access::ReadWrite).unwrap();
            std::fs::write(mounted.path().join("by the kernel"), vec![7; 10 << 20]).unwrap();
            mounted.unmount();
            require!(assert_silent_after_kernel(image.as_std_path()));
        }
    }
}

/// Puts files, directories with directories, hard links and a large directory behind much that goes again.
fn spread(editor: &mut Ext4Editor, filler_bytes: usize, filler_files: usize) {
    let filler = vec![b'f'; filler_bytes];
    editor.write_file(&path("/filler"), &mut &filler[..], &mode(0o644)).unwrap();
    for at in 0..filler_files {
        editor.mknod(&path(&format!("/filler-{at}")), &NodeKind::Fifo, &mode(0o644)).unwrap();
    }
    editor.create_dir(&path("/a"), &mode(0o755)).unwrap();
    editor.create_dir(&path("/a/b"), &rich(3)).unwrap();
    editor.create_dir(&path("/a/b/c"), &mode(0o755)).unwrap();
    for at in 0..40 {
        let name = format!("/a/b/a name that is long enough for an index {at}");
        editor.write_file(&path(&name), &mut format!("{at}").as_bytes(), &mode(0o644)).unwrap();
        editor.hard_link(&path(&name), &path(&format!("/a/b/c/{at}"))).unwrap();
    }
    let pieces: Vec<u8> = (0..12).flat_map(|at| [vec![at + 1; 4096], vec![0; 8192]].concat()).collect();
    editor.write_file(&path("/a/pieces"), &mut &pieces[..], &rich(7)).unwrap();
    editor.symlink(&path("/a/link"), &[b't'; 200], &mode(0o777)).unwrap();
    editor.remove(&path("/filler")).unwrap();
    for at in 0..filler_files {
        editor.remove(&path(&format!("/filler-{at}"))).unwrap();
    }
    editor.commit().unwrap();
}

/// Images whose content moves, with the size of a filler, the number of its files, and the new size.
const CRASHES: [(&str, Maker, usize, usize, u64); 7] = [
    ("plain", Maker::Native, 40 << 20, 0, 32 * MIB),
    (
        "lent: plain",
        Maker::Mkfs { newer: false, size: "16M", options: &["-b", "1024", "-O", "^has_journal"] },
        10 << 20,
        0,
        9 * MIB,
    ),
    (
        "lent: descriptors",
        Maker::Mkfs {
            newer: false,
            size: "24M",
            options: &["-b", "1024", "-g", "1024", "-O", "^flex_bg,^has_journal"],
        },
        10 << 20,
        0,
        9 * MIB,
    ),
    (
        "inodes",
        Maker::Mkfs { newer: false, size: "40M", options: &["-b", "1024", "-N", "240", "-J", "size=1"] },
        1 << 20,
        150,
        22 * MIB,
    ),
    (
        "journal",
        Maker::Mkfs { newer: false, size: "24M", options: &["-b", "1024", "-J", "size=1"] },
        4 << 20,
        0,
        9 * MIB,
    ),
    (
        "descriptors",
        Maker::Mkfs {
            newer: false,
            size: "24M",
            options: &["-b", "1024", "-g", "1024", "-O", "^flex_bg", "-J", "size=1"],
        },
        10 << 20,
        0,
        9 * MIB,
    ),
    (
        "journal and inodes",
        Maker::Mkfs {
            newer: true,
            size: "40M",
            options: &["-b", "1024", "-g", "4096", "-N", "240", "-J", "size=1", "-O", "^flex_bg,orphan_file"],
        },
        4 << 20,
        150,
        12 * MIB,
    ),
];

#[test]
fn a_crash_leaves_the_same_content_in_the_old_or_the_new_size() {
    let place = Place::in_memory();
    require!(tools::tool("e2fsck"));
    for (label, maker, filler_bytes, filler_files, size_bytes) in &CRASHES {
        let base = place.root.join("base");
        let _ = std::fs::remove_file(&base);
        require!(make(maker, &base));
        let mut editor = Ext4Editor::open_to_edit(&base).unwrap();
        spread(&mut editor, *filler_bytes, *filler_files);
        let old = listing(&editor).unwrap();
        drop(editor);
        let recorder = Recorder::new(std::fs::read(&base).unwrap());
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_alone_on(Box::new(recorder), "recorder").unwrap();
        // So that the states can be told apart.
        editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
        let shrunk = editor.shrink(*size_bytes).unwrap();
        let new = listing(&editor).unwrap();
        let events = events.lock().unwrap().clone();
        eprintln!("{label}: to {shrunk}");
        assert!(matches!(events.last(), Some(Event::Size(size)) if *size == shrunk));
        check_crashes(&place, &base, &events, &old, &new, 2, label);
    }
}
