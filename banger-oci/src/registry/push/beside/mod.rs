//! Documents beside a pushed artifact: its signatures, and artifacts that refer to it.

mod place;
mod referrer;
mod sign_error;
mod signature;

pub(crate) use referrer::push_referrer;
pub use sign_error::SignError;
pub use signature::PushedSignature;
pub(crate) use signature::sign_artifact;
