//! Checks of what a machine is to get.

use banger_boot::{MachineSettings, SettingsError};
use banger_tree::{Advice, Setting};

use crate::argument::ArgumentError;

/// Refuses values that no machine takes.
pub(crate) fn check_settings(settings: &MachineSettings) -> Result<(), ArgumentError> {
    settings.check().map_err(|error| {
        let (setting, advice) = match &error {
            SettingsError::Hostname(_) => ("hostname", "use letters, digits, dots and dashes"),
            SettingsError::Variable(_) => ("env", "write NAME=VALUE"),
            _ => ("ssh_keys", "give a public key, such as the content of id_ed25519.pub"),
        };
        ArgumentError::new(Setting(setting), "", error.to_string()).with_advice(Advice::new(advice))
    })
}
