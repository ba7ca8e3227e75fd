//! Journals with every format of tags and checksums, as debugfs writes them: whole, and torn at every block. What
//! is read is what e2fsck makes of a copy; an edit puts the journal in place first.
//! `BANGER_DIRTY` says how many torn images of each format there are at most (6; 1000 for all).

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt as _;

use banger_ext4::Ext4Editor;
use banger_testkit::{Listing, assert_silent, copy_sparse, listing, recover_copy, require, tools};
use banger_tree::Rootfs;
use camino::{Utf8Path, Utf8PathBuf};

use crate::editor::{Numbers, Place, path};
use crate::support::crash::{Recorder, check_crashes};
use crate::support::fixture::mode;

/// How a journal is written: features of the file system, and the version of the checksums of debugfs.
#[derive(Clone, Copy, Debug)]
struct Format {
    mkfs: &'static [&'static str],
    checksum: &'static str,
}

const FORMATS: [Format; 10] = [
    Format { mkfs: &["-O", "^metadata_csum,^64bit", "-b", "1024"], checksum: "" },
    Format { mkfs: &["-O", "^metadata_csum,64bit", "-b", "4096"], checksum: "" },
    Format { mkfs: &["-t", "ext3", "-b", "1024"], checksum: "" },
    Format { mkfs: &["-O", "^64bit", "-b", "1024"], checksum: "2" },
    Format { mkfs: &["-O", "64bit", "-b", "1024"], checksum: "2" },
    Format { mkfs: &["-O", "64bit", "-b", "4096"], checksum: "2" },
    Format { mkfs: &["-O", "^64bit", "-b", "4096"], checksum: "3" },
    Format { mkfs: &["-O", "64bit", "-b", "1024"], checksum: "3" },
    Format { mkfs: &["-O", "64bit", "-b", "4096"], checksum: "3" },
    Format { mkfs: &["-O", "^metadata_csum,64bit", "-b", "2048"], checksum: "1" },
];

/// An image whose journal leads to another state.
struct Dirty {
    image: Utf8PathBuf,
    block_size: usize,
    /// Blocks of the log, from the first on.
    log: Vec<u64>,
}

fn debugfs(image: &Utf8Path, place: &Place, commands: &[String]) -> String {
    let script = place.root.join("commands");
    std::fs::write(&script, commands.join("\n") + "\n").unwrap();
    let output =
        tools::command("debugfs").unwrap().arg("-w").arg("-f").arg(&script).arg(image).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaints.lines().all(|line| line.starts_with("debugfs ")), "{commands:?}: {complaints}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes an image, and lets debugfs write the way to a changed one into its journal, in four transactions.
fn dirty(place: &Place, format: &Format) -> Dirty {
    let (image, changed) = (place.root.join("dirty"), place.root.join("changed"));
    let _ = std::fs::remove_file(&image);
    let mut mke2fs = tools::command("mke2fs").unwrap();
    if !format.mkfs.contains(&"-t") {
        mke2fs.args(["-t", "ext4"]);
    }
    tools::run(mke2fs.args(["-q", "-F"]).args(format.mkfs).arg(&image).arg("20M"));
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
    for at in 0..30 {
        editor
            .write_file(&path(&format!("/dir/{at}")), &mut &vec![at as u8; 3000][..], &mode(0o600))
            .unwrap();
    }
    editor.commit().unwrap();
    drop(editor);
    copy_sparse(image.as_std_path(), changed.as_std_path());
    let mut editor = Ext4Editor::open_to_edit(&changed).unwrap();
    for at in 0..12 {
        editor.remove(&path(&format!("/dir/{at}"))).unwrap();
    }
    editor.commit().unwrap();
    let between = std::fs::read(&changed).unwrap();
    editor.create_dir(&path("/made"), &mode(0o700)).unwrap();
    editor.symlink(&path("/made/link"), &[b'l'; 200], &mode(0o777)).unwrap();
    // A block that begins as those of a journal do.
    let magic = [&[0xc0, 0x3b, 0x39, 0x98][..], &[7; 9000]].concat();
    editor.write_file(&path("/made/magic"), &mut &magic[..], &mode(0o640)).unwrap();
    editor.commit().unwrap();
    drop(editor);

    let (old, new) = (std::fs::read(&image).unwrap(), std::fs::read(&changed).unwrap());
    let block_size = 1024_usize << old[1024 + 0x18];
    let length = old.len() / block_size;
    let bmap: Vec<String> = (0..1024).map(|at| format!("bmap <8> {at}")).collect();
    let numbers =
        |text: &str| -> Vec<u64> { text.lines().filter_map(|line| line.trim().parse().ok()).collect() };
    let journal = numbers(&debugfs(&image, place, &bmap));
    let of_journal: BTreeSet<u64> = journal.iter().copied().collect();
    let block = |bytes: &[u8], at: usize| bytes[at * block_size..(at + 1) * block_size].to_vec();
    // All but the superblock, which debugfs writes itself.
    let differing = |before: &[u8], after: &[u8]| -> Vec<usize> {
        let all = 1 + usize::from(block_size == 1024)..length;
        let others = all.filter(|at| !of_journal.contains(&(*at as u64)));
        others.filter(|at| block(before, *at) != block(after, *at)).collect()
    };
    let (first, second) = (differing(&old, &between), differing(&between, &new));
    assert!(first.len() > 3 && second.len() > 6, "{format:?}: {first:?} {second:?}");
    // A block that is free before and after gets old content in the first transaction, and is revoked then.
    let found = debugfs(&image, place, &["ffb 1 4500".to_owned()]);
    let free = found.split_whitespace().next_back().expect("its number is the last word").to_owned();
    let list = |blocks: &[usize]| blocks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let put = |name: &str, bytes: Vec<u8>| {
        let file = place.root.join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let of =
        |bytes: &[u8], blocks: &[usize]| blocks.iter().flat_map(|at| block(bytes, *at)).collect::<Vec<u8>>();
    let (junk, one, two) = (
        put("junk", vec![0x5a; block_size]),
        put("one", of(&between, &first)),
        put("two", of(&new, &second)),
    );
    let open = match format.checksum {
        "" => "jo".to_owned(),
        version => format!("jo -c -v {version}"),
    };
    let mut commands = vec![
        open,
        format!("jw -b {free} {junk}"),
        format!("jw -r {free}"),
        format!("jw -b {} {one}", list(&first)),
        format!("jw -b {} {two}", list(&second)),
        "jc".to_owned(),
    ];
    if format.checksum == "1" {
        // The kernel and e2fsck leave revoke records out of this checksum, and debugfs does not.
        commands.remove(2);
    }
    debugfs(&image, place, &commands);
    let bytes = std::fs::read(&image).unwrap();
    assert!(bytes[1024 + 0x60] & 4 != 0, "{format:?}: it needs recovery");
    let is_header =
        |at: &&u64| block(&bytes, usize::try_from(**at).unwrap())[..4] == [0xc0, 0x3b, 0x39, 0x98];
    let last = journal.iter().rposition(|at| is_header(&at)).unwrap();
    Dirty { image, block_size, log: journal[1..=last].to_vec() }
}

/// Returns what is there after `e2fsck -fy` on a copy, if e2fsck replays the journal and finds no damage.
fn after_e2fsck(place: &Place, image: &Utf8Path) -> Option<Listing> {
    let copy = place.root.join("recovered");
    let recovery = recover_copy(image.as_std_path(), copy.as_std_path()).unwrap();
    recovery.is_plain.then(|| listing(&Ext4Editor::open(&copy).unwrap()).unwrap())
}

/// Fails unless an image is read and edited as e2fsck leaves it. Returns whether e2fsck finds it replayable.
pub(crate) fn check_dirty(place: &Place, image: &Utf8Path, label: &str, mut edits: bool) -> bool {
    let before = std::fs::read(image).unwrap();
    let want = after_e2fsck(place, image);
    let opened = Ext4Editor::open(image).and_then(|editor| listing(&editor).map(|found| (editor, found)));
    assert!(std::fs::read(image).unwrap() == before, "{label}: reading changed it");
    let Some(want) = want else { return false };
    let (editor, found) = match opened {
        Ok(opened) => opened,
        // With checksums of version 1, e2fsck drops transactions in the middle; the kernel refuses them, too.
        Err(error) if label.contains("checksum: \"1\"") && error.to_string().contains("wrong checksum") => {
            return false;
        }
        Err(error) => panic!("{label}: {error}"),
    };
    assert!(found == want, "{label}: e2fsck replays it in another way");
    assert_eq!(editor.verify().unwrap().problems, [""; 0], "{label}");
    drop(editor);
    edits |= found.contains_key(&path("/made"));
    if edits {
        let mut editor = Ext4Editor::open_to_edit(image).unwrap();
        editor.write_file(&path("/edited"), &mut &[3; 20_000][..], &mode(0o600)).unwrap();
        let after = listing(&editor).unwrap();
        editor.commit().unwrap_or_else(|error| panic!("{label}: {error}"));
        drop(editor);
        assert_silent(image.as_std_path()).unwrap();
        assert!(listing(&Ext4Editor::open(image).unwrap()).unwrap() == after, "{label}");
    }
    true
}

fn put_blocks(image: &Utf8Path, block_size: usize, blocks: &[u64], value: u8) {
    let file = std::fs::File::options().write(true).open(image).unwrap();
    for block in blocks {
        file.write_all_at(&vec![value; block_size], block * block_size as u64).unwrap();
    }
}

#[test]
fn journals_of_every_format_are_replayed_whole_and_torn() {
    let place = Place::in_memory();
    require!(tools::tool("debugfs").map(drop));
    let most: usize = std::env::var("BANGER_DIRTY").map_or(6, |text| text.parse().expect("a number"));
    let mut numbers = Numbers(9);
    let (mut images, mut replayable) = (0, 0);
    for format in &FORMATS {
        let Dirty { image, block_size, log } = dirty(&place, format);
        let work = place.root.join("work");
        copy_sparse(image.as_std_path(), work.as_std_path());
        assert!(check_dirty(&place, &work, &format!("{format:?}"), true), "{format:?}");
        assert!(Ext4Editor::open(&work).unwrap().stat(&path("/made/magic")).unwrap().is_some(), "{format:?}");
        let mut torn: Vec<usize> = (0..log.len()).collect();
        while torn.len() > most {
            torn.remove(numbers.below(torn.len()));
        }
        for at in torn {
            for (blocks, value) in [(&log[at..], 0), (&log[at..=at], 0), (&log[at..=at], 0xa5)] {
                copy_sparse(image.as_std_path(), work.as_std_path());
                put_blocks(&work, block_size, blocks, value);
                let label =
                    format!("{format:?}: {} blocks from {at} of {} are {value:#x}", blocks.len(), log.len());
                images += 1;
                replayable += usize::from(check_dirty(&place, &work, &label, at % 3 == 0));
            }
        }
    }
    eprintln!("{images} torn journals, {replayable} of which e2fsck replays without a question");
    assert!(replayable * 3 > images, "{replayable} of {images}");
}

/// Killed at every write of the replay.
#[test]
fn a_crash_in_the_replay_of_any_format_leaves_the_old_state_or_the_new() {
    let place = Place::in_memory();
    require!(tools::tool("debugfs").map(drop));
    for format in [FORMATS[2], FORMATS[4], FORMATS[8]] {
        let Dirty { image, .. } = dirty(&place, &format);
        let base = place.root.join("base");
        copy_sparse(image.as_std_path(), base.as_std_path());
        let recorder = Recorder::new(std::fs::read(&image).unwrap());
        let events = std::sync::Arc::clone(&recorder.events);
        let mut editor = Ext4Editor::open_alone_on(Box::new(recorder), "dirty").unwrap();
        let old = listing(&editor).unwrap();
        editor.create_dir(&path("/edited"), &mode(0o755)).unwrap();
        let new = listing(&editor).unwrap();
        editor.commit().unwrap();
        let events = events.lock().unwrap().clone();
        check_crashes(&place, &base, &events, &old, &new, 1, &format!("dirty: {format:?}"));
    }
}
