//! The root of the guest's files: `/`, or a directory in tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use banger_guest::config::{GuestConfig, KernelCommandLine, paths};

use crate::bounded;
use crate::report::say;

/// How much of a file is read that has a line or two.
const TEXT_BYTES: u64 = 64 * 1024;

/// The longest configuration: an entry point with more cannot be started by any kernel.
const GUEST_CONFIG_BYTES: u64 = 16 * 1024 * 1024;

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

    /// Returns the place of an absolute path of the guest.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.join(path.trim_start_matches('/'))
    }

    /// The directory, if it is not `/`.
    pub(crate) fn prefix(&self) -> Option<&Path> {
        (self.directory != Path::new("/")).then_some(&self.directory)
    }

    /// Returns the kernel command line; empty if `/proc` is not mounted.
    pub(crate) fn command_line(&self) -> KernelCommandLine {
        KernelCommandLine::parse(&self.text("/proc/cmdline").unwrap_or_default())
    }

    /// Returns the decisions of the injection; `None` if the file cannot be read. An existing but unreadable
    /// file is reported.
    pub(crate) fn guest_config(&self, reporter: &str) -> Option<GuestConfig> {
        let path = self.path(paths::GUEST_CONFIG);
        let json = match bounded::read_whole(&path, GUEST_CONFIG_BYTES) {
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

    /// Returns the text of a short file without white space around it, at most [`TEXT_BYTES`]; `None` if it
    /// cannot be read or is empty.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let bytes = bounded::read_start(&self.path(path), TEXT_BYTES).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}
