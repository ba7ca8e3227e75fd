//! How a message travels as JSON in a frame.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{Frame, FrameKind};
use super::stream::ProtocolError;

/// A message that is sent as JSON in its kind of frame.
pub trait Message: Serialize + DeserializeOwned {
    /// The kind of the frame.
    const KIND: FrameKind;

    /// Reads the message out of a frame.
    ///
    /// # Errors
    ///
    /// The frame has another kind, or its payload is not this message.
    fn from_frame(frame: &Frame) -> Result<Self, ProtocolError> {
        if frame.kind != Self::KIND {
            return Err(ProtocolError::Unexpected { found: frame.kind, expected: Self::KIND });
        }
        serde_json::from_slice(&frame.payload)
            .map_err(|source| ProtocolError::Message { kind: Self::KIND, source })
    }
}
