//! The arguments of `banger kernel`.

use banger::boot::Profile;
use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::boot::VmmArguments;
use super::examples;
use super::patience::PatienceArguments;
use super::places::{CacheArguments, StateArguments};
use super::registry::RegistryArguments;
use super::trust::TrustArguments;
use crate::units::Size;

#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// Import a kernel; print its directory.
    #[command(after_help = examples::KERNEL_IMPORT)]
    Import(Box<KernelImportArguments>),
    /// Pull a kernel bundle; print its directory.
    #[command(after_help = examples::KERNEL_PULL)]
    Pull(Box<KernelPullArguments>),
    /// Pack kernels as a bundle, for a registry; print the digest of its index.
    #[command(after_help = examples::KERNEL_PACK)]
    Pack(Box<KernelPackArguments>),
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
    /// Name, id, or unique prefix of an id [default: the image's own, or the only one].
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
    /// docker://HOST/NAME[:TAG]      a kernel bundle, or an image with a kernel, in a registry
    /// oci:DIR[:NAME]                the same in an OCI layout
    /// oci-archive:FILE[:NAME]       the same in an OCI layout in a tar
    /// docker-archive:FILE[:NAME]    an image with a kernel in a tar that `docker save` wrote
    /// docker-daemon:NAME, podman:NAME, containers-storage:NAME, containerd:DIR:NAME
    ///                               an image with a kernel on this machine
    /// https://ADDRESS               a file such as those above; needs --sha256
    /// A source that starts otherwise is a path; ./host and ./oci:x are always paths.
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
    /// Expect this SHA-256 digest of the file at https://ADDRESS.
    #[arg(long, value_name = "HEX", conflicts_with = "kernel")]
    pub(crate) sha256: Option<String>,
    #[command(flatten)]
    pub(crate) download: KernelDownloadArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}

#[derive(Debug, Args)]
pub(crate) struct KernelPullArguments {
    /// Kernel to pull. A text of letters, digits, `.`, `_` and `-` is a NAME, others are references:
    /// NAME                                 the bundle of this name in the catalogs
    /// HOST/NAME[:TAG], docker://HOST/NAME  a bundle, or an image with a kernel, in a registry
    /// oci:DIR[:NAME]                       the same in an OCI layout
    /// oci-archive:FILE[:NAME]              the same in an OCI layout in a tar
    #[arg(value_name = "NAME|REF", verbatim_doc_comment)]
    pub(crate) wanted: String,
    /// Give the kernel this name [default: NAME, or its release].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Read this catalog; may be given several times, and the last one wins [default:
    /// /etc/banger/kernels.toml, then $XDG_CONFIG_HOME/banger/kernels.toml].
    #[arg(long, value_name = "FILE")]
    pub(crate) catalog: Vec<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) download: KernelDownloadArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}

/// How kernels are downloaded.
#[derive(Debug, Args)]
pub(crate) struct KernelDownloadArguments {
    /// Take the kernel for this platform, such as linux/arm64 [default: linux and this machine's
    /// architecture].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
    /// Refuse downloads of more than SIZE [default: 1 TiB].
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_download: Option<Size>,
    #[command(flatten)]
    pub(crate) trust: TrustArguments,
    #[command(flatten)]
    pub(crate) patience: PatienceArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

#[derive(Debug, Args)]
pub(crate) struct KernelPackArguments {
    /// Kernels to pack: names, ids, or unique prefixes of ids; each for another architecture.
    #[arg(value_name = "KERNEL", required = true)]
    pub(crate) kernels: Vec<String>,
    /// Directory to write the OCI layout to; it is missing or empty.
    #[arg(value_name = "DIR")]
    pub(crate) layout: Utf8PathBuf,
    /// Give the bundle this tag in the layout.
    #[arg(long, default_value = "latest")]
    pub(crate) tag: String,
    /// State this licence, an SPDX expression [default: that of the bundle that the kernel came in, or
    /// GPL-2.0-only].
    #[arg(long, value_name = "SPDX")]
    pub(crate) licence: Option<String>,
    /// State this address of the source [default: that of the bundle that the kernel came in].
    #[arg(long, value_name = "URL")]
    pub(crate) source_url: Option<String>,
    /// State this commit of the source [default: that of the bundle that the kernel came in].
    #[arg(long, value_name = "COMMIT")]
    pub(crate) source_commit: Option<String>,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}
