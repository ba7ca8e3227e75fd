//! Arguments of `banger rootfs`.

use std::ffi::OsString;
use std::str::FromStr;

use camino::Utf8PathBuf;
use clap::{ArgAction, Args, Subcommand};

use super::{FileSystemArguments, GuestBinaryArguments, LimitArguments, examples};
use crate::units::Size;

#[derive(Debug, Subcommand)]
pub(crate) enum RootfsCommand {
    /// Build an ext4 file from a directory or a tar; prints the file's path.
    #[command(after_help = examples::BUILD)]
    Build(Box<BuildArguments>),
    /// List what is in an ext4 file.
    #[command(after_help = examples::LS)]
    Ls(LsArguments),
    /// Write files of an ext4 file to standard output.
    Cat(CatArguments),
    /// Show all that is known of paths in an ext4 file.
    #[command(after_help = examples::STAT)]
    Stat(StatArguments),
    /// Put files and directories of this host into an ext4 file.
    #[command(after_help = examples::PUT)]
    Put(PutArguments),
    /// Make directories in an ext4 file.
    Mkdir(MkdirArguments),
    /// Make hard links or symlinks in an ext4 file.
    #[command(after_help = examples::LN)]
    Ln(LnArguments),
    /// Move or rename what is in an ext4 file.
    Mv(MvArguments),
    /// Remove what is in an ext4 file.
    #[command(after_help = examples::RM)]
    Rm(RmArguments),
    /// Change modes in an ext4 file.
    #[command(after_help = examples::CHMOD)]
    Chmod(ChmodArguments),
    /// Change owners in an ext4 file.
    #[command(after_help = examples::CHOWN)]
    Chown(ChownArguments),
    /// Make an ext4 file boot: put banger's agents, and an init where it has none, into it.
    Inject(InjectArguments),
    /// Make an ext4 file larger, and the file system in it.
    Resize(ResizeArguments),
}

/// The ext4 file that a command is about.
#[derive(Debug, Args)]
pub(crate) struct FileArgument {
    /// The ext4 file; that of a managed image is the path that `banger image show NAME` tells.
    pub(crate) file: Utf8PathBuf,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct LsArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Paths in it.
    #[arg(value_name = "PATH", default_value = "/")]
    pub(crate) paths: Vec<OsString>,
    /// Show mode, links, owner, group, size, time and target too; does not follow a symlink PATH.
    #[arg(long, short)]
    pub(crate) long: bool,
    /// List `.` and `..` too. Names that start with a dot are listed always.
    #[arg(long, short)]
    pub(crate) all: bool,
    /// List names that start with a dot (the default).
    #[arg(long, short = 'A', overrides_with = "all")]
    pub(crate) almost_all: bool,
    /// Print one name a line (the default).
    #[arg(short = '1')]
    pub(crate) one: bool,
    /// Show sizes with a letter for K, M, G or T, powers of 1024.
    #[arg(long, short = 'h')]
    pub(crate) human_readable: bool,
    /// List directories with all below them.
    #[arg(long, short = 'R', conflicts_with = "directory")]
    pub(crate) recursive: bool,
    /// List the directory itself, not its contents.
    #[arg(long, short)]
    pub(crate) directory: bool,
    /// Show numbers of owners and groups, not the image's names for them; implies --long.
    #[arg(long, short, visible_alias = "numeric-uid-gid")]
    pub(crate) numeric: bool,
    /// Show the number of each inode first.
    #[arg(long, short)]
    pub(crate) inode: bool,
    /// Add a character for the type: / directory, @ symlink, * program, | FIFO, = socket.
    #[arg(long, short = 'F')]
    pub(crate) classify: bool,
    /// Sort by time, the newest first.
    #[arg(short = 't', overrides_with = "by_size")]
    pub(crate) by_time: bool,
    /// Sort by size, the largest first.
    #[arg(short = 'S', overrides_with = "by_time")]
    pub(crate) by_size: bool,
    /// Reverse the order.
    #[arg(long, short)]
    pub(crate) reverse: bool,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct CatArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Regular files in it, or symlinks to them; with --json their bytes are printed in base64.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// With --json, refuse files that have more bytes together than SIZE.
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub(crate) max_output: Size,
}

#[derive(Debug, Args)]
pub(crate) struct StatArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Paths in it.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Show what a symlink leads to, not the symlink.
    #[arg(long, short = 'L')]
    pub(crate) dereference: bool,
    /// Print FORMAT for each path, with a new line after it.
    #[arg(long, short = 'c', value_name = "FORMAT", conflicts_with = "printf")]
    pub(crate) format: Option<OsString>,
    /// Print FORMAT for each path; read escapes such as \n, and add no newline.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) printf: Option<OsString>,
}

/// Where put, ln and mv put things.
#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// Put all paths into the directory DIR, which is in the ext4 file.
    #[arg(long, short = 't', value_name = "DIR", conflicts_with = "no_target_directory")]
    pub(crate) target_directory: Option<OsString>,
    /// Treat the last path as the new name, even if it is a directory.
    #[arg(long, short = 'T')]
    pub(crate) no_target_directory: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PutArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Files and directories of this host (`-` is standard input, `DIR/.` what is in DIR), and last
    /// the path in the ext4 file, which they go below if it is a directory.
    #[arg(value_names = ["SRC", "DEST"], num_args = 1.., required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Copy directories with their contents (the default).
    #[arg(long, short, short_alias = 'R')]
    pub(crate) recursive: bool,
    /// Replace existing files (the default).
    #[arg(long, short, overrides_with = "no_clobber")]
    pub(crate) force: bool,
    /// Keep existing files.
    #[arg(long, short, overrides_with = "force")]
    pub(crate) no_clobber: bool,
    /// Mode of the files, such as 600 or u=rw,go= [default: that of the file replaced, else the
    /// source's permissions; 644 for standard input].
    #[arg(long, short, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// Owner of files and new directories, by numbers or the image's own names [default: that of
    /// the file replaced, else 0:0, or the group of a setgid directory].
    #[arg(long, short, value_name = "USER[:GROUP]", conflicts_with_all = ["uid", "gid"])]
    pub(crate) owner: Option<OsString>,
    /// Owner of files and new directories.
    #[arg(long, value_name = "UID")]
    pub(crate) uid: Option<u32>,
    /// Group of files and new directories.
    #[arg(long, value_name = "GID")]
    pub(crate) gid: Option<u32>,
    /// Make missing directories on the way to DEST, with mode 755.
    #[arg(long, short)]
    pub(crate) parents: bool,
    /// Replace a symlink that is at DEST, not the file it leads to.
    #[arg(long)]
    pub(crate) no_dereference: bool,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

#[derive(Debug, Args)]
pub(crate) struct MkdirArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// The directories.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Make missing directories on the way too, and accept those that are there.
    #[arg(long, short)]
    pub(crate) parents: bool,
    /// Mode of the directories [default: 755].
    #[arg(long, short, value_name = "MODE", allow_hyphen_values = true)]
    pub(crate) mode: Option<String>,
    /// Owner of the directories, by numbers or the image's own names [default: 0:0, or the group of a
    /// setgid directory].
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub(crate) owner: Option<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct LnArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// What the links lead to, and last their name, or the directory that they go into.
    #[arg(value_names = ["TARGET", "LINK"], num_args = 1.., required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Make symlinks, with TARGET as it is given.
    #[arg(long, short)]
    pub(crate) symbolic: bool,
    /// Replace what is at LINK, unless it is a directory.
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Take a LINK that is a symlink to a directory as the link, not as the directory.
    #[arg(long, short)]
    pub(crate) no_dereference: bool,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

#[derive(Debug, Args)]
pub(crate) struct MvArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// What to move, and last the new name, or the directory that it goes into.
    #[arg(value_names = ["SRC", "DEST"], num_args = 1.., required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Replace existing files (the default).
    #[arg(long, short, overrides_with = "no_clobber")]
    pub(crate) force: bool,
    /// Keep existing files, and leave the source where it is.
    #[arg(long, short, overrides_with = "force")]
    pub(crate) no_clobber: bool,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RmArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// What to remove.
    #[arg(value_name = "PATH", required_unless_present = "force")]
    pub(crate) paths: Vec<OsString>,
    /// Remove directories too, with all in them.
    #[arg(long, short, visible_short_alias = 'R')]
    pub(crate) recursive: bool,
    /// Pass over what does not exist.
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Remove directories too, if nothing is in them.
    #[arg(long, short)]
    pub(crate) dir: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChmodArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Octal (644) or symbolic (u+x, go-w, -x, a=rX) as GNU chmod has it, without a umask.
    pub(crate) mode: String,
    /// Paths in it; symlinks are followed.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Change directories with all below them but symlinks.
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct ChownArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// USER, USER:GROUP, USER: or :GROUP, by numbers or by the image's own /etc/passwd and
    /// /etc/group.
    pub(crate) owner: OsString,
    /// Paths in it; symlinks are followed, but not with --recursive.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Change directories with all below them, symlinks themselves.
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
    /// Change a symlink itself, not what it leads to.
    #[arg(long, short = 'h')]
    pub(crate) no_dereference: bool,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct InjectArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    #[command(flatten)]
    pub(crate) guest: GuestBinaryArguments,
    /// The guest's processor, as OCI calls it [default: that of the programs in the image].
    #[arg(long, value_name = "ARCH")]
    pub(crate) architecture: Option<String>,
    /// Name of the machine, for an image that has none [default: banger].
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResizeArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// The new size, such as 4G, or how much more, such as +1G.
    pub(crate) size: NewSize,
}

/// A size, or a size behind a plus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewSize(pub(crate) banger::rootfs::NewSize);

impl FromStr for NewSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use banger::rootfs::NewSize as Wanted;
        Ok(Self(match text.strip_prefix('+') {
            Some(more) => Wanted::More(more.parse::<Size>()?.0),
            None => Wanted::Bytes(text.parse::<Size>()?.0),
        }))
    }
}

#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    /// A directory, or a tar: plain, or compressed with gzip or zstd; `-` for a tar on standard
    /// input.
    pub(crate) source: Utf8PathBuf,
    /// The ext4 file to write; not in the directory.
    #[arg(value_parser = super::output_file)]
    pub(crate) file: Utf8PathBuf,
    #[command(flatten)]
    pub(crate) file_system: FileSystemArguments,
    /// Name of the file system, at most 16 bytes.
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// UUID of the file system [default: made of names, sizes, times and owners of the files].
    #[arg(long)]
    pub(crate) uuid: Option<String>,
    /// Replace FILE if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}
