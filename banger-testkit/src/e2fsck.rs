//! e2fsck as the judge: no complaint, and nothing it would change.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;

use crate::{Skip, tools};

/// The system's e2fsck and, where `scripts/setup-tests` unpacked it, a newer one.
///
/// # Errors
///
/// A [`Skip`] when the system has none, or in CI when the newer one is missing.
pub fn e2fscks() -> Result<Vec<PathBuf>, Skip> {
    let mut found = vec![tools::tool("e2fsck")?];
    match tools::newer_e2fsprogs("e2fsck") {
        Ok(newer) => found.push(newer),
        Err(skip) => skip.report(),
    }
    Ok(found)
}

/// Checks with every e2fsck that `-fn` says nothing about `image` but its passes.
///
/// # Errors
///
/// A [`Skip`] when there is no e2fsck.
///
/// # Panics
///
/// With e2fsck's words when it complains.
#[track_caller]
pub fn assert_silent(image: &Path) -> Result<(), Skip> {
    for e2fsck in e2fscks()? {
        if let Err(complaint) = check(&e2fsck, image) {
            panic!("{} -fn {}:\n{complaint}", e2fsck.display(), image.display());
        }
    }
    Ok(())
}

/// Checks as [`assert_silent`] does, but lets e2fsck offer to shorten extent trees: the kernel, when
/// writeback cuts a large file into pieces, merges the extents and keeps the levels.
///
/// # Errors
///
/// A [`Skip`] when there is no e2fsck.
///
/// # Panics
///
/// With e2fsck's words when it complains of anything else.
#[track_caller]
pub fn assert_silent_after_kernel(image: &Path) -> Result<(), Skip> {
    for e2fsck in e2fscks()? {
        if let Err(complaint) = check_but(&e2fsck, image, is_offer_to_shorten) {
            panic!("{} -fn {}:\n{complaint}", e2fsck.display(), image.display());
        }
    }
    Ok(())
}

fn is_offer_to_shorten(line: &str) -> bool {
    line.contains(" extent tree (at level ") && line.ends_with(".  Optimize? no")
}

/// Checks as [`assert_silent`] does and that `-fy` on a copy changes nothing but the
/// superblock's record of the check.
///
/// Images of `mkfs.ext4 -d` with a directory of several blocks do not pass: mkfs
/// writes such directories without an index, and `-fy` adds it.
///
/// # Errors
///
/// A [`Skip`] when there is no e2fsck.
///
/// # Panics
///
/// With e2fsck's words when it complains or changes something.
#[track_caller]
pub fn assert_clean(image: &Path) -> Result<(), Skip> {
    assert_silent(image)?;
    let scratch = tempfile::Builder::new()
        .prefix("banger-e2fsck-")
        .tempdir_in(image.parent().unwrap_or(Path::new(".")))
        .expect("the image's directory can be written");
    let copy = scratch.path().join("copy.ext4");
    for e2fsck in e2fscks()? {
        copy_sparse(image, &copy);
        // Status 1 says that it changed something: told below, with the place.
        let output = tools::command_at(&e2fsck)
            .arg("-fy")
            .arg(&copy)
            .output()
            .expect("e2fsck was found and can be run");
        if let Some(offset) = first_difference(image, &copy) {
            panic!(
                "{} -fy changed the byte at {offset:#x}:\n{}",
                e2fsck.display(),
                String::from_utf8_lossy(&output.stdout)
            );
        }
        assert!(output.status.success(), "e2fsck -fy: {}", output.status);
    }
    Ok(())
}

/// Nothing when this e2fsck finds no fault in `image` with `-fn`.
///
/// # Errors
///
/// All that e2fsck printed, when that is more than its passes and its summary.
pub fn check(e2fsck: &Path, image: &Path) -> Result<(), String> {
    check_but(e2fsck, image, |_| false)
}

fn check_but(e2fsck: &Path, image: &Path, is_passed_over: fn(&str) -> bool) -> Result<(), String> {
    let output = tools::try_run(tools::command_at(e2fsck).arg("-fn").arg(image))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    // The summary starts with the volume's label or the file's name.
    let expected = |line: &str| {
        line.starts_with("Pass ")
            || (line.contains(" files (") && line.ends_with(" blocks"))
            || line.is_empty()
            || is_passed_over(line)
    };
    let banner = |line: &str| line.starts_with("e2fsck 1.");
    if stdout.lines().all(expected) && stderr.lines().all(banner) {
        Ok(())
    } else {
        Err(format!("{stdout}{stderr}"))
    }
}

/// Copies a file with its holes.
///
/// # Panics
///
/// When it cannot be read or written.
pub fn copy_sparse(from: &Path, to: &Path) {
    let source = File::open(from).expect("the file can be opened");
    let target = File::create(to).expect("the copy can be made");
    let length = length(&source);
    target.set_len(length).expect("the copy can be made long");
    for (start, end) in data_extents(&source, length) {
        for_each_chunk(start, end, |offset, chunk| {
            source.read_exact_at(chunk, offset).expect("data can be read");
            target.write_all_at(chunk, offset).expect("data can be written");
            true
        });
    }
}

/// The offset of the first byte in which two ext4 images differ, apart from the
/// fields of the primary superblock that every check writes.
///
/// # Panics
///
/// When one cannot be read.
#[must_use]
pub fn first_difference(left: &Path, right: &Path) -> Option<u64> {
    /// The superblock's offset, and `s_wtime`, `s_mnt_count`, `s_lastcheck`,
    /// `s_kbytes_written`, `s_wtime_hi`, `s_lastcheck_hi` and `s_checksum` in it.
    const SUPERBLOCK: u64 = 1024;
    const WRITTEN_BY_CHECKS: [(u64, u64); 7] =
        [(0x30, 4), (0x34, 2), (0x40, 4), (0x178, 8), (0x274, 1), (0x277, 1), (0x3FC, 4)];
    let is_record_of_check = |offset: u64| {
        WRITTEN_BY_CHECKS
            .iter()
            .any(|&(at, length)| (SUPERBLOCK + at..SUPERBLOCK + at + length).contains(&offset))
    };
    let left = File::open(left).expect("the file can be opened");
    let right = File::open(right).expect("the file can be opened");
    let end = length(&left);
    if end != length(&right) {
        return Some(end.min(length(&right)));
    }
    let mut extents = data_extents(&left, end);
    extents.extend(data_extents(&right, end));
    let mut first: Option<u64> = None;
    let mut other = Vec::new();
    for (start, end) in extents {
        for_each_chunk(start, end, |offset, chunk| {
            left.read_exact_at(chunk, offset).expect("data can be read");
            other.resize(chunk.len(), 0);
            right.read_exact_at(&mut other, offset).expect("data can be read");
            if chunk == &other[..] {
                return true;
            }
            let found = (offset..)
                .zip(chunk.iter().zip(&other))
                .find(|(offset, (a, b))| a != b && !is_record_of_check(*offset))
                .map(|(offset, _)| offset);
            first = first.into_iter().chain(found).min();
            found.is_none()
        });
    }
    first
}

fn length(file: &File) -> u64 {
    file.metadata().expect("an open file has a status").len()
}

/// Start and end of what is not a hole.
fn data_extents(file: &File, length: u64) -> Vec<(u64, u64)> {
    let mut extents = Vec::new();
    let mut at = 0;
    // ENXIO says that no data follows.
    while let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) {
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(length);
        extents.push((start, end));
        at = end;
    }
    extents
}

/// Calls `visit` with offsets and buffers that cover `start..end` until it returns false.
fn for_each_chunk(start: u64, end: u64, mut visit: impl FnMut(u64, &mut [u8]) -> bool) {
    const CHUNK_BYTES: usize = 1 << 20;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES));
        if !visit(at, &mut buffer[..length]) {
            return;
        }
        at += u64::try_from(length).expect("a chunk is small");
    }
}
