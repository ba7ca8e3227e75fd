//! The option `--verity`.

use banger::VerityPlace;
use clap::{Args, ValueEnum};

/// The dm-verity hash tree of an image.
#[derive(Debug, Args)]
pub(crate) struct VerityArguments {
    /// Make a dm-verity hash tree, by which a guest verifies each byte that it reads [without a value: beside].
    #[arg(
        long,
        value_name = "WHERE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "beside"
    )]
    pub(crate) verity: Option<VerityChoice>,
}

/// Where a hash tree goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerityChoice {
    /// Write it to a file beside the ext4 file
    Beside,
    /// Write it behind the file system of the single file that is written
    Append,
}

impl VerityArguments {
    /// Returns the place as the library takes it.
    pub(crate) fn place(&self) -> Option<VerityPlace> {
        self.verity.map(|choice| match choice {
            VerityChoice::Beside => VerityPlace::Beside,
            VerityChoice::Append => VerityPlace::Append,
        })
    }
}
