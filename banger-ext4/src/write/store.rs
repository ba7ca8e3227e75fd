//! The image as a content store: file bytes go from the caller's slices to their final blocks.

use std::io;

use banger_tree::{Advice, Cancellation, ContentError, ContentId, ContentStore, LayerIndex, Setting, Xattrs};

use super::file::ImageFile;
use super::layout::{LOST_FOUND_BLOCKS, Layout};
use super::mapped_run::MappedRun;
use super::space::{FreeRun, Space};
use super::xattrs::place;
use crate::error::Ext4Error;
use crate::format::{BLOCK_BYTES, BLOCK_SIZE, Block};
use crate::options::Ext4Options;

/// Blocks of the largest file: extents number a file's blocks with 32 bits.
const FILE_BLOCKS_MAX: u64 = (1 << 32) - 1;

/// An image under construction.
#[derive(Debug)]
pub(crate) struct ImageStore {
    pub(crate) file: ImageFile,
    pub(crate) space: Space,
    pub(crate) layout: Layout,
    pub(crate) options: Ext4Options,
    pub(crate) contents: Vec<Content>,
    current: Option<Current>,
    /// Blocks that content must leave for the fixed parts of a file system.
    reserve: u64,
}

/// One content. Most contents have one piece, which is stored in place.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) size_bytes: u64,
    first: MappedRun,
    #[expect(
        clippy::box_collection,
        reason = "a vector is three words wide, and a million contents hold one"
    )]
    rest: Option<Box<Vec<MappedRun>>>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    Begun,
    Finished,
    #[default]
    Released,
}

/// The content that is being written.
#[derive(Debug)]
struct Current {
    id: ContentId,
    written_bytes: u64,
    /// Next block of the file.
    logical: u64,
    /// Bytes of that block that came so far; never a whole block.
    tail: Vec<u8>,
}

impl Content {
    /// Returns its blocks, in the order of the file.
    pub(crate) fn runs(&self) -> impl Iterator<Item = MappedRun> {
        let first = (self.first.len > 0).then_some(self.first);
        first.into_iter().chain(self.rest.iter().flat_map(|runs| runs.iter().copied()))
    }

    /// Returns its blocks from `logical` on.
    fn runs_from(&self, logical: u64) -> impl Iterator<Item = MappedRun> {
        let rest = self.rest.as_ref().map_or(&[][..], |runs| runs.as_slice());
        let first = rest.partition_point(|run| u64::from(run.logical) + u64::from(run.len) <= logical);
        std::iter::once(self.first).chain(rest[first..].iter().copied())
    }

    /// Returns whether it has all its bytes.
    pub(crate) fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Adds blocks at the end.
    fn push(&mut self, run: MappedRun) {
        let last = match &mut self.rest {
            Some(runs) => runs.last_mut().expect("a list of runs is made with one"),
            None => &mut self.first,
        };
        if last.len == 0 {
            *last = run;
        } else if !last.try_extend(run) {
            self.rest.get_or_insert_default().push(run);
        }
    }
}

impl ImageStore {
    /// Starts an image in the file that `file` makes, which is called with possible options only.
    ///
    /// # Errors
    /// The options make no file system, or the host refuses.
    pub(crate) fn create(
        options: &Ext4Options,
        file: impl FnOnce() -> Result<ImageFile, Ext4Error>,
    ) -> Result<Self, Ext4Error> {
        options.check()?;
        let layout = Layout::new(options)?;
        // Journal, the resize inode's block, the root directory, lost+found.
        let journal = layout.journal.blocks(if layout.size_is_fixed { layout.blocks_max } else { 0 });
        Ok(Self {
            file: file()?,
            space: Space::new(layout),
            layout,
            options: options.clone(),
            contents: Vec::new(),
            current: None,
            reserve: u64::from(journal) + 2 + LOST_FOUND_BLOCKS,
        })
    }

    /// Ends taking contents.
    pub(crate) fn close(&mut self) {
        self.current = None;
        self.space.close_window();
    }

    /// Gives back the blocks of a content.
    pub(crate) fn release_index(&mut self, index: usize) {
        let content = std::mem::take(&mut self.contents[index]);
        for run in content.runs() {
            self.space.give_back(FreeRun { start: run.start, len: u64::from(run.len) });
        }
    }

    fn content(&self, id: ContentId) -> Result<&Content, ContentError> {
        self.contents
            .get(id.index())
            .filter(|content| content.state != State::Released)
            .ok_or(ContentError::Unknown { id })
    }

    /// Takes the content that is being written out of its place, if it is `id` and has room for
    /// `length_bytes` more.
    fn take_current(&mut self, id: ContentId, length_bytes: u64) -> Result<Current, ContentError> {
        let declared_bytes = self.content(id)?.size_bytes;
        match self.current.take_if(|current| current.id == id) {
            None => Err(ContentError::Unknown { id }),
            Some(current) if current.written_bytes.saturating_add(length_bytes) > declared_bytes => {
                let written_bytes = current.written_bytes.saturating_add(length_bytes);
                self.current = Some(current);
                Err(ContentError::WrongLength { declared_bytes, written_bytes })
            }
            Some(current) => Ok(current),
        }
    }

    /// Writes whole blocks of a content, blocks of zeros as holes.
    fn write_blocks(&mut self, current: &mut Current, mut bytes: &[u8]) -> Result<(), ContentError> {
        while !bytes.is_empty() {
            let zeros = count_blocks(bytes, true);
            current.logical += zeros as u64;
            bytes = &bytes[zeros * BLOCK_SIZE..];
            let data = count_blocks(bytes, false);
            let (now, later) = bytes.split_at(data * BLOCK_SIZE);
            self.place(current, now)?;
            bytes = later;
        }
        Ok(())
    }

    /// Writes whole blocks to the next free blocks.
    fn place(&mut self, current: &mut Current, mut bytes: &[u8]) -> Result<(), ContentError> {
        while !bytes.is_empty() {
            let wanted = (bytes.len() / BLOCK_SIZE) as u64;
            let Some(run) = self.space.take(wanted, self.reserve) else {
                let needed_bytes = bytes.len() as u64;
                let size_bytes = self.layout.blocks_max * BLOCK_BYTES;
                let store = format!("the image of {size_bytes} bytes");
                let advice = Some(Advice::with_setting("choose a larger {setting}", Setting("size")));
                return Err(ContentError::NoSpace { store, needed_bytes, advice });
            };
            let len = u32::try_from(run.len).expect("a run stays in its group");
            let logical = u32::try_from(current.logical).expect("checked when the content was begun");
            self.contents[current.id.index()].push(MappedRun { logical, len, start: run.start });
            let (now, later) = bytes.split_at(len as usize * BLOCK_SIZE);
            self.file.write(Block(run.start), now).map_err(|source| self.host_error("write", source))?;
            current.logical += run.len;
            bytes = later;
        }
        Ok(())
    }

    fn host_error(&self, action: &'static str, source: io::Error) -> ContentError {
        let store = self.file.path().to_string();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ContentError::NoSpace {
                store,
                needed_bytes: BLOCK_BYTES,
                advice: Advice::on_full_disk(&source),
            },
            _ => ContentError::Io { action, store, source },
        }
    }

    fn append_bytes(&mut self, current: &mut Current, mut bytes: &[u8]) -> Result<(), ContentError> {
        if !current.tail.is_empty() {
            let (now, later) = bytes.split_at((BLOCK_SIZE - current.tail.len()).min(bytes.len()));
            current.tail.extend_from_slice(now);
            bytes = later;
            if current.tail.len() < BLOCK_SIZE {
                return Ok(());
            }
            self.write_tail(current)?;
        }
        let (now, later) = bytes.split_at(bytes.len() / BLOCK_SIZE * BLOCK_SIZE);
        self.write_blocks(current, now)?;
        current.tail.extend_from_slice(later);
        Ok(())
    }

    /// Writes the block that came in parts.
    fn write_tail(&mut self, current: &mut Current) -> Result<(), ContentError> {
        let mut tail = std::mem::take(&mut current.tail);
        tail.resize(BLOCK_SIZE, 0);
        self.write_blocks(current, &tail)?;
        tail.clear();
        current.tail = tail;
        Ok(())
    }
}

/// Returns how many of the blocks at the start of `bytes` hold only zeros (or do not).
fn count_blocks(bytes: &[u8], zeros: bool) -> usize {
    bytes.chunks_exact(BLOCK_SIZE).take_while(|block| is_zero(block) == zeros).count()
}

fn is_zero(block: &[u8]) -> bool {
    // Most blocks show in their first bytes that they are not.
    block[..16] == [0; 16] && block.chunks(256).all(|part| part.iter().fold(0, |all, byte| all | byte) == 0)
}

impl ContentStore for ImageStore {
    fn check_xattrs(&self, xattrs: &Xattrs) -> Result<(), ContentError> {
        place(xattrs).map(drop).map_err(|reason| ContentError::Xattrs { reason })
    }

    fn begin(&mut self, _layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
        let blocks = size_bytes.div_ceil(BLOCK_BYTES);
        if blocks > FILE_BLOCKS_MAX {
            return Err(ContentError::NoSpace {
                store: "one file of ext4".to_owned(),
                needed_bytes: size_bytes,
                advice: None,
            });
        }
        let tail = self.current.take().map_or_else(|| Vec::with_capacity(BLOCK_SIZE), |current| current.tail);
        let id = ContentId::from_index(self.contents.len());
        self.contents.push(Content { size_bytes, state: State::Begun, ..Content::default() });
        self.space.seek(blocks);
        self.current = Some(Current { id, written_bytes: 0, logical: 0, tail });
        self.current.as_mut().expect("just set").tail.clear();
        Ok(id)
    }

    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        let mut current = self.take_current(id, bytes.len() as u64)?;
        let result = self.append_bytes(&mut current, bytes);
        current.written_bytes += bytes.len() as u64;
        self.current = Some(current);
        result
    }

    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError> {
        let mut current = self.take_current(id, length_bytes)?;
        let mut left = length_bytes;
        let mut result = Ok(());
        if !current.tail.is_empty() {
            let to_end = (BLOCK_SIZE - current.tail.len()).min(usize::try_from(left).unwrap_or(BLOCK_SIZE));
            result = self.append_bytes(&mut current, &[0; BLOCK_SIZE][..to_end]);
            left -= to_end as u64;
        }
        current.logical += left / BLOCK_BYTES;
        let rest = usize::try_from(left % BLOCK_BYTES).expect("less than a block");
        let tail = current.tail.len() + rest;
        current.tail.resize(tail, 0);
        current.written_bytes += length_bytes;
        self.current = Some(current);
        result
    }

    fn finish(&mut self, id: ContentId) -> Result<(), ContentError> {
        let mut current = self.take_current(id, 0)?;
        let (declared_bytes, written_bytes) = (self.content(id)?.size_bytes, current.written_bytes);
        if written_bytes != declared_bytes {
            self.current = Some(current);
            return Err(ContentError::WrongLength { declared_bytes, written_bytes });
        }
        if !current.tail.is_empty() {
            self.write_tail(&mut current)?;
        }
        self.contents[id.index()].state = State::Finished;
        if let Some(runs) = &mut self.contents[id.index()].rest {
            runs.shrink_to_fit();
        }
        Ok(())
    }

    fn release(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.content(id)?;
        self.current.take_if(|current| current.id == id);
        self.space.close_window();
        self.release_index(id.index());
        Ok(())
    }

    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError> {
        let content = self.content(id)?;
        if !content.is_finished() {
            return Err(ContentError::Unknown { id });
        }
        let left = content.size_bytes.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let wanted = offset..offset + length as u64;
        buffer[..length].fill(0);
        for run in content.runs_from(offset / BLOCK_BYTES) {
            let start = u64::from(run.logical) * BLOCK_BYTES;
            if start >= wanted.end {
                break;
            }
            let part = wanted.start.max(start)..wanted.end.min(start + u64::from(run.len) * BLOCK_BYTES);
            if part.is_empty() {
                continue;
            }
            let within = |at: u64| usize::try_from(at - wanted.start).expect("within the buffer");
            let place = &mut buffer[within(part.start)..within(part.end)];
            self.file
                .read_exact_at(Block(run.start).offset() + (part.start - start), place)
                .map_err(|source| self.host_error("read", source))?;
        }
        Ok(length)
    }
}

/// Fails if the caller asked to stop.
pub(crate) fn check_cancelled(cancellation: &Cancellation) -> Result<(), Ext4Error> {
    if cancellation.is_cancelled() { Err(Ext4Error::Cancelled) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ImageSize;

    fn store(size_bytes: u64) -> (tempfile::TempDir, ImageStore) {
        let directory = tempfile::tempdir().unwrap();
        let path = camino::Utf8PathBuf::from_path_buf(directory.path().join("image")).unwrap();
        let options = Ext4Options::default().with_size(ImageSize::Bytes(size_bytes));
        let store = ImageStore::create(&options, || ImageFile::create(&path, true)).unwrap();
        (directory, store)
    }

    fn put(store: &mut ImageStore, parts: &[&[u8]]) -> ContentId {
        let size = parts.iter().map(|part| part.len() as u64).sum();
        let id = store.begin(LayerIndex(0), size).unwrap();
        parts.iter().for_each(|part| store.append(id, part).unwrap());
        store.finish(id).unwrap();
        id
    }

    fn content(store: &ImageStore, id: ContentId) -> Vec<u8> {
        let mut bytes = vec![7; 1 << 20];
        let length = store.read_at(id, 0, &mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn t16_zero_blocks_take_no_space() {
        let (_directory, mut store) = store(16 << 20);
        let mut bytes = vec![0; 10 * 4096 + 100];
        bytes[4096] = 1;
        bytes[9 * 4096 - 1] = 2;
        for cut in [1, 4096, 4097, 20000, bytes.len()] {
            let before = store.space.used();
            let id = put(&mut store, &bytes.chunks(cut).collect::<Vec<_>>());
            assert_eq!(content(&store, id), bytes, "{cut}");
            assert_eq!(store.space.used() - before, 2, "{cut}");
        }
        let id = store.begin(LayerIndex(0), 3 * 4096).unwrap();
        store.append(id, b"x").unwrap();
        store.append_hole(id, 2 * 4096 + 5).unwrap();
        store.append(id, &[b'y'; 4090]).unwrap();
        store.finish(id).unwrap();
        let mut want = vec![0; 3 * 4096];
        want[0] = b'x';
        want[3 * 4096 - 4090..].fill(b'y');
        assert_eq!(content(&store, id), want);
        assert!(size_of::<Content>() <= 40, "a million of them are held");
    }

    #[test]
    fn t06_released_blocks_are_used_again() {
        let (_directory, mut store) = store(16 << 20);
        let first = put(&mut store, &[&[1; 40960]]);
        let second = put(&mut store, &[&[2; 40960]]);
        let frontier = store.space.frontier();
        store.release(first).unwrap();
        let third = put(&mut store, &[&[3; 8192]]);
        let fourth = put(&mut store, &[&[4; 32768]]);
        assert_eq!(store.space.frontier(), frontier);
        assert_eq!(content(&store, second), [2; 40960]);
        assert_eq!(content(&store, third), [3; 8192]);
        assert_eq!(content(&store, fourth), [4; 32768]);
        assert!(store.release(first).is_err() && store.read_at(first, 0, &mut [0]).is_err());
        // An unfinished content goes back, too.
        let fifth = store.begin(LayerIndex(1), 8192).unwrap();
        store.append(fifth, &[5; 5000]).unwrap();
        store.release(fifth).unwrap();
        assert_eq!(store.space.used(), 20);
    }

    #[test]
    fn lengths_are_checked_and_a_full_image_says_so() {
        let (_directory, mut store) = store(8 << 20);
        let id = store.begin(LayerIndex(0), 5).unwrap();
        assert!(matches!(store.append(id, &[1; 6]), Err(ContentError::WrongLength { .. })));
        store.append(id, &[1; 4]).unwrap();
        assert!(matches!(store.finish(id), Err(ContentError::WrongLength { written_bytes: 4, .. })));
        store.append_hole(id, 1).unwrap();
        store.finish(id).unwrap();
        let id = store.begin(LayerIndex(0), 8 << 20).unwrap();
        let mut outcome = Ok(());
        while outcome.is_ok() {
            outcome = store.append(id, &[1; 65536]);
        }
        assert!(matches!(outcome, Err(ContentError::NoSpace { .. })), "{outcome:?}");
    }
}
