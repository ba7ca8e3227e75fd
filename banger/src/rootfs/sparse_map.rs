//! Finds the pieces of a file that are not zeros.

use banger_oci::tar::Extent;

/// Zeros are looked for in blocks of this many bytes.
pub(super) const BLOCK_BYTES: usize = 4096;
/// The shortest run of zeros that becomes a hole.
const HOLE_MIN_BYTES: u64 = 32 * 1024;
/// Most pieces of one file: as many as readers of layers take.
pub(super) const PIECES_MAX: usize = 1 << 20;

/// Takes the bytes of a file, one chunk after the other. All chunks and runs of zeros but the last are whole blocks.
#[derive(Default)]
pub(super) struct SparseScan {
    pieces: Vec<Extent>,
    /// Bytes so far.
    at: u64,
    /// Where the zeros at the end begin.
    zeros_from: u64,
    /// Where the current piece begins.
    piece_from: u64,
}

impl SparseScan {
    /// Takes the next bytes.
    pub(super) fn add(&mut self, chunk: &[u8]) {
        for block in chunk.chunks(BLOCK_BYTES) {
            if block.iter().any(|byte| *byte != 0) {
                if self.at - self.zeros_from >= HOLE_MIN_BYTES {
                    self.end_piece();
                    self.piece_from = self.at;
                }
                self.zeros_from = self.at + block.len() as u64;
            }
            self.at += block.len() as u64;
        }
    }

    /// Takes a run of zeros.
    pub(super) fn add_zeros(&mut self, length: u64) {
        self.at += length;
    }

    /// Returns the number of pieces so far.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Returns the pieces, or `None` if the file has no hole.
    pub(super) fn finish(mut self) -> Option<Vec<Extent>> {
        if self.at - self.zeros_from < HOLE_MIN_BYTES {
            self.zeros_from = self.at;
        }
        self.end_piece();
        match self.pieces[..] {
            [Extent { offset: 0, length }] if length == self.at => None,
            [] if self.at == 0 => None,
            _ => Some(self.pieces),
        }
    }

    fn end_piece(&mut self) {
        if self.zeros_from > self.piece_from {
            let length = self.zeros_from - self.piece_from;
            self.pieces.push(Extent { offset: self.piece_from, length });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(parts: &[(u8, usize)]) -> Option<Vec<(u64, u64)>> {
        let bytes: Vec<u8> = parts.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect();
        let mut scan = SparseScan::default();
        bytes.chunks(2 * BLOCK_BYTES).for_each(|chunk| scan.add(chunk));
        scan.finish().map(|map| map.iter().map(|piece| (piece.offset, piece.length)).collect())
    }

    #[test]
    fn zeros_that_are_not_read_give_the_same_pieces() {
        let mut scan = SparseScan::default();
        scan.add(&[1; BLOCK_BYTES]);
        scan.add_zeros(1 << 40);
        scan.add(&[0; 2 * BLOCK_BYTES]);
        scan.add(&[1; 5]);
        scan.add_zeros(4096 - 5 + (1 << 20));
        let pieces: Vec<(u64, u64)> =
            scan.finish().unwrap().iter().map(|piece| (piece.offset, piece.length)).collect();
        assert_eq!(pieces, [(0, 4096), (4096 + (1 << 40) + 8192, 5)]);
    }

    #[test]
    fn long_runs_of_zero_blocks_are_holes() {
        const K: usize = 1024;
        assert_eq!(pieces(&[]), None);
        assert_eq!(pieces(&[(1, 5)]), None);
        assert_eq!(pieces(&[(0, 5)]), None);
        assert_eq!(pieces(&[(0, 32 * K)]), Some(vec![]));
        assert_eq!(pieces(&[(1, 4 * K), (0, 28 * K), (1, 1)]), None);
        assert_eq!(pieces(&[(1, 1), (0, 64 * K), (1, 1)]), Some(vec![(0, 4096), (65536, 2)]));
        assert_eq!(pieces(&[(0, 40 * K), (1, 4 * K)]), Some(vec![(40 * 1024, 4096)]));
        assert_eq!(pieces(&[(1, 4 * K), (0, 40 * K)]), Some(vec![(0, 4096)]));
        assert_eq!(
            pieces(&[(1, 4 * K), (0, 33 * K), (2, 4 * K), (0, 8 * K)]),
            Some(vec![(0, 4096), (36864, 13312)])
        );
    }
}
