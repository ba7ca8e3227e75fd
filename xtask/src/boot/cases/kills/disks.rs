//! The disks: one for each kind of file system that a kernel writes in a different way.

use std::path::{Path, PathBuf};

use banger_ext4::Ext4Editor;
use banger_testkit::{ACL_NO_ID, copy_sparse, posix_acl, tools};
use banger_tree::{Attributes, GuestPath, Rootfs as _, Xattrs};

use crate::boot::paths::utf8;

/// How a file system is made and mounted. Journals with checksums of version 2 are missing: no kernel since 3.18
/// writes one. The tests of the crate have them from debugfs.
#[derive(Debug)]
pub(super) struct Format {
    /// Its name, also the serial number of its disk.
    pub(super) name: &'static str,
    mkfs: &'static [&'static str],
    mount: &'static str,
    /// What banger refuses by this name if there is something to replay.
    pub(super) refused: Option<&'static str>,
}

const fn format(name: &'static str, mkfs: &'static [&'static str], mount: &'static str) -> Format {
    Format { name, mkfs, mount, refused: None }
}

pub(super) const FORMATS: [Format; 11] = [
    // Checksums of version 3.
    format("64bit", &["-O", "64bit,metadata_csum"], ""),
    format("32bit", &["-O", "^64bit", "-b", "2048"], ""),
    format("no-checksums", &["-O", "^metadata_csum,64bit"], ""),
    format("checksums-v1", &["-O", "^metadata_csum,^64bit"], "journal_checksum"),
    // A journal that wraps around.
    format("small-blocks", &["-b", "1024", "-J", "size=1"], ""),
    // Attributes in blocks of their own.
    format("ext3", &["-t", "ext3", "-I", "128"], ""),
    format("orphan-file", &["-O", "orphan_file"], ""),
    format("async-commit", &[], "data=writeback,journal_async_commit"),
    format("data-journal", &["-b", "1024"], "data=journal"),
    format("inline-data", &["-O", "inline_data", "-I", "512"], ""),
    Format { refused: Some("fast_commit"), ..format("fast-commit", &["-O", "fast_commit"], "") },
];

/// A small file that no load changes.
pub(super) const KEPT: &str = "/kept/file";

impl Format {
    /// Returns the word of the kernel's command line that names the disk and how it is mounted.
    pub(super) fn word(&self) -> String {
        format!("kills.disk={}:{}", self.name, self.mount)
    }

    /// Makes the file system, with a directory whose ACL every new file inherits.
    fn make(&self, path: &Path) -> anyhow::Result<()> {
        let mut mke2fs = tools::command("mke2fs").map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
        if !self.mkfs.contains(&"-t") {
            mke2fs.args(["-t", "ext4"]);
        }
        mke2fs.args(["-q", "-F"]).args(self.mkfs).arg(path).arg("24M");
        tools::try_run(&mut mke2fs).map_err(|report| anyhow::anyhow!("{report}"))?;
        let mut editor = Ext4Editor::open_to_edit(&utf8(path)?)?;
        let directory = Attributes { xattrs: default_acl(), ..Attributes::with_mode(0o755) };
        editor.create_dir(&GuestPath::parse("/acl")?, &directory)?;
        let kept = GuestPath::parse(KEPT)?;
        editor.create_dir(&kept.parent().expect("it lies in a directory"), &Attributes::with_mode(0o750))?;
        editor.write_file(&kept, &mut &b"kept\n"[..], &Attributes::with_mode(0o640))?;
        editor.commit()?;
        Ok(())
    }
}

/// An ACL that fits in no inode beside the one that a file gets of it.
fn default_acl() -> Xattrs {
    let users = (0..8).map(|user| (2, 5, 100_000 + user));
    let ends = [(4, 5, ACL_NO_ID), (16, 7, ACL_NO_ID), (32, 0, ACL_NO_ID)];
    let entries: Vec<_> = std::iter::once((1, 7, ACL_NO_ID)).chain(users).chain(ends).collect();
    Xattrs::from_iter([("system.posix_acl_default", posix_acl(&entries))])
}

/// The disks of all formats, made once and copied for each machine.
#[derive(Debug)]
pub(super) struct Disks {
    made: Vec<PathBuf>,
    directory: PathBuf,
}

impl Disks {
    /// Makes them in `directory`.
    pub(super) fn make(directory: &Path) -> anyhow::Result<Self> {
        let directory = directory.join("kills.layout");
        std::fs::create_dir(&directory)?;
        let made = FORMATS.iter().map(|format| directory.join(format!("{}.made", format.name)));
        let disks = Self { made: made.collect(), directory };
        FORMATS.iter().zip(&disks.made).try_for_each(|(format, path)| format.make(path))?;
        Ok(disks)
    }

    /// Returns fresh disks for a machine. Those of the one before are gone.
    pub(super) fn fresh(&self) -> Vec<PathBuf> {
        let copy = |made: &PathBuf| {
            let disk = made.with_extension("disk");
            copy_sparse(made, &disk);
            disk
        };
        self.made.iter().map(copy).collect()
    }

    /// Returns a file in their directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}
