//! What is known of a kernel and of an image.

use std::collections::BTreeSet;

use banger_guest::config::BootContract;

use super::config::{KernelConfig, OptionValue};
use super::option::KernelOption;

/// How a kernel has an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    BuiltIn,
    Module,
    Absent,
    Unknown,
}

/// What is known of a kernel besides its format.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KernelFacts {
    /// The release.
    pub release: String,
    /// The configuration; `None` if it is not known.
    pub config: Option<KernelConfig>,
    /// Names of the drivers that are built in, from `modules.builtin`; `None` if there is no such file.
    pub builtin: Option<BTreeSet<String>>,
    /// Names of the modules that the kernel came with, from `modules.dep`; `None` if it came without modules.
    pub modules: Option<BTreeSet<String>>,
}

banger_tree::setters! {
    KernelFacts {
        with_config => config: Option<KernelConfig>,
        with_builtin => builtin: Option<BTreeSet<String>>,
        with_modules => modules: Option<BTreeSet<String>>,
    }
}

impl KernelFacts {
    /// Returns the facts of a kernel of which only its release is known.
    pub fn new(release: impl Into<String>) -> Self {
        Self { release: release.into(), ..Self::default() }
    }

    /// Returns names of modules in the text of `modules.builtin`, or of `modules.dep` up to each colon.
    pub fn module_names(text: &str) -> BTreeSet<String> {
        let paths = text.lines().map(|line| line.split(':').next().unwrap_or_default().trim());
        let names = paths.filter_map(|path| {
            let file = path.rsplit('/').next()?;
            let name = file.split(".ko").next()?;
            (!name.is_empty() && file.contains(".ko")).then(|| name.replace('-', "_"))
        });
        names.collect()
    }

    pub(super) fn has_modules(&self) -> bool {
        self.modules.as_ref().is_some_and(|modules| !modules.is_empty())
    }

    pub(super) fn presence(&self, option: &KernelOption) -> Presence {
        if let Some(config) = &self.config {
            return match config.get(option.name) {
                Some(OptionValue::Module) => Presence::Module,
                Some(_) => Presence::BuiltIn,
                None => Presence::Absent,
            };
        }
        let (Some(module), Some(builtin)) = (option.module, &self.builtin) else { return Presence::Unknown };
        let is_module = self.modules.as_ref().is_some_and(|modules| modules.contains(module));
        match (builtin.contains(module), is_module) {
            (true, _) => Presence::BuiltIn,
            (false, true) => Presence::Module,
            // Old kernels list only some of what is built in.
            (false, false) => Presence::Unknown,
        }
    }
}

/// What is known of an image.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GuestFacts {
    /// The processor that its programs are for, by its OCI name.
    pub architecture: Option<String>,
    /// How it boots.
    pub contract: Option<BootContract>,
    /// Whether it has the program that the kernel starts first; `None` if it is not known.
    pub init: Option<bool>,
    /// Features of its ext4 file system, by the names of mke2fs.
    pub features: Vec<String>,
    /// Names of the directories in `/lib/modules`.
    pub module_releases: Vec<String>,
}

banger_tree::setters! {
    GuestFacts {
        with_architecture => architecture: Option<String>,
        with_contract => contract: Option<BootContract>,
        with_init => init: Option<bool>,
        with_features => features: Vec<String>,
        with_module_releases => module_releases: Vec<String>,
    }
}

impl GuestFacts {
    pub(super) fn has_modules_of(&self, release: &str) -> bool {
        self.module_releases.iter().any(|other| other == release)
    }
}
