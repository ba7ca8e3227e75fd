//! The rules of `registries.conf`.

use camino::Utf8PathBuf;

/// One `[[registry]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RegistryRule {
    pub(super) prefix: String,
    /// Empty for a prefix with `*.`, whose names stay as they are.
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirrors: Vec<MirrorRule>,
    /// The file that has it.
    pub(super) path: Utf8PathBuf,
}

/// One `[[registry.mirror]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MirrorRule {
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) usage: MirrorUse,
}

/// The pulls that a mirror serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MirrorUse {
    All,
    ByDigest,
    ByTag,
}

/// What a short name with several registries to search leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ShortNameMode {
    /// The first registry that has the image.
    #[default]
    InOrder,
    /// An error: nobody is asked.
    Enforcing,
}
