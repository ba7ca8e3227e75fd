//! Trust: which images may be pulled, by the signatures that cosign makes.
//!
//! A policy leads to the requirements of a reference ([`scopes`]). A requirement is met by a signature of the
//! manifest, or of the index that led to it ([`check`]). Nothing here needs a network but for the signatures
//! themselves, which lie beside the image ([`companions`]).

mod bundle;
mod check;
pub(crate) mod companions;
mod encrypted_key;
mod error;
mod identity;
mod key;
mod payload;
mod pem;
mod policy;
mod policy_file;
mod requirement;
mod scopes;
mod signature;
mod signing_key;
mod signing_key_error;

pub(crate) use check::TrustCheck;
pub use error::TrustError;
pub use key::PublicKey;
pub(crate) use payload::image_payload;
pub use policy::TrustPolicy;
pub(crate) use signature::{MAX_SIGNATURES, PAYLOAD_TYPE, SIGNATURE_KEY};
pub use signature::{SignaturePlace, VerifiedSignature};
pub use signing_key::SigningKey;
pub use signing_key_error::SigningKeyError;
