//! Reading from what may keep a reader waiting, and writing to it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use banger_tree::Cancellation;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long to wait before the next look at whether to stop.
const PAUSE: Duration = Duration::from_millis(100);

/// Reads a pipe, terminal or file until the caller asks to stop, also while it waits for bytes.
#[derive(Debug)]
pub struct PatientReader {
    file: File,
    cancellation: Cancellation,
}

impl PatientReader {
    /// Returns a reader of `file`.
    pub fn new(file: File, cancellation: &Cancellation) -> Self {
        Self { file, cancellation: cancellation.clone() }
    }
}

impl Read for PatientReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            wait(&self.file, PollFlags::IN, &self.cancellation)?;
            match self.file.read(buffer) {
                Err(error) if is_early(&error) => {}
                read => return read,
            }
        }
    }
}

/// Bytes that a pipe takes without waiting once it takes any (`PIPE_BUF` of Linux).
const PIPE_BYTES: usize = 4096;

/// Writes to a pipe, terminal or file until the caller asks to stop, also while nobody takes the bytes.
///
/// To write to a pipe that nobody reads raises SIGPIPE, unless the process or the thread blocks it.
#[derive(Debug)]
pub struct PatientWriter {
    file: File,
    cancellation: Cancellation,
    longest: usize,
}

impl PatientWriter {
    /// Returns a writer to `file`.
    pub fn new(file: File, cancellation: &Cancellation) -> Self {
        let never_waits = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let longest = if never_waits { usize::MAX } else { PIPE_BYTES };
        Self { file, cancellation: cancellation.clone(), longest }
    }
}

impl Write for PatientWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            wait(&self.file, PollFlags::OUT, &self.cancellation)?;
            match self.file.write(&bytes[..bytes.len().min(self.longest)]) {
                Err(error) if is_early(&error) => {}
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Waits until `file` is ready, or has nothing to be waited for.
fn wait(file: &File, flags: PollFlags, cancellation: &Cancellation) -> io::Result<()> {
    let pause = Timespec::try_from(PAUSE).expect("it is short");
    loop {
        if cancellation.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        match poll(&mut [PollFd::new(file, flags)], Some(&pause)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether a file that is not to be waited for was not ready after all.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_uses_holds_nobody_who_is_cancelled() {
        let cancellation = Cancellation::default();
        let (reads, _writer) = io::pipe().expect("a pipe");
        let (_reader, writes) = io::pipe().expect("a pipe");
        let mut reader = PatientReader::new(File::from(OwnedFd::from(reads)), &cancellation);
        let mut writer = PatientWriter::new(File::from(OwnedFd::from(writes)), &cancellation);
        std::thread::scope(|scope| {
            let read = scope.spawn(move || reader.read(&mut [0; 8]));
            let written = scope.spawn(move || writer.write_all(&vec![0; 16 << 20]));
            std::thread::sleep(Duration::from_millis(20));
            cancellation.cancel();
            assert!(read.join().expect("no panic").is_err());
            assert!(written.join().expect("no panic").is_err());
        });
    }
}
