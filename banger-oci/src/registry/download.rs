//! A blob that is being downloaded into the cache, with its readers.

use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use banger_tree::LockedFile;
use camino::{Utf8Path, Utf8PathBuf};

use crate::registry::cache::remove_if_at;
use crate::registry::error::PullError;
use crate::registry::manifest::Descriptor;

/// The state of a download, shared by the task that writes and the threads that read.
#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) descriptor: Descriptor,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The partial file, then the finished one: a rename keeps the open file.
    file: Option<Arc<LockedFile>>,
    /// Path of the finished file.
    path: Utf8PathBuf,
    /// Readers may read up to here.
    committed: u64,
    /// Whether a reader may have to read again.
    rolled_back: bool,
    /// Whether the first bytes were left by an earlier download.
    resumed: bool,
    /// Counts how often bytes below `committed` turned out to be wrong.
    generation: u32,
    outcome: Option<Result<(), PullError>>,
}

impl Download {
    pub(crate) fn new(descriptor: Descriptor) -> Arc<Self> {
        Arc::new(Self { descriptor, state: Mutex::default(), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment, so a panic elsewhere leaves no half-made state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives readers the file to read from, which is at `path` when it is complete.
    pub(crate) fn attach(&self, file: Arc<LockedFile>, path: &Utf8Path) {
        let mut state = self.state();
        state.file = Some(file);
        path.clone_into(&mut state.path);
    }

    /// Removes the finished blob from the cache.
    pub(crate) fn discard(&self) -> Result<(), PullError> {
        let state = self.state();
        state.file.as_ref().map_or(Ok(()), |file| remove_if_at(file, &state.path))
    }

    /// Lets readers read up to `len`.
    pub(crate) fn commit(&self, len: u64) {
        let mut state = self.state();
        state.committed = state.committed.max(len);
        drop(state);
        self.changed.notify_all();
    }

    /// Undoes a commit: the bytes behind `len` were wrong.
    pub(crate) fn roll_back(&self, len: u64) {
        let mut state = self.state();
        if state.committed > len {
            state.committed = len;
            state.generation += 1;
            state.rolled_back = true;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Whether readers may have been given bytes that turned out to be wrong since this was asked
    /// last.
    pub(crate) fn take_roll_back(&self) -> bool {
        std::mem::take(&mut self.state().rolled_back)
    }

    /// Whether readers may get bytes that prove wrong later: those of an earlier download, or of another place.
    pub(crate) fn may_roll_back(&self) -> bool {
        let state = self.state();
        state.resumed || state.rolled_back
    }

    /// Notes that the first bytes come from an earlier download.
    pub(crate) fn note_resumed(&self) {
        self.state().resumed = true;
    }

    pub(crate) fn committed(&self) -> u64 {
        self.state().committed
    }

    /// Ends the download; the first outcome counts.
    pub(crate) fn finish(&self, outcome: Result<(), PullError>) {
        let mut state = self.state();
        if state.outcome.is_none() {
            state.outcome = Some(outcome);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the end of the download.
    pub(crate) fn wait(&self) -> Result<(), PullError> {
        let mut state = self.state();
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns a reader of the blob from its start, which waits for bytes that have not arrived yet.
    pub(crate) fn reader(self: &Arc<Self>) -> FollowReader {
        FollowReader { download: Arc::clone(self), position: 0, generation: None }
    }
}

/// Reads a blob while it is downloaded. The end is reported only after the digest was checked.
#[derive(Debug)]
pub(crate) struct FollowReader {
    download: Arc<Download>,
    position: u64,
    /// The generation of the bytes read so far.
    generation: Option<u32>,
}

impl FollowReader {
    /// Waits for bytes behind the position. Returns the file and their number; `None` at the end of the blob.
    fn wait_for_bytes(&mut self) -> Result<Option<(Arc<LockedFile>, u64)>, PullError> {
        let mut state = self.download.state();
        loop {
            if let Some(Err(error)) = &state.outcome {
                return Err(error.clone());
            }
            if self.generation.is_some_and(|generation| generation != state.generation) {
                return Err(PullError::Mismatch {
                    digest: self.download.descriptor.digest.clone(),
                    origin: "the cache".to_owned(),
                    reason: "what an interrupted download or another place had left was wrong and has been \
                             discarded; pull again"
                        .to_owned(),
                });
            }
            if state.committed > self.position
                && let Some(file) = &state.file
            {
                self.generation = Some(state.generation);
                return Ok(Some((Arc::clone(file), state.committed - self.position)));
            }
            if state.outcome.is_some() {
                return Ok(None);
            }
            state = self.download.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Read for FollowReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some((file, available)) = self.wait_for_bytes().map_err(PullError::into_io)? else {
                return Ok(0);
            };
            let len = usize::try_from(available).unwrap_or(usize::MAX).min(buffer.len());
            let count = file.read_at(&mut buffer[..len], self.position)?;
            if count > 0 {
                self.position += count as u64;
                return Ok(count);
            }
            // The bytes were wrong, and the file was emptied since they were looked for. The next look tells why.
            if self.generation == Some(self.download.state().generation) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::digest::Digest;

    /// A blob of `bytes` that are readable before its digest was checked.
    fn partial(bytes: &[u8]) -> (Arc<Download>, Arc<LockedFile>) {
        let descriptor = Descriptor::new("", Digest::of(bytes), bytes.len() as u64);
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        let (file, download) = (Arc::new(LockedFile::of(file)), Download::new(descriptor));
        download.attach(Arc::clone(&file), "blob".into());
        download.commit(bytes.len() as u64);
        (download, file)
    }

    #[test]
    fn a_reader_whose_bytes_are_taken_back_says_so() {
        for _ in 0..2000 {
            let (download, file) = partial(&[7; 64]);
            let mut reader = download.reader();
            reader.read_exact(&mut [0; 8]).unwrap();
            let start = Barrier::new(2);
            let outcome = std::thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    download.roll_back(0);
                    file.set_len(0).unwrap();
                });
                start.wait();
                reader.read(&mut [0; 8])
            });
            match outcome {
                Ok(count) => assert_eq!(count, 8),
                Err(error) => {
                    assert!(
                        matches!(PullError::from_io(&error), Some(PullError::Mismatch { .. })),
                        "{error}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_file_that_somebody_else_cut_is_no_whole_blob() {
        let (download, file) = partial(&[7; 64]);
        file.set_len(0).unwrap();
        let error = download.reader().read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
