//! Shrinking images that the kernel has filled, with features that store things in their own way; and hosts that fail.

use std::process::Command;
use std::sync::Arc;

use banger_ext4::Ext4Editor;
use banger_testkit::{listing, require, tools};
use banger_tree::{Cancellation, FileType, GuestPath, NodeKind, Rootfs, RootfsError};
use camino::Utf8Path;

use crate::editor::{Maker, Numbers, Place, make, path};
use crate::editor_features::{POPULATE, POPULATE_MORE, assert_same};
use crate::editor_shrink::{check, load};
use crate::support::crash::{Event, Recorder};
use crate::support::fixture::mode;
use crate::support::is_root;
use crate::support::judge::try_mounted;

const MIB: u64 = 1 << 20;

const FEATURES: [(bool, &[&str]); 8] = [
    (false, &["-O", "ea_inode"]),
    (false, &["-O", "ea_inode,inline_data", "-I", "512"]),
    (false, &["-O", "large_dir,^flex_bg"]),
    (false, &["-O", "^extent,^64bit,^has_journal"]),
    (true, &["-O", "orphan_file,metadata_csum_seed"]),
    (false, &["-O", "^metadata_csum,^resize_inode"]),
    (false, &["-O", "none,ext_attr,filetype,dir_index,sparse_super,large_file,resize_inode"]),
    (false, &["-O", "none,ext_attr,sparse_super", "-I", "128"]),
];

/// Returns the largest number of an inode with a name.
fn last_inode(editor: &Ext4Editor) -> u64 {
    let (mut last, mut pending) = (0, vec![GuestPath::root()]);
    while let Some(dir) = pending.pop() {
        for entry in editor.read_dir(&dir).unwrap() {
            last = last.max(entry.inode);
            if entry.file_type == FileType::Directory {
                pending.push(dir.join(&entry.name).unwrap());
            }
        }
    }
    last
}

#[test]
fn what_the_kernel_made_keeps_its_content() {
    if !is_root() {
        return crate::support::skip("only root can mount the image");
    }
    let place = Place::in_memory();
    for (newer, features) in FEATURES {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        let tool =
            if newer { require!(tools::newer_e2fsprogs("mke2fs")) } else { require!(tools::tool("mke2fs")) };
        let mut mke2fs = Command::new(tool);
        mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "1024", "-N", "2400"]).args(features);
        tools::run(mke2fs.arg(&image).arg("48M"));
        let point = place.root.join("mnt");
        let _ = std::fs::create_dir(&point);
        let script = format!(
            "mount -o loop \"$1\" \"$2\"; cd \"$2\"; mkdir filler; seq -f 'filler/%.0f' 900 | xargs touch
             dd if=/dev/urandom of=filler/bytes bs=1M count=20 status=none
             mkdir kernel; cd kernel; {POPULATE}\n{POPULATE_MORE}
             cd ..; rm -r filler; cd /; umount \"$2\""
        );
        tools::run(Command::new("sh").args(["-ec", &script, "sh"]).arg(&image).arg(&point));
        // Not `open_to_edit`: the loop device of a mount may stay for a moment.
        let mut editor = Ext4Editor::open(&image).unwrap();
        let want = listing(&editor).unwrap();
        let before = last_inode(&editor);
        let least = editor.minimum_size_bytes().unwrap();
        // A file of 9 MiB, most of it a hole, is read in one piece only from a larger file system.
        let wanted = least.max(10 * MIB);
        let shrunk = editor.shrink(wanted).unwrap();
        drop(editor);
        let after = last_inode(&Ext4Editor::open(&image).unwrap());
        eprintln!("{features:?}: to {shrunk}, of {least}; last inode {before} to {after}");
        assert!(before > 1000 && after <= 800, "{features:?}: no inode moved");
        assert!(shrunk <= wanted && shrunk < 25 * MIB, "{features:?}: {shrunk} of {least}");
        check(&image, shrunk, &want, &format!("{features:?}"));
        let editor = Ext4Editor::open(&image).unwrap();
        assert!(try_mounted(&image, |root| assert_same(root, &editor)), "{features:?}");
    }
}

#[test]
fn a_host_that_fails_leaves_the_old_size_or_the_new_one() {
    let place = Place::in_memory();
    let image = place.root.join("image");
    let maker =
        Maker::Mkfs { newer: false, size: "24M", options: &["-b", "1024", "-N", "240", "-J", "size=1"] };
    require!(make(&maker, &image));
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    load(&mut editor, &mut Numbers(5), 80, 20);
    let want = listing(&editor).unwrap();
    drop(editor);
    let base = Recorder::new(std::fs::read(&image).unwrap());
    let (mut failures, mut retries) = (0, 0);
    for fails_at in 1.. {
        let recorder = base.failing_at(fails_at);
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_alone_on(Box::new(recorder), "recorder").unwrap();
        match editor.shrink(9 * MIB) {
            Ok(shrunk) => {
                assert!(shrunk <= 9 * MIB, "{shrunk}");
                break;
            }
            Err(RootfsError::Io { .. }) => failures += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(!events.lock().unwrap().iter().any(|event| matches!(event, Event::Size(_))));
        if fails_at % 5 == 1 {
            // What is in memory is as good as what is on the disk, unless the journal counts.
            match editor.shrink(9 * MIB) {
                Ok(_) => retries += 1,
                Err(error) => assert!(error.to_string().contains("cut short"), "write {fails_at}: {error}"),
            }
        }
        editor.reopen().unwrap();
        assert!(listing(&editor).unwrap() == want, "write {fails_at}: other content");
        assert_eq!(editor.verify().unwrap().problems, [""; 0], "write {fails_at}");
        if editor.size_bytes() > 9 * MIB {
            editor.shrink(9 * MIB).unwrap();
            assert_eq!(editor.verify().unwrap().problems, [""; 0], "write {fails_at}");
            assert!(listing(&editor).unwrap() == want, "write {fails_at}: other content");
        }
    }
    eprintln!("{failures} failures, {retries} retries");
    assert!(failures > 100 && retries > 10, "{failures} failures, {retries} retries");
}

/// Gives a file system a journal in lists of blocks, behind a file that goes again.
fn with_journal_of_lists(image: &Utf8Path, mut editor: Ext4Editor) -> Result<Ext4Editor, RootfsError> {
    editor.write_file(&path("/filler"), &mut &[7; 20 << 20][..], &mode(0o644))?;
    editor.commit()?;
    drop(editor);
    tools::run(tools::command("tune2fs").unwrap().args(["-J", "size=1"]).arg(image));
    let mut editor = Ext4Editor::open_to_edit(image)?;
    editor.remove(&path("/filler"))?;
    editor.commit()?;
    Ok(editor)
}

#[test]
fn a_stop_and_a_refusal_change_nothing() {
    let place = Place::in_memory();
    let image = place.root.join("image");
    for (options, want) in [
        (&["-b", "1024", "-O", "meta_bg,^resize_inode"][..], "meta_bg"),
        (&["-b", "1024", "-O", "quota"], "quota"),
        (&["-b", "1024", "-N", "400", "-J", "size=1", "-O", "stable_inodes"], "stable_inodes"),
        (&["-b", "1024", "-O", "^extent,^64bit,^has_journal"], "journal"),
    ] {
        let _ = std::fs::remove_file(&image);
        require!(make(&Maker::Mkfs { newer: false, size: "32M", options }, &image));
        let opened = Ext4Editor::open_to_edit(&image);
        let error = opened.and_then(|mut editor| {
            for at in 0..250 {
                editor.mknod(&path(&format!("/{at}")), &NodeKind::Fifo, &mode(0o600))?;
            }
            for at in 0..150 {
                editor.remove(&path(&format!("/{at}")))?;
            }
            editor.commit()?;
            if want == "journal" {
                editor = with_journal_of_lists(&image, editor)?;
            }
            let before = std::fs::read(&image).unwrap();
            let shrunk = editor.shrink(9 * MIB);
            assert!(std::fs::read(&image).unwrap() == before, "{want}: something was written");
            shrunk
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains(want), "{error} lacks {want}");
    }
    let _ = std::fs::remove_file(&image);
    require!(make(&Maker::Native, &image));
    let before = std::fs::read(&image).unwrap();
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    let error = editor.shrink(65 * MIB).unwrap_err().to_string();
    assert!(error.contains("cannot shrink to more"), "{error}");
    assert_eq!(editor.shrink(64 * MIB).unwrap(), 64 * MIB);
    let error = editor.shrink(4096).unwrap_err().to_string();
    assert!(error.contains("at least"), "{error}");
    let cancellation = Cancellation::default();
    cancellation.cancel();
    editor.set_cancellation(&cancellation);
    assert!(matches!(editor.shrink(32 * MIB), Err(RootfsError::Cancelled)));
    assert!(matches!(editor.minimum_size_bytes(), Err(RootfsError::Cancelled)));
    drop(editor);
    assert!(std::fs::read(&image).unwrap() == before);
}

#[test]
fn what_lies_around_the_file_system_stays() {
    let place = Place::in_memory();
    let (image, disk) = (place.root.join("image"), place.root.join("disk"));
    require!(make(&Maker::Native, &image));
    let mut bytes = vec![0xa5; MIB as usize];
    bytes.extend(std::fs::read(&image).unwrap());
    bytes.extend(vec![0x5a; MIB as usize]);
    for end in [65 * MIB, u64::MAX] {
        std::fs::write(&disk, &bytes).unwrap();
        let mut editor = Ext4Editor::open_range_to_edit(&disk, MIB..end).unwrap();
        editor.write_file(&path("/file"), &mut &b"x"[..], &mode(0o644)).unwrap();
        assert_eq!(editor.shrink(32 * MIB).unwrap(), 32 * MIB);
        drop(editor);
        let after = std::fs::read(&disk).unwrap();
        assert_eq!(after.len(), bytes.len());
        assert!(after[..MIB as usize] == bytes[..MIB as usize]);
        assert!(after[65 * MIB as usize..] == bytes[65 * MIB as usize..]);
        let editor = Ext4Editor::open_range(&disk, MIB..end).unwrap();
        assert_eq!((editor.size_bytes(), editor.read(&path("/file")).unwrap()), (32 * MIB, b"x".to_vec()));
        assert_eq!(editor.verify().unwrap().problems, [""; 0]);
    }
}
