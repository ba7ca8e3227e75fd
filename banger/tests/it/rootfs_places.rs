//! File systems in disks with partitions, and files that are none. `BANGER_CASES` says how many damaged tables (300),
//! `BANGER_SEED` which.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::panic::catch_unwind;
use std::process::{Command, Stdio};

use banger::rootfs::{NewSize, Part, PlaceError, RootfsPlace, WantedPartition, edit, open, resize};
use banger::{Cancellation, Error, Rootfs as _};
use banger_testkit::{Skip, assert_silent, property_config, require, tools};
use banger_tree::Timestamp;
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

use crate::commit_edits::{Numbers, path};

const MIB: u64 = 1 << 20;

/// A disk of 64 MiB with a small partition, one with an ext4 file system, and one behind it.
struct Disk {
    _dir: TempDir,
    root: Utf8PathBuf,
    file: Utf8PathBuf,
}

/// The partition with the file system.
const START: u64 = 4 * MIB;
const SIZE: u64 = 32 * MIB;

const GPT: &str = "label: gpt\nstart=1MiB, size=3MiB, name=boot\nstart=4MiB, size=32MiB, name=root\nstart=36MiB, size=4MiB, name=data\n";
const MBR: &str =
    "label: dos\nstart=1MiB, size=3MiB\nstart=4MiB, size=32MiB, type=83\nstart=36MiB, size=4MiB\n";
const LOGICAL: &str = "label: dos\nstart=1MiB, size=1MiB\nstart=2MiB, size=50MiB, type=5\nstart=4MiB, size=32MiB\nstart=37MiB, size=2MiB\nstart=40MiB, size=3MiB\n";

impl Disk {
    fn new(table: &str, sector: u32) -> Result<Self, Skip> {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let file = root.join("disk");
        File::create(&file).unwrap().set_len(64 * MIB).unwrap();
        // Only a device has sectors of another size.
        let device = match sector {
            512 => None,
            _ => Some(LoopDevice::of(&file, sector)?),
        };
        let target = device.as_ref().map_or(file.as_str(), |device| &device.0);
        let mut sfdisk = tools::command("sfdisk")?;
        let mut running = sfdisk.args(["--quiet", target]).stdin(Stdio::piped()).spawn().unwrap();
        running.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
        assert!(running.wait().unwrap().success());
        drop(device);
        let image = root.join("image");
        let mut mkfs = Command::new(tools::tool("mke2fs")?);
        tools::run(mkfs.args(["-q", "-F", "-t", "ext4", "-b", "1024"]).arg(&image).arg("24M"));
        let disk = File::options().write(true).open(&file).unwrap();
        disk.write_all_at(&fs::read(&image).unwrap(), START).unwrap();
        // Bytes of others.
        disk.write_all_at(&[0xaa; 4096], START + SIZE + MIB / 2).unwrap();
        Ok(Self { _dir: dir, root, file })
    }

    fn place(&self, wanted: &str) -> RootfsPlace {
        let Ok(wanted) = wanted.parse::<WantedPartition>();
        RootfsPlace::new(&self.file).with_part(Part::Partition(wanted))
    }

    /// Fails unless e2fsck is silent about the partition, and the rest of the disk is `before`.
    fn check(&self, before: &[u8]) {
        let bytes = fs::read(&self.file).unwrap();
        let (start, end) = (START as usize, (START + SIZE) as usize);
        assert!(
            bytes[..start] == before[..start] && bytes[end..] == before[end..],
            "only the partition changes"
        );
        let image = self.root.join("image");
        fs::write(&image, &bytes[start..end]).unwrap();
        assert_silent(image.as_std_path()).unwrap();
    }
}

/// A loop device, which is taken down at the end.
struct LoopDevice(String);

impl LoopDevice {
    fn of(file: &Utf8Path, sector: u32) -> Result<Self, Skip> {
        tools::root("loop devices")?;
        let mut losetup = tools::command("losetup")?;
        losetup.args(["--find", "--show", "--sector-size", &sector.to_string()]).arg(file);
        let made = tools::try_run(&mut losetup).map_err(|_| Skip::new("this machine has no loop devices"))?;
        Ok(Self(String::from_utf8_lossy(&made.stdout).trim().to_owned()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> PlaceError {
    match result.unwrap_err() {
        Error::Place(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn partitions_are_read_and_edited() {
    let running = Cancellation::new();
    for (table, sector, number, label) in [
        (GPT, 512, "2", Some("root")),
        (GPT, 4096, "2", Some("root")),
        (MBR, 512, "2", None),
        (LOGICAL, 512, "5", None),
    ] {
        let disk = require!(Disk::new(table, sector));
        let before = fs::read(&disk.file).unwrap();
        let offset = RootfsPlace::new(&disk.file).with_part(Part::Offset(START));
        let places = [Some(disk.place(number)), label.map(|label| disk.place(label)), Some(offset)];
        for (at, place) in places.into_iter().flatten().enumerate() {
            let file = path(format!("/file{at}"));
            edit(&place, Timestamp::from_seconds(1), &running, |edit| {
                let to = banger::rootfs::Destination::parse(file.as_bytes())?;
                let source = banger::rootfs::PutSource::Reader(&mut &b"content"[..]);
                edit.put(vec![source], &to, &banger::rootfs::Put::default()).map(drop)
            })
            .unwrap();
            assert_eq!(open(&place).unwrap().read(&file).unwrap(), b"content");
            disk.check(&before);
        }
        // It grows up to the end of the partition, and no further.
        let place = disk.place(number);
        let error = resize(&place, NewSize::Bytes(SIZE + MIB), &running).unwrap_err();
        assert!(error.message().contains("fixed size"), "{error}");
        assert_eq!(resize(&place, NewSize::Bytes(SIZE), &running).unwrap().size_bytes, SIZE);
        disk.check(&before);
        let numbers: Vec<u32> =
            place.partitions().unwrap().iter().map(|partition| partition.number).collect();
        let wanted: &[u32] = if table == LOGICAL { &[1, 2, 5, 6, 7] } else { &[1, 2, 3] };
        assert_eq!(numbers, wanted);
        // Others have no file system, or do not exist.
        assert!(open(disk.place("1")).is_err());
        let missing = refusal(open(disk.place("nobody")));
        assert!(
            matches!(&missing, PlaceError::NoPartition { found, .. } if found.len() + 1 >= wanted.len()),
            "{missing}"
        );
        // Without a choice, the error lists them.
        let whole = refusal(open(&disk.file));
        assert_eq!(whole.code(), 1384);
        assert!(
            whole
                .to_string()
                .contains(&label.map_or_else(|| number.to_owned(), |label| format!("2 ({label})")))
        );
    }
}

#[test]
fn files_that_are_no_file_system_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = Utf8PathBuf::from_path_buf(dir.path().join("file")).unwrap();
    for (head, format) in
        [(&b"QFI\xfb\0\0\0\x03"[..], "qcow2"), (b"KDMV", "VMDK"), (b"\x28\xb5\x2f\xfd", "zstd")]
    {
        let mut bytes = vec![0; 8192];
        bytes[..head.len()].copy_from_slice(head);
        fs::write(&file, bytes).unwrap();
        let error = refusal(open(&file));
        assert!(error.code() == 1385 && error.to_string().contains(format), "{error}");
    }
    fs::write(&file, vec![0; 8192]).unwrap();
    assert_eq!(open(&file).unwrap_err().code(), 719);
    let partition = RootfsPlace::new(&file).with_part(Part::Partition(WantedPartition::Number(1)));
    assert_eq!(refusal(open(&partition)).code(), 1380);
    for offset in [4096, 8192, 1 << 40, u64::MAX, u64::MAX - 1024] {
        let place = RootfsPlace::new(&file).with_part(Part::Offset(offset));
        assert_eq!(open(&place).unwrap_err().code(), 719, "{offset}");
    }
}

#[test]
fn two_partitions_with_one_label_are_refused() {
    let table = "label: gpt\nstart=1MiB, size=3MiB, name=same\nstart=4MiB, size=32MiB, name=same\n";
    let disk = require!(Disk::new(table, 512));
    assert_eq!(refusal(open(disk.place("same"))).code(), 1383);
    open(disk.place("2")).unwrap();
}

/// Writes over random bytes of the tables of a disk.
fn damage(numbers: &mut Numbers, file: &Utf8Path, sectors: &[u64]) {
    let disk = File::options().write(true).open(file).unwrap();
    for _ in 0..1 + numbers.below(4) {
        let sector = sectors[numbers.below(sectors.len())];
        let at = sector * 512 + numbers.below(512) as u64;
        let bytes = [0, 0xff, 1, 0x80, u8::try_from(numbers.below(256)).unwrap()];
        let byte = bytes[numbers.below(5)];
        let length = 1 + numbers.below(8);
        disk.write_all_at(&vec![byte; length], at).unwrap();
    }
}

#[test]
fn damaged_tables_are_errors() {
    let (cases, seed) = (u64::from(property_config(300).cases), banger_testkit::seed());
    for (table, sectors) in [(GPT, &[0, 1, 1, 2, 131_071][..]), (LOGICAL, &[0, 4096, 75_776][..])] {
        let disk = require!(Disk::new(table, 512));
        let whole = fs::read(&disk.file).unwrap();
        let copy = disk.root.join("copy");
        fs::write(&copy, &whole).unwrap();
        for case in 0..cases {
            let mut numbers = Numbers(seed.wrapping_add(case.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            for sector in sectors {
                let at = (*sector * 512) as usize;
                File::options()
                    .write(true)
                    .open(&copy)
                    .unwrap()
                    .write_all_at(&whole[at..at + 512], *sector * 512)
                    .unwrap();
            }
            damage(&mut numbers, &copy, sectors);
            let place = RootfsPlace::new(&copy);
            let found = catch_unwind(|| place.partitions()).unwrap_or_else(|_| panic!("case {case} panics"));
            if let Ok(found) = found {
                assert!(
                    found.len() < 300 && found.iter().all(|partition| partition.end <= 64 * MIB),
                    "case {case}"
                );
            }
        }
    }
}

#[test]
fn tables_that_lie_cost_little() {
    let disk = require!(Disk::new(GPT, 512));
    let file = File::options().write(true).open(&disk.file).unwrap();
    // 2^32 - 1 entries, and entries of 4 GiB.
    for (at, word) in [(512 + 80, u32::MAX), (512 + 84, u32::MAX), (512 + 84, 96)] {
        file.write_all_at(&word.to_le_bytes(), at).unwrap();
        assert_eq!(refusal(open(disk.place("2"))).code(), 1381);
    }
    // Logical partitions in a circle.
    let disk = require!(Disk::new(LOGICAL, 512));
    let file = File::options().read(true).write(true).open(&disk.file).unwrap();
    let first = 2 * MIB;
    let mut entry = [0; 16];
    file.read_exact_at(&mut entry, first + 446 + 16).unwrap();
    let next = first + u64::from(u32::from_le_bytes(entry[8..12].try_into().unwrap())) * 512;
    file.write_all_at(&entry, next + 446 + 16).unwrap();
    assert_eq!(refusal(open(disk.place("5"))).code(), 1381);
}
