//! What to clone, and how.

use banger_boot::MachineSettings;
use banger_guest::config::NetworkConfig;
use camino::Utf8PathBuf;
use uuid::Uuid;

use super::identity::Identity;
use crate::host_copy::HostCopy;
use crate::rootfs::NewSize;
use crate::store::{ImageName, NameError};

/// Which image becomes the disk of a machine, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CloneRequest {
    /// The managed image, by name, id or unique beginning of an id.
    pub image: String,
    /// Where the clone goes.
    pub target: CloneTarget,
    /// Whether the clone is another machine.
    pub identity: Identity,
    /// UUID of the file system; `None` is a random one, or with [`Identity::Keep`] that of the original.
    pub uuid: Option<Uuid>,
    /// The size of the file system; `None` for that of the original.
    pub size: Option<NewSize>,
    /// Hostname, public keys and environment.
    pub settings: MachineSettings,
    /// The network, which banger's agent sets up at each boot.
    pub network: Option<NetworkConfig>,
    /// Files and directories of the host that are copied into the clone, in this order.
    pub copies: Vec<HostCopy>,
}

impl CloneRequest {
    /// Returns the request to make another machine of `image`.
    pub fn new(image: impl Into<String>, target: CloneTarget) -> Self {
        Self {
            image: image.into(),
            target,
            identity: Identity::default(),
            uuid: None,
            size: None,
            settings: MachineSettings::default(),
            network: None,
            copies: Vec::new(),
        }
    }

    /// Returns the first option that changes the clone, with its value.
    pub(super) fn first_change(&self) -> Option<(&'static str, String)> {
        let given = |is_given: bool, name, value: String| is_given.then_some((name, value));
        let (settings, copies) = (&self.settings, &self.copies);
        given(self.identity != Identity::Keep, "identity", self.identity.to_string())
            .or_else(|| self.uuid.map(|uuid| ("uuid", uuid.to_string())))
            .or_else(|| given(self.size.is_some(), "size", String::new()))
            .or_else(|| settings.hostname.clone().map(|hostname| ("hostname", hostname)))
            .or_else(|| given(!settings.ssh_keys.is_empty(), "ssh_keys", String::new()))
            .or_else(|| settings.env.first().map(|(name, _)| ("env", name.clone())))
            .or_else(|| given(self.network.is_some(), "network", String::new()))
            .or_else(|| copies.first().map(|copy| ("copies", copy.source.to_string())))
    }
}

banger_tree::setters! {
    CloneRequest {
        with_identity => identity: Identity,
        with_uuid => uuid: Option<Uuid>,
        with_size => size: Option<NewSize>,
        with_settings => settings: MachineSettings,
        with_network => network: Option<NetworkConfig>,
        with_copies => copies: Vec<HostCopy>,
    }
}

/// Where a clone goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloneTarget {
    /// A new managed image. The name must be free.
    Image(ImageName),
    /// An ext4 file.
    File {
        /// Its path.
        path: Utf8PathBuf,
        /// Whether an existing file is replaced.
        replace: bool,
    },
}

impl CloneTarget {
    /// Returns the target that `text` means: the path of a file if it has a slash, else the name of an image. `replace`
    /// says whether an existing file is replaced.
    ///
    /// # Errors
    /// It is not a name.
    pub fn parse(text: &str, replace: bool) -> Result<Self, NameError> {
        match text.contains('/') {
            true => Ok(Self::File { path: text.into(), replace }),
            false => Ok(Self::Image(text.parse()?)),
        }
    }
}
