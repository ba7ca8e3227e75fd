//! Arguments of the commands of `banger rootfs` that look at a whole file system, copy from it, repair it, or change it
//! by a script.

use std::ffi::OsString;
use std::str::FromStr;

use camino::Utf8PathBuf;
use clap::{ArgAction, Args, ValueEnum};

use super::rootfs_file::FileArgument;
use crate::units::Size;

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Files and directories in the ext4 file, then the new name on this host, or the directory to copy
    /// them into. `-` writes a tar of a single PATH on standard output.
    #[arg(value_names = ["PATH", "DEST"], num_args = 2.., required = true)]
    pub(crate) paths: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct EditArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// JSON document with the operations; `-` is standard input.
    #[arg(long, value_name = "SCRIPT")]
    pub(crate) script: Utf8PathBuf,
    /// Do everything in a scratch file, and leave FILE as it is.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct DfArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Show sizes with K, M, G or T (powers of 1024).
    #[arg(long, short = 'h')]
    pub(crate) human_readable: bool,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct DuArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Paths in the ext4 file. A file with several hard links counts once.
    #[arg(value_name = "PATH", default_value = "/")]
    pub(crate) paths: Vec<OsString>,
    /// Print one line for each PATH, not for each directory.
    #[arg(long, short, conflicts_with = "all")]
    pub(crate) summarize: bool,
    /// Print a line for each file too.
    #[arg(long, short)]
    pub(crate) all: bool,
    /// Show sizes with K, M, G or T (powers of 1024) instead of bytes.
    #[arg(long, short = 'h')]
    pub(crate) human_readable: bool,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// A type of files, as find(1) names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TypeLetter {
    /// Regular file
    #[value(name = "f")]
    File,
    /// Directory
    #[value(name = "d")]
    Directory,
    /// Symlink
    #[value(name = "l")]
    Symlink,
    /// Character device
    #[value(name = "c")]
    CharDevice,
    /// Block device
    #[value(name = "b")]
    BlockDevice,
    /// FIFO
    #[value(name = "p")]
    Fifo,
    /// Socket
    #[value(name = "s")]
    Socket,
}

#[derive(Debug, Args)]
pub(crate) struct FindArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// Directory in the ext4 file to start at.
    #[arg(value_name = "PATH", default_value = "/")]
    pub(crate) path: OsString,
    /// Find names that match GLOB, such as '*.conf'.
    #[arg(long, value_name = "GLOB")]
    pub(crate) name: Option<String>,
    /// Find paths that match GLOB; its * matches slashes, too.
    #[arg(long, value_name = "GLOB")]
    pub(crate) path_glob: Option<String>,
    /// Find files of this type; may be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) types: Vec<TypeLetter>,
    /// Find files of more (+N), less (-N) or exactly N bytes; N may have K, M, G or T.
    #[arg(long, value_name = "[+-]N", allow_hyphen_values = true)]
    pub(crate) size: Option<SizeCondition>,
    /// Find files that were modified later than TIME: 2026-01-31, 2026-01-31T12:00:00Z or @SECONDS.
    #[arg(long, value_name = "TIME")]
    pub(crate) newer: Option<String>,
    /// Find files with exactly these permissions (644), all of them (-600) or any (/222).
    #[arg(long, value_name = "[-/]MODE", allow_hyphen_values = true)]
    pub(crate) perm: Option<String>,
    /// Find files of this user.
    #[arg(long, value_name = "UID")]
    pub(crate) uid: Option<u32>,
    /// Find files of this group.
    #[arg(long, value_name = "GID")]
    pub(crate) gid: Option<u32>,
    /// Search at most N levels of directories below PATH.
    #[arg(long, value_name = "N")]
    pub(crate) max_depth: Option<usize>,
    /// Print paths as they are, each with a zero byte behind it, for `xargs -0`.
    #[arg(long = "print0", short = '0')]
    pub(crate) print0: bool,
}

/// A size, a size behind a plus, or one behind a minus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeCondition(pub(crate) banger::rootfs::SizeTest);

impl FromStr for SizeCondition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use banger::rootfs::SizeTest;
        let (test, size): (fn(u64) -> SizeTest, _) = match text.split_at_checked(1) {
            Some(("+", size)) => (SizeTest::More, size),
            Some(("-", size)) => (SizeTest::Less, size),
            _ => (SizeTest::Exactly, text),
        };
        Ok(Self(test(size.parse::<Size>()?.0)))
    }
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
    /// The other ext4 file; --partition and --offset are for both.
    pub(crate) other: Utf8PathBuf,
    /// Exit with status 1 if there are differences.
    #[arg(long)]
    pub(crate) exit_code: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
}

#[derive(Debug, Args)]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    pub(crate) file: FileArgument,
}
