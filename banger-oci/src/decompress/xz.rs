//! Streams of xz.

use std::io::{self, BufRead, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Error, Stream};

/// Reads the content of xz streams, one after the other, in at most `memory_bytes` of memory.
pub(super) struct Xz<R>(XzDecoder<R>, u64);

/// Starts to decode `input`.
pub(super) fn decoder<R: BufRead>(input: R, memory_bytes: u64) -> io::Result<Xz<R>> {
    let stream = Stream::new_stream_decoder(memory_bytes, CONCATENATED).map_err(io::Error::other)?;
    Ok(Xz(XzDecoder::new_stream(input, stream), memory_bytes))
}

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let memory_bytes = self.1;
        self.0.read(bytes).map_err(|error| {
            let kind = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
            match kind {
                Some(Error::MemLimit) => io::Error::new(
                    io::ErrorKind::OutOfMemory,
                    format!(
                        "the xz stream has a dictionary that needs more than the {} MiB of memory that are \
                         allowed; compress it again with xz -9 or less",
                        memory_bytes >> 20
                    ),
                ),
                Some(Error::Data) => io::Error::new(io::ErrorKind::InvalidData, "the xz stream is damaged"),
                Some(Error::Format) => {
                    io::Error::new(io::ErrorKind::InvalidData, "the xz stream is followed by something else")
                }
                Some(Error::Options) => io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the xz stream has filters that are not supported",
                ),
                _ => error,
            }
        })
    }
}
