//! This program's words for what the library advises: flags in the place of the library's options, and
//! hints that name commands.

use std::io::ErrorKind::NotFound;

use banger::boot::BootError;
use banger::guest::{GuestAddress, GuestError};
use banger::rootfs::{EditAdvice, EditError};
use banger::{
    DirectoryError, Error, ErrorKind, GuestBinaryError, KernelError, PullError, RegisterError, RootfsError,
    Setting, StoreError, StoredKind,
};
use clap::{ArgMatches, CommandFactory as _};

use crate::args::Arguments;
use crate::failure::CommandError;

/// The options that are not called as the library's setting is. All others are: `max_tar_bytes` is
/// `--max-tar`, `no_dereference` is `--no-dereference`.
const FLAGS: [(&str, &str); 21] = [
    ("cache", "--cache-dir"),
    ("copies", "--put"),
    ("credentials", "`banger login`"),
    ("dir", "--guest-dir"),
    ("docker_host", "DOCKER_HOST"),
    ("empty_directories", "--dir"),
    ("guest", "--no-inject"),
    ("input", "the standard input"),
    ("kernels", "KERNEL"),
    ("layout", "DIR"),
    ("max_copy_bytes", "--max-size"),
    ("podman_host", "CONTAINER_HOST"),
    ("policy", "--pull"),
    ("scratch_dir", "TMPDIR"),
    ("sign_password", "COSIGN_PASSWORD"),
    ("source", "SOURCE"),
    ("ssh_keys", "--ssh-key"),
    ("source_date_epoch", "SOURCE_DATE_EPOCH"),
    ("state", "--state-dir"),
    ("storage_root", "CONTAINERS_STORAGE_CONF"),
    ("trust", "--verify-key"),
];

/// The subcommands that lead to a command: `image`, `pull`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandPath(Vec<String>);

impl CommandPath {
    /// Returns the path of the command that was parsed.
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let mut path = Vec::new();
        let mut at = matches.subcommand();
        while let Some((name, below)) = at {
            path.push(name.to_owned());
            at = below.subcommand();
        }
        Self(path)
    }

    fn is(&self, text: &str) -> bool {
        self.0.iter().map(String::as_str).eq(text.split(' '))
    }

    /// Returns how a setting of the library is written on the command line of this command. One that
    /// the command has no option for is called as the library calls it.
    fn flag_of(&self, Setting(setting): Setting) -> String {
        let flag = FLAGS.iter().find(|(name, _)| *name == setting).map(|(_, flag)| (*flag).to_owned());
        let flag = flag.unwrap_or_else(|| {
            let name = setting.strip_suffix("_bytes").unwrap_or(setting);
            format!("--{}", name.replace('_', "-"))
        });
        let is_known = flag.strip_prefix("--").is_none_or(|long| self.has_option(long));
        if is_known { flag } else { format!("the option `{setting}`") }
    }

    fn has_option(&self, long: &str) -> bool {
        let root = Arguments::command();
        let has = |command: &clap::Command| {
            command.get_arguments().any(|argument| argument.get_long() == Some(long))
        };
        let mut command = &root;
        for name in &self.0 {
            let Some(below) = command.find_subcommand(name) else { break };
            command = below;
        }
        // Global options are defined at the root.
        has(command) || has(&root)
    }
}

/// An error in the words of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worded {
    pub(crate) message: String,
    pub(crate) advice: Option<String>,
}

/// Words an error for the users of `command`.
pub(crate) fn worded(error: &CommandError, command: &CommandPath) -> Worded {
    let flag_of = |setting| command.flag_of(setting);
    let (message, advice) = match error {
        CommandError::Banger(Error::Argument(error)) => {
            (error.worded(flag_of), error.advice.as_ref().map(|advice| advice.worded(flag_of)))
        }
        CommandError::Banger(error) => {
            let advice = hint(error, command);
            (error.message(), advice.or_else(|| Some(error.advice()?.worded(flag_of))))
        }
        CommandError::Argument { advice, .. } => (error.to_string(), advice.clone()),
        _ => (error.to_string(), None),
    };
    // A message may come from another program, and say it already.
    let advice = advice.filter(|advice| !message.contains(advice.as_str()));
    Worded { message, advice }
}

/// Returns what only this program can advise, in the place of the library's words: it has commands.
fn hint(error: &Error, command: &CommandPath) -> Option<String> {
    Some(match error {
        Error::Store(StoreError::NotFound { what, .. }) => format!("`banger {what} list` shows those there are"),
        Error::Store(StoreError::Damaged { what, id, .. }) => format!("remove it with `banger {what} rm {id}`"),
        Error::Store(StoreError::NameTaken { what: StoredKind::Kernel, name }) => {
            format!("choose another with --name, or remove it with `banger kernel rm {name}`")
        }
        Error::Register(RegisterError::NoRoom { path, needed_bytes, .. }) => {
            format!("grow the file system with `banger rootfs resize {path} {needed_bytes}`, then register it again")
        }
        Error::Boot(BootError::NoKernel { .. }) => "import one with `banger kernel import`".to_owned(),
        Error::Kernel(KernelError::Io { action: "open", source, .. }) if source.kind() == NotFound => {
            "give the path of a package, kernel, ext4 file or directory, or image:NAME, or host; a name in a \
             registry begins with docker://"
                .to_owned()
        }
        Error::Boot(BootError::SeveralKernels { .. }) if command.is("kernel check") => {
            "give the name of one behind the image".to_owned()
        }
        Error::Boot(BootError::SeveralKernels { .. }) if command.has_option("kernel-ref") => {
            "name one with --kernel-ref".to_owned()
        }
        Error::GuestBinary(GuestBinaryError::NotEmbedded { file_name, .. }) => {
            let flag = command.flag_of(Setting("dir"));
            match command.is("image pull") {
                true => format!("give {flag} a directory with {file_name}, or pull with --no-inject"),
                false => format!("give {flag} a directory with {file_name}"),
            }
        }
        Error::Directory(DirectoryError::Reference { reference }) => {
            format!("for the container image use `banger image pull {reference}`")
        }
        Error::Rootfs { file, source } => return edit_hint(file.exists(), source),
        Error::Guest(error) => return guest_hint(error),
        Error::Pull(PullError::PlatformMismatch { stated, .. }) => {
            format!("leave out --platform to take it as {stated} all the same")
        }
        Error::Pull(PullError::Layout { may_be_root: true, .. }) => {
            "`banger rootfs build` makes an ext4 file of a root file system".to_owned()
        }
        Error::Pull(PullError::Io { .. }) if error.kind() == ErrorKind::NoSpace => {
            "free some space, `banger image cache prune` does, or set XDG_CACHE_HOME or --cache-dir to another disk"
                .to_owned()
        }
        _ => return None,
    })
}

fn edit_hint(file_exists: bool, error: &EditError) -> Option<String> {
    let text = match error {
        EditError::Rootfs(RootfsError::Io { action: "open", .. }) if !file_exists => {
            "give the path of an ext4 file, for a managed image the one that `banger image show NAME` tells"
        }
        EditError::Rootfs(RootfsError::NoSpace { .. }) => {
            "make the file system larger with `banger rootfs resize`, or remove files from it"
        }
        EditError::NotFound { advice, .. }
        | EditError::NotADirectory { advice, .. }
        | EditError::Directory { advice, .. }
        | EditError::Exists { advice, .. } => match advice {
            EditAdvice::ListAround => "`banger rootfs ls` shows what does",
            EditAdvice::ListIt => "`banger rootfs ls` lists it",
            EditAdvice::MakeDirectory => "make the directory first: `banger rootfs mkdir`",
            _ => return None,
        },
        EditError::Partly { source } => return edit_hint(file_exists, source),
        _ => return None,
    };
    Some(text.to_owned())
}

fn guest_hint(error: &GuestError) -> Option<String> {
    let text = match error {
        GuestError::Unreachable { address, .. } if !matches!(address, GuestAddress::Vsock { .. }) => {
            "check that the guest runs and that this is its socket, or wait with `banger guest health --wait SECONDS`"
        }
        GuestError::NoAgent { .. } => {
            "if the guest still boots, wait for it with `banger guest health --wait SECONDS`"
        }
        GuestError::TooMuchOutput { .. } => {
            "allow more with --max-output SIZE, or run it without --json, which passes its output on"
        }
        GuestError::CopyTooLarge { .. } => "allow more with --max-size SIZE",
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> CommandPath {
        CommandPath(text.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn settings_are_called_as_the_command_has_them() {
        for (command, setting, want) in [
            ("image pull", "max_manifest_bytes", "--max-manifest"),
            ("image pull", "max_time", "--max-time"),
            ("image pull", "size", "--size"),
            ("image pull", "size_bytes", "--size"),
            ("image pull", "dir", "--guest-dir"),
            ("image pull", "guest", "--no-inject"),
            ("image list", "state", "--state-dir"),
            ("image list", "state_dir", "--state-dir"),
            ("image export", "force", "--force"),
            ("rootfs rm", "recursive", "--recursive"),
            ("rootfs rm", "empty_directories", "--dir"),
            ("rootfs put", "no_dereference", "--no-dereference"),
            ("rootfs build", "max_tar_bytes", "--max-tar"),
            ("guest cp", "max_copy_bytes", "--max-size"),
            ("guest exec", "max_output_bytes", "--max-output"),
            ("image pull", "source_date_epoch", "SOURCE_DATE_EPOCH"),
            ("image pull", "scratch_dir", "TMPDIR"),
            ("image list", "max_time", "the option `max_time`"),
        ] {
            assert_eq!(path(command).flag_of(Setting(setting)), want, "{command} {setting}");
        }
    }

    /// The library names the options of its limits by these settings.
    #[test]
    fn every_limit_has_a_flag() {
        let pull = path("image pull");
        for setting in [
            "max_content_bytes",
            "max_entries",
            "max_file_bytes",
            "max_depth",
            "max_metadata_bytes",
            "max_tar_bytes",
            "max_path_components",
            "max_layers",
            "max_manifest_bytes",
            "max_config_bytes",
            "max_download_bytes",
            "min_rate_bytes",
            "max_wait",
            "max_time",
            "max_urls",
            "plain_http",
            "ca_cert",
            "platform",
            "backend",
            "inodes",
            "init",
            "cache",
        ] {
            assert!(pull.flag_of(Setting(setting)).starts_with("--"), "{setting}");
        }
    }

    #[test]
    fn advice_names_flags_and_says_nothing_twice() {
        let error = "ntfs".parse::<banger::Backend>().map_err(Error::from).unwrap_err();
        let words = worded(&error.into(), &path("image pull"));
        assert_eq!(words.message, "--backend ntfs: there is no such backend");
        assert_eq!(words.advice.as_deref(), Some("choose native or e2fsprogs"));
        let error = Error::Output(banger::OutputError::Exists { path: "/x".into() });
        let words = worded(&error.into(), &path("image export"));
        assert_eq!(words.message, "/x exists already");
        assert_eq!(words.advice.as_deref(), Some("choose another file, or replace it with --force"));
    }
}
