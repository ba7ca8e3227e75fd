//! Streams in the old format of LZMA (`.lzma`), which nothing but its name tells from other bytes.

use std::io::{self, BufRead, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::{Error, Stream};

/// The bytes that almost every stream begins with: the usual properties, and a dictionary of whole 64 KiB.
pub(crate) const LZMA_MAGIC: [u8; 3] = [0x5d, 0, 0];

/// Memory for the decoding: the most that `lzma -9` needs.
const MEMORY_MAX: u64 = 80 << 20;

/// Starts to decode `input`.
pub(crate) fn lzma_decoder<R: BufRead>(input: R) -> io::Result<impl Read> {
    let stream = Stream::new_lzma_decoder(MEMORY_MAX).map_err(io::Error::other)?;
    Ok(Lzma(XzDecoder::new_stream(input, stream)))
}

struct Lzma<R>(XzDecoder<R>);

impl<R: BufRead> Read for Lzma<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
            match cause {
                Some(Error::MemLimit) => io::Error::new(
                    io::ErrorKind::OutOfMemory,
                    "the lzma stream needs more than 80 MiB of memory",
                ),
                Some(_) => io::Error::new(io::ErrorKind::InvalidData, "the lzma stream is damaged"),
                None => error,
            }
        })
    }
}
