//! One import: its limits, its stop flag, and its progress.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use banger_tree::{Budget, Cancellation, Cost, OverBudget, Setting};

use crate::error::KernelError;

/// Bytes that are copied between two looks at the stop flag.
pub(crate) const PIECE_BYTES: usize = 128 << 10;

/// Limits on the source of a kernel.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelLimits {
    /// Bytes of one kernel image, not compressed; default 1 GiB.
    pub max_kernel_bytes: u64,
    /// Bytes of the files that are kept; default 8 GiB.
    pub max_content_bytes: u64,
    /// Bytes of an archive, not compressed; default 32 GiB.
    pub max_tar_bytes: u64,
    /// Entries of an archive or of a directory of modules; default 1,000,000.
    pub max_entries: u64,
}

impl Default for KernelLimits {
    fn default() -> Self {
        Self {
            max_kernel_bytes: 1 << 30,
            max_content_bytes: 8 << 30,
            max_tar_bytes: 32 << 30,
            max_entries: 1_000_000,
        }
    }
}

banger_tree::setters! {
    KernelLimits {
        with_max_kernel_bytes => max_kernel_bytes: u64,
        with_max_content_bytes => max_content_bytes: u64,
        with_max_tar_bytes => max_tar_bytes: u64,
        with_max_entries => max_entries: u64,
    }
}

/// The option that raises the limit on a kernel image.
pub(crate) const MAX_KERNEL: Setting = Setting("max_kernel_bytes");

/// Progress of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelProgress {
    /// The source that is read.
    pub source: String,
    /// Bytes read so far.
    pub done_bytes: u64,
    /// Bytes to read; 0 if that is not known.
    pub size_bytes: u64,
}

/// The parts of an import that all its stages share.
pub(crate) struct ImportRun<'a> {
    /// The name of the source in messages.
    pub(crate) source: String,
    pub(crate) limits: &'a KernelLimits,
    pub(crate) budget: Budget,
    pub(crate) cancellation: &'a Cancellation,
    pub(crate) on_progress: &'a dyn Fn(&KernelProgress),
    /// Bytes of the source that were read, which readers on the way count.
    done_bytes: Arc<AtomicU64>,
    /// Bytes that passed since the last report of the progress.
    untold_bytes: AtomicU64,
    size_bytes: u64,
}

impl<'a> ImportRun<'a> {
    pub(crate) fn new(
        limits: &'a KernelLimits,
        cancellation: &'a Cancellation,
        on_progress: &'a dyn Fn(&KernelProgress),
    ) -> Self {
        let budget = Budget::unlimited()
            .with_limit(Cost::Entries, limits.max_entries)
            .with_limit(Cost::TreeBytes, Cost::TreeBytes.default_limit())
            .with_limit(Cost::InflatedBytes, limits.max_tar_bytes)
            .with_limit(Cost::ImageBytes, limits.max_content_bytes);
        let (source, done_bytes, untold_bytes, size_bytes) =
            (String::new(), Arc::default(), AtomicU64::new(0), 0);
        Self { source, limits, budget, cancellation, on_progress, done_bytes, untold_bytes, size_bytes }
    }

    /// Begins with another source of `size_bytes`, or 0 if the size is not known.
    pub(crate) fn begin(&mut self, source: impl ToString, size_bytes: u64) {
        self.source = source.to_string();
        self.size_bytes = size_bytes;
        self.done_bytes = Arc::default();
        self.tell();
    }

    /// Reports the progress.
    pub(crate) fn tell(&self) {
        (self.on_progress)(&KernelProgress {
            source: self.source.clone(),
            done_bytes: self.done_bytes.load(Ordering::Relaxed),
            size_bytes: self.size_bytes,
        });
    }

    /// Counts bytes that pass a stage, and reports the progress now and then.
    fn pass(&self, bytes: u64) {
        if self.untold_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= TELL_BYTES {
            self.untold_bytes.store(0, Ordering::Relaxed);
            self.tell();
        }
    }

    /// Counts bytes that were read from a source which is not one file.
    pub(crate) fn read_more(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.pass(bytes);
    }

    /// Fails if the caller asks to stop.
    pub(crate) fn check(&self) -> Result<(), KernelError> {
        match self.cancellation.is_cancelled() {
            true => Err(KernelError::Cancelled),
            false => Ok(()),
        }
    }

    pub(crate) fn charge(&self, cost: Cost, amount: u64) -> Result<(), KernelError> {
        self.budget.charge(cost, amount).map_err(|over| self.over(over))
    }

    fn over(&self, over: OverBudget) -> KernelError {
        KernelError::Budget { path: self.source.clone(), over }
    }

    /// Returns the error of a damaged part of the source.
    pub(crate) fn damaged(&self, reason: impl Into<String>) -> KernelError {
        KernelError::damaged(&self.source, reason)
    }

    /// Returns the error of a failed read of the source, or of a decoder in the way.
    pub(crate) fn read_error(&self, error: io::Error) -> KernelError {
        if let Some(halt) = error.get_ref().and_then(|inner| inner.downcast_ref::<Halt>()) {
            return match halt {
                Halt::Cancelled => KernelError::Cancelled,
                Halt::Over(over) => self.over(*over),
            };
        }
        match error.kind() {
            _ if error.raw_os_error().is_some() => {
                KernelError::Io { action: "read", path: self.source.as_str().into(), source: error }
            }
            io::ErrorKind::Unsupported | io::ErrorKind::OutOfMemory => {
                KernelError::unsupported(&self.source, error.to_string())
            }
            _ => self.damaged(error.to_string()),
        }
    }

    /// Returns a reader that counts the bytes of the source itself.
    pub(crate) fn counted<R: Read>(&self, inner: R) -> Counted<R> {
        Counted { inner, done_bytes: Arc::clone(&self.done_bytes) }
    }

    /// Returns a reader of decoded bytes that charges the budget, tells the progress, and stops.
    pub(crate) fn metered<R: Read>(&self, inner: R) -> Metered<'_, R> {
        Metered { inner, run: self }
    }
}

/// Why a reader in the middle of decoders stopped.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Halt {
    #[error("cancelled")]
    Cancelled,
    #[error("{0}")]
    Over(OverBudget),
}

/// Counts the bytes of the source.
pub(crate) struct Counted<R> {
    inner: R,
    done_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.done_bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Charges the bytes that pass.
pub(crate) struct Metered<'a, R> {
    inner: R,
    run: &'a ImportRun<'a>,
}

/// Bytes between two reports of progress.
const TELL_BYTES: u64 = 4 << 20;

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.run.cancellation.is_cancelled() {
            return Err(io::Error::other(Halt::Cancelled));
        }
        let length = self.inner.read(buffer)?;
        let charged = self.run.budget.charge(Cost::InflatedBytes, length as u64);
        charged.map_err(|over| io::Error::other(Halt::Over(over)))?;
        self.run.pass(length as u64);
        Ok(length)
    }
}
