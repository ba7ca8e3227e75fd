//! The arguments of `banger image clone`.

use banger::{HostCopy, Identity};
use camino::Utf8PathBuf;
use clap::Args;

use super::places::StateArguments;
use crate::units::NewSize;

#[derive(Debug, Args)]
pub(crate) struct CloneArguments {
    /// Managed image, by name, id, or unique prefix of an id.
    pub(crate) name: String,
    /// Name of the new managed image; or an ext4 file, whose path has a slash: `./vm7.ext4`.
    #[arg(value_name = "NEW|FILE")]
    pub(crate) target: String,
    /// Choose the identity of the clone:
    /// new   another machine: no machine-id, host keys, random seeds and DHCP leases; another UUID
    /// keep  that of the original
    #[arg(long, value_name = "IDENTITY", default_value = "new", verbatim_doc_comment)]
    pub(crate) identity: Identity,
    /// Set the UUID of the file system [default: a random one, or with --identity keep that of the original].
    #[arg(long)]
    pub(crate) uuid: Option<String>,
    /// Set the size of the file system, or with a plus or minus how much it grows or shrinks; `min` is the
    /// smallest that holds the content.
    #[arg(long, value_name = "[+|-]SIZE|min", allow_hyphen_values = true)]
    pub(crate) size: Option<NewSize>,
    /// Set the hostname, in /etc/hostname and /etc/hosts.
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Let the public keys in FILE log in as root; repeatable.
    #[arg(long, value_name = "FILE.pub")]
    pub(crate) ssh_key: Vec<Utf8PathBuf>,
    /// Set up the network with banger's agent: interface, address (with a prefix), gateway or dns; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) network: Vec<String>,
    /// Set a variable for logins and for the program of the image; repeatable.
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = super::guest::variable)]
    pub(crate) env: Vec<(String, String)>,
    /// Copy a file or directory of this host to PATH in the clone; repeatable.
    #[arg(long, value_name = "FILE:PATH")]
    pub(crate) put: Vec<HostCopy>,
    /// Replace FILE if it exists.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}
