//! The arguments, one definition a flag.

pub(crate) mod boot;
pub(crate) mod clone;
mod commit;
mod examples;
pub(crate) mod file_system;
pub(crate) mod guest;
pub(crate) mod image_build;
pub(crate) mod kernel;
mod patience;
mod places;
mod prune;
pub(crate) mod registry;
mod rootfs;
mod rootfs_file;
mod rootfs_survey;
mod trust;
mod verity;
pub(crate) mod vm;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
pub(crate) use commit::CommitArguments;
use file_system::FileSystemArguments;
pub(crate) use patience::PatienceArguments;
use places::output_file;
pub(crate) use places::{CacheArguments, StateArguments};
pub(crate) use prune::{CacheCommand, ImagePruneArguments, PruneArguments};
pub(crate) use rootfs::{
    BuildArguments, CatArguments, ChmodArguments, ChownArguments, InjectArguments, LnArguments, LsArguments,
    MkdirArguments, MvArguments, PutArguments, ResizeArguments, RmArguments, RootfsCommand, StatArguments,
    TarArguments, TargetArguments,
};
pub(crate) use rootfs_file::FileArgument;
pub(crate) use rootfs_survey::{
    DfArguments, DiffArguments, DuArguments, EditArguments, FindArguments, GetArguments, RepairArguments,
    TypeLetter, VerifyArguments,
};

pub(crate) use trust::TrustArguments;
pub(crate) use verity::VerityArguments;

use crate::units::Size;

/// Turn container images into bootable ext4 root file systems.
///
/// banger needs no daemon, no root and no mount. It prints data on standard output and everything else
/// on standard error.
///
/// Exit status: 0 success; 1 the input or the remote side is at fault; 2 banger has a fault;
/// 130 interrupted. `guest exec` and `guest wait` exit with the status of the program in the guest.
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
    /// Print one JSON document on standard output and nothing else there.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show progress on standard error.
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// Log requests on standard error; twice: log every event. BANGER_LOG=LEVEL does the same, LEVEL being error,
    /// warn, info, debug (-v) or trace (-vv).
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// Draw bars if standard error is a terminal, else show nothing
    Auto,
    /// Draw bars
    Bar,
    /// Print one JSON document a line, also for notes, warnings and errors
    Json,
    /// Show nothing
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pull, build, list, show, copy, check and remove images.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Import, pull, list, show, check, pack and remove kernels.
    #[command(subcommand)]
    Kernel(kernel::KernelCommand),
    /// Build, read and edit ext4 files, without root or mount.
    #[command(subcommand)]
    Rootfs(RootfsCommand),
    /// Run images in virtual machines.
    #[command(subcommand)]
    Vm(vm::VmCommand),
    /// Talk to the agent in a running guest.
    #[command(subcommand)]
    Guest(guest::GuestCommand),
    /// Log in to a registry, for banger, podman and docker.
    #[command(after_help = examples::LOGIN)]
    Login(Box<registry::LoginArguments>),
    /// Log out of a registry; print the names of the registries.
    #[command(after_help = examples::LOGOUT)]
    Logout(registry::LogoutArguments),
    /// Show what this machine has and lacks; exit with status 1 if the directories cannot be used.
    #[command(after_help = examples::DOCTOR)]
    Doctor {
        #[command(flatten)]
        state: StateArguments,
        #[command(flatten)]
        cache: CacheArguments,
    },
    /// Print a completion script for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Shell to print the script for.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory; print the path of the first one.
    #[command(after_help = examples::MAN)]
    Man {
        /// Directory to write to; banger creates it if it is missing.
        dir: Utf8PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Pull an image and build its ext4 file; print the file's path.
    #[command(after_help = examples::PULL)]
    Pull(Box<PullArguments>),
    /// Show what the manifest and the configuration of an image tell, without a download of its layers.
    #[command(after_help = examples::INSPECT)]
    Inspect(Box<registry::InspectArguments>),
    /// Build an image from another one by steps in a virtual machine; print the file's path.
    #[command(after_help = examples::IMAGE_BUILD)]
    Build(Box<image_build::ImageBuildArguments>),
    /// Make a managed image of an ext4 file that exists; print the path of the image's file.
    ///
    /// The image gets a copy of the file, which keeps holes, and shares blocks where the host's file system supports
    /// reflinks.
    #[command(after_help = examples::REGISTER)]
    Register(RegisterArguments),
    /// Push an image to a registry, as a finished root file system; print the digest.
    ///
    /// `banger image pull` makes the same file of it, byte for byte, on any machine. Parts that the registry has are not
    /// sent again.
    #[command(after_help = examples::IMAGE_PUSH)]
    Push(Box<registry::ImagePushArguments>),
    /// Make a container image of a disk that ran; print the digest.
    ///
    /// The image has the layers of the base and one more, with what the disk changed. Any container tool can pull and
    /// run it.
    #[command(after_help = examples::IMAGE_COMMIT)]
    Commit(Box<CommitArguments>),
    /// List images.
    #[command(visible_alias = "ls")]
    List {
        /// Print names only, one a line.
        #[arg(long, short)]
        quiet: bool,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Show the record of an image.
    Show {
        /// Name, id, or unique prefix of an id.
        name: String,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Remove images.
    Rm {
        /// Names, ids, or unique prefixes of ids.
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Remove the images that no --keep names; print their ids. Images in use stay.
    #[command(after_help = examples::IMAGE_PRUNE)]
    Prune(ImagePruneArguments),
    /// Rename an image.
    Rename {
        /// Name, id, or unique prefix of an id.
        name: String,
        /// New name.
        new_name: String,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Copy the ext4 file of an image, without its hash tree and the files of its kernel; print the new path.
    ///
    /// The copy keeps holes, and shares blocks where the host's file system supports reflinks.
    Export {
        /// Name, id, or unique prefix of an id.
        name: String,
        /// ext4 file to write.
        #[arg(value_parser = output_file)]
        file: Utf8PathBuf,
        /// Replace FILE if it exists.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Copy an image for one machine, as another managed image or an ext4 file; print the path of the new ext4 file.
    ///
    /// The copy keeps holes, and shares blocks where the host's file system supports reflinks. A managed clone has the
    /// kernel of the image, too.
    #[command(after_help = examples::IMAGE_CLONE)]
    Clone(Box<clone::CloneArguments>),
    /// Check images against their records and checksums; exit with status 1 if one is damaged.
    Verify {
        /// Names, ids, or unique prefixes of ids.
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Print what a virtual machine monitor needs to start an image with a kernel.
    #[command(after_help = examples::BOOT_PLAN)]
    BootPlan(Box<boot::BootPlanArguments>),
    /// List and check downloaded blobs; prune them and the disks of builds.
    #[command(subcommand)]
    Cache(CacheCommand),
}

#[derive(Debug, Args)]
pub(crate) struct PullArguments {
    /// Image to pull; NAME is a tag or a whole image name:
    /// debian:bookworm, ghcr.io/owner/repo@sha256:…  an image of a registry
    /// oci:DIR[:NAME], oci:DIR@sha256:…              an image of an OCI layout
    /// oci-archive:FILE[:NAME]                       an image of an OCI layout in a tar
    /// docker-archive:FILE[:NAME]                    an image of a tar that `docker save` wrote
    /// docker-archive:-, oci-archive:-               an image of a tar on the standard input
    /// docker-daemon:NAME, podman:NAME               an image of the daemon on this machine
    /// containers-storage:NAME                       an image in the storage of podman
    /// containerd:DIR[:NAMESPACE]:NAME               an image in the root directory of containerd
    #[arg(value_name = "REF", verbatim_doc_comment)]
    pub(crate) reference: String,
    /// Give the image this name, and replace an older image of this name [default: made from the
    /// reference: debian-bookworm for debian:bookworm].
    #[arg(long, conflicts_with = "output")]
    pub(crate) name: Option<String>,
    /// Pull the image for this platform, such as linux/arm64 [default: linux and this machine's
    /// architecture].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) file_system: FileSystemArguments,
    #[command(flatten)]
    pub(crate) guest: GuestBinaryArguments,
    /// Build the image as it is, without agents and fixes for booting.
    #[arg(long, conflicts_with_all = ["init", "guest_dir"])]
    pub(crate) no_inject: bool,
    #[command(flatten)]
    pub(crate) kernel: KernelRefArguments,
    #[command(flatten)]
    pub(crate) verity: VerityArguments,
    /// Write this ext4 file instead of a managed image.
    #[arg(long, short, value_name = "FILE", value_parser = output_file)]
    pub(crate) output: Option<Utf8PathBuf>,
    /// Build the image again even if it is up to date; replace FILE if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) policy: registry::PolicyArguments,
    /// Print nothing but the path of the file, and errors.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) registry: registry::RegistryArguments,
    /// Download N layers at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    /// Refuse a manifest or index larger than SIZE [default: 4 MiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_manifest: Option<Size>,
    /// Refuse an image configuration larger than SIZE [default: 16 MiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_config: Option<Size>,
    /// Refuse layers whose compressed sizes add up to more than SIZE [default: 1 TiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_download: Option<Size>,
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
    /// Pull a finished root file system only, as `banger image push` pushes it; convert no image.
    #[arg(long)]
    pub(crate) rootfs_only: bool,
    /// Fetch the SBOMs, attestations and signatures that refer to the image, at most 64 and 32 MiB.
    #[arg(long, conflicts_with = "output")]
    pub(crate) referrers: bool,
    #[command(flatten)]
    pub(crate) patience: PatienceArguments,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RegisterArguments {
    /// ext4 file to copy; it stays as it is.
    #[arg(long, value_name = "FILE")]
    pub(crate) rootfs: Utf8PathBuf,
    /// Give the image this name, and replace an older image of this name [default: made from the file's
    /// name].
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) kernel: KernelRefArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}

/// The kernel that goes with an image.
#[derive(Debug, Args)]
pub(crate) struct KernelRefArguments {
    /// Add this kernel to the image, and its modules to the file system: the name, the id or the unique
    /// prefix of an id of an imported kernel.
    #[arg(long, value_name = "KERNEL")]
    pub(crate) kernel_ref: Option<String>,
}

/// Which init a guest gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InitChoice {
    /// Use the image's init if it has one, else banger's
    Auto,
    /// Use the image's init; fail if it has none
    Image,
    /// Use banger's init, which runs the image's entry point
    Banger,
    /// Install an init with the image's package manager on the first boot
    Install,
}

impl From<InitChoice> for banger::InitMode {
    fn from(choice: InitChoice) -> Self {
        match choice {
            InitChoice::Auto => Self::Auto,
            InitChoice::Image => Self::Image,
            InitChoice::Banger => Self::Banger,
            InitChoice::Install => Self::Install,
        }
    }
}

/// What makes a root file system boot.
#[derive(Debug, Args)]
pub(crate) struct GuestBinaryArguments {
    /// Choose the guest's init.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) init: InitChoice,
    /// Use the file banger-guest-amd64 or banger-guest-arm64 in DIR as the guest binary [default: the
    /// binary inside banger].
    #[arg(long, value_name = "DIR")]
    pub(crate) guest_dir: Option<Utf8PathBuf>,
}

impl GuestBinaryArguments {
    /// Returns them as the library takes them.
    pub(crate) fn options(&self) -> banger::GuestOptions {
        banger::GuestOptions::default().with_init(self.init.into()).with_dir(self.guest_dir.clone())
    }
}

/// How much of the host an input may take.
#[derive(Debug, Args)]
pub(crate) struct LimitArguments {
    /// Refuse input whose files and directories take more than SIZE, in whole blocks [default: 64G].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_content: Option<Size>,
    /// Refuse input with more than N entries [default: 10000000].
    #[arg(long, value_name = "N")]
    pub(crate) max_entries: Option<u64>,
    /// Refuse a file larger than SIZE [default: 1T].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_file: Option<Size>,
    /// Refuse directories nested deeper than N [default: 1024].
    #[arg(long, value_name = "N")]
    pub(crate) max_depth: Option<u64>,
    /// Refuse input whose names, symlink targets and xattrs take more memory than SIZE, besides 300
    /// bytes an entry [default: 96M].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_metadata: Option<Size>,
    /// Refuse tars whose uncompressed sizes add up to more than SIZE [default: 128G].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_tar: Option<Size>,
    /// Refuse input that needs more than N components of paths and symlinks to be resolved, besides 32
    /// a path [default: 4194304].
    #[arg(long, value_name = "N")]
    pub(crate) max_path_components: Option<u64>,
    /// Refuse an image with more than N layers [default: 512].
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

    /// Returns the commands below `command` that have no commands of their own.
    fn leaves(command: &clap::Command, path: &str) -> Vec<String> {
        if !command.has_subcommands() {
            return vec![path.trim().to_owned()];
        }
        let inner = command.get_subcommands();
        inner.flat_map(|inner| leaves(inner, &format!("{path} {}", inner.get_name()))).collect()
    }

    #[test]
    fn commands_are_in_the_table_of_the_c_library() {
        let text = include_str!("../../docs/ffi.md");
        let table = text.split("| CLI | Rust |").nth(1).expect("the table").split("\n\n").next().unwrap();
        let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
        let mut commands = leaves(&Arguments::command(), "");
        commands.retain(|command| !["completions", "man"].contains(&command.as_str()));
        let mut rows: Vec<&str> = rows.collect();
        rows.sort_unstable();
        commands.sort_unstable();
        assert_eq!(rows, commands);
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
