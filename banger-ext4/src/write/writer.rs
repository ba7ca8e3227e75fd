//! The writer of the image file. It is a thread, so that the producer of the bytes does not wait for the
//! host. If many images are made at a time, the caller writes, as a thread for each would not help.
//!
//! Buffers go round between the two and their number is fixed, so memory is bounded. Pieces are written in
//! their order, so a later piece replaces an earlier one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use camino::Utf8Path;

use super::writeback::Writeback;
use crate::format::{BLOCK_BYTES, BLOCK_SIZE};

/// Bytes of one buffer.
pub(crate) const BUFFER_SIZE: usize = 1 << 20;
/// Most buffers: one being filled, one being written, two to even out the host's pace.
const BUFFERS_MAX: usize = 4;
/// Number of bytes that go through the host's page cache before the rest goes past it. A small file is
/// written so quickly that the disk does not matter, and it may be deleted before it gets there.
const CACHED_BYTES: u64 = 16 << 20;
/// Shorter pieces go through the page cache, too. A small write past it waits for the disk longer than a copy
/// takes, and content in freed extents makes thousands of them.
const DIRECT_BYTES_MIN: u64 = 128 << 10;
/// Number of bytes by which the file is extended ahead. The host's file system cannot run writes past the end
/// in parallel, and writes to its journal for each of them.
const LENGTH_STEP: u64 = 256 << 20;

/// Bytes to write, at an address that direct I/O accepts.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Box<[u8]>,
    start: usize,
    len: usize,
}

impl Buffer {
    fn new() -> Self {
        let memory = vec![0; BUFFER_SIZE + BLOCK_SIZE].into_boxed_slice();
        // Where the platform cannot tell, the writes are cached ones.
        let start = memory.as_ptr().align_offset(BLOCK_SIZE).min(BLOCK_SIZE);
        Self { memory, start, len: 0 }
    }

    /// Returns its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    /// Adds `bytes`, for which there must be room.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        let at = self.start + self.len;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

#[derive(Debug)]
enum Request {
    Write(Buffer, u64),
    /// Answered when all earlier pieces are written.
    Settle(Sender<()>),
}

/// The handle of the writing thread. Without a thread, the caller waits for the host.
#[derive(Debug)]
pub(crate) struct Writer(WriterKind);

#[derive(Debug)]
enum WriterKind {
    Thread(WriterThread),
    Caller(Box<CallerWriter>),
}

#[derive(Debug)]
struct WriterThread {
    /// `None` when it shall end.
    requests: Option<Sender<Request>>,
    emptied: Receiver<Buffer>,
    buffers: usize,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Debug)]
struct CallerWriter {
    output: WriterOutput,
    spare: Option<Buffer>,
    has_failed: bool,
}

impl Writer {
    /// Starts to write `file`, which is the one at `path`, on a thread if `has_thread`.
    ///
    /// # Errors
    /// The host has no thread to give.
    pub(crate) fn start(file: File, path: &Utf8Path, has_thread: bool) -> io::Result<Self> {
        Self::start_after(file, open_direct(path), CACHED_BYTES, has_thread)
    }

    /// Starts to write `file`: first through the page cache, and after `cached_bytes` through `direct`.
    fn start_after(
        file: File,
        direct: Option<File>,
        cached_bytes: u64,
        has_thread: bool,
    ) -> io::Result<Self> {
        let output = WriterOutput { file, direct, cached_bytes, length: 0, writeback: Writeback::default() };
        if !has_thread {
            return Ok(Self(WriterKind::Caller(Box::new(CallerWriter {
                output,
                spare: None,
                has_failed: false,
            }))));
        }
        let (requests, received) = channel();
        let (empty, emptied) = channel();
        let thread = thread::Builder::new()
            .name("ext4-writer".to_owned())
            .spawn(move || output.run(&received, &empty))?;
        Ok(Self(WriterKind::Thread(WriterThread {
            requests: Some(requests),
            emptied,
            buffers: 0,
            thread: Some(thread),
        })))
    }

    /// Returns an empty buffer; waits for one if all are in use.
    ///
    /// # Errors
    /// An earlier write failed.
    pub(crate) fn buffer(&mut self) -> io::Result<Buffer> {
        match &mut self.0 {
            WriterKind::Thread(thread) => thread.buffer(),
            WriterKind::Caller(writer) if writer.has_failed => Err(self.failure()),
            WriterKind::Caller(writer) => Ok(writer.spare.take().unwrap_or_else(Buffer::new)),
        }
    }

    /// Has `buffer` written at `offset`.
    ///
    /// # Errors
    /// This write failed, or an earlier one.
    pub(crate) fn write(&mut self, mut buffer: Buffer, offset: u64) -> io::Result<()> {
        match &mut self.0 {
            WriterKind::Thread(thread) => match thread.send(Request::Write(buffer, offset)) {
                true => Ok(()),
                false => Err(self.failure()),
            },
            WriterKind::Caller(writer) if writer.has_failed => Err(self.failure()),
            WriterKind::Caller(writer) => {
                let written = writer.output.write(buffer.bytes(), offset);
                writer.has_failed = written.is_err();
                buffer.len = 0;
                writer.spare = Some(buffer);
                written
            }
        }
    }

    /// Waits until all is written; returns whether it could be.
    pub(crate) fn settle(&self) -> bool {
        match &self.0 {
            WriterKind::Thread(thread) => {
                let (answer, answered) = channel();
                thread.send(Request::Settle(answer)) && answered.recv().is_ok()
            }
            WriterKind::Caller(writer) => !writer.has_failed,
        }
    }

    /// Ends the writing: what waits is written, and nothing comes after it.
    pub(crate) fn end(&mut self) {
        match &mut self.0 {
            WriterKind::Thread(thread) => thread.end(),
            WriterKind::Caller(writer) => writer.has_failed = true,
        }
    }

    /// Returns the error of an earlier write, if it was not returned before.
    pub(crate) fn failure(&mut self) -> io::Error {
        match &mut self.0 {
            WriterKind::Thread(thread) => thread.failure(),
            WriterKind::Caller(_) => told_before(),
        }
    }
}

fn told_before() -> io::Error {
    io::Error::other("an earlier write failed")
}

impl WriterThread {
    fn buffer(&mut self) -> io::Result<Buffer> {
        if let Ok(buffer) = self.emptied.try_recv() {
            return Ok(buffer);
        }
        if self.buffers < BUFFERS_MAX {
            self.buffers += 1;
            return Ok(Buffer::new());
        }
        self.emptied.recv().map_err(|_| self.failure())
    }

    fn failure(&mut self) -> io::Error {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Err(error))) => error,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            Some(Ok(Ok(()))) | None => told_before(),
        }
    }

    fn end(&mut self) {
        self.requests = None;
        // A caller that needs the result has called `settle` before.
        let _ = self.thread.take().map(JoinHandle::join);
    }

    fn send(&self, request: Request) -> bool {
        self.requests.as_ref().is_some_and(|requests| requests.send(request).is_ok())
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.end();
    }
}

/// The state of the writer; the thread owns it.
#[derive(Debug)]
struct WriterOutput {
    file: File,
    /// The same file, to be written past the page cache, which saves the copy and the bookkeeping
    /// of every page; the flush before publication finds nothing left to do.
    direct: Option<File>,
    /// Bytes that shall still go to the page cache; the file's length so far.
    cached_bytes: u64,
    length: u64,
    writeback: Writeback,
}

impl WriterOutput {
    fn run(mut self, requests: &Receiver<Request>, empty: &Sender<Buffer>) -> io::Result<()> {
        for request in requests {
            match request {
                Request::Write(mut buffer, offset) => {
                    self.write(buffer.bytes(), offset)?;
                    buffer.len = 0;
                    // The receiver may be gone when the image is dropped.
                    let _ = empty.send(buffer);
                }
                Request::Settle(answer) => {
                    let _ = answer.send(());
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let length = bytes.len() as u64;
        let is_aligned = offset.is_multiple_of(BLOCK_BYTES) && length.is_multiple_of(BLOCK_BYTES);
        let is_direct = is_aligned && length >= DIRECT_BYTES_MIN && self.cached_bytes == 0;
        if let Some(direct) = self.direct.as_ref().filter(|_| is_direct) {
            if offset + length > self.length {
                self.length = (offset + length).next_multiple_of(LENGTH_STEP);
                // Only a hint: the file gets its own length at the end, and may already be longer.
                if self.file.metadata()?.len() < self.length {
                    let _ = self.file.set_len(self.length);
                }
            }
            match direct.write_all_at(bytes, offset) {
                // The file system, or the device under it, is one that cannot after all.
                Err(error) if is_unsupported(&error) => self.direct = None,
                result => return result,
            }
        }
        self.file.write_all_at(bytes, offset)?;
        self.cached_bytes = self.cached_bytes.saturating_sub(length);
        self.writeback.note(&self.file, offset, length);
        Ok(())
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// Opens the file at `path` for direct I/O, if its file system has that.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_direct(path: &Utf8Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::DIRECT.bits();
    std::fs::OpenOptions::new().write(true).custom_flags(flags.cast_signed()).open(path).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_direct(_path: &Utf8Path) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use camino::Utf8PathBuf;

    use super::*;

    fn file() -> (tempfile::TempDir, Utf8PathBuf, File) {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("image")).unwrap();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        (directory, path, file)
    }

    fn put(writer: &mut Writer, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut buffer = writer.buffer()?;
        buffer.extend_from_slice(bytes);
        writer.write(buffer, offset)
    }

    #[test]
    fn later_pieces_win_whichever_way_they_go() {
        let pieces = [
            (0, 1 << 20, 1),
            (1 << 20, 8192, 2),
            (4096, 4096, 3),
            (8192, 1000, 4),
            (8192, 8192, 5),
            (12288, 9, 6),
            // A write past the page cache over cached bytes, and the other way round.
            (4096, DIRECT_BYTES_MIN as usize, 7),
            (8192, 4096, 8),
        ];
        let mut want = vec![0; (1 << 20) + 8192];
        for (offset, len, value) in pieces {
            want[offset..offset + len].fill(value);
        }
        let kinds =
            [true, false].map(|has_thread| [0, 1 << 20, CACHED_BYTES].map(|cached| (cached, has_thread)));
        for (cached_bytes, has_thread) in kinds.into_iter().flatten() {
            let (_directory, path, file) = file();
            let direct = open_direct(&path);
            let mut writer =
                Writer::start_after(file.try_clone().unwrap(), direct, cached_bytes, has_thread).unwrap();
            for (offset, len, value) in pieces {
                put(&mut writer, &vec![value; len], offset as u64).unwrap();
            }
            assert!(writer.settle());
            let mut found = vec![9; want.len()];
            file.read_exact_at(&mut found, 0).unwrap();
            assert!(found == want, "{cached_bytes}");
        }
    }

    #[test]
    fn falls_back_where_direct_writes_are_refused() {
        let (_directory, path, file) = file();
        // One of the two starts at an odd address, which most devices refuse.
        let mut output = WriterOutput {
            file: file.try_clone().unwrap(),
            direct: open_direct(&path),
            cached_bytes: 0,
            length: 0,
            writeback: Writeback::default(),
        };
        const LEN: usize = DIRECT_BYTES_MIN as usize;
        let bytes = vec![7; LEN + 1];
        output.write(&bytes[1..], 0).unwrap();
        output.write(&bytes[..LEN], DIRECT_BYTES_MIN).unwrap();
        let mut found = vec![0; 2 * LEN];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_failure_reaches_whoever_writes_next() {
        let (_directory, path, _) = file();
        let read_only = File::open(&path).unwrap();
        let mut writer = Writer::start_after(read_only, None, 0, true).unwrap();
        put(&mut writer, b"x", 0).unwrap();
        assert!(!writer.settle());
        assert_eq!(writer.failure().raw_os_error(), Some(9), "EBADF");
        for _ in 0..BUFFERS_MAX {
            let _ = writer.buffer();
        }
        assert!(writer.buffer().is_err());

        let read_only = File::open(&path).unwrap();
        let mut writer = Writer::start_after(read_only, None, 0, false).unwrap();
        assert_eq!(put(&mut writer, b"x", 0).unwrap_err().raw_os_error(), Some(9), "EBADF");
        assert!(!writer.settle());
        assert!(writer.buffer().is_err());
    }
}
