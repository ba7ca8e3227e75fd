//! The arguments of `banger guest`.

use std::net::IpAddr;

use banger::guest::{GuestAddress, InterfaceAddress};
use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::examples;

#[derive(Debug, Subcommand)]
pub(crate) enum GuestCommand {
    /// Ask whether the guest's agent answers.
    Health {
        #[command(flatten)]
        guest: GuestArguments,
        /// Ask again for so many seconds until it does.
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        wait: u64,
    },
    /// Show what a guest is and how far its first boot has come.
    Info {
        #[command(flatten)]
        guest: GuestArguments,
    },
    /// Run a program in a guest; ends with its exit status, or 128 and the signal that killed it.
    #[command(after_help = examples::EXEC)]
    Exec(ExecArguments),
    /// Copy a file into a guest or out of it.
    #[command(after_help = examples::CP)]
    Cp(CopyArguments),
    /// Configure a guest's network.
    SetNetwork(SetNetworkArguments),
    /// Grow a guest's root file system to the size of its disk.
    Grow {
        #[command(flatten)]
        guest: GuestArguments,
    },
    /// Wait until the image's entry point has ended; ends with its exit status.
    Wait {
        #[command(flatten)]
        guest: GuestArguments,
        /// For so many seconds at most.
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
    /// Where the agent is reached:
    /// PATH[:PORT], the vsock socket of Firecracker, Cloud Hypervisor or vhost-device-vsock;
    /// vsock:CID[:PORT], the host's own vsock, as QEMU has it;
    /// unix:PATH, a Unix socket with the agent behind it;
    /// tcp:ADDRESS:PORT, without any protection.
    /// PORT is 5000 where it is missing.
    #[arg(long, short, value_name = "SOCKET", env = "BANGER_GUEST_SOCKET")]
    pub(crate) socket: GuestAddress,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArguments {
    #[command(flatten)]
    pub(crate) guest: GuestArguments,
    /// Run it on a terminal of its own, with this one's input and size.
    #[arg(long, short)]
    pub(crate) tty: bool,
    /// Send standard input.
    #[arg(long, short = 'i')]
    pub(crate) stdin: bool,
    /// Set a variable; several are given one by one.
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Run it as NAME, UID, NAME:GROUP or UID:GID [default: root].
    #[arg(long, short)]
    pub(crate) user: Option<String>,
    /// Run it in this directory [default: /].
    #[arg(long, short, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Kill it after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("not NAME=VALUE".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct CopyArguments {
    #[command(flatten)]
    pub(crate) guest: GuestArguments,
    /// A file, `-` for standard input, or `:/PATH` in the guest.
    pub(crate) source: String,
    /// A file or a directory to put it into, `-` for standard output, or `:/PATH` in the guest.
    pub(crate) target: String,
    /// Permission bits of a file that is copied in, in octal [default: those of the file].
    #[arg(long, value_parser = octal)]
    pub(crate) mode: Option<u32>,
    /// Owner of a file that is copied in [default: that of the file it replaces, or root].
    #[arg(long, value_name = "UID[:GID]", value_parser = owner)]
    pub(crate) owner: Option<(u32, Option<u32>)>,
    /// Make missing directories in the guest.
    #[arg(long)]
    pub(crate) parents: bool,
}

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| "not an octal number of four digits at most".to_owned())
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
    /// The interface [default: the only one].
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// An address with its prefix, such as 10.0.0.2/24; several are given one by one.
    #[arg(long, value_name = "ADDRESS/PREFIX")]
    pub(crate) address: Vec<InterfaceAddress>,
    /// A default route; one for each of IPv4 and IPv6.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Vec<IpAddr>,
    /// A name server; several are given one by one.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<IpAddr>,
    /// The guest's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Keep it for the boots to come.
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
