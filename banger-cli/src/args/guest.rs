//! The arguments of `banger guest`.

use std::net::IpAddr;

use banger::Failure as _;
use banger::guest::{AddressError, GuestAddress, InterfaceAddress};
use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::examples;
use crate::units::Size;

#[derive(Debug, Subcommand)]
pub(crate) enum GuestCommand {
    /// Check whether the guest's agent answers.
    Health {
        #[command(flatten)]
        guest: GuestArguments,
        /// Retry until the agent answers, for at most SECONDS.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        wait: u64,
    },
    /// Show the guest's system, network and progress of the first boot.
    Info {
        #[command(flatten)]
        guest: GuestArguments,
    },
    /// Run a program in a guest; exit with its status, or 128 plus the signal that killed it.
    #[command(after_help = examples::EXEC)]
    Exec(ExecArguments),
    /// Copy a file into or out of a guest.
    #[command(after_help = examples::CP)]
    Cp(CopyArguments),
    /// Configure a guest's network; print the name of the interface.
    SetNetwork(SetNetworkArguments),
    /// Grow a guest's root file system to the size of its disk.
    Grow {
        #[command(flatten)]
        guest: GuestArguments,
    },
    /// Wait for the image's entry point; exit with its status.
    Wait {
        #[command(flatten)]
        guest: GuestArguments,
        /// Wait for at most SECONDS.
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u64>,
    },
    /// Power a guest off.
    Shutdown {
        #[command(flatten)]
        guest: GuestArguments,
        /// Reboot instead.
        #[arg(long)]
        reboot: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GuestArguments {
    /// Connect to the agent at this address; PORT defaults to 5000:
    /// PATH[:PORT]       the vsock socket of Firecracker, Cloud Hypervisor or vhost-device-vsock
    /// vsock:CID[:PORT]  the host's vsock, as QEMU uses it
    /// unix:PATH         a Unix socket of the agent, or a virtio port of QEMU
    /// tcp:ADDRESS:PORT  TCP, without authentication or encryption
    #[arg(long, short, value_name = "SOCKET", env = "BANGER_GUEST_SOCKET", value_parser = guest_address, verbatim_doc_comment)]
    pub(crate) socket: GuestAddress,
}

/// An address, or the error with what to do about it.
fn guest_address(text: &str) -> Result<GuestAddress, String> {
    text.parse().map_err(|error: AddressError| match error.advice() {
        Some(advice) => format!("{error}; {advice}"),
        None => error.to_string(),
    })
}

/// How a program in a guest is connected to this one.
#[derive(Debug, Args)]
pub(crate) struct SessionArguments {
    /// Run the program on a new terminal with the input and size of this one. Press Ctrl-] three times
    /// within a second to end the session.
    #[arg(long, short)]
    pub(crate) tty: bool,
    /// Send standard input to the program.
    #[arg(long, short = 'i')]
    pub(crate) stdin: bool,
    /// Set an environment variable; repeatable.
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArguments {
    #[command(flatten)]
    pub(crate) guest: GuestArguments,
    #[command(flatten)]
    pub(crate) session: SessionArguments,
    /// Run the program as NAME, UID, NAME:GROUP or UID:GID [default: root].
    #[arg(long, short)]
    pub(crate) user: Option<String>,
    /// Run the program in this directory [default: /].
    #[arg(long, short, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Kill the program after SECONDS.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// With --json, kill the program if it writes more than SIZE; banger keeps the output in memory.
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub(crate) max_output: Size,
    /// Program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// Returns the name and value of a variable.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct CopyArguments {
    #[command(flatten)]
    pub(crate) guest: GuestArguments,
    /// File to copy: a path on this host, `-` for standard input, or `:/PATH` in the guest.
    pub(crate) source: String,
    /// Target: a file or directory on this host, `-` for standard output, or `:/PATH` in the guest.
    pub(crate) target: String,
    /// Set the mode of the new file in the guest, in octal [default: mode of the source].
    #[arg(long, value_parser = octal)]
    pub(crate) mode: Option<u32>,
    /// Set the owner of the new file in the guest [default: owner of the replaced file, or root].
    #[arg(long, value_name = "UID[:GID]", value_parser = owner)]
    pub(crate) owner: Option<(u32, Option<u32>)>,
    /// Create missing parent directories in the guest.
    #[arg(long)]
    pub(crate) parents: bool,
    /// Refuse to copy a file larger than SIZE out of the guest.
    #[arg(long, value_name = "SIZE", default_value = "64G")]
    pub(crate) max_size: Size,
}

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| "write an octal number of at most four digits, such as 644".to_owned())
}

fn owner(text: &str) -> Result<(u32, Option<u32>), String> {
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is not a number"));
    match text.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
        None => Ok((number(text)?, None)),
    }
}

#[derive(Debug, Args)]
pub(crate) struct SetNetworkArguments {
    #[command(flatten)]
    pub(crate) guest: GuestArguments,
    /// Configure the interface NAME [default: the first network card].
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Set an address with its prefix, such as 10.0.0.2/24; repeatable.
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    pub(crate) address: Vec<InterfaceAddress>,
    /// Set the default route; one for IPv4, one for IPv6.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Vec<IpAddr>,
    /// Set a name server; repeatable.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<IpAddr>,
    /// Set the guest's hostname.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Keep the configuration for later boots.
    #[arg(long)]
    pub(crate) persist: bool,
}

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyEnd {
    /// `:/PATH`.
    Guest(String),
    /// `-`.
    Standard,
    /// Anything else.
    Host(Utf8PathBuf),
}

impl From<&str> for CopyEnd {
    fn from(text: &str) -> Self {
        match text.strip_prefix(':') {
            Some(path) => Self::Guest(path.to_owned()),
            None if text == "-" => Self::Standard,
            None => Self::Host(text.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command};

    #[test]
    fn defaults_are_those_of_the_library() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' ')).unwrap().command;
        let Command::Guest(GuestCommand::Exec(exec)) = parse("banger guest exec -s unix:a true") else {
            panic!()
        };
        assert_eq!(exec.max_output.0, banger::guest::DEFAULT_MAX_OUTPUT_BYTES);
        let Command::Guest(GuestCommand::Cp(copy)) = parse("banger guest cp -s unix:a :/a b") else {
            panic!()
        };
        assert_eq!(copy.max_size.0, banger::guest::DEFAULT_MAX_COPY_BYTES);
    }
}
