//! What the guest binary and a host have in common: the [`protocol`] that the
//! agent speaks, and the [`config`]uration files that it reads.
//!
//! The binary of this crate is init, network bootstrap, driver of the first boot
//! and agent of guests made by banger; hosts use this library without the
//! feature `agent`, and get nothing but frames, messages and configuration.
//!
//! ```
//! use banger_guest::protocol::{FrameKind, Message, Operation, Request, read_frame, write_message};
//!
//! let mut wire = Vec::new();
//! write_message(&mut wire, FrameKind::Request, &Request { id: 1, operation: Operation::Health }).unwrap();
//! let frame = read_frame(&mut wire.as_slice()).unwrap().expect("one frame was written");
//! assert_eq!(Request::from_frame(&frame).unwrap().operation, Operation::Health);
//! ```
//!
//! # Limits
//!
//! Paths and arguments are UTF-8. A connection carries one operation at a time.

pub mod config;
pub mod files;
pub mod protocol;
