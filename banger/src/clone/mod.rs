//! Gives each machine its own disk: a copy of a managed image with another identity.
//!
//! The store copies the file, by reflink where the host can. `machine` changes the copy before anybody sees it, so the
//! new disk is complete or absent, and no change is flushed on its own.

mod identity;
mod machine;
mod request;
mod run;

pub use identity::{Identity, UnknownIdentity};
pub use request::{CloneRequest, CloneTarget};
pub use run::{ClonedImage, clone_image};
