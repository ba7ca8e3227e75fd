//! The arguments that say where banger keeps its files.

use camino::Utf8PathBuf;
use clap::Args;

/// Where managed images and kernels are.
#[derive(Debug, Args)]
pub(crate) struct StateArguments {
    /// Use the images and kernels in DIR [default: $XDG_STATE_HOME/banger, or ~/.local/state/banger].
    #[arg(long, value_name = "DIR", env = "BANGER_STATE_DIR")]
    pub(crate) state_dir: Option<Utf8PathBuf>,
}

/// Where downloaded blobs are.
#[derive(Debug, Args)]
pub(crate) struct CacheArguments {
    /// Use the blobs in DIR [default: $XDG_CACHE_HOME/banger, or ~/.cache/banger].
    #[arg(long, value_name = "DIR", env = "BANGER_CACHE_DIR")]
    pub(crate) cache_dir: Option<Utf8PathBuf>,
}

/// Returns the path of an ext4 file that is to be written, which `-` is not taken for.
pub(super) fn output_file(text: &str) -> Result<Utf8PathBuf, String> {
    match text {
        "-" => Err("an ext4 file cannot go to standard output; write ./- for a file of that name".to_owned()),
        path => Ok(path.into()),
    }
}
