//! Reads from files that may block the reader.

use std::fs::File;
use std::io::{self, Read};
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
        let pause = Timespec::try_from(PAUSE).expect("it is short");
        loop {
            if self.cancellation.is_cancelled() {
                return Err(io::Error::other("interrupted"));
            }
            let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut fds, Some(&pause)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.file.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
