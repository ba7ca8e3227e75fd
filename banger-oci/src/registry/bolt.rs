//! Reads a bbolt database, as containerd keeps its metadata, without a lock and without trust in its bytes.
//!
//! The file is made of pages. Two pages at the start, the meta pages, name the root of the tree; the valid one with
//! the higher transaction counts. bbolt never overwrites a page of the current transaction before the next one is
//! committed. So what was read is sound if the transaction is still the same afterwards; if not, it is read again.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The magic number of a meta page.
const MAGIC: u32 = 0xed0c_daed;
/// The version of the format.
const VERSION: u32 = 2;
const HEADER_LEN: usize = 16;
const META_LEN: usize = 64;
const ELEMENT_LEN: usize = 16;
const BRANCH_PAGE: u16 = 1;
const LEAF_PAGE: u16 = 2;
/// The flag of a leaf element that is a bucket.
const BUCKET: u32 = 1;
/// The longest page with all that belongs to it.
const MAX_PAGE_LEN: u64 = 64 << 20;
/// Bytes of pages that one reading may take.
const MAX_READ: u64 = 512 << 20;
/// The deepest tree.
const MAX_DEPTH: u32 = 32;
/// Readings before a database counts as always busy.
const ATTEMPTS: u32 = 20;

/// Why a database cannot be read.
#[derive(Debug)]
pub(crate) enum BoltError {
    Io(io::Error),
    /// Why its bytes are not those of a database.
    Damaged(String),
    /// It is written all the time.
    Busy,
}

impl From<io::Error> for BoltError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn damaged<T>(reason: impl Into<String>) -> Result<T, BoltError> {
    Err(BoltError::Damaged(reason.into()))
}

/// The state of a database after one transaction.
#[derive(Debug)]
pub(crate) struct BoltSnapshot<'a> {
    file: &'a File,
    page_size: u64,
    root: u64,
    /// The number of pages.
    pages: u64,
    transaction: u64,
    left: Cell<u64>,
}

/// A bucket: a tree of its own, or a small one inside its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BoltBucket {
    Tree(u64),
    Inline(Vec<u8>),
}

/// A value of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BoltValue {
    Bytes(Vec<u8>),
    Bucket(BoltBucket),
}

/// Takes the key and the value of each element.
type VisitElement<'a> = dyn FnMut(&[u8], BoltValue) -> Result<(), BoltError> + 'a;

/// Reads a database by `work`, again where it was written meanwhile.
pub(crate) fn read_bolt<T>(
    file: &File,
    work: impl Fn(&BoltSnapshot<'_>) -> Result<T, BoltError>,
) -> Result<T, BoltError> {
    for _ in 0..ATTEMPTS {
        let snapshot = BoltSnapshot::current(file)?;
        let outcome = work(&snapshot);
        match BoltSnapshot::current(file) {
            Ok(after) if after.transaction == snapshot.transaction => return outcome,
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
    Err(BoltError::Busy)
}

impl<'a> BoltSnapshot<'a> {
    /// Returns the state after the last transaction.
    fn current(file: &'a File) -> Result<Self, BoltError> {
        let len = file.metadata()?.len();
        // The first meta page may be the damaged one, and it holds the size of pages.
        let sizes = (0..8).map(|shift| 1024_u64 << shift);
        let places = std::iter::once(0).chain(sizes);
        let mut best: Option<Self> = None;
        for place in places {
            let mut bytes = [0; HEADER_LEN + META_LEN];
            match file.read_exact_at(&mut bytes, place) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(error.into()),
            }
            let Some(found) = Self::of_meta(file, &bytes, place) else { continue };
            if best.as_ref().is_none_or(|best| found.transaction > best.transaction) {
                best = Some(found);
            }
        }
        match best {
            None => damaged("it has no valid meta page"),
            Some(best) if best.root >= best.pages => damaged("its root is behind its end"),
            Some(best) if len < best.page_size.saturating_mul(2) => damaged("it is cut short"),
            Some(best) => Ok(best),
        }
    }

    /// Reads the meta page at `place`, if it is valid.
    fn of_meta(file: &'a File, bytes: &[u8], place: u64) -> Option<Self> {
        let meta = bytes.get(HEADER_LEN..)?;
        let checksum = fnv1a(meta.get(..META_LEN - 8)?);
        let page_size = u64::from(u32_at(meta, 8)?);
        let is_valid = u32_at(meta, 0)? == MAGIC
            && u32_at(meta, 4)? == VERSION
            && u64_at(meta, META_LEN - 8)? == checksum
            && page_size.is_power_of_two()
            && (1024..=1 << 20).contains(&page_size)
            && (place == 0 || place == page_size);
        is_valid.then_some(Self {
            file,
            page_size,
            root: u64_at(meta, 16)?,
            pages: u64_at(meta, 40)?,
            transaction: u64_at(meta, 48)?,
            left: Cell::new(MAX_READ),
        })
    }

    /// Returns the bucket that holds all others.
    pub(crate) fn root(&self) -> BoltBucket {
        BoltBucket::Tree(self.root)
    }

    /// Returns the value of a key.
    pub(crate) fn get(&self, bucket: &BoltBucket, key: &[u8]) -> Result<Option<BoltValue>, BoltError> {
        let mut found = None;
        self.each(bucket, |name, value| {
            if name == key {
                found = Some(value);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns the bucket below a path of buckets.
    pub(crate) fn bucket(&self, path: &[&[u8]]) -> Result<Option<BoltBucket>, BoltError> {
        let mut bucket = self.root();
        for name in path {
            match self.get(&bucket, name)? {
                Some(BoltValue::Bucket(below)) => bucket = below,
                _ => return Ok(None),
            }
        }
        Ok(Some(bucket))
    }

    /// Calls `visit` with every key and value of a bucket, in the order of the keys.
    pub(crate) fn each(
        &self,
        bucket: &BoltBucket,
        mut visit: impl FnMut(&[u8], BoltValue) -> Result<(), BoltError>,
    ) -> Result<(), BoltError> {
        match bucket {
            BoltBucket::Inline(page) => leaf(page, &mut visit),
            BoltBucket::Tree(page) => self.walk(*page, 0, &mut visit),
        }
    }

    fn walk(&self, number: u64, depth: u32, visit: &mut VisitElement<'_>) -> Result<(), BoltError> {
        if depth == MAX_DEPTH {
            return damaged("its tree is too deep");
        }
        let page = self.page(number)?;
        match u16_at(&page, 8) {
            Some(LEAF_PAGE) => leaf(&page, visit),
            Some(BRANCH_PAGE) => {
                for place in elements(&page)? {
                    let below = u64_at(&page, place + 8);
                    let Some(below) = below else { return damaged("a page of it is cut short") };
                    self.walk(below, depth + 1, visit)?;
                }
                Ok(())
            }
            _ => damaged(format!("page {number} is not a part of a tree")),
        }
    }

    /// Reads a page with all that belongs to it.
    fn page(&self, number: u64) -> Result<Vec<u8>, BoltError> {
        let place = number.checked_mul(self.page_size).filter(|_| (2..self.pages).contains(&number));
        let Some(place) = place else { return damaged(format!("page {number} is behind its end")) };
        let mut header = [0; HEADER_LEN];
        self.fill(&mut header, place)?;
        if u64_at(&header, 0) != Some(number) {
            return damaged(format!("page {number} has another number"));
        }
        let more = u64::from(u32_at(&header, 12).unwrap_or(0));
        let len = (more + 1).saturating_mul(self.page_size);
        let left = self.left.get().checked_sub(len).filter(|_| len <= MAX_PAGE_LEN);
        let Some(left) = left else { return damaged("it is too large to be the database of containerd") };
        self.left.set(left);
        let mut page =
            vec![0; usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?];
        self.fill(&mut page, place)?;
        Ok(page)
    }

    fn fill(&self, bytes: &mut [u8], place: u64) -> Result<(), BoltError> {
        match self.file.read_exact_at(bytes, place) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => damaged("it is cut short"),
            read => Ok(read?),
        }
    }
}

/// The places of the elements of a page.
fn elements(page: &[u8]) -> Result<impl Iterator<Item = usize>, BoltError> {
    let count = usize::from(u16_at(page, 10).unwrap_or(0));
    match HEADER_LEN + count * ELEMENT_LEN <= page.len() {
        true => Ok((0..count).map(|at| HEADER_LEN + at * ELEMENT_LEN)),
        false => damaged("a page of it has too many elements"),
    }
}

/// Visits the elements of a leaf page.
fn leaf(page: &[u8], visit: &mut VisitElement<'_>) -> Result<(), BoltError> {
    for place in elements(page)? {
        let field = |at: usize| u32_at(page, place + at).and_then(|value| usize::try_from(value).ok());
        let parts = (|| {
            let (flags, start) = (u32_at(page, place)?, place.checked_add(field(4)?)?);
            let middle = start.checked_add(field(8)?)?;
            let end = middle.checked_add(field(12)?)?;
            Some((flags, page.get(start..middle)?, page.get(middle..end)?))
        })();
        let Some((flags, key, value)) = parts else { return damaged("an element of it is cut short") };
        let value = match flags & BUCKET {
            0 => BoltValue::Bytes(value.to_vec()),
            _ => match u64_at(value, 0) {
                None => return damaged("a bucket of it is cut short"),
                Some(0) => match value.get(HEADER_LEN..).filter(|page| page.len() >= HEADER_LEN) {
                    Some(page) if u16_at(page, 8) == Some(LEAF_PAGE) => {
                        BoltValue::Bucket(BoltBucket::Inline(page.to_vec()))
                    }
                    _ => return damaged("a bucket of it is cut short"),
                },
                Some(root) => BoltValue::Bucket(BoltBucket::Tree(root)),
            },
        };
        visit(key, value)?;
    }
    Ok(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The checksum of a meta page: FNV-1a of 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
