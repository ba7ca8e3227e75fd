//! Arguments of `banger rootfs`.

use std::ffi::OsString;

use camino::Utf8PathBuf;
use clap::{ArgAction, Args, Subcommand};

use super::file_system::FileSystemArguments;
use super::rootfs_file::FileArgument;
use super::rootfs_survey::{
    DfArguments, DiffArguments, DuArguments, EditArguments, FindArguments, GetArguments, RepairArguments,
    VerifyArguments,
};
use super::{GuestBinaryArguments, LimitArguments, examples};
use crate::units::{NewSize, Size};

#[derive(Debug, Subcommand)]
pub(crate) enum RootfsCommand {
    /// Build an ext4 file from a directory or a tar; print the file's path.
    #[command(after_help = examples::BUILD)]
    Build(Box<BuildArguments>),
    /// List files and directories in an ext4 file.
    #[command(after_help = examples::LS)]
    Ls(LsArguments),
    /// Print the contents of files in an ext4 file.
    Cat(CatArguments),
    /// Write files and directories of an ext4 file as a tar.
    ///
    /// The tar has owners, times, extended attributes, hard links, devices and holes. Names in it begin below PATH.
    #[command(after_help = examples::TAR)]
    Tar(TarArguments),
    /// Copy files and directories of an ext4 file to this host.
    ///
    /// Copies have the modes, times, owners, extended attributes, hard links and holes, as far as your user may set
    /// them. Each path is complete or absent.
    #[command(after_help = examples::GET)]
    Get(GetArguments),
    /// Show how much space and how many inodes of an ext4 file are in use.
    Df(DfArguments),
    /// Show how much space files and directories in an ext4 file take.
    Du(DuArguments),
    /// Find files in an ext4 file.
    #[command(after_help = examples::FIND)]
    Find(Box<FindArguments>),
    /// Compare two ext4 files, path by path.
    #[command(after_help = examples::DIFF)]
    Diff(DiffArguments),
    /// Check an ext4 file for damage; exit with status 1 if there is any.
    Verify(VerifyArguments),
    /// Repair counters, bitmaps and their checksums in an ext4 file; exit with status 1 if there is other damage.
    ///
    /// Other damage is named, and then no byte changes: run e2fsck on it.
    Repair(RepairArguments),
    /// Show the metadata of paths in an ext4 file.
    #[command(after_help = examples::STAT)]
    Stat(StatArguments),
    /// Copy files and directories of this host into an ext4 file.
    #[command(after_help = examples::PUT)]
    Put(PutArguments),
    /// Carry out a script of edits of an ext4 file: all of them, or none.
    #[command(after_help = examples::EDIT)]
    Edit(EditArguments),
    /// Create directories in an ext4 file.
    Mkdir(MkdirArguments),
    /// Create hard links or symlinks in an ext4 file.
    #[command(after_help = examples::LN)]
    Ln(LnArguments),
    /// Move or rename files and directories in an ext4 file.
    Mv(MvArguments),
    /// Remove files and directories from an ext4 file.
    #[command(after_help = examples::RM)]
    Rm(RmArguments),
    /// Change modes of files and directories in an ext4 file.
    #[command(after_help = examples::CHMOD)]
    Chmod(ChmodArguments),
    /// Change owners of files and directories in an ext4 file.
    #[command(after_help = examples::CHOWN)]
    Chown(ChownArguments),
    /// Make an ext4 file bootable: add banger's agent, and banger's init if the file has none.
    Inject(InjectArguments),
    /// Grow or shrink an ext4 file and the file system in it.
    #[command(after_help = examples::RESIZE)]
    Resize(ResizeArguments),
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct LsArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Paths in the ext4 file.
    #[arg(value_name = "PATH", default_value = "/")]
    pub(crate) paths: Vec<OsString>,
    /// Show mode, links, owner, group, size, time and target; do not follow a PATH that is a symlink.
    #[arg(long, short)]
    pub(crate) long: bool,
    /// List `.` and `..` too; names that start with a dot are always listed.
    #[arg(long, short)]
    pub(crate) all: bool,
    /// List names that start with a dot (the default).
    #[arg(long, short = 'A', overrides_with = "all")]
    pub(crate) almost_all: bool,
    /// Print one name a line (the default).
    #[arg(short = '1')]
    pub(crate) one: bool,
    /// Show sizes with K, M, G or T (powers of 1024).
    #[arg(long, short = 'h')]
    pub(crate) human_readable: bool,
    /// List directories recursively.
    #[arg(long, short = 'R', conflicts_with = "directory")]
    pub(crate) recursive: bool,
    /// List the directory itself, not its contents.
    #[arg(long, short)]
    pub(crate) directory: bool,
    /// Show owners and groups as numbers instead of the image's names; implies --long.
    #[arg(long, short, visible_alias = "numeric-uid-gid")]
    pub(crate) numeric: bool,
    /// Show inode numbers.
    #[arg(long, short)]
    pub(crate) inode: bool,
    /// Append a character for the type: / directory, @ symlink, * program, | FIFO, = socket.
    #[arg(long, short = 'F')]
    pub(crate) classify: bool,
    /// Sort by time, newest first.
    #[arg(short = 't', overrides_with = "by_size")]
    pub(crate) by_time: bool,
    /// Sort by size, largest first.
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
    /// Regular files in the ext4 file, or symlinks to them; --json prints their bytes in base64.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// With --json, refuse files whose sizes add up to more than SIZE.
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub(crate) max_output: Size,
}

#[derive(Debug, Args)]
pub(crate) struct TarArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// File or directory in the ext4 file, or a symlink to one.
    #[arg(value_name = "PATH", default_value = "/")]
    pub(crate) path: OsString,
    /// Write to this file; `-` is standard output.
    #[arg(long, short, value_name = "OUT", default_value = "-")]
    pub(crate) output: Utf8PathBuf,
    /// Replace OUT if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Paths in the ext4 file.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Show the target of a symlink instead of the symlink.
    #[arg(long, short = 'L')]
    pub(crate) dereference: bool,
    /// Print FORMAT and a newline for each path.
    #[arg(long, short = 'c', value_name = "FORMAT", conflicts_with = "printf")]
    pub(crate) format: Option<OsString>,
    /// Print FORMAT for each path; interpret escapes such as \n, add no newline.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) printf: Option<OsString>,
}

/// Where put, ln and mv put things.
#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// Put all paths into the directory DIR of the ext4 file.
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
    /// Files and directories of this host, then the path in the ext4 file. `-` is standard input,
    /// `DIR/.` the contents of DIR. If DEST is a directory, the files go into it.
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
    /// Set the mode of files, such as 600 or u=rw,go= [default: mode of the replaced file, else of the
    /// source; 644 for standard input].
    #[arg(long, short, value_name = "MODE")]
    pub(crate) mode: Option<String>,
    /// Set the owner of files and new directories, as numbers or names of the image [default: owner of
    /// the replaced file, else 0:0, or the group of a setgid directory].
    #[arg(long, short, value_name = "USER[:GROUP]", conflicts_with_all = ["uid", "gid"])]
    pub(crate) owner: Option<OsString>,
    /// Set the user of files and new directories.
    #[arg(long, value_name = "UID")]
    pub(crate) uid: Option<u32>,
    /// Set the group of files and new directories.
    #[arg(long, value_name = "GID")]
    pub(crate) gid: Option<u32>,
    /// Create missing parent directories of DEST, with mode 755.
    #[arg(long, short)]
    pub(crate) parents: bool,
    /// Replace a symlink at DEST instead of its target.
    #[arg(long)]
    pub(crate) no_dereference: bool,
    /// Write only if the file at DEST has the SHA-256 digest DIGEST now; `absent`: only if there is none.
    #[arg(long, value_name = "DIGEST", conflicts_with = "no_clobber")]
    pub(crate) if_match: Option<String>,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

#[derive(Debug, Args)]
pub(crate) struct MkdirArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Directories to create.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Create missing parent directories; accept directories that exist.
    #[arg(long, short)]
    pub(crate) parents: bool,
    /// Set the mode of the directories [default: 755].
    #[arg(long, short, value_name = "MODE", allow_hyphen_values = true)]
    pub(crate) mode: Option<String>,
    /// Set the owner of the directories, as numbers or names of the image [default: 0:0, or the group
    /// of a setgid directory].
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub(crate) owner: Option<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct LnArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Targets of the links, then the name of the link or the directory for the links.
    #[arg(value_names = ["TARGET", "LINK"], num_args = 1.., required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Create symlinks that hold TARGET as it is given.
    #[arg(long, short)]
    pub(crate) symbolic: bool,
    /// Replace LINK if it exists and is not a directory.
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Replace a LINK that is a symlink to a directory instead of following it.
    #[arg(long, short)]
    pub(crate) no_dereference: bool,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

#[derive(Debug, Args)]
pub(crate) struct MvArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Paths to move, then the new name or the directory to move them into.
    #[arg(value_names = ["SRC", "DEST"], num_args = 1.., required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Replace existing files (the default).
    #[arg(long, short, overrides_with = "no_clobber")]
    pub(crate) force: bool,
    /// Keep existing files; leave their sources where they are.
    #[arg(long, short, overrides_with = "force")]
    pub(crate) no_clobber: bool,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RmArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Paths to remove.
    #[arg(value_name = "PATH", required_unless_present = "force")]
    pub(crate) paths: Vec<OsString>,
    /// Remove directories with their contents.
    #[arg(long, short, visible_short_alias = 'R')]
    pub(crate) recursive: bool,
    /// Ignore paths that do not exist.
    #[arg(long, short)]
    pub(crate) force: bool,
    /// Remove empty directories.
    #[arg(long, short)]
    pub(crate) dir: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ChmodArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Mode: octal (644) or symbolic (u+x, go-w, -x, a=rX) as in GNU chmod, without a umask.
    pub(crate) mode: String,
    /// Paths in the ext4 file; chmod follows symlinks.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Change directories and their contents, except symlinks.
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct ChownArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Owner: USER, USER:GROUP, USER: or :GROUP, as numbers or names from /etc/passwd and /etc/group of
    /// the image.
    pub(crate) owner: OsString,
    /// Paths in the ext4 file; chown follows symlinks, except with --recursive.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<OsString>,
    /// Change directories and their contents; change symlinks instead of their targets.
    #[arg(long, short = 'R')]
    pub(crate) recursive: bool,
    /// Change a symlink instead of its target.
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
    /// Set the architecture of the guest, such as amd64 or arm64 [default: that of the programs in the
    /// image].
    #[arg(long, value_name = "ARCH")]
    pub(crate) architecture: Option<String>,
    /// Set the hostname if the image has none [default: banger].
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResizeArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// New size:
    /// 4G        this size
    /// +1G, -1G  so much more or less
    /// min       the smallest that holds the content
    #[arg(verbatim_doc_comment, allow_hyphen_values = true)]
    pub(crate) size: NewSize,
}

#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct BuildArguments {
    /// Directory or tar to build from; `-` is a tar on standard input. The tar may be compressed with
    /// gzip, zstd, xz or bzip2.
    #[arg(required_unless_present = "empty", conflicts_with = "empty")]
    pub(crate) source: Option<Utf8PathBuf>,
    /// ext4 file to write; it must not be in the source directory.
    #[arg(value_parser = super::output_file)]
    pub(crate) file: Utf8PathBuf,
    #[command(flatten)]
    pub(crate) file_system: FileSystemArguments,
    /// Make a data disk in the place of an image: with no file, the current time, and a UUID that no other
    /// disk has.
    #[arg(long)]
    pub(crate) empty: bool,
    /// Copy the files of this directory or tar to the data disk.
    #[arg(long, value_name = "DIR", requires = "empty")]
    pub(crate) seed: Option<Utf8PathBuf>,
    /// Replace FILE if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}
