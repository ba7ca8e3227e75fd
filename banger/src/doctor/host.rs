//! The machine that is examined.

use std::env;

use banger_oci::CredentialSource;
use camino::{Utf8Path, Utf8PathBuf};

use crate::dirs::Dirs;

/// Directories of programs for administrators, often not in an ordinary user's `PATH`.
const SYSTEM_PROGRAMS: [&str; 3] = ["usr/local/sbin", "usr/sbin", "sbin"];

/// The machine, as far as it is looked at. The default values read nothing of the environment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DoctorHost {
    /// The directories for state and cache.
    pub dirs: Dirs,
    /// The directory with `dev`, `etc`, `proc` and `boot`: `/` by default.
    pub root: Utf8PathBuf,
    /// Directories of programs, as in `PATH`; none by default. Those of administrators' programs below
    /// [`root`](Self::root) are always searched.
    pub program_dirs: Vec<Utf8PathBuf>,
    /// Where credentials for registries come from; nowhere by default.
    pub credentials: CredentialSource,
}

banger_tree::setters! {
    DoctorHost {
        with_root => root: Utf8PathBuf,
        with_program_dirs => program_dirs: Vec<Utf8PathBuf>,
        with_credentials => credentials: CredentialSource,
    }
}

impl DoctorHost {
    /// Returns this machine without directories of programs and without credentials.
    pub fn new(dirs: Dirs) -> Self {
        Self { dirs, root: "/".into(), program_dirs: Vec::new(), credentials: CredentialSource::Anonymous }
    }

    /// Returns this machine as the process sees it.
    ///
    /// This reads the environment: `PATH`, and what [`CredentialSource::User`] reads.
    pub fn of_process(dirs: Dirs) -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let program_dirs = env::split_paths(&path).filter_map(|dir| Utf8PathBuf::from_path_buf(dir).ok());
        let program_dirs = program_dirs.filter(|dir| dir.is_absolute()).collect();
        Self::new(dirs).with_program_dirs(program_dirs).with_credentials(CredentialSource::User)
    }

    /// Returns the place of an absolute path.
    pub(super) fn at(&self, path: &str) -> Utf8PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Returns the program `name`.
    pub(super) fn program(&self, name: &str) -> Option<Utf8PathBuf> {
        self.all_program_dirs().map(|dir| dir.join(name)).find(|path| is_program(path))
    }

    /// Returns the names of programs that begin with `start`, in order.
    pub(super) fn programs(&self, start: &str) -> Vec<String> {
        let mut names = Vec::new();
        for dir in self.all_program_dirs() {
            // A directory in PATH may be missing.
            let Ok(entries) = dir.read_dir_utf8() else { continue };
            for entry in entries.flatten() {
                if entry.file_name().starts_with(start) && is_program(entry.path()) {
                    names.push(entry.file_name().to_owned());
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    fn all_program_dirs(&self) -> impl Iterator<Item = Utf8PathBuf> {
        self.program_dirs.iter().cloned().chain(SYSTEM_PROGRAMS.iter().map(|dir| self.root.join(dir)))
    }
}

fn is_program(path: &Utf8Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
