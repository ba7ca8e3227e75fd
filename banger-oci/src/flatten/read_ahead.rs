//! Published bytes, read and checked ahead on a thread of their own.
//!
//! Decompression is what a pull waits for. Reading the blob and hashing it, which its source does
//! as it is read, shall not take from that thread's time.

use std::io::{self, Read};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Length of one buffer.
const BUFFER_LEN: usize = 256 * 1024;
/// Buffers that wait to be taken, besides the one being filled and the one being taken.
const QUEUE_LEN: usize = 2;

/// A reader whose source is read by another thread, which ends when this is dropped, or when the
/// source's `read` returns.
pub(super) struct ReadAhead {
    filled: Receiver<io::Result<Vec<u8>>>,
    /// Taken to pass on its panic.
    thread: Option<JoinHandle<()>>,
    current: Vec<u8>,
    at: usize,
    at_end: bool,
}

impl ReadAhead {
    /// Starts to read `source`.
    pub(super) fn start(source: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, filled) = sync_channel(QUEUE_LEN);
        let thread =
            thread::Builder::new().name("read layer".to_owned()).spawn(move || run(source, &sender))?;
        Ok(Self { filled, thread: Some(thread), current: Vec::new(), at: 0, at_end: false })
    }
}

/// Body of the thread: an empty buffer is the end.
fn run(mut source: impl Read, filled: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut buffer = vec![0; BUFFER_LEN];
        let outcome = match source.read(&mut buffer) {
            Ok(count) => {
                buffer.truncate(count);
                Ok(buffer)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = !matches!(&outcome, Ok(buffer) if !buffer.is_empty());
        if filled.send(outcome).is_err() || is_last {
            return;
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() && !self.at_end {
            self.current = match self.filled.recv() {
                Ok(outcome) => outcome?,
                // The thread has ended without telling the end: its source panicked.
                Err(_) => {
                    if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                        resume_unwind(panic);
                    }
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            };
            self.at = 0;
            self.at_end = self.current.is_empty();
        }
        let count = bytes.len().min(self.current.len() - self.at);
        bytes[..count].copy_from_slice(&self.current[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FailsAfter(usize);

    impl Read for FailsAfter {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let count = self.0.min(bytes.len());
            self.0 -= count;
            bytes[..count].fill(7);
            if count == 0 { Err(io::Error::other("gone")) } else { Ok(count) }
        }
    }

    #[test]
    fn gives_every_byte_then_the_end_or_the_error() {
        let source: Vec<u8> = (0..1_000_003_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut found = Vec::new();
        let mut reader = ReadAhead::start(io::Cursor::new(source.clone())).unwrap();
        reader.read_to_end(&mut found).unwrap();
        assert!(found == source);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);

        let mut found = Vec::new();
        let error = ReadAhead::start(FailsAfter(600_000)).unwrap().read_to_end(&mut found).unwrap_err();
        assert_eq!((found.len(), error.to_string().as_str()), (600_000, "gone"));
    }

    #[test]
    fn a_reader_that_is_dropped_ends_its_thread() {
        let (alive, ended) = std::sync::mpsc::channel::<()>();
        struct Endless(#[expect(dead_code, reason = "dropped with the source")] std::sync::mpsc::Sender<()>);
        impl Read for Endless {
            fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
        }
        let mut reader = ReadAhead::start(Endless(alive)).unwrap();
        reader.read_exact(&mut [0; 10]).unwrap();
        drop(reader);
        assert!(
            ended
                .recv_timeout(std::time::Duration::from_secs(10))
                .is_err_and(|error| { error == std::sync::mpsc::RecvTimeoutError::Disconnected })
        );
    }
}
