//! The arguments that say how registries are reached, and logins.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};

use super::patience::PatienceArguments;
use super::places::{CacheArguments, StateArguments};

/// How registries are reached.
#[derive(Debug, Args)]
pub(crate) struct RegistryArguments {
    /// Use http for any registry. A registry on this machine is tried with http if https does not
    /// answer.
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// Trust the certificates in this PEM file, besides those of the system.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_cert: Option<Utf8PathBuf>,
    /// Use the certificates in DIR: *.crt are trusted, NAME.cert and NAME.key are the client's [default:
    /// the directory of the registry below the certs.d directories of podman and docker].
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<Utf8PathBuf>,
    /// Show this PEM certificate to registries that ask for one.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<Utf8PathBuf>,
    /// Use this PEM file with the private key of --client-cert.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<Utf8PathBuf>,
    /// Read mirrors and short names from FILE only [default: registries.conf and registries.conf.d of
    /// podman].
    #[arg(long, value_name = "FILE")]
    pub(crate) registries_conf: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) auth: AuthArguments,
}

/// Where credentials are.
#[derive(Debug, Args)]
pub(crate) struct AuthArguments {
    /// Use the credentials in FILE only [default: the files of podman and docker].
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<Utf8PathBuf>,
}

/// When a registry is asked.
#[derive(Debug, Args)]
pub(crate) struct PolicyArguments {
    /// Choose when the registry is asked.
    #[arg(long = "pull", value_name = "WHEN", default_value = "always")]
    pub(crate) pull: PolicyChoice,
}

/// When a registry is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyChoice {
    /// Ask for the current image of a tag
    Always,
    /// Ask only if an earlier pull left no image of this tag
    Missing,
    /// Make no request
    Never,
}

impl From<PolicyChoice> for banger::PullPolicy {
    fn from(choice: PolicyChoice) -> Self {
        match choice {
            PolicyChoice::Always => Self::Always,
            PolicyChoice::Missing => Self::Missing,
            PolicyChoice::Never => Self::Never,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// Image to inspect, as for `banger image pull`.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// Inspect the image for this platform, such as linux/arm64 [default: linux and this machine's
    /// architecture].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<String>,
    #[command(flatten)]
    pub(crate) policy: PolicyArguments,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// Registry to log in to, HOST or HOST:PORT; docker.io is Docker Hub.
    #[arg(value_name = "REGISTRY")]
    pub(crate) name: String,
    /// Log in as this user [default: banger asks for the name].
    #[arg(long, short)]
    pub(crate) username: Option<String>,
    /// Read the password from standard input, without the newline at its end [default: banger asks for
    /// the password].
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
}

#[derive(Debug, Args)]
pub(crate) struct LogoutArguments {
    /// Registry to log out of.
    #[arg(value_name = "REGISTRY", required_unless_present = "all")]
    pub(crate) name: Option<String>,
    /// Log out of all registries.
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) auth: AuthArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ImagePushArguments {
    /// Name, id, or unique prefix of an id of the image.
    pub(crate) name: String,
    /// Target:
    /// HOST/NAME[:TAG]          a registry
    /// oci:DIR[:NAME]           an OCI layout, which is made if it is missing
    /// oci-archive:FILE[:NAME]  a new tar with an OCI layout
    #[arg(value_name = "REF", verbatim_doc_comment)]
    pub(crate) target: String,
    /// Take parts that this repository of the same registry has from there, and do not send them.
    #[arg(long, value_name = "HOST/NAME")]
    pub(crate) mount_from: Option<String>,
    /// Sign the image with the private key in FILE, PEM in PKCS #8 or as cosign encrypts it. COSIGN_PASSWORD opens it.
    #[arg(long, value_name = "FILE")]
    pub(crate) sign_key: Option<Utf8PathBuf>,
    /// Write to FILE where the image comes from, as SLSA provenance, and add that to the pushed image. It has a time
    /// only if SOURCE_DATE_EPOCH is set.
    #[arg(long, value_name = "FILE")]
    pub(crate) attest: Option<Utf8PathBuf>,
    /// Send N parts at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,
    #[command(flatten)]
    pub(crate) registry: RegistryArguments,
    #[command(flatten)]
    pub(crate) patience: PatienceArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
}
