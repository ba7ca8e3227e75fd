//! Makes a managed image of an ext4 file that was made elsewhere.

mod error;

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt as _;

use banger_boot::InjectError;
use banger_ext4::{Ext4Editor, VerifyReport, copy_sparse};
use banger_tree::{Cancellation, GuestPath, LockedFile, Rootfs as _, RootfsError, Timestamp};
use camino::{Utf8Path, Utf8PathBuf};
use uuid::Uuid;

use crate::boot::kernel_warnings;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::inject::architecture_in;
use crate::kernel::{KernelStore, StoredKernel, file_record, merge_modules, place_kernel};
use crate::request::PulledFile;
use crate::rootfs::in_file;
use crate::store::{BuildOptions, ImageName, ImageRecord, ImageStore, StagedImage, StoreError, StoredImage};

pub use error::RegisterError;

/// Start of the source of a registered image.
const SOURCE_PREFIX: &str = "rootfs:";
/// Backend of an image that banger did not write.
const NO_BACKEND: &str = "none";
/// Bytes that the modules of a kernel need besides their own: indexes, and the ends of blocks.
const SPARE_BYTES: u64 = 16 << 20;
/// Sizes of file systems are multiples of this.
const SIZE_STEP_BYTES: u64 = 1 << 20;

/// An ext4 file that becomes a managed image.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegisterRequest {
    /// The file. It stays as it is.
    pub rootfs: Utf8PathBuf,
    /// Name of the managed image; `None` makes it from the file's name.
    pub name: Option<ImageName>,
    /// The kernel of the kernel store that goes with the image, by its name, id or unique beginning of an id. Its
    /// modules go into the image's copy of the file.
    pub kernel_ref: Option<String>,
}

impl RegisterRequest {
    /// Returns a request for the file `rootfs`.
    pub fn new(rootfs: impl Into<Utf8PathBuf>) -> Self {
        Self { rootfs: rootfs.into(), name: None, kernel_ref: None }
    }
}

banger_tree::setters! {
    RegisterRequest {
        with_name => name: Option<ImageName>,
        with_kernel_ref => kernel_ref: Option<String>,
    }
}

/// Copies an ext4 file into the image store under `dirs`. Replaces an older image of the same name, as
/// [`pull`](fn@crate::pull) does. If the store has this image already, the call returns it unchanged.
///
/// The copy keeps the holes, and shares blocks where the host can. Nothing is written into its file system but the
/// modules of the kernel, if the request names one: the image boots as it did before.
///
/// # Errors
/// The file is no ext4 file without errors, is being edited, or has no room for the modules. Or the kernel does not
/// exist, the store cannot be written, or the caller asks to stop. Then nothing is published.
///
/// # Panics
/// The event handler panicked.
pub fn register_image(
    request: &RegisterRequest,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<PulledFile, Error> {
    events
        .during(cancellation, |events, cancellation| Registration { request, events, cancellation }.run(dirs))
}

struct Registration<'a> {
    request: &'a RegisterRequest,
    events: &'a EventHandler,
    cancellation: &'a Cancellation,
}

impl Registration<'_> {
    fn run(&self, dirs: &Dirs) -> Result<PulledFile, Error> {
        let (request, cancellation) = (self.request, self.cancellation);
        let open = |wanted: &String| KernelStore::new(&dirs.state).open(wanted, cancellation);
        let kernel = request.kernel_ref.as_ref().map(open).transpose()?;
        // Says best what is wrong with a file that is no ext4 file.
        drop(Ext4Editor::open(&request.rootfs).map_err(self.in_rootfs())?);
        let store = ImageStore::new(&dirs.state);
        let staged = store.stage(cancellation)?;
        let path = staged.rootfs_path();
        self.copy(&path)?;
        let digest = file_record(&path, cancellation)?.digest;
        let record = self.record(digest, kernel.as_ref());
        if let Some(found) = self.existing(&store, &record)? {
            return Ok(self.done(PulledFile::stored(found, true)));
        }
        let record = self.fill(record, &staged, kernel.as_ref())?;
        if cancellation.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let stored = store.publish(staged, record, cancellation)?;
        Ok(self.done(PulledFile::stored(stored, false)))
    }

    fn done(&self, file: PulledFile) -> PulledFile {
        let event = Event::Done { path: file.path.to_string(), unchanged: file.unchanged };
        self.events.emit(&event, self.cancellation);
        file
    }

    /// Returns the function that makes an error of the caller's file.
    fn in_rootfs(&self) -> impl FnOnce(RootfsError) -> Error + use<'_> {
        in_file(&self.request.rootfs)
    }

    /// Copies the file to `path`, with a lock against edits.
    fn copy(&self, path: &Utf8Path) -> Result<(), Error> {
        let rootfs = &self.request.rootfs;
        let failed = |source| StoreError::io("read", rootfs, source);
        let file = File::open(rootfs).map_err(failed)?;
        let locked = match file.try_lock_shared() {
            Ok(()) => LockedFile::of(file),
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: rootfs.clone() }.into()),
            Err(TryLockError::Error(source)) => return Err(failed(source).into()),
        };
        let copied = File::create_new(path).and_then(|to| {
            to.set_permissions(Permissions::from_mode(0o600))?;
            copy_sparse(&locked, &to, self.cancellation)
        });
        match self.cancellation.is_cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(copied.map_err(|source| StoreError::io("write", path, source))?),
        }
    }

    fn record(&self, digest: String, kernel: Option<&StoredKernel>) -> ImageRecord {
        let rootfs = &self.request.rootfs;
        let name = self.request.name.clone();
        let name = name.unwrap_or_else(|| ImageName::sanitized(rootfs.file_stem().unwrap_or_default()));
        let kernel_digest = kernel.map(|kernel| kernel.record.digest.clone());
        let build = BuildOptions::new(NO_BACKEND).with_kernel(kernel_digest);
        ImageRecord {
            kernel: kernel.map(|kernel| kernel.record.clone()),
            ..ImageRecord::new(name, format!("{SOURCE_PREFIX}{rootfs}"), digest, build)
        }
    }

    /// Returns the image of an earlier registration of the same file.
    fn existing(&self, store: &ImageStore, wanted: &ImageRecord) -> Result<Option<StoredImage>, Error> {
        let is_same = |image: &ImageRecord| {
            (&image.name, &image.source, &image.digest, &image.build)
                == (&wanted.name, &wanted.source, &wanted.digest, &wanted.build)
        };
        match store.list()?.images.into_iter().find(|image| is_same(image) && store.has_files(image)) {
            Some(image) => Ok(store.keep(image, self.cancellation)?),
            None => Ok(None),
        }
    }

    /// Checks the copy, adds the kernel, and writes down what the image is.
    fn fill(
        &self,
        mut record: ImageRecord,
        staged: &StagedImage,
        kernel: Option<&StoredKernel>,
    ) -> Result<ImageRecord, Error> {
        let path = staged.rootfs_path();
        let mut report = self.verify(&path)?;
        if let Some(StoredKernel { record: kernel_record, kernel, path: directory, .. }) = kernel {
            self.merge(&path, kernel_record.name.as_str(), kernel, &report)?;
            place_kernel(kernel_record, directory, &staged.kernel_path(), self.cancellation)?;
            report = self.verify(&path)?;
            record.warnings = kernel_warnings(&path, kernel, false, self.cancellation)?;
            for message in &record.warnings {
                self.events.emit(&Event::Warning { message: message.clone() }, self.cancellation);
            }
        }
        let rootfs = Ext4Editor::open(&path).map_err(self.in_rootfs())?;
        record.boot_contract = banger_boot::boot_contract(&rootfs)?;
        let architecture = architecture_in(&rootfs).map_err(self.in_rootfs())?;
        record.platform = architecture.map_or("linux".to_owned(), |name| format!("linux/{name}"));
        record.uuid = Some(Uuid::from_bytes(report.uuid));
        record.set_sizes(&report);
        Ok(record)
    }

    fn verify(&self, path: &Utf8Path) -> Result<VerifyReport, Error> {
        let mut editor = Ext4Editor::open(path).map_err(self.in_rootfs())?;
        editor.set_cancellation(self.cancellation);
        let report = editor.verify().map_err(self.in_rootfs())?;
        match report.problems.first() {
            None => Ok(report),
            Some(problem) => Err(RegisterError::Unsound {
                path: self.request.rootfs.clone(),
                problem: problem.clone(),
                problem_count: report.problem_count,
            }
            .into()),
        }
    }

    /// Puts the modules of a kernel into the copy. Their time is that of the root directory.
    fn merge(
        &self,
        path: &Utf8Path,
        name: &str,
        kernel: &banger_kernel::Kernel,
        report: &VerifyReport,
    ) -> Result<(), Error> {
        let mut editor = Ext4Editor::open_to_edit(path).map_err(self.in_rootfs())?;
        editor.set_cancellation(self.cancellation);
        let root = editor.stat(&GuestPath::root()).map_err(self.in_rootfs())?;
        let timestamp = root.map_or(Timestamp::default(), |root| root.attributes.mtime);
        let merged = merge_modules(&mut editor, kernel, timestamp, self.cancellation);
        let merged =
            merged.and_then(|()| editor.commit().map_err(|error| Error::from(InjectError::from(error))));
        match merged {
            Err(Error::Inject(InjectError::Rootfs(RootfsError::NoSpace { .. }))) => {
                Err(self.no_room(name, kernel, report)?.into())
            }
            Err(Error::Inject(InjectError::Rootfs(RootfsError::Cancelled))) => Err(Error::Cancelled),
            Err(Error::Inject(InjectError::Rootfs(error))) => Err(self.in_rootfs()(error)),
            other => other,
        }
    }

    /// Returns the error of a file system that is too small, with a size that is large enough.
    fn no_room(
        &self,
        name: &str,
        kernel: &banger_kernel::Kernel,
        report: &VerifyReport,
    ) -> Result<RegisterError, Error> {
        let (files, bytes) = kernel.files.modules.as_deref().map_or(Ok((0, 0)), cost_of)?;
        let missing_bytes = (bytes + bytes / 8 + SPARE_BYTES).saturating_sub(report.free_bytes);
        // Inodes grow with the file system.
        let inodes = u64::from(report.used_inodes) + files;
        let bytes_of_inodes =
            (report.size_bytes / u64::from(report.inodes).max(1) + 1).saturating_mul(inodes);
        let needed_bytes = (report.size_bytes + missing_bytes).max(bytes_of_inodes);
        Ok(RegisterError::NoRoom {
            path: self.request.rootfs.clone(),
            kernel: name.to_owned(),
            needed_bytes: needed_bytes.next_multiple_of(SIZE_STEP_BYTES),
            size_bytes: report.size_bytes,
        })
    }
}

/// Returns the number of files and directories below a directory, and the bytes that they need.
fn cost_of(directory: &Utf8Path) -> Result<(u64, u64), Error> {
    const BLOCK_BYTES: u64 = 4096;
    let (mut count, mut bytes) = (0, 0);
    let mut pending = vec![directory.to_owned()];
    while let Some(at) = pending.pop() {
        let failed = |source| StoreError::io("read", &at, source);
        for entry in at.read_dir_utf8().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let metadata = entry.metadata().map_err(failed)?;
            count += 1;
            if metadata.is_dir() {
                pending.push(entry.path().to_owned());
                bytes += BLOCK_BYTES;
            } else {
                bytes += metadata.len().next_multiple_of(BLOCK_BYTES);
            }
        }
    }
    Ok((count, bytes))
}
