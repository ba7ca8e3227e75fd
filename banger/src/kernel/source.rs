//! Sources of kernels, as users write them.

use std::fmt;
use std::str::FromStr;

use banger_kernel::PlainFiles;
use banger_tree::{Advice, Setting};
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
}

/// Starts of texts that are other sources than files.
const OTHER_SOURCES: [&str; 9] = [
    "oci:",
    "oci-archive:",
    "docker:",
    "docker-archive:",
    "docker-daemon:",
    "podman:",
    "containers-storage:",
    "http://",
    "https://",
];

impl FromStr for KernelSourceName {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let bad = |reason: &str| {
            let advice = "write host, image:NAME, or the path of a package, kernel, ext4 file or directory";
            Err(ArgumentError::new(Setting("source"), text, reason).with_advice(Advice::new(advice)))
        };
        match text {
            "" => bad("it is empty"),
            "host" => Ok(Self::Host),
            _ if OTHER_SOURCES.iter().any(|start| text.starts_with(start)) => {
                bad("banger imports kernels from files and directories of this machine only")
            }
            _ => match text.strip_prefix("image:") {
                Some("") => bad("the name of the image is missing"),
                Some(name) => Ok(Self::Image(name.to_owned())),
                None => Ok(Self::Path(text.into())),
            },
        }
    }
}

impl fmt::Display for KernelSourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => formatter.write_str("host"),
            Self::Image(name) => write!(formatter, "image:{name}"),
            Self::Path(path) => path.fmt(formatter),
            Self::Files(files) => files.kernel.fmt(formatter),
        }
    }
}
