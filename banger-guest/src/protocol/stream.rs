//! Frames on blocking streams.

use std::io::{self, Read, Write};

use serde::Serialize;
use thiserror::Error;

use super::frame::{Frame, FrameError, FrameHeader, FrameKind, HEADER_BYTES};

/// Why a frame or message did not arrive or leave.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The stream failed, or ended inside a frame.
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    /// The bytes are not a frame, or a frame would be too long.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The payload is not the JSON that it should be.
    #[error("cannot read the message in a {kind:?} frame: {source}")]
    Message {
        /// The frame that it was in.
        kind: FrameKind,
        /// The fault of the JSON.
        source: serde_json::Error,
    },
    /// A frame that is not allowed here.
    #[error("a {found:?} frame came in place of a {expected:?} frame")]
    Unexpected {
        /// The frame that came.
        found: FrameKind,
        /// The frame that should have come.
        expected: FrameKind,
    },
}

/// Reads one frame; `None` if the stream ends between frames.
///
/// # Errors
///
/// The stream fails or ends inside a frame, or the bytes are not a frame. No memory is allocated for a
/// payload above the limit.
pub fn read_frame(stream: &mut impl Read) -> Result<Option<Frame>, ProtocolError> {
    let mut header = [0; HEADER_BYTES];
    let mut have = 0;
    while let Some(missing) = header.get_mut(have..).filter(|missing| !missing.is_empty()) {
        match stream.read(missing) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(ProtocolError::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => have += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ProtocolError::Io(error)),
        }
    }
    let header = FrameHeader::decode(&header)?;
    let mut payload = vec![0; header.payload_bytes()];
    stream.read_exact(&mut payload).map_err(ProtocolError::Io)?;
    Ok(Some(Frame { kind: header.kind(), payload }))
}

/// Writes one frame, and flushes.
///
/// # Errors
///
/// The payload is above the limit, or the stream fails.
pub fn write_frame(stream: &mut impl Write, kind: FrameKind, payload: &[u8]) -> Result<(), ProtocolError> {
    let header = FrameHeader::new(kind, payload.len())?;
    // One write for a short frame: two small packets would wait for each other's acknowledgement.
    let mut wire = Vec::with_capacity(HEADER_BYTES + payload.len());
    wire.extend_from_slice(&header.encode());
    wire.extend_from_slice(payload);
    stream.write_all(&wire).and_then(|()| stream.flush()).map_err(ProtocolError::Io)
}

/// Writes a message as JSON in one frame.
///
/// # Errors
///
/// The message is longer than a frame, or the stream fails.
pub fn write_message(
    stream: &mut impl Write,
    kind: FrameKind,
    message: &impl Serialize,
) -> Result<(), ProtocolError> {
    let payload = serde_json::to_vec(message).map_err(|source| ProtocolError::Message { kind, source })?;
    write_frame(stream, kind, &payload)
}
