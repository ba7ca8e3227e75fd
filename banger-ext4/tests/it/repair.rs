//! Repairs of damaged bitmaps, counters and checksums, with e2fsck as the judge.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use banger_ext4::{Ext4Editor, RepairReport};
use banger_testkit::{Skip, assert_silent, copy_sparse, require, seed, tools};
use banger_tree::{Attributes, Cancellation, FileType, GuestPath, Rootfs};
use camino::Utf8Path;

/// The options of the images; the last ones have no checksums in their inodes.
const KINDS: [(&str, &[&str]); 5] = [
    ("default", &[]),
    ("4k", &["-b", "4096", "-g", "2048", "-I", "128"]),
    ("no-flex", &["-O", "^flex_bg,^resize_inode", "-g", "2048"]),
    ("gdt-csum", &["-O", "^metadata_csum,uninit_bg"]),
    ("ext3", &["-t", "ext3", "-I", "256"]),
];

/// Numbers that follow from the seed.
struct Numbers(u64);

impl Numbers {
    /// splitmix64.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % limit
    }
}

fn make(dir: &Path, name: &str, options: &[&str]) -> Result<PathBuf, Skip> {
    let model = dir.join("model");
    if !model.exists() {
        for number in 0..40 {
            let below = model.join(format!("dir-{}/sub-{}", number % 5, number % 3));
            fs::create_dir_all(&below).unwrap();
            fs::write(below.join(format!("file-{number}")), vec![b'x'; number * 700]).unwrap();
        }
        fs::hard_link(model.join("dir-0/sub-0/file-0"), model.join("alias")).unwrap();
        std::os::unix::fs::symlink("y".repeat(200), model.join("link")).unwrap();
        tools::run(
            tools::command("setfattr")?
                .args(["-n", "user.long", "-v", &"v".repeat(600)])
                .arg(model.join("dir-1/sub-1/file-1")),
        );
    }
    let image = dir.join(format!("{name}.ext4"));
    let mut mkfs = tools::command("mkfs.ext4")?;
    tools::run(mkfs.args(["-q", "-F", "-d"]).arg(&model).args(options).arg(&image).arg("24M"));
    Ok(image)
}

fn open(image: &Path) -> Result<Ext4Editor, banger_tree::RootfsError> {
    Ext4Editor::open_range_to_repair(Utf8Path::from_path(image).unwrap(), 0..u64::MAX)
}

fn repair(image: &Path) -> Result<RepairReport, banger_tree::RootfsError> {
    open(image)?.repair()
}

/// Every path with its attributes and bytes.
fn content(image: &Path) -> Vec<(GuestPath, Attributes, Vec<u8>)> {
    let rootfs = Ext4Editor::open(Utf8Path::from_path(image).unwrap()).unwrap();
    let (mut found, mut pending) = (Vec::new(), vec![GuestPath::root()]);
    while let Some(path) = pending.pop() {
        let stat = rootfs.stat(&path).unwrap().unwrap();
        let bytes = match stat.file_type {
            FileType::Regular => rootfs.read(&path).unwrap(),
            FileType::Symlink => rootfs.read_link(&path).unwrap(),
            _ => Vec::new(),
        };
        if stat.file_type == FileType::Directory {
            pending
                .extend(rootfs.read_dir(&path).unwrap().iter().map(|entry| path.join(&entry.name).unwrap()));
        }
        found.push((path, stat.attributes, bytes));
    }
    found.sort_by(|one, two| one.0.cmp(&two.0));
    found
}

/// Values of the superblock.
fn field(image: &Path, offset: u64, bytes: usize) -> u64 {
    let mut value = [0; 8];
    fs::File::open(image).unwrap().read_exact_at(&mut value[..bytes], 1024 + offset).unwrap();
    u64::from_le_bytes(value)
}

fn flip(image: &Path, offset: u64, mask: u8) {
    let file = fs::File::options().read(true).write(true).open(image).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ mask], offset).unwrap();
}

/// A block that a descriptor names: of the block bitmap (0), the inode bitmap (4) or the inode table (8).
fn place(image: &Path, group: u64, at: u64) -> u64 {
    let block = 1024 << field(image, 0x18, 4);
    let descriptor_bytes = match field(image, 0xfe, 2) {
        64 if field(image, 0x60, 4) & 0x80 != 0 => 64,
        _ => 32,
    };
    let table = (field(image, 0x14, 4) + 1) * block;
    let mut value = [0; 4];
    let file = fs::File::open(image).unwrap();
    file.read_exact_at(&mut value, table + group * descriptor_bytes + at).unwrap();
    u64::from(u32::from_le_bytes(value))
}

fn descriptor(image: &Path, group: u64) -> u64 {
    let block = 1024 << field(image, 0x18, 4);
    let is_64 = field(image, 0x60, 4) & 0x80 != 0;
    (field(image, 0x14, 4) + 1) * block + group * if is_64 { 64 } else { 32 }
}

/// Damages bitmaps, counters or checksums at random; returns what it did.
fn damage(image: &Path, kind: &str, numbers: &mut Numbers) -> Result<String, Skip> {
    let (blocks, per_group) = (field(image, 0x4, 4), field(image, 0x20, 4));
    let (inodes, inodes_per_group) = (field(image, 0x0, 4), field(image, 0x28, 4));
    let first_block = field(image, 0x14, 4);
    let groups = (blocks - first_block).div_ceil(per_group);
    let block = 1024 << field(image, 0x18, 4);
    let (group, has_sums) = (numbers.below(groups), kind != "ext3" && kind != "gdt-csum");
    let mut done = Vec::new();
    // Without checksums in inodes, bits that are lost and bits that are leaked together mean nothing.
    let sets = numbers.below(2) == 0;
    for _ in 0..1 + numbers.below(3) {
        let command = match numbers.below(if has_sums { 11 } else { 7 }) {
            0 => format!("ssv free_blocks_count {}", numbers.below(blocks)),
            1 => format!("ssv free_inodes_count {}", numbers.below(inodes)),
            2 => format!("set_bg {group} free_blocks_count {}", numbers.below(per_group)),
            3 => format!("set_bg {group} free_inodes_count {}", numbers.below(inodes_per_group)),
            4 => format!("set_bg {group} used_dirs_count {}", numbers.below(inodes_per_group)),
            5 => {
                let (from, count) = (first_block + 1 + numbers.below(blocks - 300), 1 + numbers.below(200));
                let set = if has_sums { numbers.below(2) == 0 } else { sets };
                format!("{} {from} {count}", if set { "setb" } else { "freeb" })
            }
            6 => {
                let inode = 13 + numbers.below(inodes - 20);
                format!("{} <{inode}>", if numbers.below(2) == 0 { "seti" } else { "freei" })
            }
            7 => {
                // The bits without their checksum.
                let byte = numbers.below(per_group / 8);
                let bitmap = place(image, group, 0);
                flip(image, bitmap * block + byte, 1 << numbers.below(8));
                done.push(format!("flipped a bit of block bitmap {group}, byte {byte}"));
                continue;
            }
            8 => {
                let byte = numbers.below(inodes_per_group / 8);
                let bitmap = place(image, group, 4);
                flip(image, bitmap * block + byte, 1 << numbers.below(8));
                done.push(format!("flipped a bit of inode bitmap {group}, byte {byte}"));
                continue;
            }
            9 => {
                // Checksums of both bitmaps.
                flip(image, descriptor(image, group) + 0x18 + numbers.below(4), 1 << numbers.below(8));
                done.push(format!("flipped a bit of the checksums of bitmaps of group {group}"));
                continue;
            }
            _ => {
                // Counters, and the checksum of the descriptor.
                let at = [0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x1e, 0x1f][numbers.below(8) as usize];
                flip(image, descriptor(image, group) + at, 1 << numbers.below(8));
                done.push(format!("flipped a bit of byte {at:#x} of descriptor {group}"));
                continue;
            }
        };
        let mut debugfs = tools::command("debugfs")?;
        // A checksum that is wrong already shall not stop it.
        debugfs.args(["-n", "-w", "-R", &command]).arg(image);
        assert!(debugfs.output().unwrap().status.success(), "{command}");
        done.push(command);
    }
    Ok(done.join("; "))
}

#[test]
fn damage_that_is_unambiguous_is_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(seed());
    let (mut repaired, mut sound) = (0, 0);
    for (kind, options) in KINDS {
        let image = require!(make(dir.path(), kind, options));
        require!(assert_silent(&image));
        let (before, damaged) = (content(&image), dir.path().join("damaged.ext4"));
        for case in 0..30 {
            copy_sparse(&image, &damaged);
            let what = require!(damage(&damaged, kind, &mut numbers));
            let of_case = format!("{kind}, case {case}: {what}");
            let report = repair(&damaged).unwrap_or_else(|error| panic!("{of_case}: {error}"));
            assert_eq!(report.problems, [""; 0], "{of_case}");
            assert_eq!(report.repairs.is_empty(), report.repair_count == 0);
            if report.repair_count == 0 {
                sound += 1;
            } else {
                repaired += 1;
            }
            eprintln!("{of_case}: {:?}", report.repairs);
            require!(assert_silent(&damaged));
            assert!(content(&damaged) == before, "{of_case}");
            // It is done once.
            assert_eq!(repair(&damaged).unwrap(), RepairReport::default(), "{of_case}");
        }
    }
    eprintln!("{repaired} repaired, {sound} were sound");
    assert!(repaired >= 100, "{repaired} repaired, {sound} were sound");
}

#[test]
fn other_damage_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut numbers = Numbers(seed());
    let mut refused = 0;
    for (kind, options) in KINDS {
        let image = require!(make(dir.path(), kind, options));
        let damaged = dir.path().join("damaged.ext4");
        let block = 1024 << field(&image, 0x18, 4);
        let inode_bytes = field(&image, 0x58, 2);
        for case in 0..20 {
            copy_sparse(&image, &damaged);
            // A number, mode, link count or map of blocks of an inode in use, or its checksum.
            let table = place(&image, 0, 8) * block;
            let (inode, at) =
                (11 + numbers.below(50), [0x1, 0x1a, 0x28, 0x2a, 0x3c][numbers.below(5) as usize]);
            flip(&damaged, table + inode * inode_bytes + at, 1 << numbers.below(4));
            if case % 2 == 0 {
                // A counter besides.
                flip(&damaged, descriptor(&damaged, 0) + 0x0e, 1);
            }
            let before = fs::read(&damaged).unwrap();
            let of_case = format!("{kind}, case {case}: inode {} at {at:#x}", inode + 1);
            let is_sound = open(&damaged)
                .is_ok_and(|rootfs| rootfs.verify().is_ok_and(|report| report.problem_count == 0));
            match repair(&damaged) {
                Ok(report) if report.problem_count == 0 => {
                    // What no checksum covers may be as good as it was: then only the counter was repaired.
                    require!(assert_silent(&damaged));
                    eprintln!("{of_case}: sound before: {is_sound}, {:?}", report.repairs);
                }
                refusal => {
                    refused += 1;
                    assert!(fs::read(&damaged).unwrap() == before, "{of_case}: {refusal:?}");
                }
            }
        }
    }
    eprintln!("{refused} refused");
    assert!(refused >= 60, "{refused} refused");
}

#[test]
fn a_repair_that_is_cancelled_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let image = require!(make(dir.path(), "cancelled", &[]));
    flip(&image, descriptor(&image, 0) + 0x0e, 1);
    let before = fs::read(&image).unwrap();
    let mut rootfs = open(&image).unwrap();
    let cancelled = Cancellation::new();
    cancelled.cancel();
    rootfs.set_cancellation(&cancelled);
    assert!(matches!(rootfs.repair(), Err(banger_tree::RootfsError::Cancelled)));
    drop(rootfs);
    assert!(fs::read(&image).unwrap() == before);
    assert!(repair(&image).unwrap().repair_count > 0);
}
