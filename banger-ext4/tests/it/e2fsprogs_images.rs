//! The images of e2fsprogs' own tests: most are damaged, each in its own way. Each is read and edited, or
//! refused by name; so is what e2fsck makes of it. A sound one stays sound, and equals what the kernel shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use banger_ext4::Ext4Editor;
use banger_testkit::{copy_sparse, e2fsck_check, e2fscks, first_difference, listing, require, tools};
use banger_tree::{DirEntry, FileType, GuestPath, NodeKind, Rootfs, RootfsError};
use camino::{Utf8Path, Utf8PathBuf};

use crate::editor::{Place, path};
use crate::editor_features::assert_same;
use crate::support::fixture::mode;
use crate::support::is_root;
use crate::support::judge::try_mounted;
use crate::support::skip;

/// No image takes a tenth of it; one that hangs is found by its name.
const WATCHDOG: Duration = Duration::from_secs(300);
/// Names and bytes of an image that are read at most: damaged directories can lead in circles.
const ENTRIES_MAX: usize = 20_000;
const BYTES_MAX: u64 = 256 << 20;
/// Most bytes of memory that the process may use, whatever an image says of itself.
const MEMORY_MAX_KIB: u64 = 2 << 20;

/// Everything that was read of an image.
#[derive(Default)]
struct Walked {
    entries: usize,
    errors: Vec<RootfsError>,
    paths: Vec<(GuestPath, FileType)>,
}

/// Reads all names, attributes and bytes.
fn walk(editor: &Ext4Editor) -> Walked {
    let (mut walked, mut bytes_left) = (Walked::default(), BYTES_MAX);
    let mut pending = vec![GuestPath::root()];
    let mut seen = BTreeSet::new();
    while let Some(dir) = pending.pop() {
        let entries = match editor.read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) => {
                walked.errors.push(error);
                continue;
            }
        };
        for DirEntry { name, inode, file_type, .. } in entries {
            walked.entries += 1;
            if walked.entries > ENTRIES_MAX {
                return walked;
            }
            let Ok(path) = dir.join(&name) else { continue };
            walked.errors.extend(editor.stat(&path).err());
            match file_type {
                FileType::Directory if seen.insert(inode) => pending.push(path.clone()),
                FileType::Symlink => walked.errors.extend(editor.read_link(&path).err()),
                FileType::Regular => {
                    walked.errors.extend(read_content(editor, &path, &mut bytes_left).err());
                }
                _ => {}
            }
            walked.paths.push((path, file_type));
        }
    }
    walked
}

fn read_content(editor: &Ext4Editor, path: &GuestPath, left: &mut u64) -> Result<(), RootfsError> {
    let (mut at, mut buffer) = (0, vec![0; 1 << 16]);
    while let Some((start, end)) = editor.data_from(path, at)? {
        at = start;
        while at < end && *left > 0 {
            let length = editor.read_at(path, at, &mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            at += length as u64;
            *left = left.saturating_sub(length as u64);
        }
        if *left == 0 {
            break;
        }
        at = end;
    }
    Ok(())
}

/// Lets an edit fail because the file system is full; it changed nothing then.
fn unless_full(outcome: Result<(), RootfsError>) -> Result<(), RootfsError> {
    match outcome {
        Err(RootfsError::NoSpace { .. }) => Ok(()),
        other => other,
    }
}

/// Makes changes of every kind beside what is there and with it.
fn edit(image: &Utf8Path, before: &Walked) -> Result<(), RootfsError> {
    let mut editor = Ext4Editor::open_to_edit(image)?;
    let new = |name: &str| path(&format!("/banger-made/{name}"));
    editor.create_dir(&path("/banger-made"), &mode(0o755))?;
    unless_full(editor.write_file(&new("file"), &mut &[7; 20_000][..], &mode(0o644)))?;
    unless_full(editor.symlink(&new("link"), &[b't'; 100], &mode(0o777)))?;
    for at in 0..40 {
        let name = new(&format!("one of the names that fill more than a block of it {at}"));
        unless_full(editor.mknod(&name, &NodeKind::Fifo, &mode(0o600)))?;
    }
    let mut others = before.paths.iter().filter(|(path, _)| path.as_bytes() != b"/lost+found");
    if let Some((moved, _)) = others.next() {
        unless_full(editor.rename(moved, &new("moved")))?;
    }
    if let Some((removed, _)) = others.next_back()
        && editor.stat(removed)?.is_some()
    {
        editor.remove(removed)?;
    }
    let mut rich = mode(0o600);
    rich.xattrs.insert("user.some", vec![5; 60]);
    unless_full(editor.set_attributes(&path("/banger-made"), &(&rich).into()))?;
    editor.commit()
}

/// How an image fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Refused,
    ReadInPart,
    Read,
    Edited,
}

/// Images in which e2fsck passes over something that is told here.
const TOLERATED: [&str; 2] = [
    // A file is marked as the value of an attribute, and has names. The kernel does not read it.
    "f_ea_inode_self_ref",
    // Two symlinks share a block of attributes that counts one user.
    "f_inlinedata_repair",
];
/// Images of which e2fsck replays the journal, and does more or less than that without a question.
const REPLAYED_IN_ANOTHER_WAY: [&str; 2] = [
    // It takes away the name of the journal.
    "f_journal",
    // A copy in the log has a wrong checksum: e2fsck passes over it, the kernel and banger stop.
    "j_corrupt_journal_block",
];

/// Returns whether an error says what is not supported, as a sound image may have it.
fn is_refusal(error: &RootfsError) -> bool {
    matches!(
        error,
        RootfsError::Unreadable { .. }
            | RootfsError::Unsupported { .. }
            | RootfsError::Limit { .. }
            | RootfsError::NoSpace { .. }
            | RootfsError::TooManyChanges { .. }
    )
}

/// Reads an image, a copy of `source`, and edits it. `is_sound` says that e2fsck has no complaint.
fn examine(label: &str, image: &Utf8Path, source: Option<&Utf8Path>, is_sound: bool, fsck: &Path) -> Fate {
    let check = |error: &RootfsError, what: &str| {
        assert!(!matches!(error, RootfsError::Io { .. }), "{label}: {what}: {error}");
        assert!(!is_sound || is_refusal(error), "{label} is sound, and {what} fails: {error}");
        if is_sound {
            eprintln!("{label}: {what}: {error}");
        }
    };
    let editor = match Ext4Editor::open(image) {
        Ok(editor) => editor,
        Err(error) => {
            check(&error, "opening it");
            return Fate::Refused;
        }
    };
    let walked = walk(&editor);
    walked.errors.iter().for_each(|error| check(error, "reading it"));
    let is_tolerated = TOLERATED.iter().any(|name| label.starts_with(name));
    match editor.verify() {
        Ok(report) => assert!(
            !is_sound || report.problems.is_empty() || is_tolerated,
            "{label} is sound, and it has problems: {:?}",
            report.problems
        ),
        Err(error) => check(&error, "verifying it"),
    }
    if is_sound && !is_tolerated && is_root() {
        try_mounted(image, |root| {
            if walked.errors.is_empty() && is_readable(root) {
                assert_same(root, &editor);
            }
        });
    }
    drop(editor);
    if let Some(source) = source {
        let changed = first_difference(source.as_std_path(), image.as_std_path());
        assert_eq!(changed, None, "{label}: reading changed it");
    }

    let mut edited = edit(image, &walked);
    if is_sound
        && matches!(edited, Err(RootfsError::Limit { .. }))
        && enlarge(image)
        && is_silent(fsck, image)
    {
        edited = edit(image, &walked);
    }
    match edited {
        Err(error) => check(&error, "editing it"),
        Ok(()) if is_sound => {
            if let Err(complaint) = e2fsck_check(fsck, image.as_std_path()) {
                panic!("{label}: e2fsck after the edits: {complaint}");
            }
            return Fate::Edited;
        }
        Ok(()) => return Fate::Edited,
    }
    if walked.errors.is_empty() { Fate::Read } else { Fate::ReadInPart }
}

/// Returns whether e2fsck has no complaint. Of some damage it complains without an end.
fn is_silent(fsck: &Path, image: &Utf8Path) -> bool {
    let script = "set -o pipefail; \"$1\" -fn \"$2\" 2>&1 | head -c 100000 >/dev/null";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).arg(fsck).arg(image);
    command.status().unwrap().success() && e2fsck_check(fsck, image.as_std_path()).is_ok()
}

/// Gives a file system room for the journal that a commit is lent; returns whether resize2fs knows how to.
fn enlarge(image: &Utf8Path) -> bool {
    let length = std::fs::metadata(image).unwrap().len();
    std::fs::File::options().write(true).open(image).unwrap().set_len(length + (9 << 20)).unwrap();
    let mut command = tools::command("resize2fs").unwrap();
    command.arg("-f").arg(image).output().unwrap().status.success()
}

/// Returns whether the kernel itself reads all below `root`: it has no key, and knows no damage.
fn is_readable(root: &Path) -> bool {
    let script =
        "find . -type f -exec cat {} + >/dev/null && find . -exec getfattr -h -d -m - {} + >/dev/null";
    Command::new("sh")
        .args(["-c", script])
        .current_dir(root)
        .stderr(Stdio::null())
        .status()
        .unwrap()
        .success()
}

/// Examines an image as it is, then as e2fsck repairs it.
fn campaign(source: &Utf8Path, place: &Utf8Path, fscks: &[PathBuf]) -> [Option<Fate>; 2] {
    let name = source.file_stem().unwrap();
    let (image, repaired) = (place.join(name), place.join(format!("{name}-repaired")));
    copy_sparse(source.as_std_path(), image.as_std_path());
    copy_sparse(source.as_std_path(), repaired.as_std_path());
    let fsck = fscks.last().expect("there is one");
    let is_sound = is_silent(fsck, &image);
    let run = |options: &str| {
        let output = Command::new(fsck).env("LC_ALL", "C").arg(options).arg(&repaired).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = run("-fy");
    // Where nothing but the journal was at fault, both read the same.
    if said.contains("recovering journal")
        && !said.contains("yes")
        && !REPLAYED_IN_ANOTHER_WAY.contains(&name)
        && let Ok(editor) = Ext4Editor::open(&image)
    {
        let recovered = Ext4Editor::open(&repaired).unwrap();
        if walk(&recovered).errors.is_empty() {
            let (found, want) = (listing(&editor).unwrap(), listing(&recovered).unwrap());
            assert!(found == want, "{name}: e2fsck replays the journal in another way");
        }
    }
    let fate = examine(name, &image, Some(source), is_sound, fsck);
    let is_repaired = !is_sound
        && (is_silent(fsck, &repaired) || {
            run("-fy");
            is_silent(fsck, &repaired)
        });
    let again = is_repaired.then(|| examine(&format!("{name}, repaired"), &repaired, None, true, fsck));
    std::fs::remove_file(&image).unwrap();
    std::fs::remove_file(&repaired).unwrap();
    [Some(fate), again]
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn images_of_the_tests_of_e2fsprogs_are_read_edited_or_refused() {
    let sources = tools::cache_dir().join("e2fsprogs-images");
    let fscks = require!(e2fscks());
    if !sources.join("complete").is_file() {
        return skip("scripts/setup-tests has not unpacked the images of e2fsprogs' tests");
    }
    let mut images: Vec<Utf8PathBuf> = Utf8PathBuf::from_path_buf(sources)
        .unwrap()
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension() == Some("image"))
        .collect();
    images.sort();
    assert!(images.len() > 200, "{} images", images.len());
    let only = std::env::var("BANGER_IMAGE").unwrap_or_default();
    images.retain(|image| image.as_str().contains(&only));
    let place = Place::in_memory();
    let next = AtomicUsize::new(0);
    let (fates, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (next, images, fates, failures, fscks) = (&next, &images, &fates, &failures, &fscks);
            let place = place.root.join(worker.to_string());
            std::fs::create_dir(&place).unwrap();
            scope.spawn(move || {
                while let Some(image) = images.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (done, watched) = mpsc::channel::<()>();
                    let name = image.file_stem().unwrap();
                    std::thread::scope(|scope| {
                        scope.spawn(move || {
                            if watched.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
                                eprintln!("{name} takes longer than {WATCHDOG:?}");
                                std::process::abort();
                            }
                        });
                        let work = || campaign(image, &place, fscks);
                        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
                            Ok(fates_of_image) => {
                                for (at, fate) in fates_of_image.into_iter().enumerate() {
                                    *fates.lock().unwrap().entry((at, fate)).or_insert(0) += 1;
                                }
                            }
                            Err(_) => failures.lock().unwrap().push(name.to_owned()),
                        }
                        drop(done);
                    });
                    let memory = memory_kib();
                    assert!(memory < MEMORY_MAX_KIB, "{name}: {memory} KiB of memory");
                }
            });
        }
    });
    let (fates, failures) = (fates.into_inner().unwrap(), failures.into_inner().unwrap());
    eprintln!("{} images; (as they are: 0, repaired: 1; fate): {fates:?}", images.len());
    assert!(failures.is_empty(), "{failures:?}");
    let edited: usize =
        fates.iter().filter(|((_, fate), _)| *fate == Some(Fate::Edited)).map(|(_, n)| n).sum();
    assert!(!only.is_empty() || edited > 150, "{edited} edited: {fates:?}");
}

#[test]
fn a_journal_with_a_name_is_not_removed() {
    let source = tools::cache_dir().join("e2fsprogs-images/f_journal.image");
    if !source.is_file() {
        return skip("scripts/setup-tests has not unpacked the images of e2fsprogs' tests");
    }
    let place = Place::in_memory();
    let image = place.root.join("image");
    copy_sparse(&source, image.as_std_path());
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    let error = editor.remove(&path("/journal")).unwrap_err();
    assert!(matches!(error, RootfsError::Limit { .. }) && error.to_string().contains("journal"), "{error}");
    let error = editor.write_file(&path("/journal"), &mut &b"x"[..], &mode(0o600)).unwrap_err();
    assert!(matches!(error, RootfsError::Limit { .. }), "{error}");
}
