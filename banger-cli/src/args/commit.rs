//! The arguments of `banger image commit`.

use clap::{Args, ValueEnum};

use super::patience::PatienceArguments;
use super::places::{CacheArguments, StateArguments};
use super::registry::RegistryArguments;

#[derive(Debug, Args)]
pub(crate) struct CommitArguments {
    /// Disk: a managed image, such as one that `banger vm run --keep` made, by name, id, or unique prefix of an id;
    /// or an ext4 file. The disk is only read.
    pub(crate) disk: String,
    /// Target:
    /// HOST/NAME[:TAG]          a registry
    /// oci:DIR[:NAME]           an OCI layout, which is made if it is missing
    /// oci-archive:FILE[:NAME]  a new tar with an OCI layout
    #[arg(value_name = "REF", verbatim_doc_comment)]
    pub(crate) target: String,
    /// Compare the disk with this managed image, from which its machine started.
    #[arg(long, value_name = "NAME")]
    pub(crate) base: String,
    /// Write the whole disk as the only layer.
    #[arg(long)]
    pub(crate) squash: bool,
    /// Set the comment in the history.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Set the author of the image.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) author: Option<String>,
    /// Choose the compression of the new layer.
    #[arg(long, value_name = "NAME", default_value = "gzip")]
    pub(crate) compression: CompressionChoice,
    /// Take layers that this repository of the same registry has from there, and do not send them [default: the
    /// repository of the base].
    #[arg(long, value_name = "HOST/NAME")]
    pub(crate) mount_from: Option<String>,
    /// Send N layers at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
    #[command(flatten)]
    pub(crate) patience: PatienceArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionChoice {
    /// Compress with gzip, which all tools read
    Gzip,
    /// Compress with zstd, which is faster; docker reads it since version 23
    Zstd,
}

impl From<CompressionChoice> for banger::LayerCompression {
    fn from(choice: CompressionChoice) -> Self {
        match choice {
            CompressionChoice::Gzip => Self::Gzip,
            CompressionChoice::Zstd => Self::Zstd,
        }
    }
}
