//! Images made by the programs of e2fsprogs: the reference that the native backend is compared with.
//!
//! Contents wait in numbered files of a scratch directory until the tree is final. Then a staging directory
//! is written, and `mke2fs -d` copies it into the image. One pass of debugfs makes each inode equal to the
//! tree: owner, permissions, times, xattrs, devices. A comparison of the image with the tree finds the needed
//! changes. After the pass the same comparison must find nothing, since debugfs exits with 0 whatever
//! happens.
//!
//! No privilege is needed. Two builds of equal trees with equal options are equal to the byte with one
//! version of the tools; between versions bytes differ.
//!
//! mke2fs searches the whole directory for each name that it adds, so the time for one directory grows with
//! the square of its entries. It is seconds for some thousands, and many minutes for a hundred thousand.
//! Directories get no hash index.
//!
//! A content belongs to one inode, and [`build_ext4`](banger_ext4::Ext4Builder::build_ext4) moves it out of
//! the store. An xattr with a line break in its name is refused: debugfs reads lines.
//!
//! ```
//! use banger_e2fsprogs::E2fsprogsBackend;
//! use banger_ext4::{Ext4Backend, Ext4Error, Ext4Options};
//! use camino::Utf8Path;
//!
//! let backend = E2fsprogsBackend::new().with_mke2fs("/nonexistent/mke2fs");
//! let error = backend.create(Utf8Path::new("image.ext4"), &Ext4Options::default()).err();
//! assert!(matches!(error, Some(Ext4Error::ToolMissing { .. })));
//! ```

mod builder;
mod debugfs;
mod difference;
mod finished;
mod fit;
mod host;
mod image;
mod layout;
mod limits;
mod mkfs;
mod scratch;
mod staging;
mod tools;
mod xattr;

use banger_tree::{ChildSetup, Rootfs, RootfsError};
use camino::{Utf8Path, Utf8PathBuf};

use banger_ext4::Ext4Error;
use banger_ext4::Ext4Options;
use banger_ext4::{Ext4Backend, Ext4Builder};
use builder::{E2fsprogsBuilder, Tools};
use finished::{DebugfsRootfs, EditTools, rootfs_error};
use tools::Tool;

/// Makes images with `mke2fs`, `debugfs` and `e2fsck`, version 1.43 or newer but not 1.47.3.
#[derive(Clone, Debug, Default)]
pub struct E2fsprogsBackend {
    mke2fs: Option<Utf8PathBuf>,
    debugfs: Option<Utf8PathBuf>,
    e2fsck: Option<Utf8PathBuf>,
    scratch_directory: Option<Utf8PathBuf>,
    child_setup: ChildSetup,
}

impl E2fsprogsBackend {
    /// Returns the backend with the programs found in `PATH`, `/sbin`, `/usr/sbin` or
    /// `/usr/local/sbin`, and its scratch directories in `$TMPDIR` or `/tmp`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns this backend with the program at `path` as mke2fs.
    #[must_use]
    pub fn with_mke2fs(self, path: impl Into<Utf8PathBuf>) -> Self {
        Self { mke2fs: Some(path.into()), ..self }
    }

    /// Returns this backend with the program at `path` as debugfs.
    #[must_use]
    pub fn with_debugfs(self, path: impl Into<Utf8PathBuf>) -> Self {
        Self { debugfs: Some(path.into()), ..self }
    }

    /// Returns this backend with the program at `path` as e2fsck.
    #[must_use]
    pub fn with_e2fsck(self, path: impl Into<Utf8PathBuf>) -> Self {
        Self { e2fsck: Some(path.into()), ..self }
    }

    /// Returns this backend with its scratch directories in `path`, which must be there.
    #[must_use]
    pub fn with_scratch_directory(self, path: impl Into<Utf8PathBuf>) -> Self {
        Self { scratch_directory: Some(path.into()), ..self }
    }

    /// Returns this backend with a function that prepares the programs before they start.
    #[must_use]
    pub fn with_child_setup(self, child_setup: ChildSetup) -> Self {
        Self { child_setup, ..self }
    }

    /// Returns the version of mke2fs.
    ///
    /// # Errors
    /// A program is missing, or has a version that must not be used.
    pub fn version(&self) -> Result<String, Ext4Error> {
        Ok(self.tools()?.mke2fs.version().to_owned())
    }

    fn tools(&self) -> Result<Tools, Ext4Error> {
        Ok(Tools {
            mke2fs: self.tool("mke2fs", self.mke2fs.as_ref())?,
            debugfs: self.tool("debugfs", self.debugfs.as_ref())?,
            e2fsck: self.tool("e2fsck", self.e2fsck.as_ref())?,
        })
    }

    fn tool(&self, name: &str, configured: Option<&Utf8PathBuf>) -> Result<Tool, Ext4Error> {
        Tool::find(name, configured, self.child_setup)
    }

    fn scratch_parent(&self) -> Result<Utf8PathBuf, Ext4Error> {
        match &self.scratch_directory {
            Some(path) => Ok(path.clone()),
            None => Utf8PathBuf::from_path_buf(std::env::temp_dir()).map_err(|path| {
                let path = Utf8PathBuf::from(path.to_string_lossy().into_owned());
                host::failed("use", &path, std::io::Error::other("TMPDIR is not UTF-8"))
            }),
        }
    }
}

impl Ext4Backend for E2fsprogsBackend {
    fn name(&self) -> &'static str {
        "e2fsprogs"
    }

    fn create(&self, path: &Utf8Path, options: &Ext4Options) -> Result<Box<dyn Ext4Builder>, Ext4Error> {
        Ok(Box::new(E2fsprogsBuilder::create(path, &self.scratch_parent()?, self.tools()?, options)?))
    }

    fn open(&self, path: &Utf8Path) -> Result<Box<dyn Rootfs>, RootfsError> {
        let tools = || -> Result<_, Ext4Error> {
            let debugfs = self.tool("debugfs", self.debugfs.as_ref())?;
            let e2fsck = self.tool("e2fsck", self.e2fsck.as_ref())?;
            Ok((EditTools { debugfs, e2fsck }, self.scratch_parent()?))
        };
        let (tools, scratch_parent) = tools().map_err(|error| rootfs_error(error, path))?;
        Ok(Box::new(DebugfsRootfs::open(path, &scratch_parent, tools)?))
    }
}
