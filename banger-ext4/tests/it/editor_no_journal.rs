//! File systems without a journal: a commit is atomic all the same, and leaves no journal.

use std::process::Command;
use std::sync::Arc;

use banger_ext4::Ext4Editor;
use banger_testkit::{assert_silent, listing, require, tools};
use banger_tree::{Failure, MemoryStore, NodeKind, Rootfs, RootfsError, Tree, TreeRootfs};
use camino::Utf8Path;

use crate::editor::{Maker, Numbers, Place, make, path, step};
use crate::support::crash::{Recorder, check_crashes};
use crate::support::fixture::mode;

const fn maker(size: &'static str, options: &'static [&'static str]) -> Maker {
    Maker::Mkfs { newer: false, size, options }
}

const EXT2: &[&str] =
    &["-O", "none,ext_attr,filetype,resize_inode,dir_index,sparse_super,large_file", "-b", "1024"];

const MAKERS: [Maker; 4] = [
    maker("8M", EXT2),
    maker("16M", &["-b", "4096", "-O", "^has_journal"]),
    maker("8M", &["-O", "^has_journal,^metadata_csum,uninit_bg"]),
    maker("12M", &["-b", "2048", "-O", "none,ext_attr,filetype,sparse_super", "-I", "128"]),
];

/// Returns the feature words of the superblock, and its field for the number of the journal's inode.
fn journal_fields(image: &Utf8Path) -> (u32, u32, u32) {
    let bytes = std::fs::read(image).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[1024 + at..1028 + at].try_into().unwrap());
    (word(0x5c) & 4, word(0x60) & 4, word(0xe0))
}

#[test]
fn a_crash_leaves_the_old_or_the_new_state_also_without_a_journal() {
    let place = Place::in_memory();
    require!(tools::tool("e2fsck"));
    for (number, maker) in MAKERS.iter().enumerate() {
        let base = place.root.join("base");
        let _ = std::fs::remove_file(&base);
        require!(make(maker, &base));
        let mut numbers = Numbers(number as u64 + 300);
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut model = TreeRootfs::new(&mut tree, &mut store);
        let mut editor = Ext4Editor::open_to_edit(&base).unwrap();
        let has_all_times = !format!("{maker:?}").contains("128");
        let mut edit = |editor: &mut Ext4Editor, steps: usize, model: &mut TreeRootfs<'_>| {
            (0..steps).for_each(|_| step(&mut numbers, &mut [model, editor]));
            for rootfs in [model as &mut dyn Rootfs, editor] {
                rootfs.create_dir(&path(&format!("/after {steps}")), &mode(0o750)).unwrap();
            }
            if has_all_times { listing(model).unwrap() } else { listing(editor).unwrap() }
        };
        let old = edit(&mut editor, 20, &mut model);
        editor.commit().unwrap();
        drop(editor);
        assert_silent(base.as_std_path()).unwrap();
        assert_eq!(journal_fields(&base), (0, 0, 0));

        let recorder = Recorder::new(std::fs::read(&base).unwrap());
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_on(Box::new(recorder), "recorder").unwrap();
        let new = edit(&mut editor, 25, &mut model);
        assert!(old != new);
        editor.commit().unwrap();
        let events = events.lock().unwrap().clone();
        check_crashes(&place, &base, &events, &old, &new, 1, &format!("lent: {maker:?}"));
    }
}

/// What a crash left is finished by the next edit: nothing of the journal stays.
#[test]
fn an_edit_after_a_crash_clears_the_inode_of_the_journal() {
    let place = Place::in_memory();
    for maker in &MAKERS {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(maker, &image));
        let base = Recorder::new(std::fs::read(&image).unwrap());
        let recorder = base.failing_at(usize::MAX);
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_alone_on(Box::new(recorder), "recorder").unwrap();
        editor.create_dir(&path("/made"), &mode(0o755)).unwrap();
        editor.commit().unwrap();
        let events = events.lock().unwrap().clone();
        let mut states = [0; 2];
        for crash in 0..=events.len() {
            let mut left = base.failing_at(usize::MAX);
            left.apply(&events[..crash]);
            let mut editor = Ext4Editor::open_alone_on(Box::new(left.clone()), "left").unwrap();
            let is_made = editor.stat(&path("/made")).unwrap().is_some();
            states[usize::from(is_made)] += 1;
            let edits = Arc::clone(&left.events);
            editor.create_dir(&path("/again"), &mode(0o755)).unwrap();
            editor.commit().unwrap();
            drop(editor);
            left.apply(&edits.lock().unwrap());
            let mut bytes = vec![0; std::fs::metadata(&image).unwrap().len() as usize];
            banger_ext4::Storage::read_at(&left, 0, &mut bytes).unwrap();
            let finished = place.root.join("finished");
            std::fs::write(&finished, bytes).unwrap();
            assert_silent(finished.as_std_path())
                .unwrap_or_else(|skip| panic!("{maker:?} {crash}: {skip:?}"));
            let editor = Ext4Editor::open(&finished).unwrap();
            assert_eq!(editor.stat(&path("/made")).unwrap().is_some(), is_made);
            assert_eq!(editor.verify().unwrap().problems, [""; 0]);
        }
        assert!(states.iter().all(|count| *count > 2), "{states:?}");
    }
}

#[test]
fn a_failing_host_leaves_the_old_state_or_the_new_also_without_a_journal() {
    let place = Place::in_memory();
    let image = place.root.join("image");
    require!(make(&MAKERS[1], &image));
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
        let left = Ext4Editor::open_on(Box::new(left), "left").unwrap();
        let is_there = left.stat(&path("/link")).unwrap().is_some();
        match committed {
            Ok(()) => {
                assert!(is_there);
                outcomes[2] += 1;
                break;
            }
            Err(RootfsError::Io { .. }) => {
                let again = editor.commit();
                if is_there {
                    assert!(again.is_err(), "what took effect cannot be tried again");
                    outcomes[1] += 1;
                } else {
                    outcomes[0] += usize::from(again.is_ok());
                }
            }
            Err(other) => panic!("write {fails_at}: {other:?}"),
        }
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

/// Returns the number of blocks in the longest row of free ones.
fn longest_free_run(image: &Utf8Path) -> u64 {
    let output = tools::run(tools::command("dumpe2fs").unwrap().arg(image));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("Free blocks: "));
    let runs = lines.flat_map(|line| line.split(", ")).filter_map(|run| run.split_once('-'));
    let length = |(from, to): (&str, &str)| Some(to.parse::<u64>().ok()? - from.parse::<u64>().ok()? + 1);
    runs.filter_map(length).max().unwrap_or(1)
}

/// Free space in many pieces: the inode of the journal needs blocks of its own.
#[test]
fn a_journal_in_pieces_and_one_of_more_than_the_least_blocks() {
    let place = Place::in_memory();
    for maker in [maker("24M", EXT2), maker("24M", &["-O", "^has_journal", "-b", "1024"])] {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(&maker, &image));
        let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
        editor.create_dir(&path("/d"), &mode(0o755)).unwrap();
        let file = |at: usize| path(&format!("/d/{at}"));
        let size = |at: usize| if at.is_multiple_of(40) { 40 } else { 3 };
        for at in 0..3400 {
            editor.write_file(&file(at), &mut &vec![7; size(at) << 10][..], &mode(0o600)).unwrap();
        }
        // Also a transaction of many blocks.
        for at in 0..800 {
            editor.symlink(&path(&format!("/d/link-{at}")), &[b't'; 100], &mode(0o777)).unwrap();
        }
        editor.commit().unwrap();
        assert_silent(image.as_std_path()).unwrap();
        // The rest is filled, so that only gaps are free.
        for at in (0..3400).filter(|at| at % 2 == 0) {
            editor.remove(&file(at)).unwrap();
        }
        let _ = editor.write_file(&path("/fill"), &mut std::io::repeat(1), &mode(0o600));
        editor.commit().unwrap();
        let mut free = editor.verify().unwrap().free_bytes;
        let mut fill = 0;
        while free > 6 << 20 {
            let some = usize::try_from(free / 4).unwrap();
            editor
                .write_file(&path(&format!("/fill-{fill}")), &mut &vec![9; some][..], &mode(0o600))
                .unwrap();
            editor.commit().unwrap();
            free = editor.verify().unwrap().free_bytes;
            fill += 1;
        }
        editor.mknod(&path("/last"), &NodeKind::Fifo, &mode(0o600)).unwrap();
        editor.commit().unwrap();
        drop(editor);
        assert_silent(image.as_std_path()).unwrap();
        let run = longest_free_run(&image);
        assert!(run < 1024, "the free space is not in pieces: {run}");
        let editor = Ext4Editor::open(&image).unwrap();
        assert_eq!(editor.verify().unwrap().problems, [""; 0]);
        assert!(editor.stat(&path("/last")).unwrap().is_some());
        assert_eq!(journal_fields(&image), (0, 0, 0));
    }
}

#[test]
fn without_room_for_a_journal_a_commit_says_so_and_changes_nothing() {
    let place = Place::in_memory();
    let image = place.root.join("image");
    require!(make(&maker("1440k", EXT2), &image));
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    editor.write_file(&path("/large"), &mut &vec![5; 400 << 10][..], &mode(0o600)).unwrap();
    let before = std::fs::read(&image).unwrap();
    let error = editor.commit().unwrap_err();
    assert!(matches!(error, RootfsError::Limit { .. }), "{error:?}");
    assert!(error.to_string().contains("no journal"), "{error}");
    assert!(error.advice().expect("a next step").to_string().contains("resize2fs"));
    drop(editor);
    assert!(std::fs::read(&image).unwrap() == before);
    assert_silent(image.as_std_path()).unwrap();

    // Nor does it grow: the new blocks are not free before it has grown.
    let small = place.root.join("small");
    require!(make(&maker("1000k", EXT2), &small));
    let before = std::fs::read(&small).unwrap();
    let error = Ext4Editor::open_to_edit(&small).unwrap().grow(8 << 20).unwrap_err();
    assert!(error.to_string().contains("no journal"), "{error}");
    assert!(std::fs::read(&small).unwrap() == before);
}

#[test]
fn a_file_system_without_a_journal_grows() {
    let place = Place::in_memory();
    let e2fsck = require!(tools::tool("e2fsck"));
    for maker in &MAKERS[..3] {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(maker, &image));
        let base = place.root.join("base");
        std::fs::copy(&image, &base).unwrap();
        let recorder = Recorder::new(std::fs::read(&image).unwrap());
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_alone_on(Box::new(recorder), "recorder").unwrap();
        let old = listing(&editor).unwrap();
        editor.create_dir(&path("/made"), &mode(0o755)).unwrap();
        let new = listing(&editor).unwrap();
        editor.grow(40 << 20).unwrap();
        let events = events.lock().unwrap().clone();
        check_crashes(&place, &base, &events, &old, &new, 2, &format!("lent: grows {maker:?}"));

        let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
        let size_bytes = editor.grow(300 << 20).unwrap();
        assert!(size_bytes > 290 << 20, "{size_bytes}");
        drop(editor);
        tools::run(Command::new(&e2fsck).arg("-fn").arg(&image));
        assert_silent(image.as_std_path()).unwrap();
    }
}
