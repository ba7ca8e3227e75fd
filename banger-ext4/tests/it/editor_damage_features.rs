//! Damage of what only some features have: lists of blocks, content in inodes, values in inodes, other
//! sizes. An error, and never a panic or an endless loop; and work that grows as the file does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use banger_ext4::{Ext4Editor, Storage};
use banger_testkit::{listing, require};
use banger_tree::{FileType, GuestPath, Rootfs, RootfsError};

use crate::editor::{Maker, Numbers, Place, make, path};
use crate::editor_damage::{Map, TIME_MAX};
use crate::support::crash::Recorder;
use crate::support::fixture::mode;

const LISTS: Maker = Maker::Mkfs {
    newer: false,
    size: "24M",
    options: &["-b", "1024", "-O", "^extent,^64bit,^metadata_csum,^uninit_bg"],
};

/// Fills a new image by `fill`; returns its bytes.
fn image_of(maker: &Maker, fill: impl FnOnce(&mut Ext4Editor)) -> Result<Vec<u8>, banger_testkit::Skip> {
    let place = Place::in_memory();
    let image = place.root.join("image");
    make(maker, &image)?;
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    fill(&mut editor);
    editor.commit().unwrap();
    drop(editor);
    Ok(std::fs::read(&image).unwrap())
}

/// Reads and changes everything; returns all errors.
fn use_everything(storage: Recorder) -> Vec<String> {
    let started = Instant::now();
    let mut errors = Vec::new();
    match Ext4Editor::open_alone_on(Box::new(storage), "damaged") {
        Ok(mut editor) => {
            let mut note = |outcome: Result<(), RootfsError>| {
                errors.extend(outcome.err().map(|error| error.to_string()))
            };
            note(listing(&editor).map(drop));
            match editor.verify() {
                Ok(report) => errors.extend(report.problems),
                Err(error) => errors.push(error.to_string()),
            }
            let mut note = |outcome: Result<(), RootfsError>| {
                errors.extend(outcome.err().map(|error| error.to_string()))
            };
            note(editor.write_file(&path("/new"), &mut &[1; 40_000][..], &mode(0o644)));
            let names = editor.read_dir(&GuestPath::root()).unwrap_or_default();
            for entry in names {
                let at = GuestPath::root().join(&entry.name).unwrap();
                if entry.file_type == FileType::Directory {
                    note(editor.create_dir(&at.join(b"added").unwrap(), &mode(0o700)));
                }
                note(editor.set_attributes(&at, &(&mode(0o600)).into()));
                if entry.name != b"lost+found" {
                    note(editor.remove(&at));
                }
            }
            note(editor.commit());
        }
        Err(error) => errors.push(error.to_string()),
    }
    assert!(started.elapsed() < TIME_MAX, "{errors:?}");
    errors
}

#[test]
fn lying_lists_of_blocks_are_found() {
    let bytes = require!(image_of(&LISTS, |editor| {
        // Blocks of the inode, of a list and of lists of a list.
        editor.write_file(&path("/long"), &mut &vec![7; 400 << 10][..], &mode(0o644)).unwrap();
        editor.write_file(&path("/other"), &mut &[7; 20_000][..], &mode(0o644)).unwrap();
    }));
    let sound = Recorder::new(bytes.clone());
    let editor = Ext4Editor::open_on(Box::new(sound.clone()), "sound").unwrap();
    let map = Map::new(bytes);
    let number = |name: &str| usize::try_from(editor.stat(&path(name)).unwrap().unwrap().inode).unwrap();
    let (long, other) = (map.inode(number("/long")) + 0x28, map.inode(number("/other")) + 0x28);
    let list = map.block(map.u32(long + 48));
    let lists = map.block(map.u32(long + 52));
    assert!(list > 0 && lists > 0);
    let own = |at: usize| u32::try_from(map.u32(at)).unwrap().to_le_bytes();
    let cases: [(&str, usize, Vec<u8>, &str); 9] = [
        ("a block beyond the end", long, vec![0xff; 4], "beyond the file system"),
        ("the superblock", long + 4, vec![1, 0, 0, 0], "beyond the file system"),
        ("a list beyond the end", long + 48, vec![0xff; 4], "beyond the file system"),
        ("a list that is its own block", list, own(long + 48).to_vec(), "that something else has too"),
        ("lists that are themselves", lists, own(long + 52).to_vec(), "the same list twice"),
        ("a list of lists that is a list", long + 52, own(long + 48).to_vec(), "the same list twice"),
        ("three levels of one list", long + 56, own(long + 52).to_vec(), "the same list twice"),
        ("the list of another", other + 48, own(long + 48).to_vec(), "that something else has too"),
        ("a list of one block everywhere", lists, own(lists).repeat(256), "the same list twice"),
    ];
    assert_eq!(use_everything(sound.clone()), [""; 0]);
    for (name, at, bytes, want) in cases {
        let mut damaged = sound.clone();
        damaged.put_bytes(at, &bytes);
        let errors = use_everything(damaged);
        assert!(errors.iter().any(|error| error.contains(want)), "{name}: {errors:?}");
    }
}

#[test]
fn random_damage_of_rare_features_is_bounded_and_never_panics() {
    let seed: u64 = std::env::var("BANGER_SEED").map_or(11, |text| text.parse().expect("a number"));
    eprintln!("BANGER_SEED={seed}");
    let mut numbers = Numbers(seed);
    let no_checksums = "^metadata_csum,^64bit";
    for options in [
        &["-b", "1024", "-O", "^extent,^64bit,^metadata_csum"][..],
        &["-b", "1024", "-I", "128", "-O", no_checksums],
        &["-b", "1024", "-I", "512", "-O", no_checksums],
        &["-b", "1024", "-O", "inline_data,^metadata_csum,^64bit"],
        &["-b", "1024", "-O", "ea_inode,^metadata_csum,^64bit"],
        &["-b", "1024", "-O", "meta_bg,^resize_inode,^metadata_csum,^64bit", "-g", "1024"],
        &["-b", "1024", "-O", "sparse_super2,casefold,^metadata_csum,^64bit", "-g", "1024"],
        &["-b", "65536", "-O", no_checksums],
    ] {
        let place = Place::in_memory();
        let (image, source) = (place.root.join("image"), place.root.join("source"));
        std::fs::create_dir_all(source.join("few/deeper")).unwrap();
        std::fs::create_dir(source.join("many")).unwrap();
        std::fs::write(source.join("tiny"), "a little").unwrap();
        std::fs::write(source.join("few/some"), [7; 120]).unwrap();
        std::fs::write(source.join("large"), [9; 60_000]).unwrap();
        std::os::unix::fs::symlink("t".repeat(90), source.join("few/long")).unwrap();
        (0..60)
            .for_each(|at| std::fs::write(source.join(format!("many/with a long name {at}")), "").unwrap());
        let mut mke2fs = require!(banger_testkit::tools::command("mke2fs"));
        mke2fs.args(["-q", "-F", "-t", "ext4", "-N", "200", "-d"]).arg(&source).args(options);
        banger_testkit::tools::run(mke2fs.arg(&image).arg("6M"));
        let bytes = std::fs::read(&image).unwrap();
        let block_size = 1024 << bytes[1024 + 0x18];
        // Damage of what is zeros hits nothing most of the time.
        let used: Vec<usize> = (0..bytes.len())
            .step_by(block_size)
            .filter(|at| {
                *at < 4096 || bytes[*at..*at + block_size].iter().any(|byte| *byte != 0 && *byte != 9)
            })
            .collect();
        let sound = Recorder::new(bytes);
        let mut found = 0;
        for _ in 0..60 {
            let mut damaged = sound.clone();
            for _ in 0..1 + numbers.below(4) {
                let block = used[numbers.below(used.len())];
                let at = block + numbers.below(block_size);
                let value = [0, 1, 2, 4, 0x10, 0x7f, 0x80, 0xff][numbers.below(8)];
                damaged.put_bytes(at, &[value]);
            }
            found += usize::from(!use_everything(damaged).is_empty());
        }
        eprintln!("{options:?}: {found} of 60 found");
    }
}

/// Counts what is read of an image.
#[derive(Debug)]
struct Counted {
    image: Recorder,
    reads: Arc<AtomicU64>,
}

impl Storage for Counted {
    fn size_bytes(&self) -> io::Result<u64> {
        self.image.size_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.image.read_at(offset, buffer)
    }

    fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn reading_lists_of_blocks_in_parts_is_linear() {
    let mut counts = Vec::new();
    for kib in [2_000, 4_000, 8_000] {
        let bytes = require!(image_of(&LISTS, |editor| {
            // Every other block is a hole, so that no two are read at once.
            let pieces: Vec<u8> =
                (0..kib).flat_map(|at| [if at % 2 == 0 { 7_u8 } else { 0 }; 1024]).collect();
            editor.write_file(&path("/long"), &mut &pieces[..], &mode(0o644)).unwrap();
        }));
        let reads = Arc::new(AtomicU64::new(0));
        let storage = Counted { image: Recorder::new(bytes), reads: Arc::clone(&reads) };
        let editor = Ext4Editor::open_on(Box::new(storage), "counted").unwrap();
        let (mut buffer, mut offset) = (vec![0; 64 << 10], 0);
        while let length @ 1.. = editor.read_at(&path("/long"), offset, &mut buffer).unwrap() {
            offset += length as u64;
        }
        assert_eq!(offset, kib * 1024);
        counts.push(reads.load(Ordering::Relaxed));
    }
    eprintln!("{counts:?} reads");
    assert!(counts[1] < counts[0] * 5 / 2 && counts[2] < counts[1] * 5 / 2, "{counts:?}");
}
