//! Where the guest's files are: `/`, or a directory in tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use banger_guest::config::{GuestConfig, KernelCommandLine, paths};

use crate::report::say;

/// The root of the guest's files.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    directory: PathBuf,
}

impl Default for Root {
    fn default() -> Self {
        Self { directory: PathBuf::from("/") }
    }
}

impl Root {
    pub(crate) fn at(directory: OsString) -> Self {
        Self { directory: directory.into() }
    }

    /// Where an absolute path of the guest is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path.trim_start_matches('/'))
    }

    /// The directory, where it is not `/`.
    pub(crate) fn prefix(&self) -> Option<&Path> {
        (self.directory != Path::new("/")).then_some(&self.directory)
    }

    /// What the kernel was started with; nothing where `/proc` is not mounted.
    pub(crate) fn command_line(&self) -> KernelCommandLine {
        KernelCommandLine::parse(&self.text("/proc/cmdline").unwrap_or_default())
    }

    /// What the injection decided; `None` where there is nothing to be read, which is reported
    /// unless it is not there at all.
    pub(crate) fn guest_config(&self, reporter: &str) -> Option<GuestConfig> {
        let path = self.path(paths::GUEST_CONFIG);
        let json = match std::fs::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                say(reporter, format_args!("{}: {error}", path.display()));
                return None;
            }
        };
        GuestConfig::from_json(&json)
            .inspect_err(|error| say(reporter, format_args!("{}: {error}", path.display())))
            .ok()
    }

    /// The text of a file without white space around it; `None` where it cannot be read or is empty.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}
