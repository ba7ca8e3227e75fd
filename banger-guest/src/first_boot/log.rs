//! `/var/log/banger-first-boot.log`, and the console beside it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use banger_guest::config::paths;

use crate::options::Role;
use crate::report::say;
use crate::root::Root;

/// A log that is longer than this is begun anew: a guest that fails at every boot must not fill its disk.
const MAX_BYTES: u64 = 1024 * 1024;

/// The log of the first boot.
#[derive(Debug)]
pub(crate) struct Log {
    file: Option<File>,
}

impl Log {
    /// Opens the log, or the console if that fails.
    pub(crate) fn open(root: &Root) -> Self {
        let path = root.path(paths::FIRST_BOOT_LOG);
        let file = open(&path)
            .inspect_err(|error| say(Role::FirstBoot.name(), format_args!("{}: {error}", path.display())))
            .ok();
        Self { file }
    }

    /// A line of the driver's own.
    pub(crate) fn line(&mut self, text: &str) {
        let name = Role::FirstBoot.name();
        say(name, format_args!("{text}"));
        self.write(format!("{name}: {text}\n").as_bytes());
    }

    /// Appends the output of the script.
    pub(crate) fn output(&mut self, bytes: &[u8]) {
        let _ = std::io::stderr().write_all(bytes);
        self.write(bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            // A full disk is found out by the package manager.
            let _ = file.write_all(bytes);
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() > MAX_BYTES {
        file.set_len(0)?;
    }
    Ok(file)
}
