//! Why a file did not become a managed image.

use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};
use camino::Utf8PathBuf;

/// Why an ext4 file did not become a managed image. The file is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The file system has errors.
    #[error("{path} has errors: {problem}{}", more(*.problem_count))]
    Unsound {
        /// The file.
        path: Utf8PathBuf,
        /// The first error, as one sentence.
        problem: String,
        /// Number of all errors.
        problem_count: u64,
    },
    /// The file system has no room for the modules of the kernel.
    #[error(
        "{path} has no room for the modules of the kernel {kernel}: it needs {needed_bytes} bytes, and has {size_bytes}"
    )]
    NoRoom {
        /// The file.
        path: Utf8PathBuf,
        /// The kernel.
        kernel: String,
        /// The size of the file system that has enough room.
        needed_bytes: u64,
        /// The size that it has.
        size_bytes: u64,
    },
}

fn more(problem_count: u64) -> String {
    match problem_count.saturating_sub(1) {
        0 => String::new(),
        more => format!(", and {more} more"),
    }
}

impl RegisterError {
    /// Returns a number that stays the same for this kind of failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Unsound { .. } => 1040,
            Self::NoRoom { .. } => 1041,
        }
    }
}

impl Failure for RegisterError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsound { .. } => ErrorKind::Damaged,
            Self::NoRoom { .. } => ErrorKind::NoSpace,
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::Unsound { path, .. } => Advice::new(format!("mend it with `e2fsck -f {path}`")),
            Self::NoRoom { needed_bytes, .. } => {
                Advice::new(format!("grow the file system to {needed_bytes} bytes, then register it again"))
            }
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Unsound { path, .. } => context.with("path", path),
            Self::NoRoom { path, kernel, needed_bytes, size_bytes } => context
                .with("path", path)
                .with("kernel", kernel)
                .with("needed_bytes", needed_bytes)
                .with("size_bytes", size_bytes),
        }
    }
}
