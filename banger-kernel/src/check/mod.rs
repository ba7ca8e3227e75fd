//! Checks whether a kernel can start an image: before the boot, and with the reason.
//!
//! What a kernel has is told by its `.config`, or else by `modules.builtin` and its modules. Where neither tells it,
//! the answer is [`Outcome::Unknown`], never [`Outcome::Ok`].

mod checks;
mod config;
mod ext4;
mod facts;
mod finding;
mod initrd;
mod need;
mod needs;
mod option;
mod profile;
mod request;

pub use checks::check_kernel;
pub use config::{KernelConfig, OptionValue};
pub use facts::{GuestFacts, KernelFacts};
pub use finding::{Finding, Outcome, Subject};
pub use initrd::InitrdCompression;
pub use profile::{Profile, UnknownProfile};
pub use request::CheckRequest;
