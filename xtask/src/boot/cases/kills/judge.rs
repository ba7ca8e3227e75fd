//! What banger makes of one disk, beside what e2fsck and a kernel make of a copy.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use banger_ext4::Ext4Editor;
use banger_testkit::{Access, Listing, Mounted, copy_sparse, e2fsck_check, e2fscks, listing, recover_copy};
use banger_tree::{Attributes, GuestPath, Rootfs as _};
use camino::Utf8Path;

use super::disks::{Format, KEPT};
use crate::boot::bench::Bench;
use crate::boot::guest::ensure_that;
use crate::boot::paths::utf8;

/// A disk that is as others recover its copies.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Whether its journal was to be replayed.
    pub(super) is_dirty: bool,
    /// Blocks of 1 KiB in which e2fsck's copy differs.
    pub(super) replayed_blocks: usize,
    /// Whether files without a name were to be freed or shortened.
    pub(super) has_orphans: bool,
    /// Whether banger refused it, by the name of its feature.
    pub(super) is_refused: bool,
    /// Whether e2fsck is known to recover it wrongly, so that only a kernel judges.
    pub(super) is_e2fsck_wrong: bool,
    /// Whether this machine's kernel was asked, too.
    pub(super) is_mounted: bool,
}

/// Reads a copy of a disk, compares it, edits it. The error says how it differs.
pub(super) fn judge(bench: &Bench, format: &Format, disk: &Path) -> anyhow::Result<Judged> {
    let bytes = std::fs::read(disk)?;
    let work = disk.with_extension("work");
    copy_sparse(disk, &work);
    let path = utf8(&work)?;
    let read = read(bench, &path);
    ensure_that!(std::fs::read(&work)? == bytes, "reading changed the disk");
    let found = match (read, format.refused) {
        (Ok(found), _) => found,
        (Err(error), Some(name)) if format!("{error:#}").contains(name) => {
            return Ok(Judged { is_refused: true, is_dirty: true, ..Judged::default() });
        }
        (Err(error), _) => return Err(error.context("it cannot be read")),
    };
    let copy = disk.with_extension("recovered");
    let recovery = recover_copy(disk, &copy).map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    let recovered = std::fs::read(&copy)?;
    // With fast_commit, e2fsck brings an older state back even if no fast commit counts.
    let is_e2fsck_wrong = format.refused.is_some() || recovery.has_lost_attributes;
    if !is_e2fsck_wrong {
        ensure_that!(recovery.is_plain, "e2fsck finds more than a journal and orphans: {}", recovery.said);
        let want = listing(&Ext4Editor::open(&utf8(&copy)?)?)?;
        compare(&found, &want, true).context("after e2fsck")?;
    }
    copy_sparse(disk, &copy);
    let mounted = Mounted::new(&copy, Access::ReadWrite).ok();
    let is_mounted = mounted.is_some();
    if let Some(mounted) = mounted {
        mounted.unmount();
        let want = listing(&Ext4Editor::open(&utf8(&copy)?)?)?;
        // A kernel says that it shortens a file now.
        let with_times = !recovery.said.contains("Truncating orphaned inode");
        compare(&found, &want, with_times).context("after a mount")?;
    }
    edit(&path, &found)?;
    Ok(Judged {
        is_dirty: recovery.said.contains("recovering journal"),
        replayed_blocks: bytes
            .chunks(1024)
            .zip(recovered.chunks(1024))
            .filter(|(old, new)| old != new)
            .count(),
        has_orphans: recovery.said.contains("orphaned inode"),
        is_refused: false,
        is_e2fsck_wrong,
        is_mounted,
    })
}

/// Reads all of a disk: some of it by commands, and everything by the library.
fn read(bench: &Bench, disk: &Utf8Path) -> anyhow::Result<Listing> {
    bench.banger(["rootfs", "ls", "-l", disk.as_str(), "/", "/kept"])?;
    bench.banger(["rootfs", "stat", disk.as_str(), KEPT])?;
    let kept = bench.banger(["rootfs", "cat", disk.as_str(), KEPT])?;
    ensure_that!(kept == "kept\n", "{KEPT} is {kept:?}");
    let editor = Ext4Editor::open(disk)?;
    let found = listing(&editor)?;
    let problems = editor.verify()?.problems;
    ensure_that!(problems.is_empty(), "verify: {problems:?}");
    Ok(found)
}

/// Puts the journal in place by an edit. After it, no e2fsck has a complaint, and all is there.
fn edit(disk: &Utf8Path, want: &Listing) -> anyhow::Result<()> {
    let mut editor = Ext4Editor::open_to_edit(disk).context("it cannot be edited")?;
    compare(&listing(&editor)?, want, true).context("before an edit")?;
    let directory = GuestPath::parse("/edited")?;
    editor.create_dir(&directory, &Attributes::with_mode(0o755))?;
    editor.write_file(
        &directory.join(b"file").context("a name")?,
        &mut &[3; 20_000][..],
        &Attributes::with_mode(0o600),
    )?;
    editor.remove(&GuestPath::parse(KEPT)?)?;
    let edited = listing(&editor)?;
    editor.commit().context("it cannot be committed")?;
    drop(editor);
    compare(&listing(&Ext4Editor::open(disk)?)?, &edited, true).context("after an edit")?;
    let judges: Vec<PathBuf> = e2fscks().map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    for e2fsck in judges {
        if let Err(said) = e2fsck_check(&e2fsck, disk.as_std_path()) {
            bail!("{} -fn after an edit: {said}", e2fsck.display());
        }
    }
    Ok(())
}

/// Fails with the first path that differs.
fn compare(found: &Listing, want: &Listing, with_times: bool) -> anyhow::Result<()> {
    for (path, (stat, first, bytes)) in want {
        let Some(other) = found.get(path) else { bail!("{path} is missing") };
        let mut other = other.clone();
        if !with_times {
            other.0.attributes.mtime = stat.attributes.mtime;
        }
        let (mine, theirs) = (&other.0.attributes, &stat.attributes);
        ensure_that!(mine.xattrs == theirs.xattrs, "{path} has other attributes");
        ensure_that!(mine.mtime == theirs.mtime, "{path} is of {:?}, not {:?}", mine.mtime, theirs.mtime);
        ensure_that!(other.0 == *stat, "{path} is {:?}, not {stat:?}", other.0);
        ensure_that!(other.1 == *first, "{path} is a link of {}, not of {first}", other.1);
        ensure_that!(other.2 == *bytes, "{path} has other bytes");
    }
    match found.keys().find(|path| !want.contains_key(path)) {
        Some(path) => bail!("{path} is there"),
        None => Ok(()),
    }
}
