//! The arguments of `banger vm`.

use std::time::Duration;

use banger::{HostCopy, PortForward};
use camino::Utf8PathBuf;
use clap::{Args, Subcommand, ValueEnum};

use super::examples;
use super::guest::SessionArguments;
use super::places::{CacheArguments, StateArguments};
use super::registry::{PolicyArguments, RegistryArguments};
use super::trust::TrustArguments;
use crate::units::Size;

#[derive(Debug, Subcommand)]
pub(crate) enum VmCommand {
    /// Run an image in a virtual machine; exit with the status of the program in it.
    ///
    /// The machine has a copy of the image as its disk. When it ends, both are gone.
    #[command(after_help = examples::VM_RUN)]
    Run(Box<VmRunArguments>),
}

#[derive(Debug, Args)]
pub(crate) struct VmRunArguments {
    /// Managed image, by name, id, or unique prefix of an id; or a reference, as for `banger image pull`.
    #[arg(value_name = "IMAGE")]
    pub(crate) image: String,
    #[command(flatten)]
    pub(crate) machine: MachineArguments,
    #[command(flatten)]
    pub(crate) session: SessionArguments,
    /// Run the program as NAME, UID, NAME:GROUP or UID:GID [default: the user of the image].
    #[arg(long, short)]
    pub(crate) user: Option<String>,
    /// Run the program in this directory [default: the working directory of the image].
    #[arg(long, short, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// Forward a TCP port of this host to the guest; repeatable. Without ADDRESS, only this host reaches it.
    #[arg(long, short, value_name = "[ADDRESS:]HOST:GUEST")]
    pub(crate) publish: Vec<PortForward>,
    /// Copy a file or directory of this host to PATH in the guest; repeatable.
    #[arg(long, value_name = "FILE:PATH")]
    pub(crate) copy: Vec<HostCopy>,
    /// Let an SSH key log in as root, forward a port to the SSH server, and do the first boot, which installs
    /// one [default: the keys ~/.ssh/*.pub].
    #[arg(long, value_name = "FILE.pub", num_args = 0..=1, require_equals = true)]
    pub(crate) ssh: Option<Option<Utf8PathBuf>>,
    /// Do the first boot of the image, which installs an SSH server.
    #[arg(long)]
    pub(crate) first_boot: bool,
    /// Stop the machine after SECONDS.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Set the hostname of the guest, and the name of the image with --keep.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Keep the disk at the end, as the managed image NAME of --name.
    #[arg(long, requires = "name")]
    pub(crate) keep: bool,
    /// With --json, stop a program that writes more than SIZE; banger keeps the output in memory.
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub(crate) max_output: Size,
    #[command(flatten)]
    pub(crate) policy: PolicyArguments,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
    /// Program and its arguments; without it banger shows the console, or with -t a shell.
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

/// What a machine is made of.
#[derive(Debug, Args)]
pub(crate) struct MachineArguments {
    /// Start this kernel of the kernel store [default: that of the image, else the only one, else that of
    /// this host].
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
    /// Give the machine N processors.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) cpus: u32,
    /// Give the machine SIZE of memory.
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub(crate) memory: Size,
    /// Give the file system this size first [default: the size of the image].
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<Size>,
    /// Choose how instructions run.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) accel: AccelChoice,
    /// Wait at most TIME, such as 90s or 5m, until the guest is up.
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = crate::units::parse_age)]
    pub(crate) boot_timeout: Duration,
}

/// How instructions run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccelChoice {
    /// Use KVM if a kernel starts with it, else emulate
    Auto,
    /// Use KVM
    Kvm,
    /// Emulate: slow, and works everywhere
    Tcg,
}

impl AccelChoice {
    /// Returns it as the library takes it.
    pub(crate) fn acceleration(self) -> Option<banger::Acceleration> {
        match self {
            Self::Auto => None,
            Self::Kvm => Some(banger::Acceleration::Kvm),
            Self::Tcg => Some(banger::Acceleration::Tcg),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_parsed() {
        let forward = |text: &str| text.parse::<PortForward>();
        let text =
            |text: &str| forward(text).map(|forward| format!("{} {}", forward.host, forward.guest_port));
        assert_eq!(text("8080:80").as_deref(), Ok("127.0.0.1:8080 80"));
        assert_eq!(text("0.0.0.0:8080:80").as_deref(), Ok("0.0.0.0:8080 80"));
        for bad in ["80", "0:80", "80:0", "a:80", "1.2.3:80:80", "[::1]:80:80", "80:65536", ""] {
            assert!(forward(bad).is_err(), "{bad}");
        }
    }
}
