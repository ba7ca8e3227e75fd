//! The steps of a build.

use std::str::FromStr;

use camino::Utf8PathBuf;

use super::error::ImageBuildError;

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

impl FromStr for BuildStep {
    type Err = ImageBuildError;

    /// Reads `run:COMMAND`, `script:FILE`, `copy:FILE:/PATH`, `env:NAME=VALUE` or `tools:NAME`. The file of a script is
    /// read now.
    fn from_str(text: &str) -> Result<Self, ImageBuildError> {
        let bad = || ImageBuildError::NoStep { text: text.to_owned() };
        let (kind, rest) = text.split_once(':').ok_or_else(bad)?;
        match kind {
            "run" => Ok(Self::Run(rest.to_owned())),
            "script" => {
                let text = std::fs::read(rest)
                    .map_err(|source| ImageBuildError::Source { path: rest.into(), source })?;
                Ok(Self::Script { name: rest.to_owned(), text })
            }
            "copy" => {
                // Paths of the host may have colons.
                let (source, path) = rest.rsplit_once(":/").ok_or_else(bad)?;
                Ok(Self::Copy { source: source.into(), destination: format!("/{path}") })
            }
            "env" => {
                let (name, value) = rest.split_once('=').ok_or_else(bad)?;
                Ok(Self::Env { name: name.to_owned(), value: value.to_owned() })
            }
            "tools" => Self::tools(rest).ok_or_else(bad),
            _ => Err(bad()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_from_texts() {
        for (text, want) in [
            ("run:echo a: b", "run echo a: b"),
            ("copy:./a:b/c:/srv/x", "copy ./a:b/c to /srv/x"),
            ("env:A=b=c", "env A=b=c"),
            ("tools:docker", "script docker"),
        ] {
            assert_eq!(text.parse::<BuildStep>().unwrap().text(), want);
        }
        for text in ["run", "copy:a", "copy:a:b", "env:A", "tools:none", "other:x", ""] {
            let error = text.parse::<BuildStep>().unwrap_err();
            assert!(matches!(error, ImageBuildError::NoStep { .. }), "{text}: {error}");
        }
        assert!(matches!("script:/no/such".parse::<BuildStep>(), Err(ImageBuildError::Source { .. })));
        assert!(BuildStep::Run("x\n".repeat(1000)).text().chars().count() <= TEXT_CHARACTERS + 1);
    }
}
