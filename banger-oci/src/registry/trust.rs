//! Trust: which images may be pulled, by the signatures that cosign makes.
//!
//! A policy leads to the requirements of a reference ([`scopes`]). A requirement is met by a signature of the
//! manifest, or of the index that led to it ([`check`]). Nothing here needs a network but for the signatures
//! themselves, which lie beside the image ([`companions`]).

mod bundle;
mod check;
pub(crate) mod companions;
mod error;
mod identity;
mod key;
mod payload;
mod policy;
mod policy_file;
mod requirement;
mod scopes;
mod signature;

pub(crate) use check::TrustCheck;
pub use error::TrustError;
pub use key::PublicKey;
pub use policy::TrustPolicy;
pub use signature::{SignaturePlace, VerifiedSignature};
