//! All changes into a copy of the image, and the copy into its place.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;

use banger_tree::{Cancellation, ContentStore as _, GuestPath, InodeId, NodeKind, RootfsError};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::NamedTempFile;

use super::error::{NO_FREE_BLOCK, NO_FREE_INODE, rootfs_error};
use super::load::Loaded;
use super::plan::CommitPlan;
use super::{Contents, DebugfsRootfs, Edited};
use crate::debugfs::{IMAGE_LINK, Script, run_commands};
use crate::difference::{self, Difference, Scope};
use crate::image::{Image, ROOT_INODE, RawInode};
use crate::scratch::{NumberedFiles, Scratch};
use crate::tools::{Tool, ToolRun};
use banger_ext4::Ext4Error;
use banger_ext4::ImageLock;
use banger_ext4::copy_sparse;

/// Bytes that are compared at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// The message of libext2fs if no block is free.
const NO_BLOCK: &str = "Could not allocate block in ext2 filesystem";
/// The message of libext2fs if no inode is free.
const NO_INODE: &str = "Could not allocate inode in ext2 filesystem";

impl DebugfsRootfs {
    /// Commits all changes. Every step but the last one works on the copy.
    pub(crate) fn commit_changes(&mut self) -> Result<(), RootfsError> {
        if !self.is_changed {
            return Ok(());
        }
        let path = self.path.clone();
        let failed = |error| rootfs_error(error, &path);
        let io = |action| {
            let image = path.to_string();
            move |source| RootfsError::Io { action, image, source }
        };
        // The kernel would go on with the file that the copy replaces.
        self.lock.make_exclusive(&path)?;
        let copy = self.copy().map_err(io("copy"))?;
        let copy_path = Utf8PathBuf::from_path_buf(copy.path().to_owned())
            .map_err(|_| io("copy")(io::Error::other("the path is not UTF-8")))?;
        let link = self.scratch.path().join(IMAGE_LINK);
        let _ = fs::remove_file(&link);
        symlink(&copy_path, &link).map_err(io("copy"))?;

        let edited = self.edited.get_mut();
        let pass = Pass {
            edited,
            scratch: &self.scratch,
            run: ToolRun {
                directory: self.scratch.path(),
                cancellation: &Cancellation::default(),
                now_seconds: 1,
            },
            debugfs: &self.tools.debugfs,
            e2fsck: &self.tools.e2fsck,
            kept: (0..edited.tree.inode_bound()).map(|_| 0).collect(),
            copy: &copy_path,
        };
        let mut pass = pass;
        for (id, number) in &self.numbers {
            pass.kept[id.index()] = *number;
        }
        let plan = CommitPlan::new(&pass.edited.tree, &pass.edited.contents, &self.numbers, &self.loaded);
        pass.run_plan(plan.map_err(failed)?).map_err(failed)?;
        pass.adjust().map_err(failed)?;
        pass.check(&["-f", "-y"], &[0, 1]).map_err(failed)?;
        pass.verify().map_err(failed)?;
        let image = Image::open(&copy_path).map_err(failed)?;
        let loaded = Loaded::read(&image, &path)?;
        pass.verify_contents(&image, &loaded)?;
        // A second e2fsck must find nothing to change.
        pass.check(&["-f", "-n"], &[0]).map_err(failed)?;

        let scratch = Scratch::create(&self.scratch_parent).map_err(failed)?;
        let new = NumberedFiles::create(&scratch).map_err(failed)?;
        copy.as_file().sync_all().map_err(io("flush"))?;
        let lock = ImageLock::shared(&copy_path)?;
        copy.persist(&path).map_err(|error| io("replace")(error.error))?;
        self.lock = lock;
        self.loaded = loaded.numbers.values().copied().collect();
        self.numbers = loaded.numbers;
        *self.edited.get_mut() =
            Edited { tree: loaded.tree, contents: Contents::new(image, loaded.contents, new) };
        self.scratch = scratch;
        self.is_changed = false;
        let directory = path.parent().unwrap_or(Utf8Path::new("/"));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(io("flush"))
    }

    /// Returns a copy of the image beside it, with the same owner and permissions.
    fn copy(&self) -> io::Result<NamedTempFile> {
        let source = File::open(&self.path)?;
        let metadata = source.metadata()?;
        if !metadata.is_file() {
            let reason = "debugfs edits a copy, and only a file can be replaced by its copy";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        let directory = self.path.parent().unwrap_or(Utf8Path::new("/"));
        let copy = tempfile::Builder::new().prefix(".banger-").tempfile_in(directory)?;
        copy_sparse(&source, copy.as_file(), &Cancellation::default())?;
        copy.as_file().set_permissions(metadata.permissions())?;
        let (uid, gid) =
            (std::os::unix::fs::MetadataExt::uid(&metadata), std::os::unix::fs::MetadataExt::gid(&metadata));
        // Only root can give files away, and only root edits those of others.
        let _ = std::os::unix::fs::fchown(copy.as_file(), Some(uid), Some(gid));
        Ok(copy)
    }
}

/// One run of the tools over the copy.
struct Pass<'a> {
    edited: &'a Edited,
    scratch: &'a Scratch,
    run: ToolRun<'a>,
    debugfs: &'a Tool,
    e2fsck: &'a Tool,
    kept: Vec<u32>,
    copy: &'a Utf8Path,
}

impl Pass<'_> {
    fn scope(&self) -> Scope<'_> {
        Scope { lost_and_found: None, kept: &self.kept }
    }

    fn complain(&self, complaints: &str) -> Result<(), Ext4Error> {
        if complaints.is_empty() {
            return Ok(());
        }
        for (said, reason) in [(NO_BLOCK, NO_FREE_BLOCK), (NO_INODE, NO_FREE_INODE)] {
            if complaints.contains(said) {
                return Err(Ext4Error::Limit { path: GuestPath::root(), reason: reason.to_owned() });
            }
        }
        Err(self.debugfs.failed(complaints))
    }

    fn run_plan(&self, plan: CommitPlan) -> Result<(), Ext4Error> {
        let complaints = run_commands(plan.commands(), self.scratch, self.debugfs, &self.run)?;
        self.complain(&complaints)
    }

    /// Makes every inode equal to the tree.
    fn adjust(&self) -> Result<(), Ext4Error> {
        let image = Image::open(self.copy)?;
        let mut script = Script::create(self.scratch)?;
        let tree = &self.edited.tree;
        difference::compare(&image, tree, self.scope(), self.run.cancellation, &mut |place, difference| {
            match difference {
                Difference::Beyond(what) => {
                    Err(self.debugfs.failed(&format!("{} {what} in the image", place.path())))
                }
                Difference::EntryType { .. } => {
                    Err(self.debugfs.failed(&format!("{}: {difference}", place.path())))
                }
                _ => script.add(&difference),
            }
        })?;
        let complaints = script.run(self.debugfs, &self.run)?;
        self.complain(&complaints)
    }

    fn check(&self, options: &[&str], fine: &[i32]) -> Result<(), Ext4Error> {
        let arguments: Vec<OsString> = options.iter().chain(&[IMAGE_LINK]).map(OsString::from).collect();
        let outcome = self.e2fsck.run(&arguments, &self.run)?;
        match outcome.status.code() {
            Some(code) if fine.contains(&code) => Ok(()),
            _ => Err(self.e2fsck.failed(&format!("{}\n{}", outcome.ending(), outcome.complaints("e2fsck")))),
        }
    }

    /// Fails if anything differs from the tree.
    fn verify(&self) -> Result<(), Ext4Error> {
        let image = Image::open(self.copy)?;
        let tree = &self.edited.tree;
        difference::compare(&image, tree, self.scope(), self.run.cancellation, &mut |place, difference| {
            Err(self.debugfs.failed(&format!("{}: {difference}", place.path())))
        })
    }

    /// Fails if a new file has other bytes, or a directory another parent. Names were compared before.
    fn verify_contents(&self, image: &Image, loaded: &Loaded) -> Result<(), RootfsError> {
        let mut pending = vec![(self.edited.tree.root(), loaded.tree.root(), ROOT_INODE)];
        while let Some((want, found, parent)) = pending.pop() {
            let number = loaded.numbers[&found];
            let raw = image.inode(number).map_err(|error| rootfs_error(error, self.copy))?;
            let outcome = match &self.edited.tree.inode(want).kind {
                NodeKind::Directory { children } => {
                    let below = loaded.tree.inode(found).children().into_iter().flatten();
                    pending.extend(children.values().zip(below).map(|(a, (_, b))| (*a, *b, number)));
                    match image.parent(&raw) {
                        Ok(Some(named)) if named == parent => Ok(()),
                        Ok(_) => Err(self.debugfs.failed(&format!("inode {number} has another parent"))),
                        Err(error) => Err(error),
                    }
                }
                NodeKind::Regular { size_bytes, .. } if self.kept[want.index()] == 0 => {
                    self.verify_content(want, *size_bytes, image, &raw)
                }
                _ => Ok(()),
            };
            outcome.map_err(|error| rootfs_error(error, self.copy))?;
        }
        Ok(())
    }

    fn verify_content(
        &self,
        id: InodeId,
        size_bytes: u64,
        image: &Image,
        raw: &RawInode,
    ) -> Result<(), Ext4Error> {
        let NodeKind::Regular { content: Some(content), .. } = self.edited.tree.inode(id).kind else {
            return Ok(());
        };
        let (mut want, mut found) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        let mut at = 0;
        while at < size_bytes {
            let length = self.edited.contents.read_at(content, at, &mut want)?;
            let other = image.read_at(raw, at, &mut found)?;
            if length == 0 || length != other || want[..length] != found[..length] {
                return Err(self.debugfs.failed(&format!("the bytes of a file differ from {at} on")));
            }
            at += length as u64;
        }
        Ok(())
    }
}
