//! The configuration that a kernel was built with.

use std::collections::BTreeMap;

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionValue {
    /// `y`.
    BuiltIn,
    /// `m`.
    Module,
    /// A number or a text, as it is written.
    Other(String),
}

/// A `.config`: the options that are set.
///
/// ```
/// use banger_kernel::check::{KernelConfig, OptionValue};
///
/// let config = KernelConfig::parse("CONFIG_EXT4_FS=y\nCONFIG_VIRTIO_BLK=m\n# CONFIG_PCI is not set\n");
/// assert_eq!(config.get("EXT4_FS"), Some(&OptionValue::BuiltIn));
/// assert_eq!(config.get("PCI"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelConfig {
    options: BTreeMap<String, OptionValue>,
}

impl KernelConfig {
    /// Reads a `.config`, and ignores all lines but settings.
    pub fn parse(text: &str) -> Self {
        let settings = text.lines().filter_map(|line| line.trim().strip_prefix("CONFIG_")?.split_once('='));
        let options = settings.filter_map(|(name, value)| {
            let value = match value {
                "y" => OptionValue::BuiltIn,
                "m" => OptionValue::Module,
                "n" => return None,
                other => OptionValue::Other(other.to_owned()),
            };
            Some((name.to_owned(), value))
        });
        Self { options: options.collect() }
    }

    /// Returns the value of an option, by its name without `CONFIG_`; `None` if it is not set.
    pub fn get(&self, name: &str) -> Option<&OptionValue> {
        self.options.get(name)
    }

    /// Returns whether no option is set: the text was no configuration.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }
}
