//! Sources of kernels, as users write them.

use std::fmt;
use std::str::FromStr;

use banger_kernel::PlainFiles;
use banger_oci::{Reference, ReferenceError, WebFileAddress};
use banger_tree::{Advice, Failure as _, Setting};
use camino::Utf8PathBuf;

use crate::argument::ArgumentError;

/// Where a kernel comes from, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelSourceName {
    /// `host`: the kernel that this machine runs.
    Host,
    /// `image:NAME`: the newest kernel in a managed image.
    Image(String),
    /// A package, another tar, an ext4 file, a kernel image or a directory.
    Path(Utf8PathBuf),
    /// The files of a kernel.
    Files(PlainFiles),
    /// `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE` or `docker://HOST/NAME`: a kernel bundle, or an image
    /// with a kernel.
    Reference(Reference),
    /// `https://…`: a file whose digest the request has.
    Address(WebFileAddress),
}

/// Starts of texts that are references. A name of a registry without a start is a path.
const REFERENCES: [&str; 8] = [
    "oci:",
    "oci-archive:",
    "docker:",
    "docker-archive:",
    "docker-daemon:",
    "podman:",
    "containers-storage:",
    "containerd:",
];
const ADDRESSES: [&str; 2] = ["http://", "https://"];

impl FromStr for KernelSourceName {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let bad = |reason: &str| {
            let advice = "write host, image:NAME, oci:DIR, docker://HOST/NAME, https://ADDRESS, or the path of a \
                          package, kernel, ext4 file or directory";
            Err(ArgumentError::new(Setting("source"), text, reason).with_advice(Advice::new(advice)))
        };
        match text {
            "" => bad("it is empty"),
            "host" => Ok(Self::Host),
            _ if REFERENCES.iter().any(|start| text.starts_with(start)) => {
                text.parse().map(Self::Reference).map_err(|error| unfit(&error))
            }
            _ if ADDRESSES.iter().any(|start| text.starts_with(start)) => {
                text.parse().map(Self::Address).map_err(|error| unfit(&error))
            }
            _ => match text.strip_prefix("image:") {
                Some("") => bad("the name of the image is missing"),
                Some(name) => Ok(Self::Image(name.to_owned())),
                None => Ok(Self::Path(text.into())),
            },
        }
    }
}

/// Returns the error of a source that is not a reference or an address.
fn unfit(error: &ReferenceError) -> ArgumentError {
    let unfit = ArgumentError::new(Setting("source"), error.text.clone(), error.reason.clone());
    match error.advice() {
        Some(advice) => unfit.with_advice(advice),
        None => unfit,
    }
}

impl fmt::Display for KernelSourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => formatter.write_str("host"),
            Self::Image(name) => write!(formatter, "image:{name}"),
            Self::Path(path) => path.fmt(formatter),
            Self::Files(files) => files.kernel.fmt(formatter),
            // Without a start it would be a path.
            Self::Reference(reference @ Reference::Registry(_)) => write!(formatter, "docker://{reference}"),
            Self::Reference(reference) => reference.fmt(formatter),
            Self::Address(address) => address.fmt(formatter),
        }
    }
}

/// Returns the error of an address whose digest is missing.
pub(super) fn address_without_digest(address: &WebFileAddress) -> ArgumentError {
    let reason = "the SHA-256 digest of the file is missing";
    let advice = Advice::with_setting(
        "get it from a source that you trust, and give it by {setting}",
        Setting("sha256"),
    );
    ArgumentError::new(Setting("source"), address.to_string(), reason).with_advice(advice)
}

/// Returns the error of a source that nobody can have signed, where signatures are to be checked.
pub(super) fn source_without_signature(source: &KernelSourceName) -> ArgumentError {
    let reason = "only images and bundles of kernels have signatures";
    let advice = Advice::with_setting("give the reference of one, or leave {setting} out", Setting("trust"));
    ArgumentError::new(Setting("source"), source.to_string(), reason).with_advice(advice)
}
