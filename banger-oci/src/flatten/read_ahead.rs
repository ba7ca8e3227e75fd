//! Published bytes, read and checked ahead on a thread of their own.
//!
//! A pull waits for decompression. So another thread reads the blob; its source hashes it at the same time.

use std::io::{self, BufRead, Read};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// Length of one buffer.
const BUFFER_LEN: usize = 256 * 1024;
/// Buffers of one reader: one being filled, one being read, two waiting.
const BUFFERS: usize = 4;

/// A reader whose source is read by another thread, which ends when this is dropped, or when the
/// source's `read` returns.
pub(super) struct ReadAhead {
    filled: Receiver<io::Result<Buffer>>,
    emptied: Sender<Buffer>,
    /// Taken to pass on its panic.
    thread: Option<JoinHandle<()>>,
    current: Buffer,
    at: usize,
    at_end: bool,
}

/// Bytes read; empty at the end.
#[derive(Default)]
struct Buffer {
    memory: Vec<u8>,
    len: usize,
}

impl ReadAhead {
    /// Starts to read `source`.
    pub(super) fn start(source: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, filled) = channel();
        let (emptied, empty) = channel();
        // The last one is `current`.
        for _ in 1..BUFFERS {
            emptied.send(Buffer::default()).expect("the receiver is below");
        }
        let thread = thread::Builder::new()
            .name("read layer".to_owned())
            .spawn(move || run(source, &empty, &sender))?;
        Ok(Self { filled, emptied, thread: Some(thread), current: Buffer::default(), at: 0, at_end: false })
    }

    /// Takes up the next buffer.
    fn advance(&mut self) -> io::Result<()> {
        let next = match self.filled.recv() {
            Ok(outcome) => outcome?,
            // The thread has ended without telling the end: its source panicked.
            Err(_) => {
                if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                    resume_unwind(panic);
                }
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        };
        let used = std::mem::replace(&mut self.current, next);
        // The reader may have ended.
        let _ = self.emptied.send(used);
        self.at = 0;
        self.at_end = self.current.len == 0;
        Ok(())
    }
}

/// Body of the thread.
fn run(mut source: impl Read, empty: &Receiver<Buffer>, filled: &Sender<io::Result<Buffer>>) {
    while let Ok(mut buffer) = empty.recv() {
        buffer.memory.resize(BUFFER_LEN, 0);
        let outcome = loop {
            match source.read(&mut buffer.memory) {
                Ok(count) => {
                    buffer.len = count;
                    break Ok(buffer);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let is_last = outcome.as_ref().map_or(true, |buffer| buffer.len == 0);
        if filled.send(outcome).is_err() || is_last {
            return;
        }
    }
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len && !self.at_end {
            self.advance()?;
        }
        Ok(&self.current.memory[self.at..self.current.len])
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for ReadAhead {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(bytes)?;
        self.consume(count);
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
