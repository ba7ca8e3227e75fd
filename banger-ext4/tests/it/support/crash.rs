//! Crashes at every write: an image that remembers what was done to it, and what of that may be
//! lost.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use banger_ext4::{Ext4Editor, Storage};
use banger_testkit::{Listing, assert_silent, copy_sparse, listing, tools, without_free_counts};
use camino::Utf8Path;

use super::is_root;
use crate::editor::{Numbers, Place};

/// What was done to a [`Recorder`].
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Write(u64, Vec<u8>),
    Size(u64),
    Sync,
}

/// An image in memory that remembers what was done to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) base: Arc<Vec<u8>>,
    size_bytes: u64,
    /// What differs from it, in pieces of [`PIECE`] bytes.
    changed: BTreeMap<usize, Vec<u8>>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
    /// The write of this number fails.
    fails_at: Option<usize>,
    writes: usize,
}

pub(crate) const PIECE: usize = 1024;

impl Recorder {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { size_bytes: bytes.len() as u64, base: Arc::new(bytes), ..Self::default() }
    }

    /// Returns a copy with a history of its own, whose write of this number, from 1, fails.
    pub(crate) fn failing_at(&self, write: usize) -> Self {
        Self { fails_at: Some(write), events: Arc::default(), ..self.clone() }
    }

    pub(crate) fn piece_mut(&mut self, number: usize) -> &mut Vec<u8> {
        assert!(((number + 1) * PIECE) as u64 <= self.size_bytes, "a write beyond the end");
        let base = self.base.get(number * PIECE..(number + 1) * PIECE);
        self.changed.entry(number).or_insert_with(|| base.unwrap_or(&[0; PIECE]).to_vec())
    }

    /// Returns a copy that ends after `length` bytes.
    pub(crate) fn cut(&self, length: usize) -> Self {
        Self { size_bytes: length as u64, ..self.clone() }
    }

    /// Changes some bytes, wherever they are.
    pub(crate) fn put_bytes(&mut self, offset: usize, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            self.piece_mut(at / PIECE)[at % PIECE] = *byte;
        }
    }

    /// Repeats the writes of another recorder.
    pub(crate) fn apply(&mut self, events: &[Event]) {
        for event in events {
            if let Event::Write(offset, bytes) = event {
                self.put(*offset, bytes);
            }
        }
    }

    pub(crate) fn put(&mut self, offset: u64, bytes: &[u8]) {
        let first = usize::try_from(offset).unwrap() / PIECE;
        for (at, piece) in bytes.chunks(PIECE).enumerate() {
            self.piece_mut(first + at)[..piece.len()].copy_from_slice(piece);
        }
    }
}

impl Storage for Recorder {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.size_bytes)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let end = start + buffer.len();
        if end as u64 > self.size_bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.fill(0);
        let base = &self.base[start.min(self.base.len())..end.min(self.base.len())];
        buffer[..base.len()].copy_from_slice(base);
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

    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        self.size_bytes = size_bytes;
        self.events.lock().unwrap().push(Event::Size(size_bytes));
        Ok(())
    }

    fn punch_hole(&mut self, offset: u64, length: u64) -> io::Result<()> {
        // Not all at once: a crash may come in between.
        let part = (length / 8).next_multiple_of(PIECE as u64).max(PIECE as u64);
        for at in (offset..offset + length).step_by(usize::try_from(part).unwrap()) {
            let zeros = vec![0; usize::try_from(part.min(offset + length - at)).unwrap()];
            self.put(at, &zeros);
            self.events.lock().unwrap().push(Event::Write(at, zeros));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.events.lock().unwrap().push(Event::Sync);
        Ok(())
    }
}

/// Lets the kernel mount an image and write to it, and so replay its journal first.
pub(crate) fn mount_once(place: &Place, image: &Utf8Path) {
    tools::run(&mut mounting(place, image));
}

fn mounting(place: &Place, image: &Utf8Path) -> Command {
    let script = "mount -o loop \"$1\" \"$2\"; touch \"$2/.x\"; rm \"$2/.x\"; umount \"$2\"";
    let point = place.root.join("mnt");
    let _ = std::fs::create_dir(&point);
    let mut command = Command::new("sh");
    command.args(["-ec", script, "sh"]).arg(image).arg(&point);
    command
}

/// Fails unless a crash anywhere in `events`, which made `new` of the `old` in the file `base`,
/// leaves one of the two for e2fsck or the kernel to find, and the new one at the end. The kernel
/// may need several `mounts` for it.
pub(crate) fn check_crashes(
    place: &Place,
    base: &Utf8Path,
    events: &[Event],
    old: &Listing,
    new: &Listing,
    mounts: usize,
    label: &str,
) {
    let e2fsck = tools::tool("e2fsck").unwrap();
    eprintln!("{label}: {} writes and flushes", events.len());
    let mut numbers = Numbers(events.len() as u64);
    let mut is_new = false;
    // In CI every crash there can be; else a third of them, and all of the end.
    let is_ci = std::env::var("CI").as_deref() == Ok("true");
    let chosen = numbers.below(3);
    let crashes = (0..=events.len()).filter(|at| is_ci || at % 3 == chosen || at + 6 > events.len());
    for crash in crashes {
        // What was written before the last flush is there; of the rest, all or a part.
        let flushed = events[..crash].iter().rposition(|event| matches!(event, Event::Sync)).unwrap_or(0);
        for drops in [false, true] {
            let image = place.root.join("image");
            copy_sparse(base.as_std_path(), image.as_std_path());
            let file = std::fs::File::options().write(true).open(&image).unwrap();
            for (at, event) in events[..crash].iter().enumerate() {
                match event {
                    Event::Write(offset, bytes) if at < flushed || !drops || numbers.below(2) == 0 => {
                        file.write_all_at(bytes, *offset).unwrap();
                    }
                    Event::Size(size_bytes) => file.set_len(*size_bytes).unwrap(),
                    _ => {}
                }
            }
            drop(file);
            let is_mounted = is_root() && crash % 5 == 2;
            if is_mounted {
                if label == "descriptors" {
                    // The kernel may refuse it once, after its replay: the descriptors that it has are old.
                    let _ = mounting(place, &image).output().unwrap();
                }
                (0..mounts).for_each(|_| mount_once(place, &image));
            }
            if !is_mounted || label.starts_with("lent") {
                let output =
                    Command::new(&e2fsck).env("LC_ALL", "C").arg("-fy").arg(&image).output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                // A kernel that has it mounted counts in memory, and again with the next mount.
                let text = match label.split(':').next() {
                    Some("dirty") => without_free_counts(&text),
                    // Before the journal counts, and after that, its inode means nothing.
                    Some("lent") => text.replace(LEFT_OVER, ""),
                    _ => text,
                };
                assert!(
                    output.status.code().is_some_and(|code| code <= 1) && !text.contains("yes"),
                    "{label}, crash at {crash}: {text}{}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            if crash % 4 == 0 {
                assert_silent(image.as_std_path()).unwrap();
            }
            let found = listing(&Ext4Editor::open(&image).unwrap()).unwrap();
            assert!(found == *old || found == *new, "{label}: a third state after a crash at {crash}");
            // With nothing lost, there is no way back.
            assert!(drops || !is_new || found == *new, "{label}: old again at {crash}");
            is_new |= !drops && found == *new;
        }
    }
    assert!(is_new, "{label}: the commit changed something");
}

/// What e2fsck says of the inode of a journal that a commit was lent.
const LEFT_OVER: &str = "Journal inode is not in use, but contains data.  Clear? yes";
