//! The shared parts of all pulls of one [`Puller`](crate::Puller).

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;

use crate::registry::clients::Clients;
use crate::registry::error::PullError;
use crate::registry::logins::Logins;
use crate::registry::slots::ReadSlots;
use crate::registry::threads::Threads;

/// Limits on the parallel work of one [`Puller`](crate::Puller).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullerOptions {
    /// Threads that make requests and downloads; up to four more run while these write to the disk or
    /// look up names. Default: one for two processors, at least 1 and at most 2, so that downloads leave
    /// the processors to decompression.
    pub worker_threads: usize,
    /// Parallel downloads of all pulls together; each pull has its own limit, too. Default: 16.
    pub parallel_downloads: usize,
    /// Images that are read and written at a time by holders of a [`ReadPermit`](crate::ReadPermit).
    /// Default: one a processor, at least 4.
    pub parallel_reads: usize,
    /// Layers of all pulls together that are decompressed on separate threads at a time; each takes three
    /// threads. Running pulls share them. A pull with a share of 0 does its work on the calling thread.
    /// Default: one for each processor, at least 2 and at most 16.
    pub parallel_streams: usize,
    /// Threads that look for images on behalf of `pull_async`. Default: 4.
    pub parallel_async: usize,
}

impl Default for PullerOptions {
    fn default() -> Self {
        let processors = available_parallelism().map_or(2, usize::from);
        Self {
            worker_threads: (processors / 2).clamp(1, 2),
            parallel_downloads: 16,
            parallel_reads: processors.max(4),
            parallel_streams: processors.clamp(2, 16),
            parallel_async: 4,
        }
    }
}

banger_tree::setters! {
    PullerOptions {
        with_worker_threads => worker_threads: usize,
        with_parallel_downloads => parallel_downloads: usize,
        with_parallel_reads => parallel_reads: usize,
        with_parallel_streams => parallel_streams: usize,
        with_parallel_async => parallel_async: usize,
    }
}

/// Threads, connections, tokens and limits.
#[derive(Debug)]
pub(crate) struct Engine {
    options: PullerOptions,
    /// Started at the first request: images of this machine need no threads.
    threads: Mutex<Option<Arc<Threads>>>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) downloads: Arc<Semaphore>,
    pub(crate) reads: Arc<ReadSlots>,
    #[cfg(feature = "tokio")]
    pub(crate) async_pulls: Arc<Semaphore>,
}

/// The shared parts for requests. Tasks hold this, and never the threads that they run on.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) clients: Clients,
    pub(crate) logins: Logins,
}

impl Engine {
    pub(crate) fn new(options: PullerOptions) -> Arc<Self> {
        Arc::new(Self {
            threads: Mutex::default(),
            connections: Arc::default(),
            downloads: Arc::new(Semaphore::new(permits(options.parallel_downloads))),
            reads: ReadSlots::new(options.parallel_reads, options.parallel_streams),
            #[cfg(feature = "tokio")]
            async_pulls: Arc::new(Semaphore::new(permits(options.parallel_async))),
            options,
        })
    }

    /// How many transfers may run at a time.
    pub(crate) fn most_transfers(&self) -> usize {
        permits(self.options.parallel_downloads)
    }

    /// The threads of all pulls.
    pub(crate) fn threads(&self) -> Result<Arc<Threads>, PullError> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match &mut *threads {
            Some(threads) => Arc::clone(threads),
            none => Arc::clone(none.insert(Arc::new(Threads::start(self.options.worker_threads)?))),
        })
    }
}

/// Converts a limit to the number type of a semaphore.
fn permits(count: usize) -> usize {
    count.clamp(1, Semaphore::MAX_PERMITS)
}
