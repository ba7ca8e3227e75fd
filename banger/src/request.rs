//! Requests for pulls.

use banger_ext4::ImageSize;
use banger_kernel::Kernel;
use banger_oci::{Limits, Platform, PullOptions, Puller, Reference};
use camino::Utf8PathBuf;

use crate::backend::Backend;
use crate::file_system::FileSystemOptions;
use crate::guest_binary::GuestOptions;
use crate::store::{ImageLease, ImageName, ImageRecord, StoredImage};
use crate::verity::VerityPlace;

/// An image to pull and how to turn it into a file system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PullRequest {
    /// Which image.
    pub reference: Reference,
    /// Name of the managed image; `None` makes it from the reference.
    pub name: Option<ImageName>,
    /// Options of the pull itself: platform, registries, downloads. Its `child_setup` prepares the tools of the
    /// e2fsprogs backend, too.
    pub pull: PullOptions,
    /// The puller, whose threads, connections and limits several pulls may share; `None` makes a new one.
    pub puller: Option<Puller>,
    /// How much the layers may unpack to.
    pub limits: Limits,
    /// The file system that is made.
    pub file_system: FileSystemOptions,
    /// The backend that writes the file system.
    pub backend: Backend,
    /// Options that make the image boot; `None` leaves it unchanged.
    pub guest: Option<GuestOptions>,
    /// The kernel of the kernel store that goes with the image, by its name, id or unique beginning of an id. Its
    /// modules go into the file system. A managed image gets its files, too, and needs the kernel store no more.
    pub kernel_ref: Option<String>,
    /// Take a finished root file system only, as [`push_image`](crate::push_image) pushes it, and convert no image.
    pub rootfs_only: bool,
    /// Where the dm-verity hash tree goes; `None` makes none. The tree of a managed image is beside its ext4 file. With
    /// `append`, [`pull_to_file`](crate::pull_to_file) writes it behind the file system.
    pub verity: Option<VerityPlace>,
    /// Build an image again even if it exists, and replace an output file.
    pub force: bool,
    /// Time of files without a time in any layer, in seconds since the epoch; `None` for the creation time of
    /// the image. [`source_date_epoch`](crate::source_date_epoch) reads it from the environment.
    pub source_date_epoch: Option<i64>,
    /// Directory for scratch files of the e2fsprogs backend; `None` for `$TMPDIR`.
    pub scratch_dir: Option<Utf8PathBuf>,
}

impl PullRequest {
    /// Returns a request for `reference` with everything at its default.
    pub fn new(reference: Reference) -> Self {
        Self {
            reference,
            name: None,
            pull: PullOptions::default(),
            puller: None,
            limits: Limits::default(),
            file_system: FileSystemOptions::default(),
            backend: Backend::default(),
            guest: Some(GuestOptions::default()),
            kernel_ref: None,
            rootfs_only: false,
            verity: None,
            force: false,
            source_date_epoch: None,
            scratch_dir: None,
        }
    }

    /// Returns the options of the pull. Documents and archives are charged like layers.
    pub(crate) fn pull_options(&self) -> PullOptions {
        let mut options = self.pull.clone();
        options.budget = self.limits.set_in(options.budget.renewed());
        options
    }

    /// Returns the request with another size of the file system.
    pub fn with_size(mut self, size: ImageSize) -> Self {
        self.file_system.size = size;
        self
    }

    /// Returns the request with another platform.
    pub fn with_platform(mut self, platform: Platform) -> Self {
        self.pull.platform = Some(platform);
        self
    }
}

banger_tree::setters! {
    PullRequest {
        with_name => name: Option<ImageName>,
        with_pull => pull: PullOptions,
        with_limits => limits: Limits,
        with_file_system => file_system: FileSystemOptions,
        with_backend => backend: Backend,
        with_guest => guest: Option<GuestOptions>,
        with_kernel_ref => kernel_ref: Option<String>,
        with_rootfs_only => rootfs_only: bool,
        with_verity => verity: Option<VerityPlace>,
        with_force => force: bool,
        with_source_date_epoch => source_date_epoch: Option<i64>,
        with_scratch_dir => scratch_dir: Option<Utf8PathBuf>,
    }
}

/// Result of a pull: one file, or a managed image, which stays at its path until this value is dropped.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PulledFile {
    /// The ext4 file.
    pub path: Utf8PathBuf,
    /// Its record.
    pub record: ImageRecord,
    /// Whether the image existed already, with this digest and these options.
    pub unchanged: bool,
    /// Keeps a managed image at its path; `None` for a file of the caller.
    pub lease: Option<ImageLease>,
}

impl PulledFile {
    /// Returns the kernel of a managed image, with its files; `None` if it came without one, or for a file of the
    /// caller. The files stay in their places as long as the lease.
    pub fn kernel(&self) -> Option<Kernel> {
        self.lease.as_ref().and_then(|_| self.record.kernel_beside(&self.path))
    }

    /// Returns the result for a managed image.
    pub(crate) fn stored(image: StoredImage, unchanged: bool) -> Self {
        let StoredImage { record, path, lease } = image;
        Self { path, record, unchanged, lease: Some(lease) }
    }
}
