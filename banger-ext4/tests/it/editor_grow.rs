//! Growing finished images: what e2fsck, the kernel and resize2fs say of it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Arc;

use banger_ext4::Ext4Editor;
use banger_testkit::{
    Access, Mounted, assert_equal, assert_silent, assert_silent_after_kernel, copy_sparse, listing, require,
    tools,
};
use banger_tree::{Rootfs, RootfsError};
use camino::Utf8Path;

use crate::editor::{MAKERS, Maker, Place, make, path};
use crate::support::crash::{Event, Recorder, check_crashes};
use crate::support::fixture::mode;
use crate::support::is_root;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// What `dumpe2fs -h` says, by name.
fn header(image: &Utf8Path) -> BTreeMap<String, String> {
    let output = tools::run(Command::new(tools::tool("dumpe2fs").unwrap()).arg("-h").arg(image));
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// Puts into an image what growth must not lose.
fn fill(editor: &mut Ext4Editor) {
    editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
    for at in 0..200 {
        let name = path(&format!("/dir/a name that is long enough for an index {at}"));
        editor.write_file(&name, &mut format!("{at}").as_bytes(), &mode(0o644)).unwrap();
    }
    editor.write_file(&path("/large"), &mut &vec![7; 3_000_000][..], &mode(0o644)).unwrap();
}

/// Fails unless `image` is sound, holds what it held, and can be written to by all.
fn check_grown(image: &Utf8Path, before: &Ext4Editor) {
    assert_silent(image.as_std_path()).unwrap();
    assert_equal(before, &Ext4Editor::open(image).unwrap());
    if is_root() {
        let mounted = Mounted::new(image.as_std_path(), Access::ReadWrite).unwrap();
        let root = mounted.path();
        assert_eq!(std::fs::read_dir(root.join("dir")).unwrap().count(), 200);
        std::fs::create_dir(root.join("by the kernel")).unwrap();
        std::fs::write(root.join("by the kernel/file"), vec![1; 20_000_000]).unwrap();
        mounted.unmount();
        assert_silent_after_kernel(image.as_std_path()).unwrap();
    } else {
        crate::support::skip("only root can mount the image");
    }
    let mut editor = Ext4Editor::open(image).unwrap();
    editor.create_dir(&path("/by the editor"), &mode(0o755)).unwrap();
    let content = vec![2; 9_000_000];
    editor.write_file(&path("/by the editor/file"), &mut &content[..], &mode(0o644)).unwrap();
    editor.commit().unwrap();
    drop(editor);
    assert_silent_after_kernel(image.as_std_path()).unwrap();
}

/// Makers of other geometries than those for edits.
const MORE: [Maker; 5] = [
    Maker::Mkfs { newer: false, size: "1G", options: &[] },
    Maker::Mkfs { newer: true, size: "1000M", options: &["-b", "4096", "-O", "^flex_bg"] },
    Maker::Mkfs { newer: false, size: "200M", options: &["-b", "4096", "-O", "^resize_inode"] },
    Maker::Mkfs { newer: false, size: "300M", options: &["-b", "1024", "-O", "^sparse_super,^resize_inode"] },
    Maker::Mkfs { newer: true, size: "200M", options: &["-b", "4096", "-O", "^64bit,^metadata_csum"] },
];

#[test]
fn grows_as_resize2fs_does() {
    let place = Place::new();
    let resize2fs = require!(tools::tool("resize2fs"));
    let mut made = 0;
    for maker in MAKERS.iter().chain(&MORE) {
        let base = place.root.join("base");
        let _ = std::fs::remove_file(&base);
        require!(make(maker, &base));
        let mut editor = Ext4Editor::open(&base).unwrap();
        fill(&mut editor);
        editor.commit().unwrap();
        drop(editor);
        let size = base.metadata().unwrap().len();
        for (wanted, is_large) in [
            (size + MIB, false),
            (size + 130 * MIB + 4096, false),
            (4 * size, false),
            (size / 4096 * 9 / 8 * 4096 + 2500, false),
            (20 * GIB, true),
            (TIB, true),
        ] {
            let before = Ext4Editor::open(&base).unwrap();
            let image = place.root.join("image");
            copy_sparse(base.as_std_path(), image.as_std_path());
            // As where somebody has made the file longer before.
            if wanted == 4 * size {
                std::fs::File::options().write(true).open(&image).unwrap().set_len(wanted + 1).unwrap();
            }
            let mut editor = Ext4Editor::open(&image).unwrap();
            let is_tight = format!("{maker:?}").contains("^resize_inode");
            let grown = match editor.grow(wanted) {
                Ok(grown) => grown,
                Err(RootfsError::Size { size_bytes, reason, .. }) if is_large || is_tight => {
                    assert_eq!(size_bytes, wanted);
                    assert!(reason.contains("descriptors") || reason.contains("journal"), "{reason}");
                    eprintln!("{maker:?} to {wanted}: {reason}");
                    drop(editor);
                    let length = if wanted == 4 * size { wanted + 1 } else { size };
                    assert_eq!(image.metadata().unwrap().len(), length);
                    assert_silent(image.as_std_path()).unwrap();
                    continue;
                }
                Err(error) => panic!("{maker:?} to {wanted}: {error}"),
            };
            made += usize::from(is_large);
            eprintln!("{maker:?} from {size} to {grown}, of {wanted}");
            assert_eq!(editor.size_bytes(), grown);
            drop(editor);
            let header = header(&image);
            let block_size: u64 = header["Block size"].parse().unwrap();
            assert_eq!(header["Block count"].parse::<u64>().unwrap() * block_size, grown);
            assert!(grown <= wanted && grown + 600 * MIB > wanted, "{grown} of {wanted}");
            let has_uninit = header["Filesystem features"].contains("metadata_csum")
                || header["Filesystem features"].contains("uninit_bg");
            let allocated = image.metadata().unwrap().blocks() * 512;
            assert!(
                !has_uninit || allocated < size / 2 + grown / 10_000 + 20 * MIB,
                "{allocated} bytes on the host"
            );
            check_grown(&image, &before);
            if !is_large {
                let other = place.root.join("other");
                copy_sparse(base.as_std_path(), other.as_std_path());
                tools::run(
                    Command::new("truncate")
                        .arg(format!("--size={}", wanted.div_ceil(512) * 512))
                        .arg(&other),
                );
                tools::run(Command::new(&resize2fs).arg(&other).arg(format!("{}s", wanted / 512)));
                let theirs = self::header(&other);
                for name in
                    ["Block count", "Inode count", "Free inodes", "Inodes per group", "Reserved block count"]
                {
                    assert_eq!(header[name], theirs[name], "{maker:?}, {wanted}: {name}");
                }
                let free = |header: &BTreeMap<String, String>| header["Free blocks"].parse::<i64>().unwrap();
                let differs = (free(&header) - free(&theirs)).abs();
                assert!(
                    differs <= 2,
                    "{maker:?}, {wanted}: {} free, {} theirs",
                    free(&header),
                    free(&theirs)
                );
            }
        }
    }
    assert!(made >= 12, "{made} large ones");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let place = Place::new();
    let image = place.root.join("image");
    require!(make(&Maker::Native, &image));
    let before = std::fs::read(&image).unwrap();
    let mut editor = Ext4Editor::open(&image).unwrap();
    for (size_bytes, want) in [
        (0, "cannot shrink"),
        (63 * MIB, "cannot shrink"),
        (200 * TIB, "block numbers"),
        (2 * TIB, "descriptors"),
    ] {
        let text = editor.grow(size_bytes).unwrap_err().to_string();
        assert!(text.contains(want) && text.contains(&size_bytes.to_string()), "{text}");
    }
    assert_eq!(editor.grow(64 * MIB).unwrap(), 64 * MIB, "to what it is, is no change");
    // What is smaller than a block does not count.
    assert_eq!(editor.grow(64 * MIB + 4095).unwrap(), 64 * MIB);
    drop(editor);
    assert!(std::fs::read(&image).unwrap() == before, "nothing was written");

    // A host that fails at any write leaves the size and the changes made before.
    let base = Recorder::new(before);
    let mut failures = 0;
    for fails_at in 1.. {
        let recorder = base.failing_at(fails_at);
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_on(Box::new(recorder), "recorder").unwrap();
        editor.create_dir(&path("/pending"), &mode(0o755)).unwrap();
        match editor.grow(900 * MIB) {
            Ok(grown) => {
                assert_eq!(grown, 900 * MIB);
                break;
            }
            Err(RootfsError::Io { .. }) => failures += 1,
            Err(error) => panic!("{error}"),
        }
        let counts = !events
            .lock()
            .unwrap()
            .iter()
            .any(|event| matches!(event, Event::Size(size) if *size == 64 * MIB));
        if counts {
            // The journal counts: nothing may be written over it.
            assert!(editor.commit().is_err());
            continue;
        }
        assert_eq!(editor.size_bytes(), 64 * MIB);
        assert!(editor.stat(&path("/pending")).unwrap().is_some());
        editor.commit().unwrap();
        assert_eq!(editor.grow(900 * MIB).unwrap(), 900 * MIB);
    }
    assert!(failures > 10, "{failures} failures");
}

#[test]
fn a_crash_leaves_the_old_or_the_new_size() {
    let place = Place::new();
    require!(tools::tool("e2fsck"));
    for (number, maker) in [
        Maker::Native,
        Maker::Mkfs { newer: false, size: "9M", options: &[] },
        Maker::Mkfs { newer: true, size: "40M", options: &["-b", "4096", "-O", "^metadata_csum,^64bit"] },
    ]
    .iter()
    .enumerate()
    {
        let base = place.root.join("base");
        let _ = std::fs::remove_file(&base);
        require!(make(maker, &base));
        let mut editor = Ext4Editor::open(&base).unwrap();
        editor.write_file(&path("/file"), &mut &[1; 100_000][..], &mode(0o644)).unwrap();
        editor.commit().unwrap();
        let old = listing(&editor).unwrap();
        drop(editor);
        let recorder = Recorder::new(std::fs::read(&base).unwrap());
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_on(Box::new(recorder), "recorder").unwrap();
        // With the size goes what was changed before, so that the states can be told apart.
        editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
        let size_bytes = [5 * GIB, 100 * MIB, 700 * MIB][number];
        editor.grow(size_bytes).unwrap();
        let new = listing(&editor).unwrap();
        let events = events.lock().unwrap().clone();
        // The kernel's replay changes the size under its own feet: it goes on with the old one, and
        // counts what is free in the new one at the next mount.
        check_crashes(&place, &base, &events, &old, &new, 2, &format!("{maker:?}"));
    }
}
