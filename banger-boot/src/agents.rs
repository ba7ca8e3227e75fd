//! Options of an injection.

use std::sync::Arc;

use banger_guest::config::{Entrypoint, InitMode};
use banger_tree::Timestamp;

/// Options of an injection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GuestAgents {
    /// The guest's binary: a static executable for the guest's processor.
    pub binary: Arc<[u8]>,
    /// Which init is wanted.
    pub init: InitMode,
    /// The program in the image's configuration; used if banger-init is the init.
    pub entrypoint: Option<Entrypoint>,
    /// Whether banger-init keeps a login shell on the console beside an entry point.
    pub console_shell: bool,
    /// Host name, for an image without one.
    pub hostname: String,
    /// Whether kernel modules come into the image too, vsock's among them.
    pub kernel_modules: bool,
    /// Modification time of written files and directories.
    pub timestamp: Timestamp,
}

banger_tree::setters! {
    GuestAgents {
        with_binary => binary: Arc<[u8]>,
        with_init => init: InitMode,
        with_entrypoint => entrypoint: Option<Entrypoint>,
        with_console_shell => console_shell: bool,
        with_hostname => hostname: String,
        with_kernel_modules => kernel_modules: bool,
        with_timestamp => timestamp: Timestamp,
    }
}

impl GuestAgents {
    /// Default host name.
    pub const DEFAULT_HOSTNAME: &'static str = "banger";

    /// Returns agents of this binary, with everything else at its default.
    pub fn new(binary: impl Into<Arc<[u8]>>) -> Self {
        Self {
            binary: binary.into(),
            init: InitMode::Auto,
            entrypoint: None,
            console_shell: false,
            hostname: Self::DEFAULT_HOSTNAME.to_owned(),
            kernel_modules: false,
            timestamp: Timestamp::default(),
        }
    }
}
