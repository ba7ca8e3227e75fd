//! Crashes at every write of a commit, and damaged images.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use banger_ext4::{Ext4Editor, Storage};
use banger_testkit::{assert_silent, copy_sparse, require, tools};
use banger_tree::{AttributeChange, MemoryStore, NodeKind, Rootfs, RootfsError, Tree, TreeRootfs};
use camino::Utf8Path;

use crate::editor::{MAKERS, Maker, Numbers, Place, assert_equal, listing, make, path, step};
use crate::support::fixture::mode;
use crate::support::is_root;

#[derive(Clone, Debug)]
enum Event {
    Write(u64, Vec<u8>),
    Sync,
}

/// An image in memory that remembers what was done to it.
#[derive(Clone, Debug, Default)]
struct Recorder {
    base: Arc<Vec<u8>>,
    /// What differs from it, in pieces of [`PIECE`] bytes.
    changed: BTreeMap<usize, Vec<u8>>,
    events: Arc<Mutex<Vec<Event>>>,
    /// The write of this number fails.
    fails_at: Option<usize>,
    writes: usize,
}

const PIECE: usize = 1024;

impl Recorder {
    fn new(bytes: Vec<u8>) -> Self {
        Self { base: Arc::new(bytes), ..Self::default() }
    }

    fn piece_mut(&mut self, number: usize) -> &mut Vec<u8> {
        // A write beyond the end panics.
        let before = &self.base[number * PIECE..(number + 1) * PIECE];
        self.changed.entry(number).or_insert_with(|| before.to_vec())
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        let first = usize::try_from(offset).unwrap() / PIECE;
        for (at, piece) in bytes.chunks(PIECE).enumerate() {
            self.piece_mut(first + at)[..piece.len()].copy_from_slice(piece);
        }
    }
}

impl Storage for Recorder {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.base.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let bytes = self.base.get(start..start + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        let end = start + buffer.len();
        for (number, piece) in self.changed.range(start / PIECE..end.div_ceil(PIECE)) {
            let (from, to) = ((number * PIECE).max(start), ((number + 1) * PIECE).min(end));
            buffer[from - start..to - start]
                .copy_from_slice(&piece[from - number * PIECE..to - number * PIECE]);
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writes += 1;
        if self.fails_at == Some(self.writes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.put(offset, bytes);
        self.events.lock().unwrap().push(Event::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.events.lock().unwrap().push(Event::Sync);
        Ok(())
    }
}

const SMALL: [Maker; 3] = [
    Maker::Mkfs { newer: false, size: "8M", options: &[] },
    Maker::Mkfs { newer: false, size: "16M", options: &["-b", "4096"] },
    Maker::Mkfs { newer: true, size: "8M", options: &["-O", "^metadata_csum,^64bit"] },
];

/// Lets the kernel mount an image and write to it, and so replay its journal first.
fn mount_once(place: &Place, image: &Utf8Path) {
    let script = "mount -o loop \"$1\" \"$2\"; touch \"$2/.x\"; rm \"$2/.x\"; umount \"$2\"";
    let point = place.root.join("mnt");
    let _ = std::fs::create_dir(&point);
    tools::run(Command::new("sh").args(["-ec", script, "sh"]).arg(image).arg(&point));
}

#[test]
fn a_crash_leaves_the_old_or_the_new_state() {
    let place = Place::new();
    let e2fsck = require!(tools::tool("e2fsck"));
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
        (0..25).for_each(|_| step(&mut numbers, &mut model, &mut editor));
        editor.commit().unwrap();
        drop(editor);
        let old = listing(&model).unwrap();

        let recorder = Recorder::new(std::fs::read(&base).unwrap());
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_on(Box::new(recorder), "recorder").unwrap();
        (0..60).for_each(|_| step(&mut numbers, &mut model, &mut editor));
        // More blocks than one descriptor block tells of.
        for at in 0..70 {
            model.create_dir(&path(&format!("/dir-{at}")), &mode(0o755)).unwrap();
            editor.create_dir(&path(&format!("/dir-{at}")), &mode(0o755)).unwrap();
        }
        editor.commit().unwrap();
        let new = listing(&model).unwrap();
        assert!(old != new);

        let events = events.lock().unwrap().clone();
        eprintln!("{maker:?}: {} writes and flushes", events.len());
        let mut is_new = false;
        // In CI every crash there can be; else a third of them, and all of the end.
        let is_ci = std::env::var("CI").as_deref() == Ok("true");
        let crashes = (0..=events.len()).filter(|at| is_ci || at % 3 == number % 3 || at + 6 > events.len());
        for crash in crashes {
            // What was written before the last flush is there; of the rest, all or a part.
            let flushed = events[..crash].iter().rposition(|event| matches!(event, Event::Sync)).unwrap_or(0);
            for drops in [false, true] {
                let image = place.root.join("image");
                copy_sparse(base.as_std_path(), image.as_std_path());
                let file = std::fs::File::options().write(true).open(&image).unwrap();
                for (at, event) in events[..crash].iter().enumerate() {
                    if let Event::Write(offset, bytes) = event
                        && (at < flushed || !drops || numbers.below(2) == 0)
                    {
                        file.write_all_at(bytes, *offset).unwrap();
                    }
                }
                drop(file);
                if is_root() && crash % 5 == 2 {
                    mount_once(&place, &image);
                } else {
                    let output =
                        Command::new(&e2fsck).env("LC_ALL", "C").arg("-fy").arg(&image).output().unwrap();
                    let text = String::from_utf8_lossy(&output.stdout);
                    assert!(
                        output.status.code().is_some_and(|code| code <= 1) && !text.contains("yes"),
                        "{maker:?}, crash at {crash}: {text}{}",
                        String::from_utf8_lossy(&output.stderr)
                    );
                }
                if crash % 4 == 0 {
                    require!(assert_silent(image.as_std_path()));
                }
                let found = listing(&Ext4Editor::open(&image).unwrap()).unwrap();
                assert!(found == old || found == new, "{maker:?}: a third state after a crash at {crash}");
                // With nothing lost, there is no way back.
                assert!(drops || !is_new || found == new, "{maker:?}: old again at {crash}");
                is_new |= !drops && found == new;
            }
        }
        assert!(is_new, "{maker:?}: the commit changed something");
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
        let recorder = Recorder { fails_at: Some(fails_at), events: Arc::default(), ..base.clone() };
        let events = Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_on(Box::new(recorder), "recorder").unwrap();
        editor.symlink(&path("/link"), b"target", &mode(0o777)).unwrap();
        let committed = editor.commit();
        let mut left = base.clone();
        for event in &*events.lock().unwrap() {
            if let Event::Write(offset, bytes) = event {
                left.put(*offset, bytes);
            }
        }
        let left = Ext4Editor::open_on(Box::new(left), "left");
        match (committed, left) {
            (Ok(()), Ok(left)) => {
                assert!(left.stat(&path("/link")).unwrap().is_some());
                outcomes[2] += 1;
                break;
            }
            (Err(RootfsError::Io { .. }), Ok(left)) => {
                // Either nothing happened, or all but the last step.
                let is_there = left.stat(&path("/link")).unwrap().is_some();
                let again = editor.commit();
                assert!(!is_there || again.is_err(), "what took effect cannot be tried again");
                outcomes[0] += usize::from(again.is_ok());
            }
            (Err(RootfsError::Io { .. }), Err(RootfsError::Unsupported { reason, .. })) => {
                assert!(reason.contains("e2fsck"), "{reason}");
                assert!(editor.commit().is_err(), "the journal must not be written over");
                outcomes[1] += 1;
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
    assert!(matches!(editor.commit(), Err(RootfsError::Io { action: "lock", .. })));
    drop(editor);
    assert_equal(&before, &Ext4Editor::open(&image).unwrap());
    require!(assert_silent(image.as_std_path()));
}
