//! The kinds of files in a bundle, and their media types.

use serde::{Deserialize, Serialize};

/// `artifactType` of a bundle.
pub const BUNDLE_TYPE: &str = "application/vnd.banger.kernel.v1";
/// Media type of the configuration of a bundle.
pub const BUNDLE_CONFIG_TYPE: &str = "application/vnd.banger.kernel.config.v1+json";

/// The kind of a file in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BundleFileKind {
    /// The kernel as an ELF executable.
    #[serde(rename = "vmlinux")]
    Vmlinux,
    /// The kernel as an arm64 `Image`.
    #[serde(rename = "Image")]
    Image,
    /// The bzImage that the vmlinux came out of.
    #[serde(rename = "bzImage")]
    BzImage,
    /// An initrd.
    #[serde(rename = "initrd")]
    Initrd,
    /// The full `.config`.
    #[serde(rename = "config")]
    Config,
    /// A tar with the content of `/lib/modules/<release>`.
    #[serde(rename = "modules")]
    Modules,
}

/// Compressions of a layer, by the end of its media type.
const COMPRESSED: [&str; 2] = ["+zstd", "+gzip"];

impl BundleFileKind {
    const ALL: [Self; 6] =
        [Self::Vmlinux, Self::Image, Self::BzImage, Self::Initrd, Self::Config, Self::Modules];

    /// Returns the name of the kind, as the configuration of a bundle has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vmlinux => "vmlinux",
            Self::Image => "Image",
            Self::BzImage => "bzImage",
            Self::Initrd => "initrd",
            Self::Config => "config",
            Self::Modules => "modules",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Vmlinux => "application/vnd.banger.kernel.vmlinux.v1",
            Self::Image => "application/vnd.banger.kernel.image.v1",
            Self::BzImage => "application/vnd.banger.kernel.bzimage.v1",
            Self::Initrd => "application/vnd.banger.kernel.initrd.v1",
            Self::Config => "application/vnd.banger.kernel.kconfig.v1",
            Self::Modules => "application/vnd.banger.kernel.modules.v1.tar",
        }
    }

    /// Whether the layer is written compressed. The others are compressed already, or small.
    pub(super) const fn is_compressed(self) -> bool {
        matches!(self, Self::Vmlinux | Self::Image | Self::Modules)
    }

    /// Returns the media type of the layer as it is written, and the file name for it.
    pub(super) fn written(self) -> (String, String) {
        let tar = if self == Self::Modules { ".tar" } else { "" };
        match self.is_compressed() {
            true => (format!("{}{}", self.media_type(), COMPRESSED[0]), format!("{}{tar}.zst", self.name())),
            false => (self.media_type().to_owned(), format!("{}{tar}", self.name())),
        }
    }

    /// Returns the kind of a layer, and whether it is compressed.
    pub(super) fn of_layer(media_type: &str) -> Option<(Self, bool)> {
        let plain = COMPRESSED.iter().find_map(|end| media_type.strip_suffix(end));
        let kind = Self::ALL.into_iter().find(|kind| kind.media_type() == plain.unwrap_or(media_type))?;
        Some((kind, plain.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_the_media_types_that_they_are_written_with() {
        for kind in BundleFileKind::ALL {
            let (media_type, _) = kind.written();
            assert_eq!(BundleFileKind::of_layer(&media_type), Some((kind, kind.is_compressed())));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        for other in
            ["", "+zstd", "application/vnd.oci.image.layer.v1.tar", "application/vnd.banger.kernel.v1"]
        {
            assert_eq!(BundleFileKind::of_layer(other), None, "{other}");
        }
    }
}
