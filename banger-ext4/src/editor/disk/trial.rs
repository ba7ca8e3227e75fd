//! Changes for a trial: they go to a scratch file, and the image stays as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::FileExt as _;

use super::storage::Storage;

/// The storage of an image, which may be diverted for a trial.
#[derive(Debug)]
pub(crate) enum StorageSwitch {
    /// All writes go to the image.
    Direct(Box<dyn Storage>),
    /// All writes go to a scratch file.
    Diverted(Trial),
}

impl StorageSwitch {
    /// Returns the storage of the image itself, without the writes of a trial. What stays fails every call.
    pub(crate) fn take(&mut self) -> Box<dyn Storage> {
        match std::mem::replace(self, Self::Direct(Box::new(Gone))) {
            Self::Direct(storage) => storage,
            Self::Diverted(trial) => trial.inner,
        }
    }

    /// Has all later writes go to `scratch`, an empty file.
    pub(crate) fn divert(&mut self, scratch: File) {
        let inner = self.take();
        *self = Self::Diverted(Trial { inner, scratch, written: BTreeMap::new() });
    }
}

impl Deref for StorageSwitch {
    type Target = dyn Storage;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Direct(storage) => &**storage,
            Self::Diverted(trial) => trial,
        }
    }
}

impl DerefMut for StorageSwitch {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Direct(storage) => &mut **storage,
            Self::Diverted(trial) => trial,
        }
    }
}

/// An image with writes in a sparse scratch file, at the same offsets.
#[derive(Debug)]
pub(crate) struct Trial {
    inner: Box<dyn Storage>,
    scratch: File,
    /// Written ranges, start to end; they neither overlap nor touch.
    written: BTreeMap<u64, u64>,
}

impl Storage for Trial {
    fn size_bytes(&self) -> io::Result<u64> {
        self.inner.size_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buffer)?;
        let end = offset + buffer.len() as u64;
        let first = self.written.range(..=offset).next_back().map_or(offset, |(start, _)| *start);
        for (start, until) in self.written.range(first..end) {
            let (from, to) = ((*start).max(offset), (*until).min(end));
            if from < to {
                let piece = &mut buffer[(from - offset) as usize..(to - offset) as usize];
                self.scratch.read_exact_at(piece, from)?;
            }
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.scratch.write_all_at(bytes, offset)?;
        let (mut start, mut end) = (offset, offset + bytes.len() as u64);
        // Ranges that overlap or touch become one.
        while let Some((from, to)) = self.written.range(..=end).next_back().map(|(from, to)| (*from, *to)) {
            if to < start {
                break;
            }
            self.written.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.written.insert(start, end);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn other_user(&self) -> Option<String> {
        self.inner.other_user()
    }

    fn lock(&mut self) -> io::Result<()> {
        self.inner.lock()
    }
}

/// In the place of a storage that was taken.
#[derive(Debug)]
struct Gone;

fn gone<T>() -> io::Result<T> {
    Err(io::Error::other("the image could not be opened again"))
}

impl Storage for Gone {
    fn size_bytes(&self) -> io::Result<u64> {
        gone()
    }

    fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<()> {
        gone()
    }

    fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        gone()
    }

    fn sync(&mut self) -> io::Result<()> {
        gone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image in memory.
    #[derive(Debug)]
    struct Memory(Vec<u8>);

    impl Storage for Memory {
        fn size_bytes(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let start = offset as usize;
            buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
            Ok(())
        }

        fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
            panic!("a trial writes nothing");
        }

        fn sync(&mut self) -> io::Result<()> {
            panic!("a trial writes nothing");
        }
    }

    #[test]
    fn a_trial_reads_what_it_wrote_and_the_image_elsewhere() {
        let mut model = vec![7; 256];
        let mut switch = StorageSwitch::Direct(Box::new(Memory(model.clone())));
        switch.divert(tempfile::tempfile().expect("a file"));
        for (at, (offset, length)) in
            [(10, 5), (20, 5), (15, 5), (0, 1), (9, 30), (100, 56), (90, 10), (255, 1)].iter().enumerate()
        {
            let bytes = vec![at as u8 + 1; *length];
            switch.write_at(*offset, &bytes).expect("room");
            model[*offset as usize..*offset as usize + length].copy_from_slice(&bytes);
            for start in 0..256 {
                let mut seen = vec![0; 256 - start];
                switch.read_at(start as u64, &mut seen).expect("bytes");
                assert_eq!(seen, model[start..], "after write {at}, from {start} on");
            }
        }
        switch.sync().expect("nothing to do");
        let mut seen = [0; 256];
        switch.take().read_at(0, &mut seen).expect("bytes");
        assert_eq!(seen, [7; 256]);
        assert!(switch.read_at(0, &mut seen).is_err());
    }
}
