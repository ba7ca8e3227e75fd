//! Frames: eight bytes of header, then the payload.

use thiserror::Error;

/// The version of the protocol, in every frame.
pub const PROTOCOL_VERSION: u8 = 1;

/// The bytes of a frame before its payload.
pub const HEADER_BYTES: usize = 8;

/// The longest payload of a frame. A longer one is refused by its header, before memory is allocated.
pub const MAX_PAYLOAD_BYTES: u32 = 128 * 1024;

/// Bytes of a stream in one frame: less than the limit, so that streams on one connection take turns.
pub const DATA_CHUNK_BYTES: usize = 32 * 1024;

/// The first two bytes of every frame, so that something else is noticed at once.
const MAGIC: [u8; 2] = *b"BG";

/// The kind of a frame. The direction is part of the meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameKind {
    /// Host to guest, JSON: begins an operation.
    Request,
    /// Guest to host, JSON: ends the operation, well or not.
    Reply,
    /// Guest to host, JSON: the operation goes on with streams.
    Accepted,
    /// Host to guest, JSON: a signal or a new window size for the running `exec`.
    Control,
    /// Host to guest, bytes: standard input, or the content of a `copy_in`.
    Input,
    /// Host to guest, empty: the end of the input.
    InputEnd,
    /// Guest to host, bytes: standard output, output of a PTY, or the content of a `copy_out`.
    Output,
    /// Guest to host, bytes: standard error.
    ErrorOutput,
    /// Guest to host, a `u32`: so many bytes more of input may be sent.
    Credit,
}

impl FrameKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Request,
        Self::Reply,
        Self::Accepted,
        Self::Control,
        Self::Input,
        Self::InputEnd,
        Self::Output,
        Self::ErrorOutput,
        Self::Credit,
    ];

    const fn to_wire(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
            Self::Accepted => 3,
            Self::Control => 4,
            Self::Input => 5,
            Self::InputEnd => 6,
            Self::Output => 7,
            Self::ErrorOutput => 8,
            Self::Credit => 9,
        }
    }

    fn from_wire(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_wire() == byte)
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The first bytes are not those of a frame.
    #[error("the bytes are not a frame: they begin with {:#04x} {:#04x}", found[0], found[1])]
    Magic {
        /// The two bytes in their place.
        found: [u8; 2],
    },
    /// The other side speaks an unknown version.
    #[error(
        "the other side speaks version {found} of the protocol; only version {PROTOCOL_VERSION} is supported"
    )]
    Version {
        /// The version in the frame.
        found: u8,
    },
    /// The kind is unknown in this version.
    #[error("frames of kind {found} are unknown")]
    Kind {
        /// The kind in the frame.
        found: u8,
    },
    /// The payload would be longer than allowed.
    #[error("a frame has a payload of {length} bytes; at most {MAX_PAYLOAD_BYTES} are allowed")]
    Oversize {
        /// The length in the frame.
        length: u32,
    },
    /// The payload's length does not fit the kind.
    #[error("a {kind:?} frame cannot have a payload of {length} bytes")]
    Payload {
        /// The kind of the frame.
        kind: FrameKind,
        /// The length of its payload.
        length: u32,
    },
}

/// The header of a frame: which kind, and how long the payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    kind: FrameKind,
    length: u32,
}

impl FrameHeader {
    /// The header of a frame with so many bytes of payload.
    ///
    /// # Errors
    ///
    /// The length is above the limit, or wrong for the kind.
    pub fn new(kind: FrameKind, length: usize) -> Result<Self, FrameError> {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if length > MAX_PAYLOAD_BYTES {
            return Err(FrameError::Oversize { length });
        }
        let fits = match kind {
            FrameKind::InputEnd => length == 0,
            FrameKind::Credit => length == 4,
            _ => true,
        };
        if fits { Ok(Self { kind, length }) } else { Err(FrameError::Payload { kind, length }) }
    }

    /// The kind of the frame.
    #[must_use]
    pub fn kind(self) -> FrameKind {
        self.kind
    }

    /// The bytes of payload that follow; at most [`MAX_PAYLOAD_BYTES`].
    #[must_use]
    pub fn payload_bytes(self) -> usize {
        self.length as usize
    }

    /// The header's bytes: magic, version, kind, length in little-endian order.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = self.length.to_le_bytes();
        [MAGIC[0], MAGIC[1], PROTOCOL_VERSION, self.kind.to_wire(), a, b, c, d]
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// The header has another version, or its payload is above the limit.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [m0, m1, version, kind, a, b, c, d] = *bytes;
        if [m0, m1] != MAGIC {
            return Err(FrameError::Magic { found: [m0, m1] });
        }
        if version != PROTOCOL_VERSION {
            return Err(FrameError::Version { found: version });
        }
        let kind = FrameKind::from_wire(kind).ok_or(FrameError::Kind { found: kind })?;
        let length = u32::from_le_bytes([a, b, c, d]);
        if length > MAX_PAYLOAD_BYTES {
            return Err(FrameError::Oversize { length });
        }
        Self::new(kind, length as usize)
    }
}

/// A frame that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its kind.
    pub kind: FrameKind,
    /// Its bytes, at most [`MAX_PAYLOAD_BYTES`].
    pub payload: Vec<u8>,
}

impl Frame {
    /// Returns the number in a [`FrameKind::Credit`]; `None` for any other kind.
    #[must_use]
    pub fn credit(&self) -> Option<u32> {
        let bytes = <[u8; 4]>::try_from(self.payload.as_slice()).ok()?;
        (self.kind == FrameKind::Credit).then_some(u32::from_le_bytes(bytes))
    }

    /// The frame's bytes, appended to `wire`.
    ///
    /// # Errors
    ///
    /// The payload's length is above the limit, or wrong for the kind.
    pub fn encode_into(kind: FrameKind, payload: &[u8], wire: &mut Vec<u8>) -> Result<(), FrameError> {
        let header = FrameHeader::new(kind, payload.len())?;
        wire.extend_from_slice(&header.encode());
        wire.extend_from_slice(payload);
        Ok(())
    }
}

/// Cuts frames out of bytes that arrive in pieces.
///
/// It keeps the pushed bytes until they are returned. A caller that pushes at most `n` bytes before it takes
/// all frames limits it to `n` bytes and one frame.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    bytes: Vec<u8>,
    /// Up to here the bytes are done with.
    start: usize,
}

impl FrameDecoder {
    /// Takes bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next frame; `None` if its end has not arrived.
    ///
    /// # Errors
    ///
    /// The bytes are not a frame. Later bytes are ignored: the same error comes again.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let waiting = self.bytes.get(self.start..).unwrap_or_default();
        // Check at once, before a whole header has arrived: bytes that are not a frame may be fewer.
        if let Some(&found) = waiting.first_chunk()
            && found != MAGIC
        {
            return Err(FrameError::Magic { found });
        }
        let Some((header, rest)) = waiting.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = FrameHeader::decode(header)?;
        let Some(payload) = rest.get(..header.payload_bytes()) else {
            return Ok(None);
        };
        let frame = Frame { kind: header.kind(), payload: payload.to_vec() };
        self.start = self.start.saturating_add(HEADER_BYTES).saturating_add(frame.payload.len());
        Ok(Some(frame))
    }

    /// Whether a frame has begun and not ended.
    #[must_use]
    pub fn is_within_frame(&self) -> bool {
        self.start < self.bytes.len()
    }
}
