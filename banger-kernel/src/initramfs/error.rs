//! Why no initramfs is made.

use std::io;

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};
use thiserror::Error;

/// The reason why [`make_initramfs`](super::make_initramfs) fails.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InitramfsError {
    /// The kernel lacks a driver.
    #[error("kernel {release} has no driver `{driver}`, which {purpose} needs: {}", absence(path.as_deref()))]
    MissingDriver {
        /// The name of the driver's module.
        driver: String,
        /// What needs it: a kind of disk, the root file system or another module.
        purpose: String,
        /// The release of the kernel.
        release: String,
        /// The file of the module, if `modules.dep` or `modules.order` names one.
        path: Option<String>,
    },
    /// The kernel lacks the drivers of every kind of disk.
    #[error(
        "kernel {release} has the drivers of no root disk: neither virtio_blk with virtio_pci or virtio_mmio, nor nvme"
    )]
    NoRootDisk {
        /// The release of the kernel.
        release: String,
    },
    /// The release is empty or has characters that no kernel has there.
    #[error("`{}` is not the release of a kernel", release.escape_debug())]
    Release {
        /// The given release.
        release: String,
    },
    /// The guest binary is not an ELF file.
    #[error("the guest binary is not an ELF file")]
    Guest,
    /// A file of the module directory cannot be read.
    #[error("cannot read `{path}` of the kernel's modules")]
    Read {
        /// The path in the module directory.
        path: String,
        /// What the source of the modules reports.
        source: io::Error,
    },
    /// A module is not a sound ELF file of a kernel module.
    #[error("`{path}` is not a kernel module: {reason}")]
    Damaged {
        /// The path in the module directory.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A module was built for another kernel.
    #[error("`{path}` is for kernel {found}, not {release}")]
    WrongRelease {
        /// The path in the module directory.
        path: String,
        /// The release in the module.
        found: String,
        /// The release of the kernel.
        release: String,
    },
    /// A module is for another processor than the guest binary.
    #[error("`{path}` and the guest binary are for different processors")]
    WrongProcessor {
        /// The path in the module directory.
        path: String,
    },
    /// Modules need each other in a circle.
    #[error("module `{module}` needs itself through other modules")]
    Circle {
        /// The name of the module.
        module: String,
    },
    /// The modules cost more than a limit allows.
    #[error("{what}, and the limit is {limit}")]
    Limit {
        /// What exceeds the limit.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// The archive cannot be written: a file in it has 4 GiB, or its compression fails.
    #[error("cannot write the archive of the initramfs")]
    Write {
        /// The reason.
        source: io::Error,
    },
}

fn absence(path: Option<&str>) -> String {
    match path {
        Some(path) => format!("the file of its module, `{path}`, is missing"),
        None => "it is neither a module nor built in".to_owned(),
    }
}

impl InitramfsError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    #[must_use]
    pub fn code(&self) -> u32 {
        match self {
            Self::MissingDriver { .. } => 1100,
            Self::NoRootDisk { .. } => 1101,
            Self::Release { .. } => 1102,
            Self::Guest => 1103,
            Self::Read { .. } => 1104,
            Self::Damaged { .. } => 1105,
            Self::WrongRelease { .. } => 1106,
            Self::WrongProcessor { .. } => 1107,
            Self::Circle { .. } => 1108,
            Self::Limit { .. } => 1109,
            Self::Write { .. } => 1110,
        }
    }
}

impl Failure for InitramfsError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::MissingDriver { .. } | Self::NoRootDisk { .. } => ErrorKind::Unsupported,
            Self::Release { .. } | Self::Guest | Self::WrongProcessor { .. } => ErrorKind::Argument,
            Self::Read { source, .. } | Self::Write { source } => ErrorKind::of_io(source),
            Self::Damaged { .. } | Self::WrongRelease { .. } | Self::Circle { .. } => ErrorKind::Damaged,
            Self::Limit { .. } => ErrorKind::Limit,
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(Advice::new(match self {
            Self::MissingDriver { path: Some(_), .. } => {
                "give all modules of the kernel; some distributions spread them over several packages"
            }
            Self::MissingDriver { path: None, .. } | Self::NoRootDisk { .. } => {
                "choose another kernel, or attach the disk in another way; if the driver is built in, give the \
                 kernel's `modules.builtin` or its configuration"
            }
            Self::Guest | Self::WrongProcessor { .. } => {
                "give the guest binary for the architecture of the kernel"
            }
            Self::WrongRelease { .. } => "give the modules that belong to the kernel",
            Self::Damaged { .. } | Self::Circle { .. } => "import the kernel again",
            Self::Release { .. } | Self::Read { .. } | Self::Limit { .. } | Self::Write { .. } => {
                return None;
            }
        }))
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::MissingDriver { driver, release, path, .. } => {
                let context = context.with("driver", driver).with("kernel", release);
                path.iter().fold(context, |context, path| context.with("path", path))
            }
            Self::NoRootDisk { release } | Self::Release { release } => context.with("kernel", release),
            Self::Read { path, .. } | Self::Damaged { path, .. } | Self::WrongProcessor { path } => {
                context.with("path", path)
            }
            Self::WrongRelease { path, found, release } => {
                context.with("path", path).with("found", found).with("kernel", release)
            }
            Self::Circle { module } => context.with("module", module),
            Self::Guest | Self::Limit { .. } | Self::Write { .. } => context,
        }
    }
}
