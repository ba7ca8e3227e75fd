//! One image under construction.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;

use banger_tree::{ContentError, ContentId, ContentStore, GuestPath, LayerIndex, Tree, Xattrs};
use camino::{Utf8Path, Utf8PathBuf};

use crate::debugfs::{IMAGE_LINK, Script};
use crate::difference::{self, Difference, Scope};
use crate::fit;
use crate::host;
use crate::image::Image;
use crate::layout::{Geometry, Needs};
use crate::limits;
use crate::mkfs::{self, Made};
use crate::scratch::{NumberedFiles, Scratch};
use crate::staging;
use crate::tools::{Tool, ToolRun};
use crate::xattr;
use banger_ext4::Ext4Error;
use banger_ext4::on_disk::BLOCK_BYTES;
use banger_ext4::{BuildReport, Ext4Builder};
use banger_ext4::{Ext4Options, Identity, ImageSize};
/// The programs that were found.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) mke2fs: Tool,
    pub(crate) debugfs: Tool,
    pub(crate) e2fsck: Tool,
}

/// Contents in a scratch directory, then an image made of them by the tools of e2fsprogs.
#[derive(Debug)]
pub(crate) struct E2fsprogsBuilder {
    // Dropped in this order: the image first, then its parts.
    image: BegunImage,
    contents: NumberedFiles,
    scratch: Scratch,
    tools: Tools,
    options: Ext4Options,
}

/// An image file that is removed unless it is kept.
#[derive(Debug)]
struct BegunImage {
    path: Utf8PathBuf,
    kept: bool,
}

impl Drop for BegunImage {
    fn drop(&mut self) {
        if !self.kept {
            // No caller is left for the error.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl E2fsprogsBuilder {
    /// Starts the image file at `path` and its scratch directory in `scratch_parent`.
    ///
    /// # Errors
    /// The label is too long, the image exists, or the host refuses.
    pub(crate) fn create(
        path: &Utf8Path,
        scratch_parent: &Utf8Path,
        tools: Tools,
        options: &Ext4Options,
    ) -> Result<Self, Ext4Error> {
        options.check()?;
        let failed = |error| host::failed("create", path, error);
        let absolute = std::path::absolute(path).map_err(failed)?;
        OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        let image = BegunImage { path: path.to_owned(), kept: false };
        let scratch = Scratch::create(scratch_parent)?;
        let link = scratch.path().join(IMAGE_LINK);
        symlink(absolute, &link).map_err(|error| host::failed("create", &link, error))?;
        let contents = NumberedFiles::create(&scratch)?;
        Ok(Self { image, contents, scratch, tools, options: options.clone() })
    }

    fn build(&self, tree: &Tree) -> Result<BuildReport, Ext4Error> {
        self.cancellation_point()?;
        limits::check(tree)?;
        self.options.charge_tree(tree)?;
        let needs = Needs::of(tree, &self.contents)?;
        let geometry = needs.geometry(&self.options)?;
        staging::write(tree, &self.scratch, &self.options.cancellation)?;
        self.resize(geometry.blocks)?;
        match mkfs::make(&self.tools.mke2fs, geometry, &self.options, &self.run())? {
            Made::Whole => {}
            Made::Full => return Err(needs.no_space(geometry, &self.options)),
        }
        self.adjust(tree, needs, geometry)?;
        let mut image = self.verified(tree, None)?;
        let superblock = &image.superblock;
        if (superblock.uuid, superblock.hash_seed) != (self.options.uuid, self.options.hash_seed) {
            return Err(self
                .tools
                .mke2fs
                .failed("the image has another UUID or hash seed than was asked for"));
        }
        // mke2fs leaves out a last group that is too short to be of use.
        self.resize(superblock.blocks)?;
        if self.resize_and_reserve()? {
            image = self.verified(tree, None)?;
        }
        let superblock = &image.superblock;
        let mut report = BuildReport::default();
        report.size_bytes = superblock.blocks * BLOCK_BYTES;
        report.free_bytes = superblock.free_blocks * BLOCK_BYTES;
        report.inodes = superblock.inodes;
        report.used_inodes = superblock.inodes.saturating_sub(superblock.free_inodes);
        Ok(report)
    }

    /// Does what mke2fs has no option for: a size that fits, and blocks for root by number. Returns whether the image
    /// changed.
    fn resize_and_reserve(&self) -> Result<bool, Ext4Error> {
        let reserved_blocks = self.options.reserved_blocks;
        let is_fitted = if let ImageSize::Fit { headroom_bytes } = self.options.size {
            let free_bytes = headroom_bytes.saturating_add(reserved_blocks * BLOCK_BYTES);
            fit::fit(&self.image.path, free_bytes, &self.options.cancellation)?;
            true
        } else {
            false
        };
        if reserved_blocks == 0 {
            return Ok(is_fitted);
        }
        // Last: the reserve follows each change of the size.
        let mut script = Script::create(&self.scratch)?;
        script.reserve_blocks(reserved_blocks)?;
        match script.run(&self.tools.debugfs, &self.run())? {
            complaints if complaints.is_empty() => Ok(true),
            complaints => Err(self.tools.debugfs.failed(&complaints)),
        }
    }

    /// Makes every inode equal to the tree, with one pass of debugfs.
    fn adjust(&self, tree: &Tree, needs: Needs, geometry: Geometry) -> Result<(), Ext4Error> {
        let image = Image::open(&self.image.path)?;
        let mut script = Script::create(&self.scratch)?;
        // A new entry takes the type that its inode has by then, so entries come last.
        let mut entries = Vec::new();
        difference::compare(
            &image,
            tree,
            self.scope(),
            &self.options.cancellation,
            &mut |place, difference| match difference {
                Difference::Beyond(what) => {
                    Err(self.tools.mke2fs.failed(&format!("{} {what} in the image", place.path())))
                }
                Difference::EntryType { .. } => {
                    entries.push(difference);
                    Ok(())
                }
                _ => script.add(&difference),
            },
        )?;
        for entry in &entries {
            script.add(entry)?;
        }
        let complaints = script.run(&self.tools.debugfs, &self.run())?;
        if complaints.contains("Could not allocate block in ext2 filesystem") {
            return Err(needs.no_space(geometry, &self.options));
        }
        if !complaints.is_empty() {
            // debugfs does not say which inode it speaks of; the image does.
            self.verified(tree, Some(&complaints))?;
            return Err(self.tools.debugfs.failed(&complaints));
        }
        self.index_directories()
    }

    /// Lets e2fsck build the hash index of directories with several blocks, which mke2fs leaves out. It also
    /// sets the types in entries whose names no debugfs script can hold. Everything else is right by then, so
    /// e2fsck repairs nothing else.
    fn index_directories(&self) -> Result<(), Ext4Error> {
        let e2fsck = &self.tools.e2fsck;
        let outcome = e2fsck.run(&["-f", "-y", IMAGE_LINK].map(OsString::from), &self.run())?;
        match outcome.status.code() {
            Some(0 | 1) => Ok(()),
            _ => Err(e2fsck.failed(&format!("{}\n{}", outcome.ending(), outcome.complaints("e2fsck")))),
        }
    }

    /// Returns the image after every field of it was read back and compared with the tree.
    fn verified(&self, tree: &Tree, complaints: Option<&str>) -> Result<Image, Ext4Error> {
        let image = Image::open(&self.image.path)?;
        difference::compare(
            &image,
            tree,
            self.scope(),
            &self.options.cancellation,
            &mut |place, difference| Err(self.differs(&place.path(), &difference, complaints)),
        )?;
        Ok(image)
    }

    fn differs(&self, path: &GuestPath, difference: &Difference<'_>, complaints: Option<&str>) -> Ext4Error {
        let complaints = complaints.unwrap_or_default();
        match difference {
            Difference::Xattr { want: Some(_), .. }
                if complaints.contains("space to store extended attribute") =>
            {
                let reason = "its xattrs are more than the inode and one block hold".to_owned();
                Ext4Error::Limit { path: path.clone(), reason }
            }
            _ => self.tools.debugfs.failed(&format!("{path}: {difference}\n{complaints}")),
        }
    }

    fn scope(&self) -> Scope<'static> {
        Scope { lost_and_found: Some(self.options.timestamp), kept: &[] }
    }

    fn run(&self) -> ToolRun<'_> {
        ToolRun {
            directory: self.scratch.path(),
            cancellation: &self.options.cancellation,
            // The tools take 0 for "not set".
            now_seconds: u64::try_from(self.options.timestamp.seconds).unwrap_or(0).max(1),
        }
    }

    fn resize(&self, blocks: u64) -> Result<(), Ext4Error> {
        let path = &self.image.path;
        let file =
            File::options().write(true).open(path).map_err(|error| host::failed("open", path, error))?;
        file.set_len(blocks * BLOCK_BYTES).map_err(|error| host::failed("extend", path, error))
    }

    fn cancellation_point(&self) -> Result<(), Ext4Error> {
        if self.options.cancellation.is_cancelled() { Err(Ext4Error::Cancelled) } else { Ok(()) }
    }
}

impl ContentStore for E2fsprogsBuilder {
    fn check_xattrs(&self, xattrs: &Xattrs) -> Result<(), ContentError> {
        xattr::check(xattrs).map_err(|reason| ContentError::Xattrs { reason })
    }

    fn begin(&mut self, layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
        self.contents.begin(layer, size_bytes)
    }

    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        self.contents.append(id, bytes)
    }

    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError> {
        self.contents.append_hole(id, length_bytes)
    }

    fn finish(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.contents.finish(id)
    }

    fn release(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.contents.release(id)
    }

    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError> {
        self.contents.read_at(id, offset, buffer)
    }
}

impl Ext4Builder for E2fsprogsBuilder {
    fn set_identity(&mut self, identity: Identity) {
        self.options.set_identity(identity);
    }

    fn build_ext4(mut self: Box<Self>, tree: &Tree) -> Result<BuildReport, Ext4Error> {
        let report = self.build(tree)?;
        self.image.kept = true;
        Ok(report)
    }
}
