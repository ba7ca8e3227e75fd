//! The steps of a build.

use camino::Utf8PathBuf;

/// A step of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildStep {
    /// Runs a command by `/bin/sh -c`, as root, in `/`.
    Run(String),
    /// Runs a script as root, in `/`: by the program of its first line, else by `/bin/sh`.
    Script {
        /// The name of the script, for messages.
        name: String,
        /// Its text.
        text: Vec<u8>,
    },
    /// Copies a file or directory of the host, as [`Edit::put`](crate::rootfs::Edit::put) does. Missing directories
    /// are made.
    Copy {
        /// The file or directory.
        source: Utf8PathBuf,
        /// Its place in the image, or the directory for it.
        destination: String,
    },
    /// Sets a variable, for the steps that follow and for the program of the image.
    Env {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// The longest text of a step in a message or record.
const TEXT_CHARACTERS: usize = 200;

impl BuildStep {
    /// Returns the step that adds the tools `name`: `docker` installs Docker and starts it at boot.
    pub fn tools(name: &str) -> Option<Self> {
        let text = banger_boot::customize_script(name)?;
        Some(Self::Script { name: name.to_owned(), text: text.into() })
    }

    /// Returns the step in one line.
    pub fn text(&self) -> String {
        let text = match self {
            Self::Run(command) => format!("run {command}"),
            Self::Script { name, .. } => format!("script {name}"),
            Self::Copy { source, destination } => format!("copy {source} to {destination}"),
            Self::Env { name, value } => format!("env {name}={value}"),
        };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(TEXT_CHARACTERS) {
            Some((at, _)) => format!("{}…", line.get(..at).unwrap_or_default()),
            None => line,
        }
    }

    /// Returns whether the step needs a machine.
    pub(super) fn is_program(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Script { .. })
    }
}
