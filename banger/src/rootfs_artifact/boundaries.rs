//! Where the windows of an ext4 file begin and end.
//!
//! The content decides: a window ends behind a block whose checksum has certain bits. So the same run of blocks is cut in
//! the same way wherever it lies. If a file of a lower layer grows, all blocks behind it move, and most windows stay the
//! same.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use banger_ext4::data_from;
use banger_tree::Cancellation;

use super::format::{BLOCK_BYTES, MAX_WINDOW_BYTES, MOST_WINDOWS};

/// The sizes for most images. Each window costs a request; larger ones are found again less often.
const RULE: CutRule = CutRule::of(1 << 20);
/// Bytes that are read at a time.
const READ_BYTES: usize = 256 << 10;

/// The rule by which an image is cut. Never changed: windows of the next version have to be the same.
#[derive(Clone, Copy, Debug)]
struct CutRule {
    /// A window has at least so many bytes, unless a hole or the end of the file follows.
    min_bytes: u64,
    max_bytes: u64,
    /// So many zeros end a window.
    hole_bytes: u64,
    /// A window may end behind a block if these bits of its checksum are zeros.
    mask: u32,
}

impl CutRule {
    /// Returns the rule by which windows end, on average, `spacing_bytes` behind their smallest size.
    const fn of(spacing_bytes: u64) -> Self {
        Self {
            min_bytes: spacing_bytes + spacing_bytes / 2,
            max_bytes: spacing_bytes * 6,
            hole_bytes: spacing_bytes,
            mask: (spacing_bytes / BLOCK_BYTES) as u32 - 1,
        }
    }

    /// Returns the rule for windows of twice the size, up to the largest that is allowed; `None` for more.
    fn doubled(self) -> Option<Self> {
        let rule = Self::of(self.hole_bytes * 2);
        let max_bytes = rule.max_bytes.min(MAX_WINDOW_BYTES);
        (rule.min_bytes < max_bytes).then_some(Self { max_bytes, ..rule })
    }

    fn ends_behind(self, block: &[u8], length: u64) -> bool {
        length >= self.min_bytes && crc32c::crc32c(block) & self.mask == 0
    }
}

/// The windows of an image.
#[derive(Debug)]
pub(super) struct Boundaries {
    /// The largest window that the rule makes.
    pub(super) max_bytes: u64,
    /// The windows, in order. Between them are zeros only.
    pub(super) windows: Vec<Range<u64>>,
}

impl Boundaries {
    /// Returns the windows of `file`, which has `size_bytes`; `None` if they would be too many.
    ///
    /// # Errors
    /// The host refuses, or the caller asks to stop ([`io::ErrorKind::Interrupted`]).
    pub(super) fn of(file: &File, size_bytes: u64, cancellation: &Cancellation) -> io::Result<Option<Self>> {
        let mut next = Some(RULE);
        while let Some(rule) = next {
            if let Some(windows) = cut(file, size_bytes, rule, MOST_WINDOWS, cancellation)? {
                return Ok(Some(Self { max_bytes: rule.max_bytes, windows }));
            }
            next = rule.doubled();
        }
        Ok(None)
    }
}

/// Returns the windows of a file; `None` if there are more than `most`.
fn cut(
    file: &File,
    size_bytes: u64,
    rule: CutRule,
    most: u64,
    cancellation: &Cancellation,
) -> io::Result<Option<Vec<Range<u64>>>> {
    let mut cutter = Cutter { rule, open: None, windows: Vec::new() };
    let mut buffer = vec![0; READ_BYTES];
    let mut at = 0;
    while let Some((start, end)) = data_from(file, at, size_bytes)? {
        // Holes begin and end at blocks of the host, which may be smaller.
        let mut offset = start - start % BLOCK_BYTES;
        at = end.next_multiple_of(BLOCK_BYTES);
        let end = at.min(size_bytes);
        while offset < end {
            if cancellation.is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let length = usize::try_from(end - offset).map_or(READ_BYTES, |left| left.min(READ_BYTES));
            let read = &mut buffer[..length];
            file.read_exact_at(read, offset)?;
            for block in read.chunks(BLOCK_BYTES as usize) {
                cutter.push(block, offset);
                offset += block.len() as u64;
            }
        }
        if cutter.windows.len() as u64 > most {
            return Ok(None);
        }
    }
    cutter.close();
    Ok((cutter.windows.len() as u64 <= most).then_some(cutter.windows))
}

struct Cutter {
    rule: CutRule,
    /// The window that is not finished; it ends behind its last block that is not zeros.
    open: Option<Range<u64>>,
    windows: Vec<Range<u64>>,
}

impl Cutter {
    /// Takes the next block that is not a hole of the host.
    fn push(&mut self, block: &[u8], offset: u64) {
        if block.iter().all(|byte| *byte == 0) {
            return;
        }
        let end = offset + block.len() as u64;
        let goes_on = self.open.as_ref().is_some_and(|open| {
            offset - open.end < self.rule.hole_bytes && end - open.start <= self.rule.max_bytes
        });
        if !goes_on {
            self.close();
        }
        let open = self.open.get_or_insert(offset..end);
        open.end = end;
        let length = end - open.start;
        if length == self.rule.max_bytes || self.rule.ends_behind(block, length) {
            self.close();
        }
    }

    fn close(&mut self) {
        self.windows.extend(self.open.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: CutRule = CutRule {
        min_bytes: 16 * BLOCK_BYTES,
        max_bytes: 64 * BLOCK_BYTES,
        hole_bytes: 16 * BLOCK_BYTES,
        mask: 15,
    };

    /// Blocks that differ from each other.
    fn blocks(seed: u64, count: u64) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        std::iter::repeat_with(next)
            .take(usize::try_from(count * BLOCK_BYTES / 8).unwrap())
            .flatten()
            .collect()
    }

    fn windows(parts: &[(u64, &[u8])], size_bytes: u64) -> Vec<Range<u64>> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size_bytes).unwrap();
        for (offset, bytes) in parts {
            file.write_all_at(bytes, *offset).unwrap();
        }
        cut(&file, size_bytes, SMALL, 1000, &Cancellation::new()).unwrap().unwrap()
    }

    #[test]
    fn windows_cover_all_data_and_keep_their_limits() {
        let bytes = blocks(1, 500);
        let size = 4000 * BLOCK_BYTES;
        let found = windows(&[(3 * BLOCK_BYTES, &bytes), (2000 * BLOCK_BYTES, &bytes)], size);
        let (first, second): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|window| window.start < 2000 * BLOCK_BYTES);
        for (half, start) in [(&first, 3 * BLOCK_BYTES), (&second, 2000 * BLOCK_BYTES)] {
            let mut at = start;
            for window in half {
                assert_eq!(window.start, at);
                at = window.end;
                let length = window.end - window.start;
                assert!(length <= SMALL.max_bytes && length % BLOCK_BYTES == 0, "{window:?}");
                assert!(length >= SMALL.min_bytes || window == half.last().unwrap(), "{window:?}");
            }
            assert_eq!(at, start + bytes.len() as u64);
            assert!(half.len() > 8, "{}", half.len());
        }
        // The same blocks are cut in the same way at another place.
        let moved: Vec<_> = first
            .iter()
            .map(|window| window.start + 1997 * BLOCK_BYTES..window.end + 1997 * BLOCK_BYTES)
            .collect();
        assert_eq!(moved, second);
    }

    #[test]
    fn windows_grow_up_to_the_largest_that_is_allowed() {
        let rules: Vec<_> = std::iter::successors(Some(RULE), |rule| rule.doubled())
            .map(|rule| (rule.min_bytes >> 10, rule.max_bytes >> 20))
            .collect();
        assert_eq!(rules, [(1536, 6), (3072, 12), (6144, 24), (12288, 32), (24576, 32)]);
    }

    #[test]
    fn blocks_that_move_are_cut_as_before() {
        let (bytes, size) = (blocks(2, 800), 1000 * BLOCK_BYTES);
        let before = windows(&[(0, &bytes)], size);
        // One block more, after the first quarter.
        let quarter = 200 * BLOCK_BYTES;
        let (head, tail) = bytes.split_at(usize::try_from(quarter).unwrap());
        let after = windows(&[(0, head), (quarter, &blocks(3, 1)), (quarter + BLOCK_BYTES, tail)], size);
        let back = |byte: u64| byte.saturating_sub(BLOCK_BYTES);
        let moved: Vec<_> = after.iter().map(|window| back(window.start)..back(window.end)).collect();
        let same = before.iter().filter(|window| after.contains(window) || moved.contains(window)).count();
        assert!(same + 3 >= before.len(), "{same} of {}", before.len());
    }

    #[test]
    fn zeros_end_a_window_only_if_they_are_many() {
        let (one, size) = (blocks(4, 1), 100 * BLOCK_BYTES);
        let block = |number: u64| number * BLOCK_BYTES;
        let few = windows(&[(0, &one), (block(9), &one)], size);
        assert!(matches!(&few[..], [window] if *window == (0..block(10))), "{few:?}");
        let many = windows(&[(0, &one), (block(17), &one)], size);
        assert_eq!(many, [0..block(1), block(17)..block(18)]);
        // Zeros that are no hole count as zeros, too.
        let written = windows(&[(0, &one), (block(1), &vec![0; 4096 * 30]), (block(31), &one)], size);
        assert_eq!(written, [0..block(1), block(31)..block(32)]);
        assert_eq!(windows(&[], size), [0..0; 0]);
        let end = windows(&[(size - 5, b"end")], size - 2);
        assert!(matches!(&end[..], [window] if *window == (size - BLOCK_BYTES..size - 2)), "{end:?}");
    }

    #[test]
    fn too_many_windows_are_not_made() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4000 * BLOCK_BYTES).unwrap();
        for number in 0..100 {
            file.write_all_at(b"x", number * 20 * BLOCK_BYTES).unwrap();
        }
        let count = |most| {
            let found = cut(&file, 4000 * BLOCK_BYTES, SMALL, most, &Cancellation::new()).unwrap();
            found.map(|windows| windows.len())
        };
        assert_eq!((count(100), count(99), count(3)), (Some(100), None, None));
        let cancelled = Cancellation::new();
        cancelled.cancel();
        let error = cut(&file, 4000 * BLOCK_BYTES, SMALL, 100, &cancelled).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    }
}
