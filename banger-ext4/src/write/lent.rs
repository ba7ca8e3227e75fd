//! Open files of the caller that an image is written to, in place: regular files and block devices.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::format::BLOCK_BYTES;
use crate::sparse::punch_hole;

/// Number of bytes that are cleared ahead of the writes.
const STEP_BYTES: u64 = 16 << 20;
const ZEROS_BYTES: usize = 1 << 20;

/// A block device. It keeps its length, and its old bytes wherever nothing is written. So every byte is
/// cleared before the first write behind it.
#[derive(Debug)]
pub(crate) struct Device {
    size_bytes: u64,
    cleared_bytes: u64,
}

impl Device {
    /// Returns the device that `file` is, or `None`.
    pub(crate) fn of(file: &File) -> io::Result<Option<Self>> {
        Ok(device_bytes(file)?.map(|size_bytes| Self { size_bytes, cleared_bytes: 0 }))
    }

    /// Returns the number of bytes from the start on that the image may have written.
    pub(crate) fn cleared_bytes(&self) -> u64 {
        self.cleared_bytes
    }

    /// Clears the device up to `end` at least.
    ///
    /// # Errors
    /// The device ends before, or the host refuses.
    pub(crate) fn clear_to(&mut self, file: &File, end: u64) -> io::Result<()> {
        if end > self.size_bytes {
            return Err(Errno::NOSPC.into());
        }
        if end > self.cleared_bytes {
            let end = end.next_multiple_of(STEP_BYTES).min(self.size_bytes);
            clear(file, self.cleared_bytes, end)?;
            self.cleared_bytes = end;
        }
        Ok(())
    }
}

/// Returns the length of a block device; `None` for any other file. Does not move the file's position.
///
/// # Errors
/// The host refuses.
pub fn device_bytes(file: &File) -> io::Result<Option<u64>> {
    if !file.metadata()?.file_type().is_block_device() {
        return Ok(None);
    }
    if let Ok(device) = File::open(reopened(file)) {
        return Ok(Some(rustix::fs::seek(&device, SeekFrom::End(0))?));
    }
    // This user may not open the device, but somebody gave it.
    let position = rustix::fs::tell(file)?;
    let end = rustix::fs::seek(file, SeekFrom::End(0))?;
    rustix::fs::seek(file, SeekFrom::Start(position))?;
    Ok(Some(end))
}

/// Takes an unfinished or unwanted image out of a file of the caller: the length of a regular file becomes 0, and
/// a block device loses its first block, which has the superblock.
///
/// # Errors
/// The host refuses.
pub fn empty_lent_file(file: &File) -> io::Result<()> {
    match file.metadata()?.file_type().is_block_device() {
        true => file.write_all_at(&[0; BLOCK_BYTES as usize], 0),
        false => file.set_len(0),
    }
}

/// Returns a path that opens the file once more.
pub(crate) fn reopened(file: &File) -> String {
    format!("/dev/fd/{}", file.as_raw_fd())
}

/// Makes the bytes of a file zeros: as a hole, or by writing them if the host knows no holes here.
///
/// # Errors
/// The host refuses.
pub fn clear(file: &File, start: u64, end: u64) -> io::Result<()> {
    if start >= end || punch_hole(file, start, end - start) {
        return Ok(());
    }
    let zeros = vec![0; ZEROS_BYTES];
    let mut at = start;
    while at < end {
        let part = usize::try_from(end - at).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
        file.write_all_at(&zeros[..part], at)?;
        at += part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{Seek as _, SeekFrom};

    use banger_tree::{Attributes, Inode, LayerIndex, NodeKind, Tree};
    use camino::{Utf8Path, Utf8PathBuf};

    use super::*;
    use crate::backend::{Ext4Backend as _, Ext4Builder};
    use crate::options::{Ext4Options, ImageSize};
    use crate::write::NativeBackend;

    const SIZE: u64 = 32 << 20;

    /// Writes an image of one file, with content that comes and goes before it, so that blocks are freed.
    fn build(mut builder: Box<dyn Ext4Builder>) {
        let mut put = |byte: u8| {
            let content = vec![byte; 3 << 20];
            let id = builder.begin(LayerIndex(0), content.len() as u64).unwrap();
            builder.append(id, &content).unwrap();
            builder.finish(id).unwrap();
            id
        };
        let (gone, kept) = (put(1), put(2));
        builder.release(gone).unwrap();
        let mut tree = Tree::new();
        let kind = NodeKind::Regular { size_bytes: 3 << 20, content: Some(kept) };
        tree.insert(tree.root(), b"file", Inode::new(kind, Attributes::default())).unwrap();
        builder.build_ext4(&tree).unwrap();
    }

    #[test]
    fn an_image_in_a_lent_file_has_the_bytes_of_one_at_a_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| Utf8PathBuf::from_path_buf(directory.path().join(name)).unwrap();
        let options = Ext4Options::default().with_size(ImageSize::Bytes(SIZE));
        build(NativeBackend.create(&path("made"), &options).unwrap());
        let mut lent = OpenOptions::new().read(true).write(true).create_new(true).open(path("lent")).unwrap();
        lent.write_all_at(&[7; 40 << 10], SIZE + 5).unwrap();
        lent.seek(SeekFrom::Start(11)).unwrap();
        let begin = |options: &Ext4Options| {
            NativeBackend.create_in_file(lent.try_clone().unwrap(), Utf8Path::new("lent"), options).unwrap()
        };
        for has_thread in [true, false] {
            build(begin(&options.clone().with_writer_thread(has_thread)));
            assert!(std::fs::read(path("made")).unwrap() == std::fs::read(path("lent")).unwrap());
        }
        let mut builder = begin(&options);
        let id = builder.begin(LayerIndex(0), 5 << 20).unwrap();
        builder.append(id, &[3; 5 << 20]).unwrap();
        drop(builder);
        assert_eq!(lent.metadata().unwrap().len(), 0, "what is not finished is taken out");
        assert_eq!(lent.stream_position().unwrap(), 11);
    }

    #[test]
    fn a_device_is_cleared_before_each_write_and_no_further_than_it_is_long() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![7; 3 * STEP_BYTES as usize], 0).unwrap();
        let mut device = Device { size_bytes: 2 * STEP_BYTES + 4096, cleared_bytes: 0 };
        let dirty_from = |file: &File| {
            let mut bytes = vec![0; 3 * STEP_BYTES as usize];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes.iter().position(|byte| *byte != 0).unwrap() as u64
        };
        for (end, cleared) in [(1, 1), (STEP_BYTES, 1), (STEP_BYTES + 1, 2)] {
            device.clear_to(&file, end).unwrap();
            assert_eq!(dirty_from(&file), cleared * STEP_BYTES, "{end}");
        }
        device.clear_to(&file, 2 * STEP_BYTES + 4096).unwrap();
        assert_eq!(dirty_from(&file), 2 * STEP_BYTES + 4096);
        let error = device.clear_to(&file, 2 * STEP_BYTES + 4097).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
