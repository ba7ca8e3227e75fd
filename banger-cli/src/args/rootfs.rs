//! Arguments of `banger rootfs`.

use std::ffi::OsString;
use std::str::FromStr;

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::{FileSystemArguments, GuestBinaryArguments, LimitArguments, examples};
use crate::units::Size;

#[derive(Debug, Subcommand)]
pub(crate) enum RootfsCommand {
    /// Build an ext4 file from a directory or a tar; prints the file's path.
    #[command(after_help = examples::BUILD)]
    Build(Box<BuildArguments>),
    /// List what is in an ext4 file.
    Ls(LsArguments),
    /// Write files of an ext4 file to standard output.
    Cat(CatArguments),
    /// Show all that is known of paths in an ext4 file.
    Stat(StatArguments),
    /// Put files and directories of this host into an ext4 file.
    #[command(after_help = examples::PUT)]
    Put(PutArguments),
    /// Make directories in an ext4 file.
    Mkdir(MkdirArguments),
    /// Make hard links or symlinks in an ext4 file.
    Ln(LnArguments),
    /// Move or rename what is in an ext4 file.
    Mv(MvArguments),
    /// Remove what is in an ext4 file.
    Rm(RmArguments),
    /// Change modes in an ext4 file.
    Chmod(ChmodArguments),
    /// Change owners in an ext4 file.
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
pub(crate) struct LsArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Paths in it.
    #[arg(value_name = "PATH", default_value = "/")]
    pub(crate) paths: Vec<OsString>,
    /// Mode, links, owner, group, size, time and target too; does not follow a symlink PATH.
    #[arg(long, short)]
    pub(crate) long: bool,
    /// Directories with all below them.
    #[arg(long, short = 'R', conflicts_with = "directory")]
    pub(crate) recursive: bool,
    /// A directory itself, not what is in it.
    #[arg(long, short)]
    pub(crate) directory: bool,
    /// Numbers of owners and groups, not the names that the image has for them.
    #[arg(long, short, requires = "long")]
    pub(crate) numeric: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CatArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Regular files in it, or symlinks to them; with --json their bytes are printed in base64.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Refuse files that have more bytes together than SIZE with --json, which keeps them in memory.
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
    /// What a symlink leads to, not the symlink.
    #[arg(long, short = 'L')]
    pub(crate) dereference: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PutArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Files and directories of this host (`-` is standard input, `DIR/.` what is in DIR), and last
    /// the path in the ext4 file, which they go below if it is a directory.
    #[arg(value_names = ["SRC", "DEST"], num_args = 2.., required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Mode of the files, such as 600 or u=rw,go= [default: that of the file replaced, else the
    /// source's permissions; 644 for standard input].
    #[arg(long, short, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// Owner of files and new directories, by numbers or the image's own names [default: that of
    /// the file replaced, else 0:0].
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
    #[arg(long, short, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// Owner of the directories, by numbers or the image's own names [default: 0:0].
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub(crate) owner: Option<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct LnArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// What the links lead to, and last their name, or the directory that they go into.
    #[arg(value_names = ["TARGET", "LINK"], num_args = 2.., required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Symlinks, with TARGET as it is given.
    #[arg(long, short)]
    pub(crate) symbolic: bool,
    /// Replace what is at LINK, unless it is a directory.
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MvArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// What to move, and last the new name, or the directory that it goes into.
    #[arg(value_names = ["SRC", "DEST"], num_args = 2.., required = true)]
    pub(crate) paths: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct RmArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// What to remove.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Directories too, with all in them.
    #[arg(long, short, visible_short_alias = 'R')]
    pub(crate) recursive: bool,
    /// Pass over what does not exist.
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChmodArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Octal (644) or symbolic (u+x, go-w, a=rX) as GNU chmod has it; one that starts with a dash
    /// comes behind `--`.
    pub(crate) mode: String,
    /// Paths in it; symlinks are followed.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Directories with all below them but symlinks.
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChownArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// USER, USER:GROUP, USER: or :GROUP, by numbers or by the image's own /etc/passwd and
    /// /etc/group.
    pub(crate) owner: OsString,
    /// Paths in it; symlinks are followed.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Directories with all below them, symlinks themselves.
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
    /// A symlink itself, not what it leads to.
    #[arg(long)]
    pub(crate) no_dereference: bool,
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
