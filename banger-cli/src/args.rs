//! The arguments, one definition a flag.

mod examples;
pub(crate) mod guest;
mod rootfs;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
pub(crate) use rootfs::{
    BuildArguments, CatArguments, ChmodArguments, ChownArguments, FileArgument, InjectArguments, LnArguments,
    LsArguments, MkdirArguments, MvArguments, PutArguments, ResizeArguments, RmArguments, RootfsCommand,
    StatArguments, TargetArguments,
};

use crate::units::Size;

/// Turns a container image into a bootable ext4 root file system.
///
/// No daemon, no root, no mount. Data goes to standard output, everything else to standard error.
/// Exit status: 0 done; 1 the input or the remote side is at fault; 2 internal error;
/// 130 interrupted; `guest exec` and `guest wait` end as what they ran or waited for.
#[derive(Debug, Parser)]
#[command(name = "banger", version, propagate_version = true, max_term_width = 100, after_help = examples::BANGER)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArguments {
    /// Print one JSON document on standard output, and nothing else there.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How to show progress on standard error; `auto` draws bars where it is a terminal.
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// Directory of images [default: $XDG_STATE_HOME/banger, or ~/.local/state/banger].
    #[arg(long, global = true, value_name = "DIR", env = "BANGER_STATE_DIR")]
    pub(crate) state_dir: Option<Utf8PathBuf>,
    /// Directory of downloaded blobs [default: $XDG_CACHE_HOME/banger, or ~/.cache/banger].
    #[arg(long, global = true, value_name = "DIR", env = "BANGER_CACHE_DIR")]
    pub(crate) cache_dir: Option<Utf8PathBuf>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// Bars on a terminal, else nothing.
    Auto,
    /// Bars, where standard error is a terminal.
    Bar,
    /// One JSON document a line, also for notes, warnings and errors.
    Json,
    /// Nothing.
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pull, list, show, copy, check and remove images.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Build ext4 files without an image; look into them and edit them, without root or mount.
    #[command(subcommand)]
    Rootfs(RootfsCommand),
    /// Ask the agent of a guest that runs.
    #[command(subcommand)]
    Guest(guest::GuestCommand),
    /// Print a completion script for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory; prints the path of the first.
    #[command(after_help = examples::MAN)]
    Man {
        /// The directory, which is made if it is missing.
        dir: Utf8PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Pull an image and turn it into an ext4 file; prints the file's path.
    #[command(after_help = examples::PULL)]
    Pull(Box<PullArguments>),
    /// List the images there are.
    #[command(visible_alias = "ls")]
    List,
    /// Show what is known of an image.
    Show {
        /// Name, id, or unique beginning of an id.
        name: String,
    },
    /// Remove images.
    Rm {
        /// Names, ids, or unique beginnings of ids.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Give an image another name.
    Rename {
        /// Name, id, or unique beginning of an id.
        name: String,
        /// The new name.
        new_name: String,
    },
    /// Copy an image's ext4 file, with its holes, by reflink where the host can; prints the file's
    /// path.
    Export {
        /// Name, id, or unique beginning of an id.
        name: String,
        /// The ext4 file to write.
        #[arg(value_parser = output_file)]
        file: Utf8PathBuf,
        /// Replace FILE if it exists.
        #[arg(long)]
        force: bool,
    },
    /// Copy an image under another name, as export copies its file; prints the new file's path.
    Clone {
        /// Name, id, or unique beginning of an id.
        name: String,
        /// The copy's name.
        new_name: String,
    },
    /// Check images against their records and their own checksums; exit status 1 if one is damaged.
    Verify {
        /// Names, ids, or unique beginnings of ids.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// List or prune downloaded blobs.
    #[command(subcommand)]
    Cache(CacheCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// List the blobs in the cache.
    List,
    /// Remove blobs from the cache, never those that a running pull uses; prints their digests.
    #[command(after_help = examples::PRUNE)]
    Prune(PruneArguments),
}

#[derive(Debug, Args)]
pub(crate) struct PruneArguments {
    /// Only what was not used for this long, such as 12h, 7d or 4w.
    #[arg(long, value_name = "AGE", value_parser = crate::units::parse_age)]
    pub(crate) older_than: Option<std::time::Duration>,
    /// The longest unused first, until no more than this is left.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<Size>,
    /// Everything.
    #[arg(long, conflicts_with_all = ["older_than", "max_size"])]
    pub(crate) all: bool,
    /// Only tell what would go.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PullArguments {
    /// Which image: of a registry (debian:bookworm, ghcr.io/owner/repo@sha256:…), an OCI layout
    /// (oci:DIR[:NAME], oci:DIR@sha256:…), or the tar of one or what `docker save` wrote
    /// (oci-archive:FILE[:NAME], docker-archive:FILE[:NAME]). NAME is a tag or a whole name.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Name of the image, in the place of one that has it [default: made of the reference, as
    /// debian-bookworm of debian:bookworm].
    #[arg(long, conflicts_with = "output")]
    pub(crate) name: Option<String>,
    /// Platform to choose from an index, such as linux/arm64 [default: linux and this machine's
    /// architecture].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) file_system: FileSystemArguments,
    #[command(flatten)]
    pub(crate) guest: GuestBinaryArguments,
    /// Leave the image as it is: no agents, no fixes, nothing that makes it boot.
    #[arg(long, conflicts_with_all = ["init", "guest_dir"])]
    pub(crate) no_inject: bool,
    /// Write just this ext4 file instead of a managed image.
    #[arg(long, short, value_name = "FILE", value_parser = output_file)]
    pub(crate) output: Option<Utf8PathBuf>,
    /// Build again what is there already; replace FILE if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// Speak http to a registry that is not on this machine; to one that is, it is spoken where
    /// https does not answer.
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Trust the certificates in this PEM file too.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<Utf8PathBuf>,
    /// Layers to download at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Most bytes that one manifest or index may have [default: 4 MiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_manifest: Option<Size>,
    /// Most bytes that the image's configuration may have [default: 16 MiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_config: Option<Size>,
    /// Most bytes that the layers may have together, as they are published [default: 1 TiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_download: Option<Size>,
    #[command(flatten)]
    pub(crate) patience: PatienceArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

/// How long a registry may let a pull wait.
#[derive(Debug, Args)]
pub(crate) struct PatienceArguments {
    /// Fewest bytes a second that a transfer may bring over 30 seconds before it counts as broken; 0
    /// allows any [default: 1K].
    #[arg(long, value_name = "SIZE")]
    pub(crate) min_rate: Option<Size>,
    /// Longest time that the pauses between attempts may take together, such as 90s or 10m
    /// [default: 10m].
    #[arg(long, value_name = "TIME", value_parser = crate::units::parse_age)]
    pub(crate) max_wait: Option<std::time::Duration>,
    /// Longest time that all requests and downloads may take together [default: 12h].
    #[arg(long, value_name = "TIME", value_parser = crate::units::parse_age)]
    pub(crate) max_time: Option<std::time::Duration>,
    /// Most addresses of foreign layers to try [default: 64].
    #[arg(long, value_name = "N")]
    pub(crate) max_urls: Option<u64>,
}

/// Returns the path of an ext4 file that is to be written, which `-` is not taken for.
fn output_file(text: &str) -> Result<Utf8PathBuf, String> {
    match text {
        "-" => Err("an ext4 file cannot go to standard output; write ./- for a file of that name".to_owned()),
        path => Ok(path.into()),
    }
}

/// The file system that is written.
#[derive(Debug, Args)]
pub(crate) struct FileSystemArguments {
    /// Size of the file system, such as 512M or 4GiB (1024), 4GB (1000) [default: content × 1.25,
    /// at least 1 GiB].
    #[arg(long)]
    pub(crate) size: Option<Size>,
    /// Least number of inodes [default: one for every 16 KiB].
    #[arg(long, value_name = "N")]
    pub(crate) inodes: Option<u32>,
    /// What writes the file system: native, or e2fsprogs, which calls this machine's mkfs.ext4 and
    /// debugfs.
    #[arg(long, value_name = "NAME", default_value = banger::DEFAULT_BACKEND)]
    pub(crate) backend: String,
}

/// What makes a root file system boot.
#[derive(Debug, Args)]
pub(crate) struct GuestBinaryArguments {
    /// Which init the guest gets: the image's or else banger's, the image's only, banger's, or one
    /// that is installed on the first boot.
    #[arg(long, value_name = "auto|image|banger|install", default_value = "auto")]
    pub(crate) init: String,
    /// Directory of guest binaries, banger-guest-amd64 and so on [default: the one within banger].
    #[arg(long, value_name = "DIR")]
    pub(crate) guest_dir: Option<Utf8PathBuf>,
}

impl GuestBinaryArguments {
    /// Returns them as the library takes them.
    pub(crate) fn options(&self) -> Result<banger::GuestOptions, banger::Error> {
        let init = banger::parse_init_mode(&self.init)?;
        Ok(banger::GuestOptions::default().with_init(init).with_dir(self.guest_dir.clone()))
    }
}

/// How much of the host an input may take.
#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    /// Most bytes that the files and directories of the input may take, in whole blocks [default: 64G].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_content: Option<Size>,
    /// Most entries that the input may have [default: 10000000].
    #[arg(long, value_name = "N")]
    pub(crate) max_entries: Option<u64>,
    /// Most bytes that one file may have [default: 1T].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_file: Option<Size>,
    /// Deepest directory nesting that the input may have [default: 1024].
    #[arg(long, value_name = "N")]
    pub(crate) max_depth: Option<u64>,
    /// Most memory that names, symlink targets and xattrs may take, besides 300 bytes an entry
    /// [default: 96M].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_metadata: Option<Size>,
    /// Most bytes that the tars of the input may have [default: 128G].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_tar: Option<Size>,
    /// Most components of paths and symlinks to go through, besides 32 a path [default: 4194304].
    #[arg(long, value_name = "N")]
    pub(crate) max_path_components: Option<u64>,
    /// Most layers that the image may have [default: 512].
    #[arg(long, value_name = "N")]
    pub(crate) max_layers: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn definitions_are_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_names_the_limits_of_the_library() {
        let limits = banger::Limits::default();
        let mut command = Arguments::command();
        let pull = command.find_subcommand_mut("image").unwrap().find_subcommand_mut("pull").unwrap();
        for (name, want) in [
            ("max_content", limits.max_content_bytes),
            ("max_entries", limits.max_entries),
            ("max_file", limits.max_file_bytes),
            ("max_depth", limits.max_depth),
            ("max_metadata", limits.max_metadata_bytes),
            ("max_tar", limits.max_tar_bytes),
            ("max_path_components", limits.max_path_components),
            ("max_layers", limits.max_layers),
        ] {
            let argument = pull.get_arguments().find(|argument| argument.get_id() == name).unwrap();
            let help = argument.get_help().unwrap().to_string();
            let (_, default) = help.split_once("[default: ").expect(name);
            assert_eq!(default.trim_end_matches([']', '.']).parse(), Ok(Size(want)), "{name}");
        }
        let defaults = banger::PullOptions::default();
        let default_of = |name: &str| {
            let argument = pull.get_arguments().find(|argument| argument.get_id() == name).unwrap();
            let help = argument.get_help().unwrap().to_string();
            let (_, default) = help.split_once("[default: ").expect(name);
            default.trim_end_matches([']', '.']).to_owned()
        };
        assert_eq!(default_of("min_rate").parse(), Ok(Size(defaults.min_rate_bytes)));
        assert_eq!(default_of("max_urls").parse(), Ok(defaults.budget.limit(banger::Cost::Urls)));
        for (name, want) in [("max_wait", defaults.max_wait), ("max_time", defaults.max_time)] {
            assert_eq!(crate::units::parse_age(&default_of(name)), Ok(want), "{name}");
        }
    }
}
