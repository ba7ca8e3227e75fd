//! Images of machines that were killed: copied while the kernel has them mounted. What is read is what
//! e2fsck makes of a copy, no byte changes by that, and an edit puts the journal in place first.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use banger_ext4::Ext4Editor;
use banger_testkit::{Listing, Skip, assert_silent, copy_sparse, listing, tools};
use banger_tree::Rootfs;
use camino::{Utf8Path, Utf8PathBuf};

use crate::editor::{Place, path};
use crate::support::crash::{Recorder, check_crashes};
use crate::support::fixture::mode;
use crate::support::is_root;
use crate::support::rootfs::told;

/// How an image is made, mounted and written to before the machine is killed.
#[derive(Clone, Copy, Debug)]
struct Killed {
    mkfs: &'static [&'static str],
    mount: &'static str,
    script: &'static str,
}

/// Content of several transactions; what is removed in between leaves revoke records.
const BASE: &str = "seq 5000 > old; mkdir dir; seq -f 'dir/name %.0f' 300 | xargs -d '\\n' touch; sync -f .";
const PLAIN: &str = "echo log > crash.log; sync -f .";
const DELETES: &str = "
    for at in $(seq 40); do seq 2000 > big$at; done; sync -f .; rm -r dir big1*; sync -f .
    mkdir dir2; for at in $(seq 200); do echo $at > dir2/$at; done; sync -f .; rm big2*; seq 9000 > after; sync -f .";
const TRUNCATES: &str = "
    seq 60000 > long; sync -f .; truncate -s 1000 long; truncate -s 0 old; sync -f .
    seq 100 >> long; mv long dir/moved; sync -f .; fallocate -p -o 4096 -l 8192 dir/moved || true; sync -f .";
/// More than a small journal holds, so that it wraps around.
const ROUNDS: &str = "
    for round in $(seq 12); do mkdir r$round; for at in $(seq 120); do echo $round > r$round/$at; done; sync -f .
    [ $round -lt 3 ] || rm -r r$((round - 2)); sync -f .; done";
/// Blocks of data that begin as those of a journal do.
const ESCAPED: &str = "
    for at in $(seq 20); do printf '\\300\\073\\071\\230%04090d' $at > magic$at; done; sync -f .
    rm magic3; seq 3000 > magic4; sync -f .";
/// Not flushed at the end: the last transaction may be cut.
const UNFLUSHED: &str = "seq 4000 > one; sync -f .; for at in $(seq 300); do echo $at > f$at; done; rm one";

const KILLED: &[Killed] = &[
    Killed { mkfs: &[], mount: "", script: PLAIN },
    Killed { mkfs: &[], mount: "", script: DELETES },
    Killed { mkfs: &[], mount: "", script: TRUNCATES },
    Killed { mkfs: &["-J", "size=4"], mount: "", script: ROUNDS },
    Killed { mkfs: &[], mount: ",data=journal", script: DELETES },
    Killed { mkfs: &[], mount: ",data=journal", script: ESCAPED },
    Killed { mkfs: &["-b", "1024"], mount: ",data=journal", script: ESCAPED },
    Killed { mkfs: &[], mount: ",data=writeback", script: TRUNCATES },
    Killed { mkfs: &["-b", "1024", "-J", "size=1"], mount: "", script: ROUNDS },
    Killed { mkfs: &["-b", "2048"], mount: "", script: DELETES },
    Killed { mkfs: &["-O", "^metadata_csum"], mount: "", script: PLAIN },
    Killed { mkfs: &["-O", "^metadata_csum,^64bit"], mount: "", script: DELETES },
    Killed {
        mkfs: &["-O", "^metadata_csum,^64bit", "-b", "1024", "-J", "size=1"],
        mount: "",
        script: ROUNDS,
    },
    Killed { mkfs: &["-O", "^64bit"], mount: "", script: TRUNCATES },
    Killed { mkfs: &["-O", "^metadata_csum"], mount: ",journal_checksum", script: DELETES },
    Killed { mkfs: &["-O", "^metadata_csum,^64bit"], mount: ",journal_checksum", script: TRUNCATES },
    Killed { mkfs: &[], mount: ",data=writeback,journal_async_commit", script: DELETES },
    Killed { mkfs: &["-O", "^metadata_csum"], mount: ",data=writeback,journal_async_commit", script: ROUNDS },
    Killed { mkfs: &["-t", "ext3"], mount: "", script: DELETES },
    Killed { mkfs: &["-t", "ext3", "-b", "1024", "-J", "size=1"], mount: "", script: ROUNDS },
    Killed { mkfs: &["-t", "ext3"], mount: ",data=journal", script: ESCAPED },
    Killed { mkfs: &["-I", "128"], mount: "", script: TRUNCATES },
    Killed { mkfs: &["-I", "512", "-O", "inline_data"], mount: "", script: DELETES },
    Killed { mkfs: &["-O", "inline_data"], mount: "", script: TRUNCATES },
    Killed { mkfs: &["-O", "bigalloc"], mount: "", script: DELETES },
    Killed { mkfs: &["-O", "meta_bg,^resize_inode", "-b", "1024", "-g", "1024"], mount: "", script: ROUNDS },
    Killed { mkfs: &["-O", "^has_journal"], mount: "", script: DELETES },
    Killed { mkfs: &[], mount: "", script: UNFLUSHED },
    Killed { mkfs: &["-b", "1024"], mount: ",data=journal", script: UNFLUSHED },
];

/// Returns the image of a machine that was killed, copied while the kernel has it mounted.
fn killed(place: &Place, how: &Killed, before_copy: &str) -> Utf8PathBuf {
    let (image, copy, point) = (place.root.join("live"), place.root.join("killed"), place.root.join("mnt"));
    let _ = std::fs::remove_file(&image);
    let _ = std::fs::create_dir(&point);
    let mut mkfs = tools::command("mke2fs").unwrap();
    if !how.mkfs.contains(&"-t") {
        mkfs.args(["-t", "ext4"]);
    }
    tools::run(mkfs.args(["-q", "-F"]).args(how.mkfs).arg(&image).arg("24M"));
    let options = format!("loop,commit=300{}", how.mount);
    let options = if how.mkfs.contains(&"^has_journal") { "loop" } else { options.as_str() };
    tools::run(Command::new("mount").args(["-o", options]).arg(&image).arg(&point));
    let script = format!("cd '{point}'; {BASE}; {}\n{before_copy}", how.script);
    let made = tools::try_run(Command::new("bash").args(["-ec", &script]));
    copy_sparse(image.as_std_path(), copy.as_std_path());
    tools::run(
        Command::new("sh").args(["-c", "umount \"$1\" || { sleep 1; umount \"$1\"; }", "sh"]).arg(&point),
    );
    made.unwrap_or_else(|error| panic!("{how:?}: {error}"));
    copy
}

/// Returns what is there after `e2fsck -fy` on a copy.
fn after_e2fsck(place: &Place, image: &Utf8Path) -> Listing {
    let copy = place.root.join("recovered");
    copy_sparse(image.as_std_path(), copy.as_std_path());
    let output = tools::command("e2fsck").unwrap().arg("-fy").arg(&copy).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code().is_some_and(|code| code <= 1), "{text}");
    listing(&Ext4Editor::open(&copy).unwrap()).unwrap()
}

fn has_tools() -> bool {
    let found =
        if is_root() { tools::tool("mke2fs").map(drop) } else { Err(Skip::new("only root can mount")) };
    match found {
        Ok(()) => true,
        Err(skip) => {
            skip.report();
            false
        }
    }
}

fn assert_listings(label: &Killed, found: &Listing, want: &Listing) {
    for (path, listed) in want {
        assert!(
            found.get(path) == Some(listed),
            "{label:?}: {path}: {:?}, want {:?}",
            found.get(path).map(|found| &found.0),
            listed.0
        );
    }
    let more: Vec<_> = found.keys().filter(|path| !want.contains_key(path)).collect();
    assert!(more.is_empty(), "{label:?}: {more:?}");
}

#[test]
fn images_of_killed_machines_read_as_e2fsck_leaves_them() {
    if !has_tools() {
        return;
    }
    let place = Place::in_memory();
    let (mut dirty, mut edited) = (0, 0);
    for how in KILLED {
        let image = killed(&place, how, "");
        let before = std::fs::read(&image).unwrap();
        let want = after_e2fsck(&place, &image);
        let editor = Ext4Editor::open(&image).unwrap_or_else(|error| panic!("{how:?}: {error}"));
        assert_listings(how, &listing(&editor).unwrap(), &want);
        if !how.mkfs.contains(&"bigalloc") && !how.mkfs.contains(&"^has_journal") {
            assert_eq!(editor.verify().unwrap().problems, [""; 0], "{how:?}");
        }
        drop(editor);
        assert!(std::fs::read(&image).unwrap() == before, "{how:?}: reading changed the image");
        dirty += usize::from(before[1024 + 0x60] & 4 != 0);

        let mut editor = match Ext4Editor::open_to_edit(&image) {
            Ok(editor) => editor,
            Err(error) => {
                let text = told(&error);
                assert!(text.contains("e2fsck -p") || text.contains("bigalloc"), "{how:?}: {text}");
                continue;
            }
        };
        assert_listings(how, &listing(&editor).unwrap(), &want);
        editor.write_file(&path("/edited"), &mut &[3; 70_000][..], &mode(0o600)).unwrap();
        editor.create_dir(&path("/made"), &mode(0o700)).unwrap();
        let after = listing(&editor).unwrap();
        editor.commit().unwrap();
        drop(editor);
        edited += 1;
        assert_silent(image.as_std_path()).unwrap();
        let editor = Ext4Editor::open(&image).unwrap();
        assert_listings(how, &listing(&editor).unwrap(), &after);
        assert_eq!(editor.verify().unwrap().problems, [""; 0], "{how:?}");
    }
    assert!(dirty >= 25 && edited >= 20, "{dirty} dirty, {edited} edited, of {}", KILLED.len());
}

/// Between fork and exec, a child of this process has open what this process has: it is no other user.
#[test]
fn a_program_that_is_just_being_started_does_not_use_the_image() {
    if !has_tools() {
        return;
    }
    let place = Place::in_memory();
    let dirty = std::fs::read(killed(&place, &KILLED[0], "")).unwrap();
    let image = place.root.join("copy");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    // A group of its own, so that the child is at work between fork and exec.
                    Command::new("true").process_group(0).gid(0).status().unwrap();
                }
            });
        }
        let open = |_| {
            std::fs::write(&image, &dirty).unwrap();
            Ext4Editor::open_to_edit(&image).map(drop)
        };
        let outcome = (0..150).try_for_each(open);
        // Also after a failure: the other threads end with it.
        stop.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
}

/// Files that are open and have no name any more: in the list of orphans, and in the file of orphans.
#[test]
fn unlinked_files_that_are_open_are_passed_over_and_freed_by_an_edit() {
    if !has_tools() {
        return;
    }
    let place = Place::in_memory();
    let hold = "seq 30000 > a; seq 300 > b; mkdir c; mkfifo p; sync -f .; exec 7<a 8<b 9<>p; rm a b p; rmdir c; sync -f .";
    for mkfs in [
        &[][..],
        &["-O", "^metadata_csum", "-b", "1024"],
        &["-t", "ext3"],
        &["-O", "inline_data"],
        &["-O", "^has_journal"],
        &["-O", "orphan_file"],
    ] {
        let how = Killed { mkfs, mount: "", script: "true" };
        let (image, held) = (place.root.join("live"), place.root.join("held"));
        let _ = std::fs::remove_file(&held);
        // Copied by the shell that holds the files.
        let copy = format!("{hold}; cp --sparse=always '{image}' '{held}'; cd /; exec 7<&- 8<&- 9<&-");
        let _ = killed(&place, &how, &copy);
        let want = after_e2fsck(&place, &held);
        let editor = Ext4Editor::open(&held).unwrap();
        assert_listings(&how, &listing(&editor).unwrap(), &want);
        if !mkfs.contains(&"^has_journal") {
            assert_eq!(editor.verify().unwrap().problems, [""; 0], "{how:?}");
        }
        drop(editor);
        if mkfs.contains(&"^has_journal") {
            let error = told(&Ext4Editor::open_to_edit(&held).unwrap_err());
            assert!(error.contains("e2fsck -p"), "{error}");
            continue;
        }
        let before = std::fs::read(&held).unwrap();
        assert!(
            u32::from_le_bytes(before[1024 + 0xe8..1024 + 0xec].try_into().unwrap()) != 0 || !mkfs.is_empty()
        );
        drop(Ext4Editor::open_to_edit(&held).unwrap());
        assert!(std::fs::read(&held).unwrap() == before, "{how:?}: nothing changes without a commit");
        let mut editor = Ext4Editor::open_to_edit(&held).unwrap();
        editor.write_file(&path("/edited"), &mut &[3; 9000][..], &mode(0o600)).unwrap();
        editor.commit().unwrap();
        drop(editor);
        assert_silent(held.as_std_path()).unwrap();
        let editor = Ext4Editor::open_to_edit(&held).unwrap();
        assert_eq!(listing(&editor).unwrap().len(), want.len() + 1);
        assert_eq!(editor.verify().unwrap().problems, [""; 0], "{how:?}");
    }
}

/// Fast commits are behind the log, and are another language.
#[test]
fn fast_commits_that_are_to_be_replayed_are_refused_by_name() {
    if !has_tools() {
        return;
    }
    let place = Place::in_memory();
    let fsync = "for at in $(seq 5); do echo $at | dd of=fc$at conv=fsync 2>/dev/null; done";
    let full = Killed { mkfs: &["-O", "fast_commit"], mount: "", script: PLAIN };
    let want = after_e2fsck(&place, &killed(&place, &full, ""));
    let image = place.root.join("killed");
    assert_listings(&full, &listing(&Ext4Editor::open(&image).unwrap()).unwrap(), &want);
    let image = killed(&place, &full, fsync);
    match Ext4Editor::open(&image) {
        Err(error) => {
            let text = told(&error);
            assert!(
                text.contains("fast_commit") && text.contains("mount it once, then run e2fsck -fp"),
                "{text}"
            );
        }
        // A kernel may have made a whole commit of it.
        Ok(editor) => assert!(editor.stat(&path("/fc5")).unwrap().is_some(), "a commit is lost"),
    }
}

/// The first commit to a dirty image: a crash anywhere leaves what the journal led to, or the edit.
#[test]
fn a_crash_while_a_journal_is_put_in_place_leaves_the_old_state_or_the_new() {
    if !has_tools() {
        return;
    }
    let place = Place::in_memory();
    for (mkfs, mount) in [(&["-b", "1024"][..], ""), (&["-O", "^metadata_csum,^64bit"], ",data=journal")] {
        let how = Killed { mkfs, mount, script: PLAIN };
        let image = killed(&place, &how, "");
        let base = place.root.join("base");
        std::fs::copy(&image, &base).unwrap();
        let recorder = Recorder::new(std::fs::read(&image).unwrap());
        let events = std::sync::Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_alone_on(Box::new(recorder), "dirty").unwrap();
        let old = listing(&editor).unwrap();
        editor.write_file(&path("/edited"), &mut &[3; 20_000][..], &mode(0o600)).unwrap();
        editor.remove(&path("/old")).unwrap();
        let new = listing(&editor).unwrap();
        editor.commit().unwrap();
        let events = events.lock().unwrap().clone();
        check_crashes(&place, &base, &events, &old, &new, 1, &format!("dirty: {:?}", how.mkfs));
    }
}

/// Each bit of the journal's log, flipped: an error, or a state there was, and never a panic.
#[test]
fn damaged_logs_are_bounded_and_never_panic() {
    if !has_tools() {
        return;
    }
    let place = Place::in_memory();
    let seed: u64 = std::env::var("BANGER_SEED").map_or(7, |text| text.parse().expect("a number"));
    eprintln!("BANGER_SEED={seed}");
    let mut numbers = crate::editor::Numbers(seed);
    for how in [KILLED[1], KILLED[4], KILLED[8], KILLED[12], KILLED[14], KILLED[18]] {
        let image = killed(&place, &how, "");
        let bytes = std::fs::read(&image).unwrap();
        let block_size = 1024 << bytes[1024 + 0x18];
        // Blocks of the log start with its magic number.
        let headers: Vec<usize> = (0..bytes.len())
            .step_by(block_size)
            .filter(|at| bytes[*at..*at + 4] == [0xc0, 0x3b, 0x39, 0x98])
            .collect();
        assert!(headers.len() > 3, "{how:?}");
        let sound = Recorder::new(bytes);
        let mut outcomes = [0, 0];
        for _ in 0..150 {
            let mut damaged = sound.failing_at(usize::MAX);
            for _ in 0..1 + numbers.below(3) {
                let block = headers[numbers.below(headers.len())];
                let reach = if numbers.below(2) == 0 { 64 } else { block_size };
                let at = block + numbers.below(reach);
                let value = [0, 1, 2, 5, 0x7f, 0x80, 0xff][numbers.below(7)];
                damaged.put_bytes(at, &[value]);
            }
            let started = std::time::Instant::now();
            match Ext4Editor::open_alone_on(Box::new(damaged), "damaged") {
                Ok(mut editor) => {
                    let _ = listing(&editor);
                    let _ = editor.verify();
                    let _ = editor.create_dir(&path("/new"), &mode(0o755));
                    let _ = editor.commit();
                    outcomes[0] += 1;
                }
                Err(_) => outcomes[1] += 1,
            }
            assert!(started.elapsed() < crate::editor_damage::TIME_MAX, "{how:?}");
        }
        eprintln!("{how:?}: {outcomes:?} opened and refused");
    }
}
