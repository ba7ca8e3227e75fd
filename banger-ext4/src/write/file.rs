//! The image file: large writes, with holes between them.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use camino::{Utf8Path, Utf8PathBuf};

use super::lent::{Device, clear, empty_lent_file, reopened};
use super::writer::{BUFFER_SIZE, Buffer, Writer};
use crate::error::Ext4Error;
use crate::format::{BLOCK_BYTES, Block};

/// The file, with the last writes still in memory. Dropped before [`keep`](Self::keep), it is
/// removed, or emptied if it is the caller's.
#[derive(Debug)]
pub(crate) struct ImageFile {
    file: File,
    path: Utf8PathBuf,
    /// The gathered bytes, and their place.
    buffer: Option<Buffer>,
    buffer_offset: u64,
    keep: bool,
    writer: Writer,
    is_lent: bool,
    /// The device that the caller's file is.
    device: Option<Device>,
}

impl ImageFile {
    /// Makes the file `path`, which must not exist; a thread of its own writes it if `has_thread`.
    ///
    /// # Errors
    /// It exists, or the host refuses.
    pub(crate) fn create(path: &Utf8Path, has_thread: bool) -> Result<Self, Ext4Error> {
        let error = |action| move |source| Ext4Error::Io { action, path: path.to_owned(), source };
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(error("create"))?;
        match file.try_clone().and_then(|file| Writer::start(file, path, has_thread)) {
            Ok(writer) => Ok(Self {
                file,
                path: path.to_owned(),
                buffer: None,
                buffer_offset: 0,
                keep: false,
                writer,
                is_lent: false,
                device: None,
            }),
            Err(source) => {
                // It is empty and belongs to this process: it was made above.
                let _ = std::fs::remove_file(path);
                Err(error("write")(source))
            }
        }
    }

    /// Takes an open file of the caller, and empties it; `path` is its name in errors.
    ///
    /// # Errors
    /// The host refuses.
    pub(crate) fn lent(file: File, path: &Utf8Path, has_thread: bool) -> Result<Self, Ext4Error> {
        let error = |action| move |source| Ext4Error::Io { action, path: path.to_owned(), source };
        let device = Device::of(&file).map_err(error("look at"))?;
        empty_lent_file(&file).map_err(error("empty"))?;
        let start = |other: File| Writer::start(other, Utf8Path::new(&reopened(&file)), has_thread);
        let writer = file.try_clone().and_then(start).map_err(error("write"))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            buffer: None,
            buffer_offset: 0,
            keep: false,
            writer,
            is_lent: true,
            device,
        })
    }

    /// Returns the error for an operation that the host refused.
    pub(crate) fn error(&self, action: &'static str, source: io::Error) -> Ext4Error {
        Ext4Error::Io { action, path: self.path.clone(), source }
    }

    /// Returns the file's path.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Writes `bytes` from the start of `block` on.
    pub(crate) fn write(&mut self, block: Block, bytes: &[u8]) -> io::Result<()> {
        self.write_at(block.offset(), bytes)
    }

    /// Writes `bytes` at `offset`.
    pub(crate) fn write_at(&mut self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        if self.gathered().end != offset {
            self.submit()?;
        }
        while !bytes.is_empty() {
            let mut buffer = match self.buffer.take() {
                Some(buffer) => buffer,
                None => {
                    self.buffer_offset = offset;
                    self.writer.buffer()?
                }
            };
            let (now, later) = bytes.split_at(bytes.len().min(room(offset)));
            buffer.extend_from_slice(now);
            self.buffer = Some(buffer);
            offset += now.len() as u64;
            bytes = later;
            if room(offset) == BUFFER_SIZE {
                self.submit()?;
            }
        }
        Ok(())
    }

    /// Passes the gathered bytes to the host.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.submit()?;
        match self.writer.settle() {
            true => Ok(()),
            false => Err(self.writer.failure()),
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        let Some(buffer) = self.buffer.take() else { return Ok(()) };
        if let Some(device) = &mut self.device {
            // No write behind this place is on its way yet.
            device.clear_to(&self.file, self.buffer_offset + buffer.bytes().len() as u64)?;
        }
        self.writer.write(buffer, self.buffer_offset)
    }

    /// Returns the place of the gathered bytes.
    fn gathered(&self) -> Range<u64> {
        let len = self.buffer.as_ref().map_or(0, |buffer| buffer.bytes().len());
        self.buffer_offset..self.buffer_offset + len as u64
    }

    /// Fills `bytes` with the content from `offset` on; unwritten bytes are zeros.
    pub(crate) fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if !self.writer.settle() {
            return Err(io::Error::other("an earlier write failed"));
        }
        let buffered = self.gathered();
        let end = offset + bytes.len() as u64;
        let overlap = buffered.start.clamp(offset, end)..buffered.end.clamp(offset, end);
        let within = |offset_in_file: u64| usize::try_from(offset_in_file - offset).expect("within a slice");
        let (before, rest) = bytes.split_at_mut(within(overlap.start.max(offset)));
        let (inside, after) = rest.split_at_mut(within(overlap.end) - within(overlap.start));
        if let Some(buffer) = self.buffer.as_ref().filter(|_| !inside.is_empty()) {
            let at = usize::try_from(overlap.start - buffered.start).expect("within a slice");
            inside.copy_from_slice(&buffer.bytes()[at..at + inside.len()]);
        }
        read_zero_filled(&self.file, before, offset)?;
        read_zero_filled(&self.file, after, overlap.end)
    }

    /// Makes holes of blocks that may have been written.
    pub(crate) fn punch(&mut self, blocks: Range<u64>) -> io::Result<()> {
        self.flush()?;
        let (start, end) = (blocks.start * BLOCK_BYTES, blocks.end * BLOCK_BYTES);
        let length = match &self.device {
            Some(device) => device.cleared_bytes(),
            None => self.file.metadata()?.len(),
        };
        clear(&self.file, start, end.min(length))
    }

    /// Sets the file's length. A device keeps its own, which must be enough.
    pub(crate) fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.flush()?;
        match &mut self.device {
            Some(device) => device.clear_to(&self.file, bytes),
            None => self.file.set_len(bytes),
        }
    }

    /// Leaves the file when this is dropped: it is complete.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for ImageFile {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if self.is_lent {
            // What still waits to be written would be written behind the end.
            self.writer.end();
            // No caller is left for the error.
            let _ = empty_lent_file(&self.file);
        } else {
            // No caller is left for the error; the directory is temporary anyway.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns the number of bytes from `offset` on that go into one buffer. Buffers end at multiples of their
/// size, which suits the host's page cache.
fn room(offset: u64) -> usize {
    let size = BUFFER_SIZE as u64;
    usize::try_from(size - offset % size).expect("at most the size of a buffer")
}

fn read_zero_filled(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.read_at(bytes, offset) {
            Ok(0) => {
                bytes.fill(0);
                return Ok(());
            }
            Ok(count) => {
                bytes = &mut bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_on_disk_and_in_memory() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("image")).unwrap();
        let mut file = ImageFile::create(&path, true).unwrap();
        assert!(ImageFile::create(&path, true).is_err(), "it exists");
        file.write(Block(0), &[1; 8192]).unwrap();
        file.write(Block(4), &[2; 4096]).unwrap();
        file.write(Block(5), &[3; 4096]).unwrap();
        let mut bytes = vec![9; 7 * 4096];
        file.read_exact_at(0, &mut bytes).unwrap();
        for (block, want) in [1, 1, 0, 0, 2, 3, 0].into_iter().enumerate() {
            assert!(bytes[block * 4096..(block + 1) * 4096].iter().all(|byte| *byte == want), "{block}");
        }
        file.read_exact_at(4 * 4096 + 4000, &mut bytes[..200]).unwrap();
        assert_eq!((bytes[95], bytes[96], bytes[199]), (2, 3, 3));
        file.punch(0..1).unwrap();
        file.read_exact_at(0, &mut bytes[..8192]).unwrap();
        assert_eq!((bytes[0], bytes[4095], bytes[4096]), (0, 0, 1));
        drop(file);
        assert!(!path.exists(), "an unfinished image goes away");
    }
}
