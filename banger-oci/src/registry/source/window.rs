//! A file behind a buffer, in which a seek inside the buffer costs nothing.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;

/// Bytes read at a time: headers of small files lie close together.
pub(super) const WINDOW_LEN: usize = 64 * 1024;

/// Reads a file at any place, with system calls only at the end of its buffer.
#[derive(Debug)]
pub(super) struct Window<'a> {
    file: &'a File,
    buffer: Vec<u8>,
    /// Position of the buffer in the file.
    start: u64,
    /// How much of the buffer was passed.
    passed: usize,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, buffer: Vec::new(), start: 0, passed: 0 }
    }

    pub(super) fn seek(&mut self, position: u64) {
        let inside = position.checked_sub(self.start).and_then(|offset| usize::try_from(offset).ok());
        match inside.filter(|offset| *offset <= self.buffer.len()) {
            Some(offset) => self.passed = offset,
            None => {
                self.buffer.clear();
                self.passed = 0;
                self.start = position;
            }
        }
    }
}

impl Read for Window<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let buffered = self.fill_buf()?;
        let count = buffered.len().min(bytes.len());
        bytes[..count].copy_from_slice(&buffered[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Window<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.passed == self.buffer.len() {
            self.start += self.passed as u64;
            self.passed = 0;
            self.buffer.resize(WINDOW_LEN, 0);
            let read = loop {
                match self.file.read_at(&mut self.buffer, self.start) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            self.buffer.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(&self.buffer[self.passed..])
    }

    fn consume(&mut self, count: usize) {
        self.passed += count;
    }
}
