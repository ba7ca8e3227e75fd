//! The arguments of `banger kernel`.

use banger::boot::Profile;
use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::boot::VmmArguments;
use super::examples;
use super::places::StateArguments;

#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// Import a kernel; print its directory.
    #[command(after_help = examples::KERNEL_IMPORT)]
    Import(Box<KernelImportArguments>),
    /// List kernels.
    #[command(visible_alias = "ls")]
    List {
        /// Print names only, one a line.
        #[arg(long, short)]
        quiet: bool,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Show the record of a kernel.
    Show {
        /// Name, id, or unique prefix of an id.
        name: String,
        #[command(flatten)]
        state: StateArguments,
    },
    /// Check whether a kernel can start an image; exit with status 1 if it cannot.
    #[command(after_help = examples::KERNEL_CHECK)]
    Check(KernelCheckArguments),
    /// Remove kernels.
    Rm {
        /// Names, ids, or unique prefixes of ids.
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        state: StateArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct KernelCheckArguments {
    /// Managed image (name, id, or unique prefix of an id), or ext4 file.
    pub(crate) image: String,
    /// Name, id, or unique prefix of an id [default: the only kernel for the image's processor].
    pub(crate) kernel: Option<String>,
    #[command(flatten)]
    pub(crate) vmm: VmmArguments,
    /// Check also for this use of the guest; repeatable:
    /// docker   containers with a bridge
    /// systemd  systemd as the init, if the image gets it later
    /// k3s      Kubernetes with flannel
    #[arg(long = "for", value_name = "USE", verbatim_doc_comment)]
    pub(crate) profiles: Vec<Profile>,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}

#[derive(Debug, Args)]
pub(crate) struct KernelImportArguments {
    /// Take the newest kernel of this source; several files are packages of one kernel:
    /// FILE.deb, FILE.rpm, FILE.apk  a package, read without its package manager
    /// FILE.tar, DIR, FILE.ext4      a root file system
    /// FILE                          a bzImage, vmlinux or arm64 Image
    /// image:NAME                    a managed image
    /// host                          the kernel that this machine runs
    #[arg(value_name = "SOURCE", verbatim_doc_comment, required_unless_present = "kernel")]
    pub(crate) sources: Vec<String>,
    /// Take this bzImage, vmlinux or arm64 Image instead of SOURCE.
    #[arg(long, value_name = "FILE", conflicts_with = "sources")]
    pub(crate) kernel: Option<Utf8PathBuf>,
    /// Add this initrd.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(crate) initrd: Option<Utf8PathBuf>,
    /// Add the modules in DIR: /lib/modules/RELEASE, or a directory that has it.
    #[arg(long, value_name = "DIR", requires = "kernel")]
    pub(crate) modules: Option<Utf8PathBuf>,
    /// Add this configuration (.config) of the kernel.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(crate) config: Option<Utf8PathBuf>,
    /// Give the kernel this name [default: its release].
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}
