//! The protocol of the guest agent: frames with a fixed header, some of which hold a JSON message.
//!
//! [`FrameHeader`] and [`FrameDecoder`] encode and decode without I/O. [`read_frame`] and [`write_frame`] use
//! them on blocking streams. The host sends a [`Request`]; the agent ends the operation with a [`Reply`].

mod exit_status;
mod frame;
mod info;
mod message;
mod reply;
mod request;
mod stream;

pub use exit_status::ExitStatus;
pub use frame::{
    DATA_CHUNK_BYTES, Frame, FrameDecoder, FrameError, FrameHeader, FrameKind, HEADER_BYTES,
    MAX_PAYLOAD_BYTES, PROTOCOL_VERSION,
};
pub use info::{Addresses, EntrypointState, FirstBoot, FirstBootState, Health, Info, KernelInfo, OsInfo};
pub use message::Message;
pub use reply::{Accepted, CopyTaken, CopyTarget, ErrorCode, Grown, NetworkSet, Outcome, Refusal, Reply};
pub use request::{
    Control, CopyIn, CopyOut, Exec, Operation, Pty, Request, SetNetwork, Shutdown, ShutdownAction, Wait,
};
pub use stream::{ProtocolError, read_frame, write_frame, write_message};

/// The default port of the agent.
pub const DEFAULT_PORT: u32 = 5000;

/// How many bytes of [`FrameKind::Input`] a host may send for an `exec` before the agent has
/// granted more with [`FrameKind::Credit`].
pub const INPUT_WINDOW_BYTES: u32 = 64 * 1024;
