//! Crashes at every write of a commit, and damaged images.

use std::sync::Arc;
use std::time::{Duration, Instant};

use banger_ext4::Ext4Editor;
use banger_testkit::{assert_equal, assert_silent, listing, require, tools};
use banger_tree::{AttributeChange, MemoryStore, NodeKind, Rootfs, RootfsError, Tree, TreeRootfs};

use crate::editor::{MAKERS, Maker, Numbers, Place, make, path, step};
use crate::support::crash::{PIECE, Recorder, check_crashes, mount_once};
use crate::support::fixture::mode;
use crate::support::is_root;

const SMALL: [Maker; 3] = [
    Maker::Mkfs { newer: false, size: "8M", options: &[] },
    Maker::Mkfs { newer: false, size: "16M", options: &["-b", "4096"] },
    Maker::Mkfs { newer: true, size: "8M", options: &["-O", "^metadata_csum,^64bit"] },
];

#[test]
fn a_crash_leaves_the_old_or_the_new_state() {
    let place = Place::new();
    require!(tools::tool("e2fsck"));
    for (number, maker) in SMALL.iter().enumerate() {
        let base = place.root.join("base");
        let _ = std::fs::remove_file(&base);
        require!(make(maker, &base));
        if number > 0 && is_root() {
            // The kernel asks for checksums in the journal from its first mount on.
            mount_once(&place, &base);
        }
        let mut numbers = Numbers(number as u64 + 100);
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut model = TreeRootfs::new(&mut tree, &mut store);
        let mut editor = Ext4Editor::open(&base).unwrap();
        (0..25).for_each(|_| step(&mut numbers, &mut [&mut model, &mut editor]));
        editor.commit().unwrap();
        drop(editor);
        let old = listing(&model).unwrap();

        let recorder = Recorder::new(std::fs::read(&base).unwrap());
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_on(Box::new(recorder), "recorder").unwrap();
        (0..60).for_each(|_| step(&mut numbers, &mut [&mut model, &mut editor]));
        // More blocks than one descriptor block tells of.
        for at in 0..70 {
            model.create_dir(&path(&format!("/dir-{at}")), &mode(0o755)).unwrap();
            editor.create_dir(&path(&format!("/dir-{at}")), &mode(0o755)).unwrap();
        }
        editor.commit().unwrap();
        let new = listing(&model).unwrap();
        assert!(old != new);

        let events = events.lock().unwrap().clone();
        check_crashes(&place, &base, &events, &old, &new, 1, &format!("{maker:?}"));
    }
}

#[test]
fn a_failing_host_is_an_error_and_the_old_state_or_one_to_recover() {
    let place = Place::new();
    let image = place.root.join("image");
    require!(make(&SMALL[1], &image));
    let base = Recorder::new(std::fs::read(&image).unwrap());
    let mut outcomes = [0; 3];
    for fails_at in 1.. {
        let recorder = base.failing_at(fails_at);
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_on(Box::new(recorder), "recorder").unwrap();
        editor.symlink(&path("/link"), b"target", &mode(0o777)).unwrap();
        let committed = editor.commit();
        let mut left = base.clone();
        left.apply(&events.lock().unwrap());
        let left = Ext4Editor::open_on(Box::new(left), "left");
        match (committed, left) {
            (Ok(()), Ok(left)) => {
                assert!(left.stat(&path("/link")).unwrap().is_some());
                outcomes[2] += 1;
                break;
            }
            (Err(RootfsError::Io { .. }), Ok(left)) => {
                // Either nothing happened, or all but the last steps, which the journal has.
                let again = editor.commit();
                if left.stat(&path("/link")).unwrap().is_some() {
                    assert!(again.is_err(), "what took effect cannot be tried again");
                    outcomes[1] += 1;
                } else {
                    outcomes[0] += usize::from(again.is_ok());
                }
            }
            other => panic!("write {fails_at}: {other:?}"),
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

/// Reads all there is, then makes changes of every kind.
fn exercise(storage: Recorder) -> Result<(), RootfsError> {
    let mut editor = Ext4Editor::open_on(Box::new(storage), "damaged")?;
    let _ = listing(&editor);
    let attributes = mode(0o644);
    let outcomes = [
        editor.write_file(&path("/new"), &mut &[1; 5000][..], &attributes),
        editor.write_file(&path("/many/name-100"), &mut &b"x"[..], &attributes),
        editor.mknod(&path("/many/and one more with a long name"), &NodeKind::Fifo, &attributes),
        editor.create_dir(&path("/a/new"), &attributes),
        editor.rename(&path("/a"), &path("/many/a")),
        editor.set_attributes(&path("/xattrs"), &AttributeChange::from(&attributes)),
        editor.remove(&path("/many")),
        editor.remove(&path("/sparse")),
    ];
    drop(outcomes);
    editor.commit()
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let place = Place::new();
    for (number, maker) in
        MAKERS.iter().enumerate().filter(|(_, maker)| !matches!(maker, Maker::Mkfs { size: "600M", .. }))
    {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(maker, &image));
        let mut editor = Ext4Editor::open(&image).unwrap();
        let attributes = mode(0o755);
        editor.create_dir(&path("/many"), &attributes).unwrap();
        for at in 0..400 {
            editor.mknod(&path(&format!("/many/name-{at}")), &NodeKind::Fifo, &attributes).unwrap();
        }
        editor.create_dir(&path("/a"), &attributes).unwrap();
        editor.symlink(&path("/a/link"), "l".repeat(100).as_bytes(), &attributes).unwrap();
        let mut with_xattrs = attributes.clone();
        with_xattrs.xattrs.insert("user.small", "value");
        with_xattrs.xattrs.insert("user.large", vec![7; 600]);
        editor.write_file(&path("/xattrs"), &mut &b"x"[..], &with_xattrs).unwrap();
        // Enough extents for a tree.
        let sparse: Vec<u8> = (0..40).flat_map(|at| [[at; 4096], [0; 4096]].concat()).collect();
        editor.write_file(&path("/sparse"), &mut &sparse[..], &attributes).unwrap();
        editor.commit().unwrap();
        let sound = listing(&editor).unwrap();
        drop(editor);

        let bytes = std::fs::read(&image).unwrap();
        let used: Vec<usize> = (0..bytes.len() / 1024)
            .filter(|at| bytes[at * 1024..][..1024].iter().any(|byte| *byte != 0))
            .collect();
        let has_checksums = bytes[1024 + 0x64 + 1] & 4 != 0;
        let mut numbers = Numbers(number as u64);
        let (mut errors, mut slowest) = (0, Duration::ZERO);
        let sound_image = Recorder::new(bytes);
        for _ in 0..100 {
            let mut damaged = sound_image.clone();
            for _ in 0..=numbers.below(2) {
                let block = used[numbers.below(used.len())];
                // The fields that matter most are at the start of a block.
                let at = block * 1024 + [numbers.below(1024), numbers.below(64)][numbers.below(2)];
                let byte = &mut damaged.piece_mut(block)[at % PIECE];
                *byte = match numbers.below(3) {
                    0 => 0xff,
                    1 => 0,
                    _ => *byte ^ (1 << numbers.below(8)),
                };
            }
            let started = Instant::now();
            match Ext4Editor::open_on(Box::new(damaged.clone()), "damaged")
                .and_then(|editor| listing(&editor))
            {
                Err(_) => errors += 1,
                Ok(found) if has_checksums => {
                    // Only bytes of files have no checksum.
                    for (path, (stat, first, _)) in &sound {
                        let found = &found[path];
                        assert!((&found.0, &found.1) == (stat, first), "{maker:?}: {path} changed unnoticed");
                    }
                }
                Ok(_) => {}
            }
            let _ = exercise(damaged);
            slowest = slowest.max(started.elapsed());
        }
        assert!(errors > if has_checksums { 10 } else { 0 }, "{maker:?}: {errors} errors");
        assert!(slowest < Duration::from_secs(5), "{maker:?}: {slowest:?}");
        for _ in 0..20 {
            let length = numbers.below(sound_image.base.len());
            let cut = Recorder::new(sound_image.base[..length].to_vec());
            let outcome = Ext4Editor::open_on(Box::new(cut), "cut");
            assert!(matches!(outcome, Err(RootfsError::Corrupt { .. } | RootfsError::Unsupported { .. })));
        }
    }
}

#[test]
fn edits_in_memory_are_gone_without_commit() {
    let place = Place::new();
    let image = place.root.join("image");
    require!(make(&Maker::Native, &image));
    let before = Ext4Editor::open(&image).unwrap();
    let mut editor = Ext4Editor::open(&image).unwrap();
    editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
    // Another one has it open.
    assert!(matches!(editor.commit(), Err(RootfsError::InUse { .. })));
    drop(editor);
    assert_equal(&before, &Ext4Editor::open(&image).unwrap());
    require!(assert_silent(image.as_std_path()));
}
